//! What should come out: every task's value computed serially, and which failures there is an excuse for.
//!
//! The model knows every task that was ever submitted. A wanted key must end with exactly its serial value unless it, or
//! something it depends on, is bound to fail; and it may fail only where the run gave a reason: the task raises or kills, it
//! was cancelled, its scattered data was on a worker that died, three workers died under it.

use crate::call::{Behaviour, Filled, part_of, value_of};
use kask_types::{BlobId, Failure, Key};
use std::collections::{BTreeMap, BTreeSet};

/// A task as it was meant.
#[derive(Clone, Debug)]
pub struct Spec {
    /// How its key is printed.
    pub name: String,
    /// What there is to compute.
    pub work: Work,
}

/// How a value comes to be.
#[derive(Clone, Debug)]
pub enum Work {
    /// By a call.
    Call {
        /// What is called.
        function: Option<BlobId>,
        /// The argument template.
        args: Vec<u8>,
        /// The item.
        item: Option<Vec<u8>>,
        /// Grid position, where it was asked for.
        position: Option<Vec<u32>>,
        /// Which part of each input is read; all of it if absent.
        part: Option<u32>,
        /// The inputs.
        holes: Vec<Filled<Key>>,
        /// What the call does.
        behaviour: Behaviour,
        /// How often it may raise.
        retries: u32,
    },
    /// A client had it.
    Scattered(u64),
}

/// A reason for which a key may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Excuse {
    /// Somebody cancelled it, or restarted the cluster.
    Cancelled,
    /// Its scattered data was where a worker died, or never arrived.
    Lost,
    /// Its scattered data was given up: it may be freed, and what was made of it cannot be made again.
    GivenUp,
    /// This many workers died while it was theirs.
    Deaths(u32),
    /// Its data could not be decoded so often.
    Undecodable(u32),
}

/// All tasks of a run.
#[derive(Debug, Default)]
pub struct Model {
    specs: BTreeMap<Key, Spec>,
    by_name: BTreeMap<String, Key>,
    values: BTreeMap<Key, u64>,
    excuses: BTreeMap<Key, BTreeSet<Excuse>>,
    /// Scattered data below failed work that somebody had tried again: by then it may have been given up.
    tried_again: BTreeSet<Key>,
    allowed_deaths: u32,
    allowed_fetch_failures: u32,
    /// Whether anything happened for which values must be computed again.
    pub values_were_lost: bool,
    /// Whether there may be values that cannot be spilled, so that there is no room for others.
    pub memory_may_be_short: bool,
    /// Whether anything failed for that reason.
    pub memory_was_short: bool,
}

impl Model {
    /// A model without tasks, of a scheduler that gives a task up after so many deaths or spoilt transfers.
    pub fn new(allowed_deaths: u32, allowed_fetch_failures: u32) -> Model {
        Model { allowed_deaths, allowed_fetch_failures, ..Model::default() }
    }

    /// Adds a task; equal keys must mean equal work.
    pub fn add(&mut self, key: Key, spec: Spec) {
        self.by_name.insert(spec.name.clone(), key);
        self.specs.entry(key).or_insert(spec);
    }

    /// The key that was printed like this.
    pub fn key_of(&self, name: &str) -> Option<Key> {
        self.by_name.get(name).copied()
    }

    /// How a key is printed.
    pub fn name_of(&self, key: Key) -> String {
        self.specs.get(&key).map_or_else(|| format!("unknown {key}"), |spec| spec.name.clone())
    }

    /// How often a task may raise.
    pub fn retries_of(&self, key: Key) -> u32 {
        match self.specs.get(&key).map(|spec| &spec.work) {
            Some(Work::Call { retries, .. }) => *retries,
            Some(Work::Scattered(_)) | None => 0,
        }
    }

    /// What a task depends on directly.
    pub fn inputs_of(&self, key: Key) -> Vec<Key> {
        match self.specs.get(&key).map(|spec| &spec.work) {
            Some(Work::Call { holes, .. }) => holes.iter().flat_map(keys_in).copied().collect(),
            Some(Work::Scattered(_)) | None => Vec::new(),
        }
    }

    /// A task and all that it depends on.
    pub fn lineage(&self, key: Key) -> BTreeSet<Key> {
        let mut found = BTreeSet::from([key]);
        let mut left = vec![key];
        while let Some(next) = left.pop() {
            left.extend(self.inputs_of(next).into_iter().filter(|&input| found.insert(input)));
        }
        found
    }

    /// Notes that there is a reason for which this key may fail.
    pub fn excuse(&mut self, key: Key, excuse: Excuse) {
        self.excuses.entry(key).or_default().insert(excuse);
    }

    /// Notes a reason for which every key known so far may fail.
    pub fn excuse_all(&mut self, excuse: Excuse) {
        let keys: Vec<Key> = self.specs.keys().copied().collect();
        keys.into_iter().for_each(|key| self.excuse(key, excuse));
    }

    /// Somebody wants this failed work tried again, which may need everything below it once more.
    pub fn try_again(&mut self, key: Key) {
        let data: Vec<Key> = self.lineage(key).into_iter().filter(|&of| self.is_scattered(of)).collect();
        self.tried_again.extend(data);
    }

