//! What clients ask of existing tasks: want, release, detach, cancel, retry.

use crate::clients::ClientIx;
use crate::scheduler::Scheduler;
use crate::tasks::{Flag, Slot, State};
use kask_types::{Failure, Key};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Scheduler {
    pub(crate) fn want_keys(&mut self, client: ClientIx, keys: Vec<Key>) {
        let mut wanted = Vec::new();
        for key in keys {
            match self.tasks.find(key) {
                Some(slot) => {
                    self.want(client, slot);
                    wanted.push(slot);
                }
                None => {
                    let reason = "the scheduler does not know this task: it was cancelled, or released by everybody";
                    let failure = Failure::Cancelled { reason: reason.into() };
                    self.out.ended(self.clients[client].id, key, failure);
                }
            }
        }
        self.demand(&wanted);
        self.settle();
    }

    pub(crate) fn unwant_keys(&mut self, client: ClientIx, keys: Vec<Key>) {
        for key in keys {
            if let Some(slot) = self.tasks.find(key) {
                self.unwant(client, slot);
            }
        }
        self.scatters_given_up(client);
        self.settle();
    }

    pub(crate) fn detach(&mut self, keys: Vec<Key>) {
        let mut slots = Vec::new();
        for key in keys {
            let Some(slot) = self.tasks.find(key) else {
                continue;
            };
            match self.tasks[slot].state {
                State::Released | State::Waiting { .. } | State::Queued | State::Parked | State::Processing { .. } => {
                    self.tasks[slot].set(Flag::Detached, true);
                    slots.push(slot);
                }
                // It has ended, or is no more than what its client puts.
                State::Memory { .. } | State::Awaited | State::Erred(_) | State::Scattering | State::Vacant => {}
            }
        }
        self.demand(&slots);
    }

    /// These, and what waits for them, end as cancelled for whoever wants them, and are forgotten.
    ///
    /// Without `force`, a task that another client wants (or that it needs for one it wants) goes on for that client.
    pub(crate) fn cancel(&mut self, client: ClientIx, keys: &[Key], force: bool, reason: &Arc<str>) {
        let failure = Failure::Cancelled { reason: reason.clone() };
        for &key in keys {
            let Some(slot) = self.tasks.find(key) else {
                continue;
            };
            let concerned = self.unfinished_dependents(slot);
            let foreign = |&slot: &Slot| {
                let wanted_by = self.tasks[slot].wanted_by;
                self.tasks.interest.slice(&wanted_by).iter().any(|&other| other != client.0)
            };
            if !force && concerned.iter().any(foreign) {
                if self.clients[client].wants.contains(slot) {
                    self.out.ended(self.clients[client].id, key, failure.clone());
                    self.unwant(client, slot);
                }
                continue;
            }
            for slot in concerned {
                self.end_interest(slot, &failure);
            }
            self.settle();
        }
        self.settle();
    }

    /// The task and every unfinished task that waits for it, directly or not.
    fn unfinished_dependents(&self, slot: Slot) -> BTreeSet<Slot> {
        let mut found = BTreeSet::from([slot]);
        let mut stack = vec![slot];
        while let Some(slot) = stack.pop() {
            for dependent in self.tasks.dependents(slot) {
                if self.tasks[dependent].state.is_unfinished() && found.insert(dependent) {
                    stack.push(dependent);
                }
            }
        }
        found
    }

    /// Nobody wants the task any more; those who did are told why.
    pub(crate) fn end_interest(&mut self, slot: Slot, failure: &Failure) {
        let wanted_by = self.tasks[slot].wanted_by;
        let key = self.tasks[slot].key();
        for client in self.tasks.interest.slice(&wanted_by).to_vec() {
            let client = ClientIx(client);
            self.out.ended(self.clients[client].id, key, failure.clone());
            self.unwant(client, slot);
        }
        self.tasks[slot].set(Flag::Detached, false);
        self.unsettled.push(slot);
    }

    /// Runs failed tasks again, and the failed tasks they depend on.
    pub(crate) fn retry(&mut self, keys: &[Key]) {
        let mut found = BTreeSet::new();
        let mut stack: Vec<Slot> = keys.iter().filter_map(|&key| self.tasks.find(key)).collect();
        while let Some(slot) = stack.pop() {
            if matches!(self.tasks[slot].state, State::Erred(_)) && found.insert(slot) {
                let edges = self.tasks.inputs(slot);
                stack.extend((edges.start..edges.end).map(|at| self.tasks.input(edges, at)));
            }
        }
        for &slot in &found {
            self.tasks.set_state(slot, State::Released);
            self.announce_pending(slot);
        }
        let all: Vec<Slot> = found.into_iter().collect();
        self.demand(&all);
        self.unsettled.extend(all);
        self.settle();
    }
}
