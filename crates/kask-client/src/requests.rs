//! Questions to the scheduler that have an answer.

use crate::client::Client;
use crate::signal::{Interrupted, Signal, WaitError, deadline_of};
use kask_wire::{ClientToScheduler, Query, Reply};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Client {
    /// Asks a question.
    ///
    /// # Errors
    /// On the time limit, an interruption, or a lost connection; `Refused` when the scheduler says no.
    pub fn ask(&self, query: Query, timeout: Option<Duration>, interrupted: Interrupted) -> Result<Reply, WaitError> {
        self.request(|request| ClientToScheduler::Ask { request, query }, timeout, interrupted)
    }

    /// Sends the message that `make` builds around a request number, and waits for its answer.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn request(
        &self,
        make: impl FnOnce(u64) -> ClientToScheduler,
        timeout: Option<Duration>,
        interrupted: Interrupted,
    ) -> Result<Reply, WaitError> {
        let request = self.0.next_request.fetch_add(1, Ordering::Relaxed);
        let signal = Arc::new(Signal::default());
        {
            let mut state = self.0.state.lock();
            if let Some(reason) = &state.closed {
                return Err(WaitError::Closed(reason.clone()));
            }
            state.answers.insert(request, (signal.clone(), None));
        }
        self.send(make(request));
        self.drive_inline();
        let ended = signal.wait(deadline_of(timeout), interrupted);
        let mut state = self.0.state.lock();
        let answer = state.answers.remove(&request).and_then(|(_, answer)| answer);
        match (ended, answer) {
            (_, Some(Reply::Failed { reason })) => Err(WaitError::Refused(reason)),
            (_, Some(answer)) => Ok(answer),
            (Err(error), None) => Err(error),
            (Ok(()), None) => {
                Err(WaitError::Closed(state.closed.clone().unwrap_or_else(|| "the connection is gone".into())))
            }
        }
    }
}
