//! How values are asked of, and given to, the workers that hold them.
//!
//! Clients and workers use the same trait; where a worker lives in the same process, no socket is involved.

use kask_types::{Failure, Payload, TaskId, ValueId, WorkerId};
use kask_wire::worker::Peer;

/// A way to workers' values. No call blocks; answers come on any thread.
pub trait DataPlane: Send + Sync + 'static {
    /// A worker can be reached from now on.
    fn join(&self, peer: &Peer);
    /// It cannot any more: what is outstanding ends as unreachable.
    fn leave(&self, worker: WorkerId);
    /// Asks a worker for values.
    fn get(&self, worker: WorkerId, values: Vec<ValueId>, sink: Box<dyn DataSink>);
    /// Gives values to a worker to hold.
    fn put(&self, worker: WorkerId, values: Vec<(TaskId, Payload, u64)>, done: PutDone);
    /// Ends all connections.
    fn close(&self);
}

/// Called once when values are held, or with why they are not.
pub type PutDone = Box<dyn FnOnce(Result<(), String>) + Send>;

/// Where values arrive.
pub trait DataSink: Send {
    /// Some of the values asked for; with `last` every task has been answered and nothing more comes.
    fn values(&mut self, values: Vec<(ValueId, Fetched)>, last: bool);
}

/// What came for one task.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// The value.
    Here(Payload),
    /// The worker does not hold it (any more).
    NotThere,
    /// The worker cannot be reached.
    Unreachable,
    /// It is held and cannot be sent.
    Failed(Failure),
    /// It is held, and the worker has too much to send at the moment.
    Busy,
}
