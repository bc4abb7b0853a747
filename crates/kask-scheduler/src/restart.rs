//! Starting over: all tasks are forgotten and all workers come back as new lives.
//!
//! Workers whose supervisor is known are killed and started again by it; the others only forget. The client is answered
//! when as many workers as before are there, or when its time is over.

use crate::scheduler::Scheduler;
use crate::tasks::WorkerIx;
use crate::workers::Standing;
use kask_types::{ClientId, Failure, Tick, WorkerId};
use kask_wire::client::Reply;
use kask_wire::{SchedulerToClient, SchedulerToSupervisor};
use std::collections::BTreeSet;

/// A request that waits for the workers to be back.
pub(crate) struct Restart {
    pub(crate) client: ClientId,
    request: u64,
    /// Lives that have not ended yet.
    ending: BTreeSet<WorkerId>,
    /// How many workers there were.
    count: usize,
    deadline: Tick,
}

impl Scheduler {
    pub(crate) fn restart(&mut self, client: ClientId, request: u64, timeout_ms: u64) {
        self.forget_everything();
        let all: Vec<WorkerIx> = self.workers.iter().map(|(ix, _)| ix).collect();
        let count = all.iter().filter(|&&ix| self.workers[ix].takes_tasks()).count();
        let mut ending = BTreeSet::new();
        for &ix in &all {
            let worker = &self.workers[ix];
            let incarnation = worker.info.incarnation;
            if let (Some(supervisor), Standing::Open) = (self.supervisors.of(incarnation), worker.standing) {
                ending.insert(worker.id);
                let kill = SchedulerToSupervisor::Kill { incarnation, retire: false };
                self.out.tell_supervisor(supervisor, kill);
                self.change_standing(ix, Standing::Leaving);
            }
        }
        let deadline = self.now.after_ms(timeout_ms);
        self.restarts.push(Restart { client, request, ending, count, deadline });
        self.restarts_changed();
    }

    /// Every task of every client ends as cancelled and is forgotten.
    fn forget_everything(&mut self) {
        let failure = Failure::Cancelled { reason: "the cluster was restarted".into() };
        let living: Vec<_> =
            self.tasks.slots().filter(|&slot| self.tasks[slot].batch != crate::tasks::BatchIx::NONE).collect();
        for slot in living {
            self.end_interest(slot, &failure);
        }
        self.settle();
        debug_assert_eq!(self.tasks.len(), 0, "without interest nothing is kept");
    }

    /// Workers came or went, or time passed.
    pub(crate) fn restarts_changed(&mut self) {
        for mut job in std::mem::take(&mut self.restarts) {
            job.ending.retain(|&id| self.workers.find(id).is_some());
            let back = self.workers.iter().filter(|(_, worker)| worker.takes_tasks()).count();
            let reply = if job.ending.is_empty() && back >= job.count {
                Reply::Done
            } else if job.deadline <= self.now {
                let reason = format!("only {back} of {} workers were back in time", job.count);
                Reply::Failed { reason }
            } else {
                self.restarts.push(job);
                continue;
            };
            self.out.tell_client(job.client, SchedulerToClient::Answer { request: job.request, reply });
        }
    }

    pub(crate) fn restart_due(&self) -> Option<Tick> {
        self.restarts.iter().map(|job| job.deadline).min()
    }
}
