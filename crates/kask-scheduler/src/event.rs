//! What goes into a [`crate::Scheduler`] and what comes out of it.

use kask_types::{Certificate, ClientId, WorkerId};
use kask_wire::{
    ClientToScheduler, SchedulerToClient, SchedulerToSupervisor, SchedulerToWorker, SupervisorToScheduler,
    WorkerToScheduler,
};
use std::sync::Arc;

/// A connection of a supervisor, as numbered by the shell. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SupervisorId(pub u32);

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client said this; first it registers.
    ClientMessage {
        /// Who.
        client: ClientId,
        /// What.
        message: ClientToScheduler,
    },
    /// A client's connection is gone.
    ClientLost {
        /// Whose.
        client: ClientId,
    },
    /// A worker said this; first it registers.
    WorkerMessage {
        /// Who.
        worker: WorkerId,
        /// What.
        message: WorkerToScheduler,
    },
    /// A worker's connection is gone.
    WorkerLost {
        /// Whose.
        worker: WorkerId,
        /// What is known of its end.
        certificate: Option<Certificate>,
    },
    /// A supervisor said this; first it registers.
    SupervisorMessage {
        /// Who.
        supervisor: SupervisorId,
        /// What.
        message: SupervisorToScheduler,
    },
    /// A supervisor's connection is gone.
    SupervisorLost {
        /// Whose.
        supervisor: SupervisorId,
    },
    /// Time passed; see [`crate::Scheduler::next_deadline`].
    Tick,
}

/// Something for the shell to do, in order.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send.
    ToClient {
        /// To whom.
        client: ClientId,
        /// What.
        message: SchedulerToClient,
    },
    /// Send.
    ToWorker {
        /// To whom.
        worker: WorkerId,
        /// What.
        message: SchedulerToWorker,
    },
    /// Send.
    ToSupervisor {
        /// To whom.
        supervisor: SupervisorId,
        /// What.
        message: SchedulerToSupervisor,
    },
    /// Close this connection; what it still says is of no interest.
    DisconnectClient {
        /// Whose.
        client: ClientId,
        /// One sentence.
        reason: Arc<str>,
    },
    /// Close this connection; what it still says is of no interest.
    DisconnectWorker {
        /// Whose.
        worker: WorkerId,
        /// One sentence.
        reason: Arc<str>,
    },
    /// Close the scheduler once everything before this has been sent.
    Shutdown,
}
