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
use kask_types::{Failure, Key, Loss, TaskId, WorkerRestriction};
use kask_wire::SchedulerToClient;
use kask_wire::client::Reply;
use kask_wire::worker::Pressure;
use std::sync::Arc;

/// A scatter that waits for a worker to come. Its tasks are there and wanted from the start, so that what the client
/// says next may speak of them.
pub(crate) struct PendingScatter {
    pub(crate) client: ClientIx,
    request: u64,
    /// Each value's task, whether the client shall put the value, and its bytes that have to be in memory.
    tasks: Vec<(TaskId, bool, u64)>,
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
        let mut tasks = Vec::with_capacity(values.len());
        let mut known = Vec::with_capacity(values.len());
        for (key, prefix, nbytes) in &values {
            let (slot, put) = self.scatter_one(*key, prefix);
            if put {
                self.scattering.entry(slot).or_default();
            }
            tasks.push((self.tasks.id(slot), put, *nbytes));
            known.push(slot);
        }
        let job = PendingScatter { client, request, tasks, workers, broadcast };
        for &slot in &known {
            self.want(client, slot);
        }
        self.demand(&known);
        self.settle();
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
        let is_full = |ix: &WorkerIx| self.workers[*ix].pressure == Pressure::Full;
        let mut takers = targets.to_vec();
        takers.retain(|ix| !is_full(ix));
        let takers = if takers.is_empty() { targets } else { &takers };
        let turns: Vec<WorkerIx> =
            takers.iter().flat_map(|&ix| std::iter::repeat_n(ix, self.workers[ix].nthreads() as usize)).collect();
        let largest =
            targets.iter().copied().max_by_key(|&ix| self.workers[ix].usable_bytes()).expect("there are some");
        let mut answer = Vec::with_capacity(job.tasks.len());
        let mut too_large = Vec::new();
        for (position, &(id, put, nbytes)) in job.tasks.iter().enumerate() {
            // It may have come from elsewhere, or been given up, while the job waited.
            let slot =
                self.tasks.current(id).filter(|&slot| put && matches!(self.tasks[slot].state, State::Scattering));
            let chosen: Vec<WorkerIx> = match (slot, job.broadcast) {
                (None, _) => Vec::new(),
                (Some(slot), _) if !self.workers[largest].can_take(nbytes) => {
                    too_large.push((slot, nbytes));
                    Vec::new()
                }
                (Some(_), true) => targets.iter().copied().filter(|&ix| self.workers[ix].can_take(nbytes)).collect(),
                (Some(_), false) => {
                    self.scatter_turn = (self.scatter_turn + 1) % turns.len();
                    let next = turns[self.scatter_turn];
                    vec![if self.workers[next].can_take(nbytes) { next } else { largest }]
                }
            };
            if let Some(slot) = slot {
                let puts = self.scattering.entry(slot).or_default();
                puts.extend(chosen.iter().map(|&ix| (job.client, ix)));
            }
            let ids = chosen.iter().map(|&ix| self.workers[ix].id).collect();
            answer.push((position as u32, id, ids));
        }
        let reply = Reply::Scatter(answer);
        let client = self.clients[job.client].id;
        self.out.tell_client(client, SchedulerToClient::Answer { request: job.request, reply });
        for (slot, nbytes) in too_large {
            let reason = format!(
                "the pickle of the value takes {} MiB, and a worker has {} MiB at most for one; scatter it in parts, or as \
                 arrays, or allow workers more memory",
                nbytes.div_ceil(1 << 20),
                self.workers[largest].usable_bytes() >> 20,
            );
            let failure = Failure::OutOfMemory { task: self.tasks.printed(slot), reason: reason.into() };
            self.fail(slot, &Arc::new(failure));
        }
    }

    /// Whether a scatter that waits for a worker is going to say where to put this.
    pub(crate) fn is_scatter_pending(&self, slot: Slot) -> bool {
        let id = self.tasks.id(slot);
        self.pending_scatters.iter().flat_map(|job| &job.tasks).any(|&(task, put, _)| put && task == id)
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
            State::Released | State::Awaited => true,
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
        self.puts_lost(|_, target| target == worker);
    }

    /// A client that was putting values is gone. (One that only wants them no longer has put them all the same, or will.)
    pub(crate) fn putter_lost(&mut self, client: ClientIx) {
        self.pending_scatters.retain(|job| job.client != client);
        self.puts_lost(|putter, _| putter == client);
    }

    /// A client does not want some keys any more: scatters that wait and of which it wants nothing are over.
    pub(crate) fn scatters_given_up(&mut self, client: ClientIx) {
        let wants = &self.clients[client].wants;
        let is_over = |job: &mut PendingScatter| {
            let mut slots = job.tasks.iter().filter_map(|&(id, _, _)| self.tasks.current(id));
            job.client == client && !slots.any(|slot| wants.contains(slot))
        };
        let over: Vec<PendingScatter> = self.pending_scatters.extract_if(.., is_over).collect();
        if over.is_empty() {
            return;
        }
        let id = self.clients[client].id;
        for job in over {
            let nowhere = (0..).zip(&job.tasks).map(|(position, &(task, _, _))| (position, task, Vec::new()));
            let reply = Reply::Scatter(nowhere.collect());
            self.out.tell_client(id, SchedulerToClient::Answer { request: job.request, reply });
        }
        self.puts_lost(|_, _| false);
    }

    fn puts_lost(&mut self, is_lost: impl Fn(ClientIx, WorkerIx) -> bool) {
        let mut lost = Vec::new();
        for (&slot, puts) in &mut self.scattering {
            puts.retain(|&(putter, target)| !is_lost(putter, target));
            if puts.is_empty() {
                lost.push(slot);
            }
        }
        for slot in lost {
            if !self.is_scatter_pending(slot) {
                self.nobody_puts(slot);
            }
        }
    }

    fn nobody_puts(&mut self, slot: Slot) {
        if self.is_needed(slot) {
            let failure = Failure::Lost { task: self.tasks.printed(slot), how: Loss::WithWorkers };
            self.fail(slot, &Arc::new(failure));
        } else {
            self.unsettled.push(slot);
        }
    }
}
