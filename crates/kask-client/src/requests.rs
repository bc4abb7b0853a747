//! Questions to the scheduler that have an answer.

use crate::client::Client;
use crate::signal::{Interrupted, Signal, WaitError, deadline_of};
use kask_types::{Payload, TaskId, WorkerId};
use kask_wire::{ClientToScheduler, Query, Reply};
use std::collections::BTreeMap;
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

    /// Puts values on the workers that the scheduler chose for them: the data half of a scatter.
    ///
    /// # Errors
    /// As [`Client::ask`]; `Refused` when a worker could not be reached or did not take its values.
    pub fn put(
        &self,
        placements: Vec<(TaskId, Vec<WorkerId>, Payload, u64)>,
        timeout: Option<Duration>,
        interrupted: Interrupted,
    ) -> Result<(), WaitError> {
        let mut by_worker: BTreeMap<WorkerId, Vec<(TaskId, Payload, u64)>> = BTreeMap::new();
        for (task, workers, payload, nbytes) in placements {
            for worker in workers {
                by_worker.entry(worker).or_default().push((task, payload.clone(), nbytes));
            }
        }
        let deadline = deadline_of(timeout);
        let signal = Arc::new(Signal::default());
        let results = Arc::new(parking_lot::Mutex::new((by_worker.len(), None)));
        if by_worker.is_empty() {
            return Ok(());
        }
        for (worker, values) in by_worker {
            let (signal, results) = (signal.clone(), results.clone());
            let done = Box::new(move |result: Result<(), String>| {
                let mut results = results.lock();
                results.0 -= 1;
                if let Err(problem) = result {
                    results.1.get_or_insert(problem);
                }
                if results.0 == 0 {
                    signal.raise();
                }
            });
            self.0.data.put(worker, values, done);
        }
        signal.wait(deadline, interrupted)?;
        match results.lock().1.take() {
            None => Ok(()),
            Some(problem) => Err(WaitError::Refused(format!(
                "the values did not reach their workers ({problem}); scatter them again"
            ))),
        }
    }
}
