//! Wakes an actor at its next deadline.

use crate::runtime;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;
use tracing::warn;

/// One deadline, set anew whenever the actor has handled something.
#[derive(Default)]
pub struct Timer {
    state: Mutex<State>,
    changed: Notify,
    stopped: Notify,
}

#[derive(Default)]
struct State {
    deadline: Option<Instant>,
    /// When the timer task will look next; it need not be woken for later deadlines.
    sleeping_until: Option<Instant>,
    stopped: bool,
}

impl Timer {
    /// Calls `due` at every deadline until it returns false or the timer is stopped.
    pub fn start(self: &Arc<Self>, due: impl Fn() -> bool + Send + 'static) {
        let timer = self.clone();
        match runtime::handle() {
            Ok(network) => drop(network.spawn(async move { timer.run(due).await })),
            Err(error) => warn!(%error, "no network thread: deadlines will not be kept"),
        }
    }

    /// Sets the next deadline. Waking the timer task costs a system call, so it is woken only for an earlier one.
    pub fn set(&self, deadline: Option<Instant>) {
        let mut state = self.state.lock();
        state.deadline = deadline;
        let earlier = match (deadline, state.sleeping_until) {
            (Some(deadline), Some(until)) => deadline < until,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if earlier {
            state.sleeping_until = deadline;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Ends the timer.
    pub fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_one();
        self.stopped.notify_waiters();
    }

    /// Whether [`Timer::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Ends when [`Timer::stop`] is called.
    pub async fn stopped(&self) {
        loop {
            let stopped = self.stopped.notified();
            tokio::pin!(stopped);
            stopped.as_mut().enable();
            if self.is_stopped() {
                return;
            }
            stopped.await;
        }
    }

    async fn run(&self, due: impl Fn() -> bool) {
        loop {
            let until = {
                let mut state = self.state.lock();
                if state.stopped {
                    return;
                }
                state.sleeping_until = state.deadline;
                state.deadline
            };
            let changed = self.changed.notified();
            match until {
                None => changed.await,
                Some(until) => {
                    tokio::select! {
                        () = changed => continue,
                        () = tokio::time::sleep_until(until.into()) => {}
                    }
                    self.state.lock().deadline = None;
                    if !due() {
                        return;
                    }
                }
            }
        }
    }
}
