//! How a process ended: what is told to the scheduler, and to users when a place stays empty.

use crate::process::{EXIT_CONFIG, EXIT_UNREACHABLE};
use crate::watch::{Overuse, Seen};
use kask_types::{Certificate, DeathCause};
use std::collections::VecDeque;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStderr;

/// A process that lives shorter than this counts as failing to start.
pub(crate) const EARLY: Duration = Duration::from_secs(2);
/// Lines of standard error kept for the error message.
const TAIL_LINES: usize = 12;

/// What is to be known of a process that ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) status: io::Result<ExitStatus>,
    pub(crate) seen: Seen,
    pub(crate) lived: Duration,
    pub(crate) tail: Vec<String>,
    /// Tasks that were running.
    pub(crate) running: Vec<String>,
    /// Whether it ever had a task.
    pub(crate) has_worked: bool,
}

impl End {
    /// Whether it ended as it should.
    pub(crate) fn is_clean(&self) -> bool {
        self.status.as_ref().is_ok_and(ExitStatus::success)
    }

    /// Whether it failed to start rather than to work. A task that ends its process at once is no such failure: others
    /// may wait for the next one. A process that ends without ever having had a task is.
    pub(crate) fn is_early(&self) -> bool {
        self.lived < EARLY && !self.has_worked
    }

    /// Whether trying again is of no use, as the worker says with its exit code.
    pub(crate) fn is_hopeless(&self) -> bool {
        let hopeless = |status: &ExitStatus| matches!(status.code(), Some(EXIT_CONFIG | EXIT_UNREACHABLE | 2 | 127));
        self.lived < EARLY && self.status.as_ref().is_ok_and(hopeless)
    }

    fn cause(&self) -> DeathCause {
        match (&self.seen.overuse, &self.status) {
            (Some(Overuse::OwnLimit { .. } | Overuse::Crowd { .. } | Overuse::Kernel), _) => DeathCause::OutOfMemory,
            (None, Ok(status)) => cause_of(*status),
            (None, Err(_)) => DeathCause::Disconnected,
        }
    }

    /// What the scheduler is told.
    pub(crate) fn certificate(&self, worker: &str) -> Certificate {
        let last_task = match self.running.as_slice() {
            [only] => Some(only.as_str().into()),
            // With several runners nobody can say which one of them it was.
            [] | [_, _, ..] => None,
        };
        let peak_memory_bytes = self.seen.peak_bytes;
        Certificate { worker: worker.into(), cause: self.cause(), peak_memory_bytes, last_task }
    }

    /// What users are told when there will be no other process.
    pub(crate) fn describe(&self) -> String {
        let cause = match (&self.seen.overuse, &self.status) {
            (Some(overuse), _) => format!("ran out of memory ({overuse})"),
            (None, Ok(status)) => cause_of(*status).to_string(),
            (None, Err(error)) => format!("could not be waited for ({error})"),
        };
        let said = if self.tail.is_empty() { String::new() } else { format!("; it said: {}", self.tail.join(" | ")) };
        format!("the worker process {cause} {:.1} s after its start{said}", self.lived.as_secs_f64())
    }
}

fn cause_of(status: ExitStatus) -> DeathCause {
    match (status.code(), status.signal()) {
        (Some(code), _) => DeathCause::Exited(code),
        (None, Some(signal)) => DeathCause::Signalled(signal),
        (None, None) => DeathCause::Disconnected,
    }
}

/// Passes a child's standard error on to ours, line by line, and gives its last lines.
pub(crate) async fn pass_on(stderr: Option<ChildStderr>) -> VecDeque<String> {
    let mut tail = VecDeque::new();
    let Some(stderr) = stderr else { return tail };
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        eprintln!("{line}");
        tail.push_back(line);
        if tail.len() > TAIL_LINES {
            tail.pop_front();
        }
    }
    tail
}
