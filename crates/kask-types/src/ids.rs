//! Identities. An address is never an identity: a peer that comes back is somebody new.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A task as the scheduler and its workers name it.
///
/// `slot` is dense and reused; `generation` grows with each reuse, so that a late message about the
/// previous owner of a slot is recognised as such and never believed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId {
    /// Index into the scheduler's task table.
    pub slot: u32,
    /// How often that slot had been handed out before.
    pub generation: u32,
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}.{}", self.slot, self.generation)
    }
}

/// A task's result, or one part of a result that consists of parts (as a shuffle's splits make them).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ValueId {
    /// The task.
    pub task: TaskId,
    /// Which part of its result; all of it if absent.
    pub part: Option<u32>,
}

impl From<TaskId> for ValueId {
    fn from(task: TaskId) -> ValueId {
        ValueId { task, part: None }
    }
}

impl fmt::Debug for ValueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            None => write!(f, "{:?}", self.task),
            Some(part) => write!(f, "{:?}[{part}]", self.task),
        }
    }
}

/// One run of a task. Attempts of a task are numbered from 1; 0 means "never run".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attempt(pub u32);

/// A worker incarnation, as numbered by the scheduler. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkerId(pub u32);

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0)
    }
}

/// A client incarnation, as numbered by the scheduler. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientId(pub u32);

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

macro_rules! hex128 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub u128);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:032x})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }
    };
}
pub(crate) use hex128;

hex128! {
    /// Random identity of one life of a process: worker, client or scheduler.
    Incarnation
}
hex128! {
    /// Content hash of a function or a large constant that travels once.
    BlobId
}
hex128! {
    /// Content token of a layer. Equal for equal work in any process.
    LayerToken
}

impl BlobId {
    /// Names a blob by what it holds.
    ///
    /// ```
    /// # use kask_types::BlobId;
    /// assert_eq!(BlobId::of(b"abc"), BlobId::of(b"abc"));
    /// assert_ne!(BlobId::of(b"abc"), BlobId::of(b"abd"));
    /// ```
    pub fn of(content: &[u8]) -> BlobId {
        BlobId(crate::key::hash128(content))
    }
}
