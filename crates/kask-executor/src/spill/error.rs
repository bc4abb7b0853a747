//! Why something could not be written to disk or read back.

use kask_types::TaskId;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// What a spill folder could not do.
#[derive(Debug, Error)]
pub enum SpillError {
    /// There is no room for the value.
    #[error(
        "{cause} (the spill folder {} has {used_bytes} bytes, and {needed_bytes} more were to be written)",
        path.display()
    )]
    DiskFull {
        /// The folder.
        path: PathBuf,
        /// What the value would have taken.
        needed_bytes: u64,
        /// What spilled values take already.
        used_bytes: u64,
        /// What is in the way.
        cause: FullCause,
    },
    /// What is on disk is not what was written.
    #[error("the spilled value of task {task:?} in {} is damaged: {what}; it has to be computed again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Whose value.
        task: TaskId,
        /// What does not match.
        what: &'static str,
    },
    /// It has been removed.
    #[error("the spilled value of task {task:?} has been removed")]
    Gone {
        /// Whose value.
        task: TaskId,
    },
    /// It is an object of this process, which has to be encoded first.
    #[error("the value of task {task:?} is not encoded: only bytes can be written to disk")]
    NotEncoded {
        /// Whose value.
        task: TaskId,
    },
    /// There is no such part.
    #[error("part {part} of the value of task {task:?} was asked for; it has {parts} parts")]
    NoSuchPart {
        /// Whose value.
        task: TaskId,
        /// What was asked for.
        part: u32,
        /// How many there are; 0 for a value that is not made of parts.
        parts: u32,
    },
    /// Others could read or replace what is in the folder.
    #[error("{} cannot be used as a spill folder: {what}", path.display())]
    Insecure {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Another process uses the folder.
    #[error("the spill folder {} is in use by another process", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{doing} {} failed: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What it said.
        source: io::Error,
    },
}

/// What is in the way of writing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FullCause {
    /// The worker's quota.
    #[error("the quota that memory.spill_limit sets, {max_bytes} bytes, is used up")]
    Quota {
        /// What all spilled values together may take.
        max_bytes: u64,
    },
    /// What shall be left free for others.
    #[error("the disk has {free_bytes} bytes free, of which memory.spill_reserve leaves {reserve_bytes} to others")]
    Reserve {
        /// Free on the file system.
        free_bytes: u64,
        /// To be left free.
        reserve_bytes: u64,
    },
    /// The operating system said so while the value was being written.
    #[error("the disk (or the user's share of it) is full")]
    Device,
}
