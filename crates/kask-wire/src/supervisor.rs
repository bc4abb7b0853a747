//! The supervisor of worker processes: it outlives them, says why they died, and ends those that froze.

use kask_types::{Certificate, Incarnation};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a supervisor tells the scheduler.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum SupervisorToScheduler {
    /// First message.
    Register {
        /// Host, for people.
        host: Arc<str>,
        /// Process id.
        pid: u32,
    },
    /// A worker process of this supervisor is starting; precedes its registration.
    Started {
        /// Which life.
        incarnation: Incarnation,
    },
    /// A worker process ended.
    WorkerDied {
        /// Which life.
        incarnation: Incarnation,
        /// Why.
        certificate: Certificate,
        /// Whether another life follows.
        restarting: bool,
    },
}

/// What the scheduler tells a supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum SchedulerToSupervisor {
    /// End this life (frozen, or the user asked for a restart); start another unless `retire`.
    Kill {
        /// Which life.
        incarnation: Incarnation,
        /// Whether it shall not come back.
        retire: bool,
    },
    /// The scheduler closes: end all workers and yourself.
    Close,
}
