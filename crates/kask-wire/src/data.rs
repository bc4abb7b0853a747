//! The data plane: values between workers, and between client and worker, without the scheduler.

use kask_types::{Failure, Payload, TaskId, ValueId, WorkerId};
use serde::{Deserialize, Serialize};

/// What a client or worker asks of a worker that holds data. Answers come in any order, matched by `request`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum DataRequest {
    /// Send these values.
    Get {
        /// Names the answer.
        request: u64,
        /// Which.
        values: Vec<ValueId>,
    },
    /// Hold these values (scatter). The tasks were made by the scheduler for this purpose.
    Put {
        /// Names the answer.
        request: u64,
        /// The receiver, as the scheduler numbers it; refused when it is somebody else.
        worker: WorkerId,
        /// Task, payload, size.
        values: Vec<(TaskId, Payload, u64)>,
    },
}

/// The answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum DataReply {
    /// Some of the values asked for; `last` closes the request.
    Values {
        /// Names the request.
        request: u64,
        /// Each value, or why there is none. A value that cannot be pickled is a [`Failure`].
        values: Vec<(ValueId, Value)>,
        /// Whether nothing more follows for this request.
        last: bool,
    },
    /// Held.
    Stored {
        /// Names the request.
        request: u64,
    },
}

/// What came for one task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Value {
    /// The value.
    Here(Payload),
    /// It is not held (any more).
    NotThere,
    /// It is held and cannot be sent.
    Failed(Failure),
    /// It is held, and too much is being sent at the moment: ask again a little later.
    Busy,
}