    /// Whether the data was some client's.
    pub fn is_scattered(&self, key: Key) -> bool {
        matches!(self.specs.get(&key).map(|spec| &spec.work), Some(Work::Scattered(_)))
    }

    /// Number of tasks.
    pub fn len(&self) -> usize {
        self.specs.len()
    }

    /// One more worker died while this task was its.
    pub fn died_under(&mut self, key: Key) {
        let excuses = self.excuses.entry(key).or_default();
        let before = excuses.iter().filter_map(|excuse| match excuse {
            Excuse::Deaths(count) => Some(*count),
            Excuse::Cancelled | Excuse::Lost | Excuse::GivenUp | Excuse::Undecodable(_) => None,
        });
        let count = before.max().unwrap_or(0) + 1;
        excuses.insert(Excuse::Deaths(count));
    }

    /// One more transfer of this task's value was spoilt.
    pub fn spoilt(&mut self, key: Key) {
        let excuses = self.excuses.entry(key).or_default();
        let before = excuses.iter().filter_map(|excuse| match excuse {
            Excuse::Undecodable(count) => Some(*count),
            Excuse::Cancelled | Excuse::Lost | Excuse::GivenUp | Excuse::Deaths(_) => None,
        });
        let count = before.max().unwrap_or(0) + 1;
        excuses.insert(Excuse::Undecodable(count));
    }

    /// Whether anything at all may have gone wrong with a key or what it depends on.
    pub fn has_excuse(&self, key: Key) -> bool {
        self.memory_was_short
            || self.lineage(key).iter().any(|of| self.excuses.contains_key(of) || self.may_misbehave_to_the_end(*of))
    }

    fn behaviour_of(&self, key: Key) -> Behaviour {
        match self.specs.get(&key).map(|spec| &spec.work) {
            Some(Work::Call { behaviour, .. }) => *behaviour,
            Some(Work::Scattered(_)) | None => Behaviour::Plain,
        }
    }

    fn may_misbehave_to_the_end(&self, key: Key) -> bool {
        match self.behaviour_of(key) {
            Behaviour::Raises | Behaviour::Kills => true,
            Behaviour::RaisesFirst(count) => u32::from(count) > self.retries_of(key),
            Behaviour::Plain | Behaviour::KillsFirst(_) | Behaviour::Reschedules(_) | Behaviour::Secedes => false,
        }
    }

    /// The serial value of a key; `None` when it is bound to fail or was never submitted.
    pub fn value(&mut self, key: Key) -> Option<u64> {
        if let Some(&value) = self.values.get(&key) {
            return Some(value);
        }
        let value = match self.specs.get(&key)?.work.clone() {
            Work::Scattered(value) => value,
            Work::Call { behaviour: Behaviour::Raises | Behaviour::Kills, .. } => return None,
            Work::Call { function, args, item, position, part, holes, .. } => {
                let holes: Option<Vec<Filled<u64>>> = holes.iter().map(|hole| self.fill(hole, part)).collect();
                value_of(function, &args, item.as_deref(), position.as_deref(), &holes?)
            }
        };
        self.values.insert(key, value);
        Some(value)
    }

    fn fill(&mut self, hole: &Filled<Key>, part: Option<u32>) -> Option<Filled<u64>> {
        let mut value = |key: Key| self.value(key).map(|value| part_of(value, part));
        Some(match hole {
            Filled::One(key) => Filled::One(value(*key)?),
            Filled::List(keys) => Filled::List(keys.iter().map(|&key| value(key)).collect::<Option<_>>()?),
        })
    }

    /// Whether a key may end with this failure.
    pub fn may_fail(&self, key: Key, failure: &Failure) -> bool {
        self.lineage(key).into_iter().any(|of| self.is_reason(of, failure))
    }

    fn is_reason(&self, key: Key, failure: &Failure) -> bool {
        let behaviour = self.behaviour_of(key);
        let excuses = self.excuses.get(&key);
        let has = |test: &dyn Fn(&Excuse) -> bool| excuses.is_some_and(|all| all.iter().any(test));
        match failure {
            Failure::Raised(_) => {
                // A retry that found no room is used up.
                let has_fewer_retries = self.memory_was_short && matches!(behaviour, Behaviour::RaisesFirst(_));
                (behaviour != Behaviour::Kills && self.may_misbehave_to_the_end(key))
                    || has_fewer_retries
                    || has(&|excuse| matches!(excuse, Excuse::Undecodable(n) if *n >= self.allowed_fetch_failures))
            }
            Failure::KilledWorker { .. } => {
                behaviour == Behaviour::Kills
                    || has(&|excuse| matches!(excuse, Excuse::Deaths(n) if *n >= self.allowed_deaths))
            }
            Failure::Cancelled { .. } => has(&|excuse| *excuse == Excuse::Cancelled),
            Failure::Lost { .. } => {
                let is_needed_again = self.values_were_lost || self.tried_again.contains(&key);
                has(&|excuse| *excuse == Excuse::Lost) || (is_needed_again && has(&|excuse| *excuse == Excuse::GivenUp))
            }
            Failure::OutOfMemory { .. } => self.memory_may_be_short,
            Failure::Unrunnable { .. } => false,
        }
    }
}

fn keys_in(hole: &Filled<Key>) -> &[Key] {
    match hole {
        Filled::One(key) => std::slice::from_ref(key),
        Filled::List(keys) => keys,
    }
}
