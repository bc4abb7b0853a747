//! The messages between client, scheduler and worker, and the versioned codec that carries them.
//!
//! One module a message family: [`client`] (client and scheduler), [`worker`] (worker and scheduler), [`data`]
//! (whoever wants data and the worker that has it), [`supervisor`], [`hello`] (the handshake). [`codec`] turns a message into
//! a frame and back.

pub mod client;
pub mod codec;
pub mod data;
pub mod hello;
pub mod supervisor;
pub mod worker;

pub use client::{ClientToScheduler, Query, Reply, SchedulerToClient};
pub use data::{DataReply, DataRequest};
pub use hello::{Hello, Role, Welcome};
pub use supervisor::{SchedulerToSupervisor, SupervisorToScheduler};
pub use worker::{ComputeTask, SchedulerToWorker, WorkerToScheduler};
