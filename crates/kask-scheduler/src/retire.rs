//! Letting workers go without losing what only they hold.
//!
//! A worker that retires gets nothing new and gives back what it has not started. When its attempts have ended, values
//! without another copy on a worker that stays are copied; when those copies are confirmed, it is closed. Nothing
//! happens between the last look and the closing, so no value can slip in. What nobody can take (no worker stays, or
//! copying failed too often) is computed again later, if it can be.

use crate::scheduler::Scheduler;
use crate::tasks::{Phase, Slot, State, WorkerIx};
use crate::workers::Standing;
use kask_types::{ClientId, WorkerId};
use kask_wire::client::Reply;
use kask_wire::worker::Pressure;
use kask_wire::{SchedulerToClient, SchedulerToSupervisor, SchedulerToWorker};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A request that waits for its workers to go.
pub(crate) struct Retirement {
    client: Option<ClientId>,
    request: u64,
    waiting: BTreeSet<WorkerId>,
}

impl Retirement {
    /// The workers go all the same, without an answer to this client.
    pub(crate) fn forget_client(&mut self, client: ClientId) {
        self.client = self.client.filter(|&other| other != client);
    }
}

impl Scheduler {
    pub(crate) fn retire(&mut self, client: ClientId, request: u64, names: &[Arc<str>]) {
        let mut unknown = Vec::new();
        let mut waiting = BTreeSet::new();
        for name in names {
            match self.workers.named(name) {
                Some(ix) => {
                    waiting.insert(self.workers[ix].id);
                }
                None => unknown.push(name.to_string()),
            }
        }
        if !unknown.is_empty() {
            let reason = format!("there is no worker {}", unknown.join(", "));
            let reply = Reply::Failed { reason };
            self.out.tell_client(client, SchedulerToClient::Answer { request, reply });
            return;
        }
        for &id in &waiting {
            let ix = self.workers.find(id).expect("just found");
            self.begin_to_retire(ix);
        }
        self.retirements.push(Retirement { client: Some(client), request, waiting });
        self.retirements_changed();
    }

    fn begin_to_retire(&mut self, ix: WorkerIx) {
        if self.workers[ix].standing != Standing::Open {
            return;
        }
        self.change_standing(ix, Standing::Retiring);
        self.supervisors.retire(self.workers[ix].info.incarnation);
        let mine: Vec<Slot> = self.workers[ix].processing.iter().collect();
        for slot in mine {
            if matches!(self.tasks[slot].state, State::Processing { phase: Phase::Assigned, .. }) {
                self.ask_back(slot, ix);
            }
        }
    }

    pub(crate) fn change_standing(&mut self, ix: WorkerIx, standing: Standing) {
        self.workers[ix].standing = standing;
        self.workers.update(ix, &self.config);
        self.classes.workers_changed(&self.workers);
        self.threads_changed();
    }

    /// Something that retirements wait for may have happened.
    pub(crate) fn retirements_changed(&mut self) {
        self.look_at_retirements = !self.retirements.is_empty();
    }

    /// Goes on with every retirement.
    pub(crate) fn go_on_retiring(&mut self) {
        if !std::mem::take(&mut self.look_at_retirements) {
            return;
        }
        let retiring: Vec<WorkerIx> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.standing == Standing::Retiring && worker.processing.is_empty())
            .map(|(ix, _)| ix)
            .collect();
        for ix in retiring {
            if self.move_unique_values(ix) == 0 {
                self.close_worker(ix);
            }
        }
        for mut job in std::mem::take(&mut self.retirements) {
            job.waiting.retain(|&id| self.workers.find(id).is_some());
            if !job.waiting.is_empty() {
                self.retirements.push(job);
            } else if let Some(client) = job.client {
                let answer = SchedulerToClient::Answer { request: job.request, reply: Reply::Done };
                self.out.tell_client(client, answer);
            }
        }
    }

    /// Asks for copies of what only workers that go hold; says how many copies are still to come.
    fn move_unique_values(&mut self, ix: WorkerIx) -> usize {
        let held: Vec<Slot> = self.workers[ix].held.iter().collect();
        let mut stay: Vec<WorkerIx> =
            self.workers.iter().filter(|(_, worker)| worker.takes_tasks()).map(|(ix, _)| ix).collect();
        if stay.iter().any(|&ix| self.workers[ix].pressure != Pressure::Full) {
            stay.retain(|&ix| self.workers[ix].pressure != Pressure::Full);
        }
        stay.sort_by_key(|&ix| (self.workers[ix].held_bytes, ix));
        let mut open = 0;
        for (turn, slot) in held.into_iter().enumerate() {
            let State::Memory { holders, .. } = self.tasks[slot].state else {
                continue;
            };
            let safe = |&holder: &u32| self.workers[WorkerIx(holder)].takes_tasks();
            if self.tasks.holders.slice(&holders).iter().any(safe) || stay.is_empty() {
                continue;
            }
            let on_its_way = self.copies.open.range((slot, WorkerIx(0))..=(slot, WorkerIx(u32::MAX)));
            let on_its_way = on_its_way.filter(|(_, target)| self.workers[*target].takes_tasks()).count();
            if on_its_way > 0 {
                open += 1;
            } else if !self.copying_is_hopeless(slot) {
                open += 1;
                if !self.copies.rests(slot) {
                    let in_turn = (0..stay.len()).map(|i| stay[(turn + i) % stay.len()]);
                    let target = in_turn.min_by_key(|&target| self.copies.refusals(slot, target));
                    self.copy_to(slot, target.expect("some worker stays"));
                }
            }
        }
        open
    }

    fn close_worker(&mut self, ix: WorkerIx) {
        self.change_standing(ix, Standing::Leaving);
        let worker = &self.workers[ix];
        let incarnation = worker.info.incarnation;
        self.out.tell_worker(worker.id, SchedulerToWorker::Close { reason: "the worker was retired".into() });
        if let Some(supervisor) = self.supervisors.of(incarnation) {
            self.out.tell_supervisor(supervisor, SchedulerToSupervisor::Kill { incarnation, retire: true });
        }
    }
}
