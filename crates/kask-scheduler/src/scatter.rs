//! Data that a client puts on workers itself.
//!
//! The scheduler makes a task for each value and says where to put it; the task is in memory once a worker says that
//! it holds it. Such a task has no lineage: lost, it stays lost. Until a worker holds the value somebody must be
//! putting it: when the clients that were to put it are gone (or do not want it any more), or the workers chosen
//! for it, the task fails as lost.

use crate::classes::names_worker;
use crate::clients::ClientIx;
use crate::scheduler::Scheduler;
use crate::tasks::{BatchIx, Slot, State, WorkerIx};
use kask_types::{Failure, Key, WorkerRestriction};
use kask_wire::SchedulerToClient;
use kask_wire::client::Reply;
use std::sync::Arc;

/// A scatter that waits for a worker to come.
pub(crate) struct PendingScatter {
    pub(crate) client: ClientIx,
    request: u64,
    values: Vec<(Key, Arc<str>, u64)>,
    workers: Option<WorkerRestriction>,
    broadcast: bool,
}

impl Scheduler {
    pub(crate) fn scatter(
        &mut self,
        client: ClientIx,
        request: u64,
        values: Vec<(Key, Arc<str>, u64)>,
        workers: Option<WorkerRestriction>,
        broadcast: bool,
    ) {
        let job = PendingScatter { client, request, values, workers, broadcast };
        let targets = self.scatter_targets(&job.workers);
        if targets.is_empty() {
            self.pending_scatters.push(job);
        } else {
            self.place_scatter(job, &targets);
        }
    }

    /// A worker came: scatters that waited for one go on.
    pub(crate) fn retry_scatters(&mut self) {
        for job in std::mem::take(&mut self.pending_scatters) {
            let targets = self.scatter_targets(&job.workers);
            if targets.is_empty() {
                self.pending_scatters.push(job);
            } else {
                self.place_scatter(job, &targets);
            }
        }
    }

    fn scatter_targets(&self, restriction: &Option<WorkerRestriction>) -> Vec<WorkerIx> {
        let open = || self.workers.iter().filter(|(_, worker)| worker.takes_tasks());
        let all = || open().map(|(ix, _)| ix).collect();
        let Some(restriction) = restriction else {
            return all();
        };
        let named: Vec<WorkerIx> =
            open().filter(|(_, worker)| names_worker(restriction, &worker.info)).map(|(ix, _)| ix).collect();
        if named.is_empty() && restriction.allow_other_workers { all() } else { named }
    }

    fn place_scatter(&mut self, job: PendingScatter, targets: &[WorkerIx]) {
        // Round robin in which a worker with more runners has more turns.
        let turns: Vec<WorkerIx> =
            targets.iter().flat_map(|&ix| std::iter::repeat_n(ix, self.workers[ix].nthreads() as usize)).collect();
        let mut answer = Vec::with_capacity(job.values.len());
        let mut known = Vec::new();
        for (position, (key, prefix, _)) in job.values.iter().enumerate() {
            let (slot, put) = self.scatter_one(*key, prefix);
            let chosen: Vec<WorkerIx> = match (put, job.broadcast) {
                (false, _) => Vec::new(),
                (true, true) => targets.to_vec(),
                (true, false) => {
                    self.scatter_turn = (self.scatter_turn + 1) % turns.len();
                    vec![turns[self.scatter_turn]]
                }
            };
            if put {
                let puts = self.scattering.entry(slot).or_default();
                puts.extend(chosen.iter().map(|&ix| (job.client, ix)));
            }
            let ids = chosen.iter().map(|&ix| self.workers[ix].id).collect();
            answer.push((position as u32, self.tasks.id(slot), ids));
            known.push(slot);
        }
        let reply = Reply::Scatter(answer);
        let client = self.clients[job.client].id;
        self.out.tell_client(client, SchedulerToClient::Answer { request: job.request, reply });
        for slot in known {
            self.want(job.client, slot);
        }
        let released: Vec<Slot> = job.values.iter().filter_map(|(key, ..)| self.tasks.find(*key)).collect();
        self.demand(&released);
        self.settle();
    }

    /// The task for a value, and whether the client shall put the value.
    fn scatter_one(&mut self, key: Key, prefix: &Arc<str>) -> (Slot, bool) {
        let Some(slot) = self.tasks.find(key) else {
            let family = self.tasks.families.intern(prefix);
            let slot = self.tasks.insert(key, BatchIx::SCATTERED, 0, family);
            self.tasks.set_state(slot, State::Scattering);
            return (slot, true);
        };
        let lost = match &self.tasks[slot].state {
            State::Scattering => return (slot, true),
            State::Released => true,
            State::Erred(failure) => matches!(**failure, Failure::Lost { .. }),
            State::Waiting { .. }
            | State::Queued
            | State::Parked
            | State::Processing { .. }
            | State::Memory { .. }
            | State::Vacant => false,
        };
        if lost && self.tasks[slot].batch == BatchIx::SCATTERED {
            // The same data once more: what was lost is found again.
            self.tasks.set_state(slot, State::Scattering);
            return (slot, true);
        }
        (slot, false)
    }

    /// A worker that values were being put on is gone.
    pub(crate) fn targets_lost(&mut self, worker: WorkerIx) {
        let mut lost = Vec::new();
        for (&slot, puts) in &mut self.scattering {
            puts.retain(|&(_, target)| target != worker);
            if puts.is_empty() {
                lost.push(slot);
            }
        }
        for slot in lost {
            self.nobody_puts(slot);
        }
    }

    /// A client that does not want the value any more, or is gone, puts it nowhere.
    pub(crate) fn putter_lost(&mut self, client: ClientIx, slot: Slot) {
        if let Some(puts) = self.scattering.get_mut(&slot) {
            puts.retain(|&(putter, _)| putter != client);
            if puts.is_empty() {
                self.nobody_puts(slot);
            }
        }
    }

    fn nobody_puts(&mut self, slot: Slot) {
        if self.is_needed(slot) {
            let failure = Failure::Lost { task: self.tasks.printed(slot) };
            self.fail(slot, &Arc::new(failure));
        } else {
            self.unsettled.push(slot);
        }
    }
}
