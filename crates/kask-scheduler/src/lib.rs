//! The scheduler core: which task runs where and when, what is where, and what to do when something is lost.
//!
//! No I/O, no clock, no threads: a shell hands in [`Event`]s with the time and obeys [`Action`]s. Start with
//! [`Scheduler`]; the life of a task is in `lifecycle`, the table of tasks in `tasks`. Everything that is
//! promised between the tables is verified by [`Scheduler::check`].

mod adopt;
mod arguments;
mod batch;
mod blobs;
mod calls;
mod check;
mod classes;
mod client_messages;
mod clients;
mod config;
mod event;
mod families;
mod idset;
mod lifecycle;
mod memory;
mod outbox;
mod placement;
mod poison;
mod pressure;
mod queries;
mod queue;
mod rankset;
mod recovery;
mod relief;
mod replicas;
mod requests;
mod restart;
mod retire;
mod scatter;
mod scheduler;
mod slotset;
mod stealing;
mod submit;
mod supervisors;
mod tasks;
mod unrunnable;
mod worker_messages;
mod workers;

pub use config::Config;
pub use event::{Action, Event, SupervisorId};
pub use kask_wire::client::Counters;
pub use scheduler::Scheduler;
