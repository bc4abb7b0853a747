//! The worker shell: runners, values, peer transfer, and supervised worker processes.
//!
//! [`WorkerHost`] is an actor around the worker core (see `kask_net::reactor`). [`runtime`] is what it needs of the
//! language that tasks are written in; [`runners`] are the threads that run them; [`store`] holds the values, in memory and on disk ([`spill`]); [`serve`] gives
//! them to peers and clients; [`local`] does so within a process. [`process`] is the body of a worker process and
//! [`supervisor`] what starts, watches and restarts such processes. [`memory_limits`] says how much memory there is, and [`judge`]
//! when a process uses too much of it. [`allocator`] keeps large blocks apart.

pub mod allocator;
mod cgroups;
mod death;
mod die_with_parent;
mod disk;
pub mod host;
mod inherited;
pub mod judge;
mod last_task;
pub mod local;
pub mod memory_limits;
pub mod memory_settings;
mod monitor;
mod oom_kills;
mod place;
pub mod process;
mod procfs;
mod read_back;
pub mod runners;
pub mod runtime;
pub mod scratch;
mod serve;
pub mod spill;
pub mod store;
pub mod supervisor;
mod watch;
mod working;

pub use allocator::Allocator;
pub use host::{WorkerHost, WorkerOptions};
pub use local::LocalWorkers;
pub use supervisor::{Supervisor, SupervisorOptions};
