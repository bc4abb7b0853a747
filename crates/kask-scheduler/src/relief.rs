//! Taking values away from workers that are full.
//!
//! Every so often, for each full worker: what another worker that is not full holds too is freed there; of what only
//! full ones hold, some is copied to workers with room, and freed in a later round when the copy has arrived. Values
//! that attempts on the full worker read stay. It ends by itself when the worker says that its pressure is gone.

use crate::scheduler::Scheduler;
use crate::tasks::{Slot, State, WorkerIx};
use kask_types::Tick;
use kask_wire::worker::Pressure;
use std::collections::BTreeSet;

/// So many values of a worker are looked at in one round.
const LOOKED_AT: usize = 4_096;
/// So many values at once are being moved away from a worker.
const MOVED_AT_ONCE: usize = 64;

impl Scheduler {
    /// When to look next, if there is anything to move and anywhere to move it.
    pub(crate) fn relief_due(&self) -> Option<Tick> {
        let full = self.workers.full.len();
        (full > 0 && full < self.workers.len()).then_some(self.next_relief)
    }

    /// One round.
    pub(crate) fn relieve(&mut self) {
        if self.relief_due().is_none_or(|due| due > self.now) {
            return;
        }
        self.next_relief = self.now.after_ms(self.config.relief_interval_ms);
        let full: Vec<WorkerIx> = self.workers.full.iter().copied().collect();
        for ix in full {
            self.relieve_worker(ix);
        }
    }

    fn relieve_worker(&mut self, ix: WorkerIx) {
        let worker = &self.workers[ix];
        // Slots are given out in the order of the graph: the last ones are those that are read last.
        let held: Vec<Slot> = worker.held.iter().rev().take(LOOKED_AT).collect();
        let in_use = self.inputs_of_attempts(ix);
        let (mut moving, mut moving_bytes) = (0, 0);
        for slot in held {
            let State::Memory { holders, nbytes } = self.tasks[slot].state else {
                unreachable!("a worker holds only tasks in memory");
            };
            if in_use.contains(&slot) {
                continue;
            }
            let is_good = |&holder: &u32| {
                let holder = &self.workers[WorkerIx(holder)];
                holder.takes_tasks() && holder.pressure != Pressure::Full
            };
            if self.tasks.holders.slice(&holders).iter().any(is_good) {
                let was_last = self.remove_replica(slot, ix);
                debug_assert!(!was_last, "another one holds it");
                self.counters.relieved += 1;
                continue;
            }
            let is_moving = self.copies.open.range((slot, WorkerIx(0))..=(slot, WorkerIx(u32::MAX))).next().is_some();
            let is_too_much =
                moving >= MOVED_AT_ONCE || (moving > 0 && moving_bytes + nbytes > self.config.relief_bytes);
            let may_move = !is_moving && !is_too_much && !self.copies.rests(slot) && !self.copying_is_hopeless(slot);
            let target = if may_move { self.room_for(slot, nbytes) } else { None };
            if let Some(target) = target {
                self.copy_to(slot, target);
            }
            if is_moving || target.is_some() {
                moving += 1;
                moving_bytes += nbytes;
            }
        }
    }

    /// What the attempts on a worker read.
    fn inputs_of_attempts(&self, ix: WorkerIx) -> BTreeSet<Slot> {
        let mut inputs = BTreeSet::new();
        for slot in self.workers[ix].processing.iter() {
            let edges = self.tasks.inputs(slot);
            inputs.extend((edges.start..edges.end).map(|at| self.tasks.input(edges, at)));
        }
        inputs
    }

    /// The worker with the most memory to spare, if it can take a value of this size; else one that makes room on its
    /// disk for what it is given, unless enough is on its way there. Those that have refused it come last.
    fn room_for(&self, slot: Slot, nbytes: u64) -> Option<WorkerIx> {
        let target_milli = self.config.memory_target_milli;
        let on_its_way = |ix: WorkerIx| {
            let there = self.copies.open.iter().filter(|(_, target)| *target == ix);
            there.map(|&(slot, _)| self.tasks.nbytes(slot)).sum::<u64>()
        };
        let open = self.workers.iter().filter(|(_, worker)| worker.takes_tasks() && worker.rests_until.is_none());
        let fit = open.filter_map(|(ix, worker)| {
            let coming = on_its_way(ix);
            let spills = match worker.pressure {
                Pressure::Comfortable if worker.has_memory_for(nbytes + coming, target_milli) => false,
                Pressure::Comfortable | Pressure::Tight => true,
                Pressure::Full => return None,
            };
            let fits = !spills || coming == 0 || coming + nbytes <= self.config.relief_bytes;
            fits.then_some((self.copies.refusals(slot, ix), spills, worker.expected_bytes(), ix))
        });
        fit.min().map(|(.., ix)| ix)
    }
}
