//! The worker shell: runners, values, peer transfer, and supervised worker processes.
//!
//! [`WorkerHost`] is an actor around the worker core (see `kask_net::reactor`). [`runtime`] is what it needs of the
//! language that tasks are written in; [`runners`] are the threads that run them; [`store`] holds the values; [`serve`] gives
//! them to peers and clients; [`local`] does so within a process. [`process`] is the body of a worker process and
//! [`supervisor`] what starts, watches and restarts such processes.

mod die_with_parent;
pub mod host;
mod last_task;
pub mod local;
pub mod process;
mod procfs;
pub mod runners;
pub mod runtime;
mod serve;
pub mod store;
pub mod supervisor;

pub use host::{WorkerHost, WorkerOptions};
pub use local::LocalWorkers;
pub use supervisor::{Supervisor, SupervisorOptions};
