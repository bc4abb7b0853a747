//! Copies of values: those that workers fetched as inputs, and those that the scheduler asks for.
//!
//! A *copy* in progress is `(task, target)`; it ends when the target holds the value, could not get it, or is gone,
//! or when the value is gone. Jobs (replication for a client, moving values off a worker that retires) wait for
//! copies and are looked at when one ends.
//!
//! A copy that failed is tried again so many times. One for which a holder or the target was *busy* did not fail: the
//! value is where it was. It rests, longer each time, and then targets that have not refused it come first; once
//! somebody has been busy for `copy_patience_ms` it is left.

use crate::scheduler::Scheduler;
use crate::tasks::{Slot, State, WorkerIx};
use kask_types::{ClientId, Key, TaskId, Tick, WorkerId, WorkerRestriction};
use kask_wire::client::Reply;
use kask_wire::worker::{FetchProblem, Input};
use kask_wire::{SchedulerToClient, SchedulerToWorker};
use std::collections::{BTreeMap, BTreeSet};

/// The first rest of a value that was not copied because somebody was busy, and the longest.
const FIRST_REST_MS: u64 = 25;
const LONGEST_REST_MS: u64 = 1000;

/// Copies in progress, and what became of others.
#[derive(Default)]
pub(crate) struct Copies {
    pub(crate) open: BTreeSet<(Slot, WorkerIx)>,
    /// Of values whose last copy did not arrive.
    troubles: BTreeMap<Slot, Trouble>,
    /// Not before this has any value rested long enough.
    next_rested: Option<Tick>,
}

/// How copying a value went since its last success.
#[derive(Default)]
struct Trouble {
    failures: u32,
    /// How long it rests when somebody is busy the next time.
    pause_ms: u64,
    rests_until: Option<Tick>,
    /// When being busy counts as a failure for good; set when somebody first was.
    give_up: Option<Tick>,
    /// How often each target did not get it.
    refusals: BTreeMap<WorkerIx, u32>,
}

impl Copies {
    /// How often this target did not get the value.
    pub(crate) fn refusals(&self, slot: Slot, target: WorkerIx) -> u32 {
        self.troubles.get(&slot).and_then(|trouble| trouble.refusals.get(&target)).copied().unwrap_or(0)
    }

    /// Whether it is too early to try this value again.
    pub(crate) fn rests(&self, slot: Slot) -> bool {
        self.troubles.get(&slot).is_some_and(|trouble| trouble.rests_until.is_some())
    }

    /// When the next value has rested long enough.
    pub(crate) fn rested_at(&self) -> Option<Tick> {
        self.next_rested
    }
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
            let open = self.copies.open.remove(&(slot, from));
            match self.tasks[slot].state {
                State::Memory { nbytes, .. } => {
                    if self.add_replica(slot, from) {
                        self.counters.moved_bytes += nbytes;
                    }
                    self.copies.troubles.remove(&slot);
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
        let (mut lost, mut ended) = (Vec::new(), BTreeMap::new());
        for (id, holder, problem) in values {
            let Some(slot) = self.tasks.current(id) else {
                continue;
            };
            if self.copies.open.remove(&(slot, from)) {
                ended.insert(slot, false);
            }
            if let Some(was_busy) = ended.get_mut(&slot) {
                *was_busy |= problem == FetchProblem::Busy;
            }
            let drop_it = match problem {
                FetchProblem::NotThere | FetchProblem::Unreadable => true,
                FetchProblem::Unreachable | FetchProblem::Undecodable | FetchProblem::Busy => false,
            };
            if let (true, Some(holder)) = (drop_it, self.workers.find(holder))
                && self.remove_replica(slot, holder)
            {
                self.note_loss(slot, problem);
                lost.push(slot);
            }
        }
        for (slot, was_busy) in ended {
            self.copy_ended(slot, from, was_busy);
        }
        let needed = self.take_values_out(&lost);
        self.compute_again(&needed);
        self.settle();
    }

    /// A copy did not arrive: it failed, or somebody `was_busy` and it will be tried again.
    fn copy_ended(&mut self, slot: Slot, target: WorkerIx, was_busy: bool) {
        self.copies_changed = true;
        let trouble = self.copies.troubles.entry(slot).or_default();
        *trouble.refusals.entry(target).or_insert(0) += 1;
        if !was_busy {
            trouble.failures += 1;
            return;
        }
        let give_up = *trouble.give_up.get_or_insert(self.now.after_ms(self.config.copy_patience_ms));
        if give_up <= self.now {
            trouble.failures = self.config.copy_tries;
            return;
        }
        trouble.pause_ms = (2 * trouble.pause_ms).clamp(FIRST_REST_MS, LONGEST_REST_MS);
        let until = self.now.after_ms(trouble.pause_ms).min(give_up);
        trouble.rests_until = Some(until);
        self.copies.next_rested = Scheduler::sooner(self.copies.next_rested, Some(until));
    }

    /// Values that have rested long enough are tried again.
    pub(crate) fn end_rests_of_copies(&mut self) {
        if self.copies.next_rested.is_none_or(|at| at > self.now) {
            return;
        }
        for trouble in self.copies.troubles.values_mut() {
            trouble.rests_until = trouble.rests_until.filter(|&until| until > self.now);
        }
        self.copies.next_rested = self.copies.troubles.values().filter_map(|trouble| trouble.rests_until).min();
        self.copies_changed = true;
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
        self.copies.troubles.get(&slot).is_some_and(|trouble| trouble.failures >= self.config.copy_tries)
    }

    /// The value is gone.
    pub(crate) fn copies_of_are_over(&mut self, slot: Slot) {
        self.copies.troubles.remove(&slot);
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
        for trouble in self.copies.troubles.values_mut() {
            trouble.refusals.remove(&target);
        }
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
            lacking.sort_by_key(|&ix| {
                let refusals = self.copies.refusals(slot, ix);
                (!self.copies.open.contains(&(slot, ix)), refusals, self.workers[ix].held_bytes, ix)
            });
            lacking.truncate(wanted.saturating_sub(there));
            if lacking.is_empty() {
                continue;
            }
            if self.copying_is_hopeless(slot) {
                hopeless.push(self.tasks.printed(slot).to_string());
                continue;
            }
            open = true;
            if !self.copies.rests(slot) {
                lacking.into_iter().for_each(|target| self.copy_to(slot, target));
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
