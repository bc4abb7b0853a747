//! Values that outlive their worker: what a new life of a worker finds on the disk of the one before.
//!
//! When a supervised worker dies that had spilled values, its supervisor starts another in its place, which *adopts*
//! what is good on the disk and says so in its first message. Most lost values are computed again at once all the same:
//! what comes back in time ends the attempt. Only values that take longer to compute than the grace
//! (`Config::return_grace_ms`), and scattered ones, which nobody can compute, are `Awaited` first: until the new life
//! has said what it has, or the supervisor says that there will be none, or the grace is over.
//!
//! Invariant: an awaited task is in the list of one [`Return`] (one that is listed may have become something else since).

use crate::scheduler::Scheduler;
use crate::tasks::{BatchIx, Flag, Slot, State, WorkerIx};
use crate::workers::{Standing, Worker};
use kask_types::{Incarnation, TaskId, Tick};
use std::sync::Arc;

/// A worker that may come back, and what it may come back with.
pub(crate) struct Return {
    name: Arc<str>,
    incarnation: Incarnation,
    until: Tick,
    tasks: Vec<TaskId>,
}

impl Return {
    pub(crate) fn lists(&self, task: TaskId) -> bool {
        self.tasks.contains(&task)
    }
}

impl Scheduler {
    /// Lost values that are needed: those that are worth it are awaited, the others are given back.
    pub(crate) fn await_return(&mut self, worker: &Worker, mut lost: Vec<Slot>) -> Vec<Slot> {
        let incarnation = worker.info.incarnation;
        let comes_back = worker.standing == Standing::Open
            && (worker.metrics.spilled_bytes > 0 || worker.metrics.spill_written_bytes > 0)
            && self.supervisors.of(incarnation).is_some();
        if !comes_back {
            return lost;
        }
        let grace_us = self.config.return_grace_ms * 1000;
        let awaited: Vec<Slot> = lost.extract_if(.., |slot| self.computing_takes_us(*slot) > grace_us).collect();
        if !awaited.is_empty() {
            for &slot in &awaited {
                self.tasks.set_state(slot, State::Awaited);
            }
            let tasks = awaited.iter().map(|&slot| self.tasks.id(slot)).collect();
            let until = self.now.after_ms(self.config.return_grace_ms);
            self.returns.push(Return { name: worker.info.name.clone(), incarnation, until, tasks });
        }
        lost
    }

    fn computing_takes_us(&self, slot: Slot) -> u64 {
        // Of what is written on purpose, all that it was made of is long gone.
        if self.tasks[slot].batch == BatchIx::SCATTERED || self.tasks[slot].has(Flag::Checkpoint) {
            return u64::MAX;
        }
        self.tasks.families.expected_us(self.tasks[slot].family()).map_or(0, u64::from)
    }

    /// When the first grace is over.
    pub(crate) fn return_due(&self) -> Option<Tick> {
        self.returns.iter().map(|awaited| awaited.until).min()
    }

    /// What did not come back in time is computed again.
    pub(crate) fn end_graces(&mut self) {
        if self.return_due().is_some_and(|due| due <= self.now) {
            let now = self.now;
            self.end_returns(|awaited| awaited.until <= now);
        }
    }

    /// No other life follows this one.
    pub(crate) fn will_not_return(&mut self, incarnation: Incarnation) {
        self.end_returns(|awaited| awaited.incarnation == incarnation);
    }

    fn end_returns(&mut self, is_over: impl Fn(&Return) -> bool) {
        let over: Vec<Return> = self.returns.extract_if(.., |awaited| is_over(awaited)).collect();
        let mut needed = Vec::new();
        for id in over.into_iter().flat_map(|awaited| awaited.tasks) {
            if let Some(slot) = self.tasks.current(id)
                && matches!(self.tasks[slot].state, State::Awaited)
            {
                self.tasks.set_state(slot, State::Released);
                needed.push(slot);
            }
        }
        self.compute_again(&needed);
        self.settle();
    }

    /// A worker said something for the first time; with that it has also said which values it has.
    pub(crate) fn has_come(&mut self, from: WorkerIx) {
        let worker = &mut self.workers[from];
        if !std::mem::take(&mut worker.is_new) {
            return;
        }
        worker.freed_early = Vec::new();
        self.nothing_more_returns(from);
    }

    fn nothing_more_returns(&mut self, from: WorkerIx) {
        if self.returns.is_empty() {
            return;
        }
        let name = self.workers[from].info.name.clone();
        self.end_returns(|awaited| awaited.name == name);
    }

    /// Has a value thrown away that is not in the books of this worker.
    pub(crate) fn free_on(&mut self, worker: WorkerIx, task: TaskId) {
        let worker = &mut self.workers[worker];
        if worker.is_new {
            worker.freed_early.push(task);
        }
        self.out.free(worker.id, task);
    }

    /// A new worker has these values from an earlier life.
    pub(crate) fn adopted(&mut self, from: WorkerIx, values: Vec<(TaskId, u64)>) {
        if !self.workers[from].is_new {
            let reason = "adopted values after it had said something else".into();
            return self.expel_worker(from, reason);
        }
        for (id, nbytes) in values {
            // What it was told to free meanwhile is as good as gone.
            if self.workers[from].freed_early.contains(&id) {
                continue;
            }
            match self.tasks.current(id) {
                Some(slot) if self.adopt(slot, from, nbytes) => self.counters.adopted += 1,
                Some(_) | None => self.out.free(self.workers[from].id, id),
            }
        }
        self.settle();
        self.nothing_more_returns(from);
    }

    /// Takes a value into the books, unless nobody needs it.
    fn adopt(&mut self, slot: Slot, from: WorkerIx, nbytes: u64) -> bool {
        match self.tasks[slot].state {
            State::Memory { .. } => {
                self.copies_changed |= self.copies.open.remove(&(slot, from));
                self.add_replica(slot, from);
                return true;
            }
            State::Scattering => {
                self.scattering.remove(&slot);
            }
            State::Awaited => {}
            State::Processing { worker, .. } if worker == from => {
                // Sent before it could say what it has; here a cancelled attempt must not take the value along.
                self.end_attempt(slot);
                let (id, attempt) = (self.tasks.id(slot), self.tasks[slot].attempt);
                self.out.cancel(self.workers[from].id, id, attempt);
                self.release_inputs(slot);
                self.is_not_computed_again();
            }
            State::Waiting { .. } | State::Queued | State::Parked | State::Processing { .. } => {
                self.withdraw(slot);
                self.release_inputs(slot);
                self.is_not_computed_again();
            }
            State::Released | State::Erred(_) => return false,
            State::Vacant => unreachable!("current() gives living tasks"),
        }
        self.tasks.clear_rare(slot);
        self.put_in_memory(slot, from, nbytes);
        true
    }

    /// What was to be computed again when its worker was lost has come back before that was done.
    fn is_not_computed_again(&mut self) {
        self.counters.recomputed = self.counters.recomputed.saturating_sub(1);
    }
}
