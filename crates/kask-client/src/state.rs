//! The table of futures: what the client wants, and what the scheduler says of it.

use crate::signal::Signal;
use hashbrown::HashMap;
use kask_types::{ClientId, Failure, Key, TaskId, WorkerId, shrunk};
use kask_wire::worker::{Peer, WorkerInfo};
use kask_wire::{Reply, SchedulerToClient};
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a future stands.
#[derive(Clone, Debug)]
pub enum Status {
    /// Not done.
    Pending,
    /// Done; a worker holds the result.
    InMemory {
        /// What the worker calls it.
        task: TaskId,
        /// The worker.
        worker: WorkerId,
        /// Its size.
        nbytes: u64,
    },
    /// There will be no result.
    Failed(Arc<Failure>),
    /// This client does not want the key.
    Unknown,
}

impl Status {
    /// Whether the future has ended.
    pub fn is_done(&self) -> bool {
        match self {
            Status::Pending => false,
            Status::InMemory { .. } | Status::Failed(_) | Status::Unknown => true,
        }
    }
}

/// Called once when a future ends.
pub(crate) type Callback = Box<dyn FnOnce() + Send>;

/// Who is told when a future ends.
pub(crate) enum Watcher {
    Signal(Arc<Signal>),
    Callback(Callback),
}

struct Entry {
    references: u32,
    status: Status,
    /// The scheduler's words count once it has handled this many of the client's messages: before that they may be
    /// about an earlier time at which the client wanted the same key.
    since: u64,
}

/// Everything that the scheduler's messages change.
#[derive(Default)]
pub(crate) struct State {
    entries: HashMap<Key, Entry, FxBuildHasher>,
    watchers: HashMap<Key, SmallVec<[Watcher; 1]>, FxBuildHasher>,
    pub(crate) answers: HashMap<u64, (Arc<Signal>, Option<Reply>), FxBuildHasher>,
    /// Messages posted to the scheduler, and how many of them it has handled.
    pub(crate) posted: u64,
    handled: u64,
    pub(crate) unwanted: Vec<Key>,
    pub(crate) flush_planned: bool,
    pub(crate) workers: BTreeMap<WorkerId, (Peer, WorkerInfo)>,
    pub(crate) client: Option<ClientId>,
    pub(crate) registered: Option<Arc<Signal>>,
    pub(crate) closed: Option<Arc<str>>,
}

/// What is to be done after the table has been let go of.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) tell: Vec<Watcher>,
    pub(crate) joined: Vec<Peer>,
    pub(crate) left: Vec<WorkerId>,
}

impl Effects {
    pub(crate) fn run(self) {
        for watcher in self.tell {
            match watcher {
                Watcher::Signal(signal) => signal.raise(),
                Watcher::Callback(callback) => callback(),
            }
        }
    }
}

impl State {
    /// One more reference to each key, asked for in message number `since`. Gives back those that were not known yet.
    pub(crate) fn retain(&mut self, keys: &[Key], since: u64) -> Vec<Key> {
        let mut new = Vec::new();
        for &key in keys {
            let entry = self.entries.entry(key).or_insert(Entry { references: 0, status: Status::Pending, since });
            if entry.references == 0 {
                new.push(key);
            }
            entry.references += 1;
        }
        new
    }

    /// Asks again, in message number `since`, for those of `keys` that ended without a result: what was cancelled or
    /// lost may be had now, and the scheduler says so if not.
    pub(crate) fn ask_again(&mut self, keys: &[Key], since: u64) {
        for key in keys {
            if let Some(entry) = self.entries.get_mut(key)
                && matches!(entry.status, Status::Failed(_))
            {
                (entry.status, entry.since) = (Status::Pending, since);
            }
        }
    }

    /// One reference less; keys without any are to be unwanted. True when a burst is over: the table shrank.
    pub(crate) fn release(&mut self, keys: &[Key]) -> bool {
        for &key in keys {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.references -= 1;
            if entry.references == 0 {
                self.entries.remove(&key);
                self.watchers.remove(&key);
                self.unwanted.push(key);
            }
        }
        if let Some(capacity) = shrunk(self.watchers.len(), self.watchers.capacity()) {
            self.watchers.shrink_to(capacity);
        }
        let capacity = shrunk(self.entries.len(), self.entries.capacity());
        if let Some(capacity) = capacity {
            self.entries.shrink_to(capacity);
        }
        capacity.is_some()
    }

