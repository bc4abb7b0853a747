//! The scheduler shell: drives the scheduler core over in-process links, connections and timers.
//!
//! [`SchedulerHost`] is an actor around the core (see `kask_net::reactor`); [`listen`] accepts connections
//! and makes a link of each.

pub mod host;
mod listen;

pub use host::{ClientUplink, SchedulerHost, SupervisorUplink, WorkerUplink};
pub use listen::ServeError;
