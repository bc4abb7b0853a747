//! What becomes of a task: wanted, waiting, ready, in memory, failed, released, forgotten.
//!
//! All changes of state that follow from another task's change are here, as work lists rather than recursion. The rules:
//! - a task is *needed* while a client wants it, an unfinished task reads it, or it is detached;
//! - a needed task is never `Released`; an unfinished or stored one that is not needed becomes `Released`;
//! - a `Released` or failed task without interest and without dependents is forgotten, then its inputs are looked at.
//!
//! Start with [`Scheduler::demand`] (something is needed), [`Scheduler::complete`], [`Scheduler::fail`] and
//! [`Scheduler::settle`] (something may not be needed any more).

use crate::clients::ClientIx;
use crate::idset::Ids;
use crate::scheduler::Scheduler;
use crate::tasks::{BatchIx, Flag, Slot, State, WorkerIx};
use kask_types::{Failure, Loss};
use kask_wire::client::KeyInMemory;
use std::sync::Arc;

impl Scheduler {
    /// Whether anything keeps the task's result worth having.
    pub(crate) fn is_needed(&self, slot: Slot) -> bool {
        let task = &self.tasks[slot];
        task.needed_by > 0 || !task.wanted_by.is_empty() || task.has(Flag::Detached)
    }

    /// These are needed: the released ones among them are computed, with whatever they need.
    pub(crate) fn demand(&mut self, slots: &[Slot]) {
        let mut stack = Vec::new();
        for &slot in slots {
            if matches!(self.tasks[slot].state, State::Released) && self.is_needed(slot) {
                self.tasks.set_state(slot, State::Waiting { missing: 0 });
                stack.push(slot);
            }
        }
        stack.reverse();
        self.enroll(stack);
    }

    /// Counts what each task of `stack` (all set to wait) waits for, and the same for what that needs in turn.
    pub(crate) fn enroll(&mut self, mut stack: Vec<Slot>) {
        let mut ready = Vec::new();
        let mut broken = Vec::new();
        while let Some(slot) = stack.pop() {
            if self.tasks[slot].batch == BatchIx::SCATTERED {
                let how = self.tasks.rare(slot).map_or_else(Loss::default, |rare| rare.loss);
                if how != Loss::WithWorkers {
                    self.tasks.rare_mut(slot).loss = Loss::WithWorkers;
                }
                broken.push((slot, Arc::new(Failure::Lost { task: self.tasks.printed(slot), how })));
                continue;
            }
            let edges = self.tasks.inputs(slot);
            let mut missing = 0;
            for at in edges.start..edges.end {
                let input = self.tasks.input(edges, at);
                let task = &mut self.tasks[input];
                task.needed_by += 1;
                match &task.state {
                    State::Memory { .. } => continue,
                    State::Erred(failure) => broken.push((slot, failure.clone())),
                    State::Released => {
                        self.tasks.set_state(input, State::Waiting { missing: 0 });
                        stack.push(input);
                    }
                    State::Scattering
                    | State::Awaited
                    | State::Waiting { .. }
                    | State::Queued
                    | State::Parked
                    | State::Processing { .. } => {}
                    State::Vacant => unreachable!("a living task's inputs are alive"),
                }
                missing += 1;
            }
            self.tasks[slot].state = State::Waiting { missing };
            if missing == 0 {
                ready.push(slot);
            }
        }
        for (slot, failure) in broken {
            self.fail(slot, &failure);
        }
        for slot in ready {
            if matches!(self.tasks[slot].state, State::Waiting { missing: 0 }) {
                self.make_ready(slot);
            }
        }
    }

    /// A waiting task has all its inputs: send it to a worker, or queue it.
    pub(crate) fn make_ready(&mut self, slot: Slot) {
        self.make_ready_avoiding(slot, None);
    }

    /// The same, on another worker than `avoid` if there is one.
    pub(crate) fn make_ready_avoiding(&mut self, slot: Slot, avoid: Option<WorkerIx>) {
        if self.is_suspect(slot) {
            self.tasks.set_state(slot, State::Parked);
            self.parked.insert(slot);
            self.look_at_parked = true;
            return;
        }
        let chosen = if avoid.is_none() && self.is_rootish(slot) { None } else { self.choose_worker(slot, avoid) };
        match chosen {
            Some(worker) => self.dispatch(slot, worker),
            None => {
                self.tasks.set_state(slot, State::Queued);
                self.classes.push(&mut self.tasks, slot);
            }
        }
    }

    /// An unfinished task whose attempt is over waits for what it lacks, or is ready again.
    pub(crate) fn wait_again(&mut self, slot: Slot) {
        let edges = self.tasks.inputs(slot);
        let in_memory = |input: Slot| matches!(self.tasks[input].state, State::Memory { .. });
        let missing = (edges.start..edges.end).filter(|&at| !in_memory(self.tasks.input(edges, at))).count() as u32;
        self.tasks.set_state(slot, State::Waiting { missing });
    }

