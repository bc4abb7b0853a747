//! Waiting that can be interrupted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;

/// Asked every so often while waiting; `true` ends the wait.
pub type Interrupted<'a> = &'a mut dyn FnMut() -> bool;

/// How often a wait asks whether it is interrupted.
const POLL: Duration = Duration::from_millis(40);

/// Why a wait ended without what was waited for.
#[derive(Clone, Debug, Error)]
pub enum WaitError {
    /// The time limit passed.
    #[error("not done within the time limit")]
    TimedOut,
    /// The time limit passed, and no worker may do what is asked.
    #[error("{0}")]
    NoWorker(String),
    /// The caller was asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The connection to the scheduler ended.
    #[error("{0}")]
    Closed(Arc<str>),
    /// The scheduler said no.
    #[error("{0}")]
    Refused(String),
}

/// How long a waiting thread looks out before it sleeps: waking it up takes longer than many tasks do.
const LOOK_OUT: Duration = Duration::from_micros(50);

/// Something that one thread waits for and another one signals.
///
/// On the standard library's locks: `parking_lot` keeps one table of sleeping threads for the whole process, and a
/// forked child would find its parent's threads in it.
#[derive(Default)]
pub(crate) struct Signal {
    raised: Mutex<bool>,
    seen: AtomicBool,
    changed: Condvar,
}

impl Signal {
    fn locked(&self) -> MutexGuard<'_, bool> {
        // Nothing here panics with the lock held.
        self.raised.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn raise(&self) {
        *self.locked() = true;
        self.seen.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// Waits until raised, and lowers the signal again.
    pub(crate) fn wait(&self, deadline: Option<Instant>, interrupted: Interrupted) -> Result<(), WaitError> {
        let started = Instant::now();
        while !self.seen.load(Ordering::Acquire) && started.elapsed() < LOOK_OUT {
            std::thread::yield_now();
        }
        self.seen.store(false, Ordering::Release);
        let mut raised = self.locked();
        loop {
            if std::mem::take(&mut *raised) {
                return Ok(());
            }
            let now = Instant::now();
            let step = match deadline {
                Some(deadline) if deadline <= now => return Err(WaitError::TimedOut),
                Some(deadline) => POLL.min(deadline - now),
                None => POLL,
            };
            let (back, ended) = self.changed.wait_timeout(raised, step).unwrap_or_else(PoisonError::into_inner);
            raised = back;
            if ended.timed_out() && !*raised {
                // The caller may take a language lock to answer: do not hold ours meanwhile.
                drop(raised);
                if interrupted() {
                    return Err(WaitError::Interrupted);
                }
                raised = self.locked();
            }
        }
    }
}

/// The moment that `timeout` ends, if there is one that can be told.
pub(crate) fn deadline_of(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}
