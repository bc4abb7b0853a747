//! Scattering: values that a client puts on workers itself.
//!
//! The scheduler chooses a worker for each value and the client sends it there. That worker may die before, while or just
//! after it takes its values. What is nowhere then is scattered again, to whatever worker the scheduler chooses next: a
//! value whose worker did not take it, or whose key has failed as lost after the scheduler had named a worker for it.
//! (Where it names none the value is not the client's to put, and how its key ends is the caller's business.)

use crate::client::Client;
use crate::signal::{Interrupted, Signal, WaitError, deadline_of};
use crate::state::Status;
use kask_types::{Failure, Key, Payload, TaskId, WorkerId, WorkerRestriction};
use kask_wire::{ClientToScheduler, Reply};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// First and longest pause before what a worker did not take is offered again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(250));
/// What is scattered.
pub struct Scatter {
    /// Key, family prefix, and the bytes of each value that have to be in memory when it is used.
    pub values: Vec<(Key, Arc<str>, u64)>,
    /// Where to.
    pub workers: Option<WorkerRestriction>,
    /// To all of them, rather than spread over them.
    pub broadcast: bool,
    /// How long it may take in all.
    pub timeout: Option<Duration>,
    /// Without that: how long to wait for a worker that may take values, and to go on while none takes any.
    pub patience: Duration,
}

/// What one value is on the wire, given its position and to how many workers it goes; and its size.
pub type PayloadOf<'a> = &'a dyn Fn(usize, usize) -> (Payload, u64);

/// Which workers did not take their values, and why.
type Refusals = BTreeMap<WorkerId, String>;

/// Where a value goes: nowhere when it is not the client's to put.
struct Place {
    /// Position among the values.
    at: usize,
    task: TaskId,
    workers: Vec<WorkerId>,
}

impl Client {
    /// Puts values on workers, and waits until they are there. The caller has retained their keys.
    ///
    /// # Errors
    /// `NoWorker` when no worker may take them within the time limit, `Refused` when workers cannot be reached, and as
    /// [`Client::ask`].
    pub fn scatter(&self, what: &Scatter, payload: PayloadOf<'_>, interrupted: Interrupted) -> Result<(), WaitError> {
        let deadline = deadline_of(what.timeout);
        let key_of = |at: usize| what.values[at].0;
        let mut left: Vec<usize> = (0..what.values.len()).collect();
        let mut pause = PAUSES.0;
        let mut vain_since = Instant::now();
        loop {
            let places = self.places(what, &left, deadline, &mut *interrupted)?;
            let refusals = self.put(&places, payload, deadline, &mut *interrupted)?;
            let has_taker =
                |place: &&Place| place.workers.is_empty() || place.workers.iter().any(|to| !refusals.contains_key(to));
            let taken: Vec<Key> = places.iter().filter(has_taker).map(|place| key_of(place.at)).collect();
            let limit = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            self.wait(&taken, true, limit, &mut *interrupted)?;
            if let Some(reason) = self.closed() {
                return Err(WaitError::Closed(reason));
            }
            let before = left.len();
            let given = places.iter().filter(|place| !place.workers.is_empty()).map(|place| place.at);
            left = given.filter(|&at| self.is_nowhere(key_of(at))).collect();
            if left.is_empty() {
                return Ok(());
            }
            if left.len() < before {
                (pause, vain_since) = (PAUSES.0, Instant::now());
            }
            if let Some(problem) = refusals.values().next()
                && deadline.is_none()
                && vain_since.elapsed() > what.patience
            {
                return Err(WaitError::Refused(format!(
                    "the values did not reach their workers ({problem}); see whether this machine can reach the workers' \
                     addresses"
                )));
            }
            self.pause(pause, deadline, &mut *interrupted)?;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Whether the value of a key that was to be put on a worker is on none.
    fn is_nowhere(&self, key: Key) -> bool {
        match self.status(key) {
            Status::Pending => true,
            Status::Failed(failure) => matches!(*failure, Failure::Lost { .. }),
            Status::InMemory { .. } | Status::Unknown => false,
        }
    }

    /// Where the scheduler wants the values at `left`: position there, task, workers.
    fn places(
        &self,
        what: &Scatter,
        left: &[usize],
        deadline: Option<Instant>,
        interrupted: Interrupted,
    ) -> Result<Vec<Place>, WaitError> {
        let values: Vec<_> = left.iter().map(|&at| what.values[at].clone()).collect();
        let keys: Vec<Key> = values.iter().map(|(key, _, _)| *key).collect();
        let (workers, broadcast) = (what.workers.clone(), what.broadcast);
        let limit = deadline.map_or(what.patience, |deadline| deadline.saturating_duration_since(Instant::now()));
        self.ask_again(&keys);
        let make = |request| ClientToScheduler::Scatter { request, values, workers, broadcast };
        match self.request(make, Some(limit), interrupted) {
            Ok(Reply::Scatter(places)) => {
                let known = places.into_iter().filter_map(|(position, task, workers)| {
                    Some(Place { at: *left.get(position as usize)?, task, workers })
                });
                Ok(known.collect())
            }
            Ok(_) => Err(WaitError::Refused("the scheduler answered another question than was asked".into())),
            Err(WaitError::TimedOut) => Err(WaitError::NoWorker(self.no_taker(what))),
            Err(other) => Err(other),
        }
    }

    /// Why there was no worker that may take the values.
    fn no_taker(&self, what: &Scatter) -> String {
        let limit = what.timeout.unwrap_or(what.patience).as_secs_f64();
        match (&what.workers, self.workers_in_words()) {
            (_, None) => {
                format!("no worker came within {limit} s that could take the data; start workers, or allow more time")
            }
            (Some(only), Some(there)) => format!(
                "no worker that workers={:?} names came within {limit} s; there are {there}: name one of these, or leave workers= out",
                only.workers,
            ),
            (None, Some(there)) => {
                format!("none of the workers {there} took the data within {limit} s; start others, or allow more time")
            }
        }
    }

    /// Sends values where they belong, and waits until each worker has taken its own or has not.
    fn put(
        &self,
        places: &[Place],
        payload: PayloadOf<'_>,
        deadline: Option<Instant>,
        interrupted: Interrupted,
    ) -> Result<Refusals, WaitError> {
        let mut by_worker: BTreeMap<WorkerId, Vec<(TaskId, Payload, u64)>> = BTreeMap::new();
        for place in places.iter().filter(|place| !place.workers.is_empty()) {
            let (payload, nbytes) = payload(place.at, place.workers.len());
            for &worker in &place.workers {
                by_worker.entry(worker).or_default().push((place.task, payload.clone(), nbytes));
            }
        }
        if by_worker.is_empty() {
            return Ok(Refusals::new());
        }
        let signal = Arc::new(Signal::default());
        let results = Arc::new(Mutex::new((by_worker.len(), Refusals::new())));
        for (worker, values) in by_worker {
            let (signal, results) = (signal.clone(), results.clone());
            let done = Box::new(move |result: Result<(), String>| {
                let mut results = results.lock();
                results.0 -= 1;
                if let Err(problem) = result {
                    results.1.insert(worker, problem);
                }
                if results.0 == 0 {
                    signal.raise();
                }
            });
            self.0.data.put(worker, values, done);
        }
        signal.wait(deadline, interrupted)?;
        let mut results = results.lock();
        Ok(std::mem::take(&mut results.1))
    }
}