    /// The attempt of this task gave a result.
    pub(crate) fn complete(&mut self, slot: Slot, worker: WorkerIx, nbytes: u64) {
        self.end_attempt(slot);
        self.tasks.clear_rare(slot);
        self.put_in_memory(slot, worker, nbytes);
        self.release_inputs(slot);
        self.settle();
    }

    /// The task has a result from now on. Its inputs are the caller's business.
    pub(crate) fn put_in_memory(&mut self, slot: Slot, worker: WorkerIx, nbytes: u64) {
        self.tasks.set_state(slot, State::Memory { holders: Ids::one(worker.0), nbytes });
        let holder = &mut self.workers[worker];
        holder.held.insert(slot);
        holder.held_bytes += nbytes;
        self.tasks[slot].set(Flag::Detached, false);
        self.announce(slot);
        let near = self.tasks.near_dependents(slot);
        for at in near.start..near.end {
            if let Some(dependent) = self.tasks.near_dependent(near, at) {
                self.one_missing_less(dependent, 1);
            }
        }
        for (dependent, count) in self.tasks.far_dependents(slot) {
            self.one_missing_less(dependent, count);
        }
        self.unsettled.push(slot);
    }

    fn one_missing_less(&mut self, slot: Slot, count: u32) {
        if let State::Waiting { missing } = &mut self.tasks[slot].state {
            *missing -= count;
            if *missing == 0 {
                self.make_ready(slot);
            }
        }
    }

    /// A task stopped being unfinished: its inputs are needed by one less.
    pub(crate) fn release_inputs(&mut self, slot: Slot) {
        let edges = self.tasks.inputs(slot);
        for at in edges.start..edges.end {
            let input = self.tasks.input(edges, at);
            let task = &mut self.tasks[input];
            task.needed_by -= 1;
            if task.needed_by == 0 && task.wanted_by.is_empty() {
                self.unsettled.push(input);
            }
        }
    }

    /// Undoes what the state of an unfinished task entails: its place in a queue, its attempt.
    pub(crate) fn withdraw(&mut self, slot: Slot) {
        match self.tasks[slot].state {
            State::Queued => self.classes.remove(&mut self.tasks, slot),
            State::Parked => {
                self.parked.remove(&slot);
            }
            State::Processing { .. } => {
                let worker = self.end_attempt(slot);
                let (id, attempt) = (self.tasks.id(slot), self.tasks[slot].attempt);
                self.out.cancel(self.workers[worker].id, id, attempt);
                // It may have finished just now; the value is of no use either.
                self.free_on(worker, id);
            }
            State::Vacant
            | State::Released
            | State::Scattering
            | State::Awaited
            | State::Waiting { .. }
            | State::Memory { .. }
            | State::Erred(_) => {}
        }
    }

    /// The task will not get a result, and neither will what waits for it.
    pub(crate) fn fail(&mut self, slot: Slot, failure: &Arc<Failure>) {
        let mut stack = vec![slot];
        while let Some(slot) = stack.pop() {
            match self.tasks[slot].state {
                State::Vacant | State::Erred(_) | State::Memory { .. } => continue,
                State::Waiting { .. } | State::Queued | State::Parked | State::Processing { .. } => {
                    self.withdraw(slot);
                    self.release_inputs(slot);
                }
                State::Scattering => {
                    self.scattering.remove(&slot);
                }
                State::Released | State::Awaited => {}
            }
            self.tasks.clear_rare(slot);
            self.tasks[slot].set(Flag::Detached, false);
            self.tasks.set_state(slot, State::Erred(failure.clone()));
            self.announce(slot);
            let dependents = self.tasks.dependents(slot);
            stack.extend(dependents.into_iter().filter(|&other| self.tasks[other].state.is_unfinished()));
            self.unsettled.push(slot);
        }
        self.settle();
    }

    /// Looks at every task that may not be needed any more.
    pub(crate) fn settle(&mut self) {
        while let Some(slot) = self.unsettled.pop() {
            let task = &self.tasks[slot];
            if matches!(task.state, State::Vacant) || self.is_needed(slot) {
                continue;
            }
            match task.state {
                State::Vacant | State::Released | State::Erred(_) => {}
                State::Scattering => {
                    self.scattering.remove(&slot);
                    self.tasks.set_state(slot, State::Released);
                }
                State::Awaited => {
                    self.tasks.set_state(slot, State::Released);
                }
                State::Waiting { .. } | State::Queued | State::Parked | State::Processing { .. } => {
                    self.withdraw(slot);
                    self.tasks.clear_rare(slot);
                    self.tasks.set_state(slot, State::Released);
                    self.release_inputs(slot);
                }
                State::Memory { .. } => self.drop_value(slot),
            }
            if self.tasks[slot].dependents == 0 {
                self.forget(slot);
            }
        }
    }

