//! Handing queued tasks to workers as they have room.
//!
//! Best priority first, in runs: neighbours in the order go to the same worker, so that what reads them finds them
//! together. When there are few tasks for many workers, each gets its share by number of runners, not the first one all.

use crate::scheduler::Scheduler;
use crate::tasks::{Slot, WorkerIx};

impl Scheduler {
    /// Gives queued tasks to workers until either runs out. Nothing waits behind another task while a runner that may
    /// run it is idle.
    pub(crate) fn hand_out(&mut self) {
        loop {
            let idle = self.workers.room.intersection(&self.workers.hungry).copied().collect();
            if self.hand_out_among(idle) {
                continue;
            }
            let open = self.workers.room.iter().copied().collect();
            if !self.hand_out_among(open) {
                return;
            }
        }
    }

    /// One round; whether anything was handed out.
    fn hand_out_among(&mut self, open: Vec<WorkerIx>) -> bool {
        let queued = self.classes.runnable();
        if queued == 0 || open.is_empty() {
            return false;
        }
        let threads: u64 = open.iter().map(|&ix| self.workers[ix].nthreads()).sum();
        let mut progress = false;
        for worker in open {
            let share = (queued * self.workers[worker].nthreads()).div_ceil(threads);
            progress |= self.hand_out_to(worker, share);
        }
        progress
    }

    fn hand_out_to(&mut self, worker: WorkerIx, share: u64) -> bool {
        let mut progress = false;
        for _ in 0..share {
            if !self.workers.room.contains(&worker) {
                break;
            }
            let Some(slot) = self.classes.pop_for(&mut self.tasks, worker) else {
                break;
            };
            progress = true;
            let target = self.better_place(slot, worker);
            self.dispatch(slot, target);
        }
        progress
    }

    /// The worker whose turn it is, unless the task has inputs and another one with room has more of them.
    fn better_place(&mut self, slot: Slot, turn: WorkerIx) -> WorkerIx {
        if self.tasks.inputs(slot).len() == 0 {
            return turn;
        }
        let with_room = |core: &Scheduler, ix: WorkerIx| core.workers.room.contains(&ix);
        self.choose_worker_where(slot, None, with_room).unwrap_or(turn)
    }
}
