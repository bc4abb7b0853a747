//! How a task can end without a result, and why a worker died.

use crate::payload::Payload;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What became of data that is nowhere any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loss {
    /// The workers that had it died or left.
    #[default]
    WithWorkers,
    /// A worker had it on disk, and could not read it back.
    Unreadable,
    /// A worker was thought to have it, and does not.
    NotThere,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Loss::WithWorkers => "was lost with its workers",
            Loss::Unreadable => {
                "was moved to disk by its worker, is damaged there or cannot be read (the worker's log says which),"
            }
            Loss::NotThere => "is not where it was kept any more",
        })
    }
}

/// Why there is no result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Failure {
    /// The user's function raised, or a value could not be pickled or unpickled.
    Raised(Arc<RaisedError>),
    /// The task's worker died under it too often.
    KilledWorker {
        /// The printed key of the task.
        task: Arc<str>,
        /// One for each death, oldest first.
        deaths: Vec<Certificate>,
    },
    /// Somebody cancelled it.
    Cancelled {
        /// What the canceller said, or what happened.
        reason: Arc<str>,
    },
    /// Data that cannot be computed again (scattered, or its graph is gone) is nowhere any more.
    Lost {
        /// The printed key of what was lost.
        task: Arc<str>,
        /// What became of it.
        how: Loss,
    },
    /// There is no memory, and no disk to spill to, for what the task needs.
    OutOfMemory {
        /// The printed key of the task.
        task: Arc<str>,
        /// What it needed, what there was, and what is in the way.
        reason: Arc<str>,
    },
    /// No worker can ever run it as it is asked for (kept for immediate refusals, not for waiting).
    Unrunnable {
        /// What is in the way.
        reason: Arc<str>,
    },
}

/// An exception of the user's code.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RaisedError {
    /// The printed key of the task that raised it first.
    pub task: Arc<str>,
    /// `type(exception).__qualname__`.
    pub type_name: String,
    /// `str(exception)`.
    pub message: String,
    /// The formatted remote traceback, with causes and notes.
    pub traceback: String,
    /// The worker that ran it, for people.
    pub worker: String,
    /// The pickled exception; `None` when it could not be pickled.
    pub exception: Option<Payload>,
}

/// What is known of a worker's death.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// The worker's name or address.
    pub worker: Arc<str>,
    /// What ended it.
    pub cause: DeathCause,
    /// Largest resident set seen, where the supervisor could tell.
    pub peak_memory_bytes: Option<u64>,
    /// The printed key of a task that was running.
    pub last_task: Option<Arc<str>>,
}

/// What ended a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeathCause {
    /// Exit code.
    Exited(i32),
    /// Signal number.
    Signalled(i32),
    /// No sign of life for this long.
    Frozen {
        /// How long nothing was heard.
        silent_ms: u64,
    },
    /// The connection broke and nothing more is known.
    Disconnected,
    /// It was asked to leave.
    Retired,
    /// It spoke nonsense and was cut off.
    ProtocolError,
    /// Its memory limit was exceeded.
    OutOfMemory,
}

impl fmt::Display for DeathCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeathCause::Exited(code) => write!(f, "exited with code {code}"),
            DeathCause::Signalled(signal) => {
                write!(f, "was killed by signal {signal}{}", signal_name(*signal))
            }
            DeathCause::Frozen { silent_ms } => {
                write!(f, "showed no sign of life for {:.1} s", *silent_ms as f64 / 1e3)
            }
            DeathCause::Disconnected => write!(f, "lost its connection"),
            DeathCause::Retired => write!(f, "was retired"),
            DeathCause::ProtocolError => write!(f, "broke the protocol"),
            DeathCause::OutOfMemory => write!(f, "ran out of memory"),
        }
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} {}", self.worker, self.cause)?;
        if let Some(bytes) = self.peak_memory_bytes {
            write!(f, ", peak memory {:.0} MiB", bytes as f64 / f64::from(1 << 20))?;
        }
        if let Some(task) = &self.last_task {
            write!(f, ", while running {task}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Raised(error) => write!(f, "{}: {}", error.type_name, error.message),
            Failure::KilledWorker { task, deaths } => {
                write!(f, "task {task} was running on {} workers when they died", deaths.len())?;
                for death in deaths {
                    write!(f, "; {death}")?;
                }
                Ok(())
            }
            Failure::Cancelled { reason } => write!(f, "cancelled: {reason}"),
            Failure::Lost { task, how } => write!(f, "the data of {task} {how} and cannot be computed again"),
            Failure::OutOfMemory { task, reason } => write!(f, "task {task} has no room: {reason}"),
            Failure::Unrunnable { reason } => write!(f, "{reason}"),
        }
    }
}