    /// Frees a stored value everywhere.
    fn drop_value(&mut self, slot: Slot) {
        let id = self.tasks.id(slot);
        let State::Memory { mut holders, nbytes } = self.tasks.set_state(slot, State::Released) else {
            unreachable!("only a stored value is dropped");
        };
        for &holder in self.tasks.holders.slice(&holders) {
            let worker = &mut self.workers[WorkerIx(holder)];
            worker.held.remove(slot);
            worker.held_bytes -= nbytes;
            if worker.is_new {
                worker.freed_early.push(id);
            }
            self.out.free(worker.id, id);
        }
        self.tasks.holders.clear(&mut holders);
        self.copies_of_are_over(slot);
    }

    /// Takes a task out of the table; nothing needs it and nothing depends on it.
    fn forget(&mut self, slot: Slot) {
        let edges = self.tasks.inputs(slot);
        for at in edges.start..edges.end {
            let input = self.tasks.input(edges, at);
            self.tasks.remove_far_dependent(input, slot);
            let task = &mut self.tasks[input];
            task.dependents -= 1;
            if task.dependents == 0 {
                self.unsettled.push(input);
            }
        }
        let (batch, row) = (self.tasks[slot].batch, self.tasks[slot].row);
        self.tasks.remove(slot);
        if batch != BatchIx::SCATTERED {
            self.forget_row(batch, row);
        }
    }

    fn forget_row(&mut self, ix: BatchIx, row: u32) {
        let batch = self.tasks.batch_mut(ix);
        let (at, _) = batch.local(row);
        batch.alive -= 1;
        let batch_is_over = batch.alive == 0;
        let span = &mut batch.spans[at];
        span.alive -= 1;
        if span.alive == 0 {
            span.layer = None;
            let blobs = std::mem::take(&mut span.blobs);
            let styles = span.styles.clone();
            for style in styles {
                self.classes.release(style.class);
            }
            self.release_layer_blobs(blobs);
        }
        if batch_is_over {
            self.tasks.drop_batch(ix);
        }
    }

    /// Tells everybody who wants the task how it ended.
    pub(crate) fn announce(&mut self, slot: Slot) {
        let wanted_by = self.tasks[slot].wanted_by;
        if wanted_by.is_empty() {
            return;
        }
        let clients: smallvec::SmallVec<[u32; 4]> = self.tasks.interest.slice(&wanted_by).into();
        for client in clients {
            self.report(ClientIx(client), slot);
        }
    }

    /// Tells one client how a task ended, if it has.
    pub(crate) fn report(&mut self, client: ClientIx, slot: Slot) {
        let client = self.clients[client].id;
        let task = &self.tasks[slot];
        match &task.state {
            State::Memory { holders, nbytes } => {
                let holder = self.tasks.holders.slice(holders)[0];
                let worker = self.workers[WorkerIx(holder)].id;
                let key = KeyInMemory { key: task.key(), task: self.tasks.id(slot), worker, nbytes: *nbytes };
                self.out.in_memory(client, key);
            }
            State::Erred(failure) => self.out.ended(client, task.key(), (**failure).clone()),
            State::Vacant
            | State::Released
            | State::Scattering
            | State::Awaited
            | State::Waiting { .. }
            | State::Queued
            | State::Parked
            | State::Processing { .. } => {}
        }
    }

    /// Tells everybody who wants the task that it is being computed again.
    pub(crate) fn announce_pending(&mut self, slot: Slot) {
        let task = &self.tasks[slot];
        let key = task.key();
        for &client in self.tasks.interest.slice(&task.wanted_by) {
            self.out.pending(self.clients[ClientIx(client)].id, key);
        }
    }

    /// A client wants a task from now on; it is told at once if that has ended. Says whether the interest is new.
    pub(crate) fn want(&mut self, client: ClientIx, slot: Slot) -> bool {
        let mut wanted_by = self.tasks[slot].wanted_by;
        let new = self.tasks.interest.insert(&mut wanted_by, client.0);
        self.tasks[slot].wanted_by = wanted_by;
        if new {
            self.clients[client].wants.insert(slot);
        }
        self.report(client, slot);
        new
    }

    /// A client does not want a task any more; [`Scheduler::settle`] does the rest.
    pub(crate) fn unwant(&mut self, client: ClientIx, slot: Slot) {
        if !self.clients[client].wants.remove(slot) {
            return;
        }
        let mut wanted_by = self.tasks[slot].wanted_by;
        self.tasks.interest.remove(&mut wanted_by, client.0);
        self.tasks[slot].wanted_by = wanted_by;
        self.unsettled.push(slot);
    }
}
