//! Copies of values: those that workers fetched as inputs, and those that the scheduler asks for.
//!
//! A *copy* in progress is `(task, target)`; it ends when the target holds the value, could not get it, or is gone,
//! or when the value is gone. Jobs (replication for a client, moving values off a worker that retires) wait for
//! copies and are looked at when one ends.

use crate::scheduler::Scheduler;
use crate::tasks::{Slot, State, WorkerIx};
use kask_types::{ClientId, Key, TaskId, WorkerId, WorkerRestriction};
use kask_wire::client::Reply;
use kask_wire::worker::{FetchProblem, Input};
use kask_wire::{SchedulerToClient, SchedulerToWorker};
use std::collections::{BTreeMap, BTreeSet};

/// Copies in progress, and how often each value's copying failed since its last success.
#[derive(Default)]
pub(crate) struct Copies {
    pub(crate) open: BTreeSet<(Slot, WorkerIx)>,
    failures: BTreeMap<Slot, u32>,
}

/// A client's request for more copies.
pub(crate) struct Replication {
    client: ClientId,
    request: u64,
    keys: Vec<Key>,
    copies: u32,
    workers: Option<WorkerRestriction>,
}

impl Replication {
    /// Who is answered.
    pub(crate) fn client(&self) -> ClientId {
        self.client
    }
}

impl Scheduler {
    /// A worker says that it holds these values now.
    pub(crate) fn holding(&mut self, from: WorkerIx, values: Vec<(TaskId, u64)>) {
        for (id, nbytes) in values {
            let Some(slot) = self.tasks.current(id) else {
                self.free_on(from, id);
                continue;
            };
            let (open, key) = (self.copies.open.remove(&(slot, from)), slot);
            match self.tasks[slot].state {
                State::Memory { nbytes, .. } => {
                    if self.add_replica(slot, from) {
                        self.counters.moved_bytes += nbytes;
                    }
                    self.copies.failures.remove(&key);
                }
                State::Scattering => {
                    self.scattering.remove(&slot);
                    self.put_in_memory(slot, from, nbytes);
                }
                State::Processing { worker, .. } if worker == from => {
                    // A copy that was on its way when the last holder went: the attempt is not needed, and its worker
                    // keeps a value that it had before.
                    let attempt = self.tasks[slot].attempt;
                    self.end_attempt(slot);
                    self.out.cancel(self.workers[from].id, id, attempt);
                    self.tasks.clear_rare(slot);
                    self.put_in_memory(slot, from, nbytes);
                    self.release_inputs(slot);
                }
                State::Released
                | State::Awaited
                | State::Waiting { .. }
                | State::Queued
                | State::Parked
                | State::Processing { .. }
                | State::Erred(_) => self.free_on(from, id),
                State::Vacant => unreachable!("current() gives living tasks"),
            }
            if open {
                self.copies_changed = true;
            }
        }
        self.settle();
    }

    /// Another worker holds a value that is in memory; whether that is new.
    pub(crate) fn add_replica(&mut self, slot: Slot, worker: WorkerIx) -> bool {
        let State::Memory { mut holders, nbytes } = self.tasks[slot].state else {
            unreachable!("only a value that is in memory has replicas");
        };
        if !self.tasks.holders.insert(&mut holders, worker.0) {
            return false;
        }
        self.tasks[slot].state = State::Memory { holders, nbytes };
        let entry = &mut self.workers[worker];
        entry.held.insert(slot);
        entry.held_bytes += nbytes;
        true
    }

    /// A worker could not get copies of these.
    pub(crate) fn missing(&mut self, from: WorkerIx, values: Vec<(TaskId, WorkerId, FetchProblem)>) {
        let mut lost = Vec::new();
        for (id, holder, problem) in values {
            let Some(slot) = self.tasks.current(id) else {
                continue;
            };
            if self.copies.open.remove(&(slot, from)) {
                *self.copies.failures.entry(slot).or_insert(0) += 1;
                self.copies_changed = true;
            }
            let drop_it = match problem {
                FetchProblem::NotThere => true,
                FetchProblem::Unreachable | FetchProblem::Undecodable | FetchProblem::Busy => false,
            };
            if let (true, Some(holder)) = (drop_it, self.workers.find(holder))
                && self.remove_replica(slot, holder)
            {
                lost.push(slot);
            }
        }
        let needed = self.take_values_out(&lost);
        self.compute_again(&needed);
        self.settle();
    }