    pub(crate) fn status(&self, key: Key) -> Status {
        match self.entries.get(&key) {
            None => Status::Unknown,
            Some(entry) => match (&entry.status, &self.closed) {
                (Status::Pending, Some(reason)) => {
                    Status::Failed(Arc::new(Failure::Cancelled { reason: reason.clone() }))
                }
                (status, _) => status.clone(),
            },
        }
    }

    pub(crate) fn is_done(&self, key: Key) -> bool {
        self.closed.is_some() || self.entries.get(&key).is_none_or(|entry| entry.status.is_done())
    }

    /// Tells `watcher` when the key ends; gives it back if it has ended already.
    pub(crate) fn watch(&mut self, key: Key, watcher: Watcher) -> Option<Watcher> {
        if self.is_done(key) {
            return Some(watcher);
        }
        self.watchers.entry(key).or_default().push(watcher);
        None
    }

    pub(crate) fn unwatch(&mut self, keys: &[Key], signal: &Arc<Signal>) {
        for key in keys {
            if let Some(watchers) = self.watchers.get_mut(key) {
                watchers.retain(|watcher| !matches!(watcher, Watcher::Signal(other) if Arc::ptr_eq(other, signal)));
                if watchers.is_empty() {
                    self.watchers.remove(key);
                }
            }
        }
    }

    /// The holder did not have it: back to pending until the scheduler says more.
    pub(crate) fn forget_location(&mut self, key: Key) {
        if let Some(entry) = self.entries.get_mut(&key)
            && matches!(entry.status, Status::InMemory { .. })
        {
            entry.status = Status::Pending;
        }
    }

    fn end(&mut self, key: Key, status: Status, effects: &mut Effects) {
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.since <= self.handled) else { return };
        entry.status = status;
        if let Some(watchers) = self.watchers.remove(&key) {
            effects.tell.extend(watchers);
        }
    }

    /// Ends everything: the connection is gone.
    pub(crate) fn close(&mut self, reason: Arc<str>, effects: &mut Effects) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(reason);
        effects.tell.extend(self.watchers.drain().flat_map(|(_, watchers)| watchers));
        effects.tell.extend(self.answers.values().map(|(signal, _)| Watcher::Signal(signal.clone())));
        effects.tell.extend(self.registered.clone().map(Watcher::Signal));
    }

    /// Takes in what the scheduler says.
    pub(crate) fn apply(&mut self, message: SchedulerToClient, effects: &mut Effects) {
        match message {
            SchedulerToClient::Registered { client, workers } => {
                self.client = Some(client);
                for (peer, info) in workers {
                    effects.joined.push(peer.clone());
                    self.workers.insert(peer.worker, (peer, info));
                }
                effects.tell.extend(self.registered.clone().map(Watcher::Signal));
            }
            SchedulerToClient::WorkerJoined(peer, info) => {
                effects.joined.push(peer.clone());
                self.workers.insert(peer.worker, (peer, info));
            }
            SchedulerToClient::WorkerLeft(worker) => {
                effects.left.push(worker);
                self.workers.remove(&worker);
            }
            SchedulerToClient::Handled(count) => self.handled = count,
            SchedulerToClient::InMemory(keys) => {
                for there in keys {
                    let status = Status::InMemory { task: there.task, worker: there.worker, nbytes: there.nbytes };
                    self.end(there.key, status, effects);
                }
            }
            SchedulerToClient::Ended(failures) => {
                for (key, failure) in failures {
                    self.end(key, Status::Failed(Arc::new(failure)), effects);
                }
            }
            SchedulerToClient::Pending(keys) => {
                for key in keys {
                    if let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.since <= self.handled) {
                        entry.status = Status::Pending;
                    }
                }
            }
            SchedulerToClient::Refused { keys, reason } => {
                let failure = Arc::new(Failure::Unrunnable { reason });
                for key in keys {
                    self.end(key, Status::Failed(failure.clone()), effects);
                }
            }
            SchedulerToClient::Answer { request, reply } => {
                if let Some((signal, answer)) = self.answers.get_mut(&request) {
                    *answer = Some(reply);
                    effects.tell.push(Watcher::Signal(signal.clone()));
                }
            }
            SchedulerToClient::Closing { reason } => self.close(reason, effects),
        }
    }
}
