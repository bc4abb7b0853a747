//! What tasks are expected to need, and what that costs where memory is short.
//!
//! The size of results is learned by family. A task's need is what the user says (`Annotations.memory_bytes`), or what
//! its family's results take, and is raised after each worker that ran out of memory under it: first to half of that
//! worker's limit at least, then to all of it, so that it runs alone.

use crate::scheduler::Scheduler;
use crate::tasks::Slot;
use crate::workers::Worker;

impl Scheduler {
    /// How large the task's result is expected to be.
    pub(crate) fn expected_result(&self, slot: Slot) -> u64 {
        let learned = self.tasks.families.expected_bytes(self.tasks[slot].family());
        learned.unwrap_or(self.config.unknown_result_bytes)
    }

    /// What the task is taken to need since a worker ran out of memory under it.
    pub(crate) fn raised_bytes(&self, slot: Slot) -> u64 {
        self.tasks.rare(slot).map_or(0, |rare| rare.memory_bytes)
    }

    /// What the task is expected to need beside its inputs.
    pub(crate) fn needed_bytes(&self, slot: Slot) -> u64 {
        self.told_bytes(slot).max(self.expected_result(slot))
    }

    /// What the user says that the task needs; 0 when nothing is said.
    pub(crate) fn said_bytes(&self, slot: Slot) -> u64 {
        self.tasks.lineage(slot).map_or(0, |batch| batch.style_of(self.tasks[slot].row).memory_bytes)
    }

    /// What its worker is told that the task needs; 0 when nothing is known.
    fn told_bytes(&self, slot: Slot) -> u64 {
        self.said_bytes(slot).max(self.raised_bytes(slot))
    }

    /// What it costs to write to disk and read back what so many more bytes push out of a worker's memory.
    pub(crate) fn spill_us(&self, worker: &Worker, more_bytes: u64) -> u64 {
        let limit = worker.info.memory_limit_bytes;
        if limit == 0 {
            return 0;
        }
        let target = limit / 1000 * self.config.memory_target_milli;
        let after = worker.expected_bytes().saturating_add(more_bytes);
        after.saturating_sub(target).min(more_bytes) / self.config.spill_bytes_per_us.max(1)
    }

    /// A worker with this limit ran out of memory under these tasks, or one of them.
    pub(crate) fn raise_needs(&mut self, tasks: &[Slot], limit: u64) {
        for &slot in tasks {
            let family = self.tasks[slot].family();
            let known = self.tasks.families.expected_bytes(family).unwrap_or(0).max(self.told_bytes(slot));
            let before = self.raised_bytes(slot);
            let wanted = if before == 0 { known.saturating_mul(2).max(limit / 2) } else { known.max(limit) };
            let raised = if limit > 0 { wanted.min(limit) } else { wanted };
            self.tasks.rare_mut(slot).memory_bytes = raised.max(before);
        }
    }
}

impl Worker {
    /// What it holds, and what the attempts here are expected to add.
    pub(crate) fn expected_bytes(&self) -> u64 {
        self.held_bytes + (self.result_kib << 10)
    }

    /// Whether it can take a value of this size without spilling.
    pub(crate) fn has_memory_for(&self, nbytes: u64, target_milli: u64) -> bool {
        let limit = self.info.memory_limit_bytes;
        limit == 0 || self.expected_bytes() + nbytes <= limit / 1000 * target_milli
    }
}