    /// Asks a worker to fetch a copy, unless it has it or is at it.
    pub(crate) fn copy_to(&mut self, slot: Slot, target: WorkerIx) {
        let State::Memory { holders, nbytes } = self.tasks[slot].state else {
            return;
        };
        if self.tasks.holders.contains(holders, target.0) || !self.copies.open.insert((slot, target)) {
            return;
        }
        let all = self.tasks.holders.slice(&holders).to_vec();
        let input = Input { task: self.tasks.id(slot), part: None, nbytes, holders: self.name_holders(&all, target) };
        self.out.tell_worker(self.workers[target].id, SchedulerToWorker::Acquire(vec![input]));
    }

    /// Whether copying this value failed so often that it is left.
    pub(crate) fn copying_is_hopeless(&self, slot: Slot) -> bool {
        self.copies.failures.get(&slot).is_some_and(|&failures| failures >= self.config.copy_tries)
    }

    /// The value is gone.
    pub(crate) fn copies_of_are_over(&mut self, slot: Slot) {
        self.copies.failures.remove(&slot);
        let range = (slot, WorkerIx(0))..=(slot, WorkerIx(u32::MAX));
        let open: Vec<_> = self.copies.open.range(range).copied().collect();
        for copy in open {
            self.copies.open.remove(&copy);
            self.copies_changed = true;
        }
    }

    /// The worker is gone.
    pub(crate) fn copies_to_are_over(&mut self, target: WorkerIx) {
        let before = self.copies.open.len();
        self.copies.open.retain(|&(_, worker)| worker != target);
        self.copies_changed |= self.copies.open.len() != before;
    }

    /// A client wants more copies.
    pub(crate) fn replicate(
        &mut self,
        client: ClientId,
        request: u64,
        keys: Vec<Key>,
        copies: u32,
        workers: Option<WorkerRestriction>,
    ) {
        self.replications.push(Replication { client, request, keys, copies, workers });
        self.copies_changed = true;
    }

    /// Goes on with every job that waits for copies.
    pub(crate) fn go_on_copying(&mut self) {
        if !std::mem::take(&mut self.copies_changed) {
            return;
        }
        for job in std::mem::take(&mut self.replications) {
            match self.replicate_more(&job) {
                None => self.replications.push(job),
                Some(reply) => {
                    self.out.tell_client(job.client, SchedulerToClient::Answer { request: job.request, reply })
                }
            }
        }
        self.retirements_changed();
    }

    /// Asks for what is lacking; an answer once nothing is.
    fn replicate_more(&mut self, job: &Replication) -> Option<Reply> {
        let fits = |ix: WorkerIx| {
            let worker = &self.workers[ix];
            let named = job.workers.as_ref().is_none_or(|names| crate::classes::names_worker(names, &worker.info));
            worker.takes_tasks() && named
        };
        let targets: Vec<WorkerIx> = self.workers.iter().map(|(ix, _)| ix).filter(|&ix| fits(ix)).collect();
        let wanted = if job.copies == 0 { targets.len() } else { targets.len().min(job.copies as usize) };
        let (mut open, mut hopeless) = (false, Vec::new());
        for &key in &job.keys {
            let Some(slot) = self.tasks.find(key) else {
                hopeless.push(key.to_string());
                continue;
            };
            let State::Memory { holders, .. } = self.tasks[slot].state else {
                hopeless.push(self.tasks.printed(slot).to_string());
                continue;
            };
            let has = |ix: &WorkerIx| self.tasks.holders.contains(holders, ix.0);
            let there = targets.iter().filter(|ix| has(ix)).count();
            let mut lacking: Vec<WorkerIx> = targets.iter().copied().filter(|ix| !has(ix)).collect();
            lacking.sort_by_key(|&ix| (!self.copies.open.contains(&(slot, ix)), self.workers[ix].held_bytes, ix));
            lacking.truncate(wanted.saturating_sub(there));
            if lacking.is_empty() {
                continue;
            }
            if self.copying_is_hopeless(slot) {
                hopeless.push(self.tasks.printed(slot).to_string());
                continue;
            }
            open = true;
            for target in lacking {
                self.copy_to(slot, target);
            }
        }
        if open {
            return None;
        }
        if hopeless.is_empty() {
            return Some(Reply::Done);
        }
        hopeless.truncate(10);
        Some(Reply::Failed { reason: format!("these could not be copied as asked for: {}", hopeless.join(", ")) })
    }
}
