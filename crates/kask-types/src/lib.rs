//! The words that every other crate speaks: identities, sizes, time, resources, annotations, payloads, failures.
//!
//! Nothing here does I/O, reads a clock or draws a random number. Start with [`ids`] for who is who,
//! [`key`] for what names a task's result, and [`payload`] for the opaque bytes that user data travels as.

pub mod annotations;
pub mod failure;
pub mod ids;
pub mod key;
pub mod payload;
pub mod resources;
pub mod shrink;
pub mod size;
pub mod time;

pub use annotations::{Annotations, WorkerRestriction};
pub use failure::{Certificate, DeathCause, Failure, Loss, RaisedError};
pub use ids::{Attempt, BlobId, ClientId, Incarnation, LayerToken, TaskId, ValueId, WorkerId};
pub use key::{Key, TaskName};
pub use payload::{Items, Local, LocalItems, Payload, Segment};
pub use resources::Resources;
pub use shrink::shrunk;
pub use size::{Memory, NoMemory, parse_size};
pub use time::{Tick, parse_duration_ms};
