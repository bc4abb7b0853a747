//! Results, fetched straight from the workers that hold them.
//!
//! A value may move or be lost between the scheduler's word and the fetch: then the key counts as pending again,
//! the scheduler is asked anew, and the fetch is repeated, for as long as `STUBBORN` per key and worker.

use crate::client::Client;
use crate::signal::{Interrupted, Signal, WaitError, deadline_of};
use crate::state::Status;
use kask_net::data_plane::{DataSink, Fetched};
use kask_types::{Failure, Key, Payload, TaskId, WorkerId};
use kask_wire::ClientToScheduler;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a fetch that brings nothing is repeated while the scheduler keeps naming a holder.
const STUBBORN: Duration = Duration::from_secs(60);
/// How many values are asked for in one request.
const BATCH: usize = 4096;

struct Basket {
    signal: Arc<Signal>,
    shared: Arc<Mutex<Arrived>>,
}

#[derive(Default)]
struct Arrived {
    open: usize,
    values: Vec<(TaskId, Fetched)>,
}

impl DataSink for Basket {
    fn values(&mut self, values: Vec<(TaskId, Fetched)>, last: bool) {
        let mut shared = self.shared.lock();
        shared.values.extend(values);
        if last {
            shared.open -= 1;
            if shared.open == 0 {
                self.signal.raise();
            }
        }
    }
}

/// What is known of the distinct keys of one gather.
struct Round {
    results: FxHashMap<Key, Result<Payload, Failure>>,
    wanted: Vec<Key>,
}

impl Client {
    /// The results of `keys`, in order, waiting for those that are pending.
    ///
    /// # Errors
    /// On the time limit, an interruption, or a lost connection. A task's failure is in its place.
    pub fn gather(
        &self,
        keys: &[Key],
        timeout: Option<Duration>,
        interrupted: Interrupted,
    ) -> Result<Vec<Result<Payload, Failure>>, WaitError> {
        let deadline = deadline_of(timeout);
        let started = Instant::now();
        let mut round = Round { results: FxHashMap::default(), wanted: keys.to_vec() };
        let mut pause = Duration::from_millis(1);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            self.wait(&round.wanted, true, left, &mut *interrupted)?;
            if let Some(reason) = self.closed() {
                return Err(WaitError::Closed(reason));
            }
            let retry = self.fetch_round(&mut round, deadline, &mut *interrupted)?;
            if retry.is_empty() {
                break;
            }
            if started.elapsed() > STUBBORN {
                for (key, problem) in retry {
                    round.results.insert(key, Err(Failure::Lost { task: problem.into() }));
                }
                break;
            }
            round.wanted = retry.into_iter().map(|(key, _)| key).collect();
            // The scheduler may not have noticed yet what this client just saw.
            Signal::default().wait(Some(Instant::now() + pause), &mut *interrupted).or_else(|error| match error {
                WaitError::TimedOut => Ok(()),
                other => Err(other),
            })?;
            pause = (pause * 2).min(Duration::from_millis(500));
            let mut state = self.0.state.lock();
            round.wanted.iter().for_each(|key| state.forget_location(*key));
            drop(state);
            self.send(ClientToScheduler::Want(round.wanted.clone()));
        }
        Ok(keys
            .iter()
            .map(|key| match round.results.get(key) {
                Some(result) => result.clone(),
                None => Err(Failure::Lost { task: key.to_string().into() }),
            })
            .collect())
    }

    /// Fetches what is in memory and not here yet; gives back the keys for which nothing came, and why.
    fn fetch_round(
        &self,
        round: &mut Round,
        deadline: Option<Instant>,
        interrupted: Interrupted,
    ) -> Result<Vec<(Key, String)>, WaitError> {
        let mut by_worker: BTreeMap<WorkerId, Vec<TaskId>> = BTreeMap::new();
        let mut asked: FxHashMap<TaskId, (Key, WorkerId)> = FxHashMap::default();
        let mut retry = Vec::new();
        {
            let state = self.0.state.lock();
            for &key in &round.wanted {
                if round.results.contains_key(&key) {
                    continue;
                }
                match state.status(key) {
                    Status::InMemory { task, worker, .. } => {
                        if asked.insert(task, (key, worker)).is_none() {
                            by_worker.entry(worker).or_default().push(task);
                        }
                    }
                    Status::Failed(failure) => {
                        round.results.insert(key, Err(Failure::clone(&failure)));
                    }
                    Status::Pending => retry.push((key, "it is being computed again".to_string())),
                    Status::Unknown => {
                        let reason = "its future was released".into();
                        round.results.insert(key, Err(Failure::Cancelled { reason }));
                    }
                }
            }
        }
        if asked.is_empty() {
            return Ok(retry);
        }
        for (task, fetched) in self.fetch(by_worker, deadline, interrupted)? {
            let Some((key, worker)) = asked.remove(&task) else { continue };
            match fetched {
                Fetched::Here(payload) => drop(round.results.insert(key, Ok(payload))),
                Fetched::Failed(failure) => drop(round.results.insert(key, Err(failure))),
                Fetched::NotThere => retry.push((key, format!("its worker {worker:?} does not hold it"))),
                Fetched::Unreachable => {
                    let address = self.worker_address(worker).unwrap_or_else(|| "an unknown address".into());
                    retry.push((key, format!("its worker at {address} cannot be reached from this client")));
                }
            }
        }
        Ok(retry)
    }

    fn fetch(
        &self,
        by_worker: BTreeMap<WorkerId, Vec<TaskId>>,
        deadline: Option<Instant>,
        interrupted: Interrupted,
    ) -> Result<Vec<(TaskId, Fetched)>, WaitError> {
        let signal = Arc::new(Signal::default());
        let requests = by_worker.values().map(|tasks| tasks.len().div_ceil(BATCH)).sum();
        let shared = Arc::new(Mutex::new(Arrived { open: requests, values: Vec::new() }));
        for (worker, tasks) in by_worker {
            for batch in tasks.chunks(BATCH) {
                let basket = Basket { signal: signal.clone(), shared: shared.clone() };
                self.0.data.get(worker, batch.to_vec(), Box::new(basket));
            }
        }
        signal.wait(deadline, interrupted)?;
        let mut shared = shared.lock();
        Ok(std::mem::take(&mut shared.values))
    }
}
