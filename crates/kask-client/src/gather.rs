//! Results, fetched straight from the workers that hold them.
//!
//! A value may move or be lost between the scheduler's word and the fetch. A holder that does not have it is named to the
//! scheduler (`Missing`), and the key counts as pending until the scheduler says how it stands. A holder that has too
//! much to send is asked again after a pause. One that cannot be reached is asked again until the scheduler names another
//! or says that the value is lost; after `STUBBORN` the key fails, since the trouble is on this side.

use crate::client::Client;
use crate::signal::{Interrupted, Signal, WaitError, deadline_of};
use crate::state::Status;
use kask_net::data_plane::{DataSink, Fetched};
use kask_types::{Failure, Key, Loss, Payload, ValueId, WorkerId};
use kask_wire::ClientToScheduler;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a holder that cannot be reached is asked again while the scheduler keeps naming it.
const STUBBORN: Duration = Duration::from_secs(60);
/// After so many holders did not have a value that the scheduler said they had, something is wrong with a worker.
const MOST_IN_VAIN: u32 = 30;
/// First and longest pause before a holder is asked again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(250));
/// How many values are asked for in one request.
const BATCH: usize = 4096;

struct Basket {
    signal: Arc<Signal>,
    shared: Arc<Mutex<Arrived>>,
}

#[derive(Default)]
struct Arrived {
    open: usize,
    values: Vec<(ValueId, Fetched)>,
}

impl DataSink for Basket {
    fn values(&mut self, values: Vec<(ValueId, Fetched)>, last: bool) {
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
#[derive(Default)]
struct Round {
    results: FxHashMap<Key, Result<Payload, Failure>>,
    wanted: Vec<Key>,
    /// Since when a key's holder could not be reached.
    unreachable: FxHashMap<Key, Instant>,
    /// How many holders did not have a key's value.
    in_vain: FxHashMap<Key, u32>,
}

/// A key for which nothing came, and why.
enum Problem {
    /// It is being computed again: the scheduler will say when it is there.
    Pending,
    /// The holder does not have it.
    NotThere(WorkerId),
    /// The holder has too much to send.
    Busy,
    /// The holder cannot be reached.
    Unreachable(WorkerId),
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
        let mut round = Round { wanted: keys.to_vec(), ..Round::default() };
        let mut pause = PAUSES.0;
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
            if self.prepare_retry(&mut round, retry) {
                self.pause(pause, deadline, &mut *interrupted)?;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
        Ok(keys
            .iter()
            .map(|key| match round.results.get(key) {
                Some(result) => result.clone(),
                None => Err(Failure::Lost { task: key.to_string().into(), how: Loss::NotThere }),
            })
            .collect())
    }

    /// Tells the scheduler who did not have what; says whether to pause before the next round.
    fn prepare_retry(&self, round: &mut Round, retry: Vec<(Key, Problem)>) -> bool {
        let mut missing = Vec::new();
        let mut pauses = false;
        round.wanted.clear();
        for (key, problem) in retry {
            match problem {
                Problem::Pending => {}
                Problem::NotThere(worker) => {
                    let count = round.in_vain.entry(key).or_insert(0);
                    *count += 1;
                    if *count > MOST_IN_VAIN {
                        let task = format!("{key} (the scheduler named {count} holders, and none of them had it)");
                        round.results.insert(key, Err(Failure::Lost { task: task.into(), how: Loss::NotThere }));
                        continue;
                    }
                    missing.push((key, worker));
                }
                Problem::Busy => pauses = true,
                Problem::Unreachable(worker) => {
                    let since = *round.unreachable.entry(key).or_insert_with(Instant::now);
                    if since.elapsed() > STUBBORN {
                        let address = self.worker_address(worker).unwrap_or_else(|| "an unknown address".into());
                        let task = format!("{key} (its worker at {address} cannot be reached from this client)");
                        round.results.insert(key, Err(Failure::Lost { task: task.into(), how: Loss::WithWorkers }));
                        continue;
                    }
                    pauses = true;
                }
            }
            round.wanted.push(key);
        }
        if !missing.is_empty() {
            let mut state = self.0.state.lock();
            missing.iter().for_each(|&(key, _)| state.forget_location(key));
            drop(state);
            // The answer says for each key where it is now, or that it is pending.
            self.send(ClientToScheduler::Missing(missing));
        }
        pauses
    }

    /// Fetches what is in memory and not here yet; gives back the keys for which nothing came, and why.
    fn fetch_round(
        &self,
        round: &mut Round,
        deadline: Option<Instant>,
        interrupted: Interrupted,
    ) -> Result<Vec<(Key, Problem)>, WaitError> {
        let mut by_worker: BTreeMap<WorkerId, Vec<ValueId>> = BTreeMap::new();
        let mut asked: FxHashMap<ValueId, (Key, WorkerId)> = FxHashMap::default();
        let mut retry = Vec::new();
        {
            let state = self.0.state.lock();
            for &key in &round.wanted {
                if round.results.contains_key(&key) {
                    continue;
                }
                match state.status(key) {
                    Status::InMemory { task, worker, .. } => {
                        let id = ValueId::from(task);
                        if asked.insert(id, (key, worker)).is_none() {
                            by_worker.entry(worker).or_default().push(id);
                        }
                    }
                    Status::Failed(failure) => {
                        round.results.insert(key, Err(Failure::clone(&failure)));
                    }
                    Status::Pending => retry.push((key, Problem::Pending)),
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
                Fetched::Busy => retry.push((key, Problem::Busy)),
                Fetched::NotThere => retry.push((key, Problem::NotThere(worker))),
                Fetched::Unreachable => retry.push((key, Problem::Unreachable(worker))),
            }
        }
        Ok(retry)
    }

    fn fetch(
        &self,
        by_worker: BTreeMap<WorkerId, Vec<ValueId>>,
        deadline: Option<Instant>,
        interrupted: Interrupted,
    ) -> Result<Vec<(ValueId, Fetched)>, WaitError> {
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
