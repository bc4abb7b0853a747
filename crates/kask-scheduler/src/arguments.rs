//! Tasks that no worker can take, as is known before they are sent.
//!
//! What a call was given as it is travels with the task: its template, its item, and what its function holds (closures,
//! bound objects). A worker has all of that in memory before it can do anything about it, so a task is only sent where
//! its arguments fit. When they fit nowhere it fails at once, before anything is sent. Attempts that wait for a runner have
//! theirs in memory as well: a worker with large ones gets no more from the queue.
//!
//! The same goes for what the user says that a task needs. What is only learned or estimated may be wrong: such a task is tried.

use crate::scheduler::Scheduler;
use crate::tasks::{Slot, State, WorkerIx};
use crate::workers::Worker;
use kask_graph::{Call, usable_bytes};
use kask_types::Failure;
use std::sync::Arc;

/// Arguments that are smaller are not counted.
const LARGE_BYTES: u64 = 1 << 20;

/// A worker whose attempts came with more than this part of what it has for a task gets no more from the queue.
const MUCH: u64 = 3;

impl Scheduler {
    /// What the function holds, which all tasks that call it share.
    fn function_bytes(&self, call: &Call) -> u64 {
        call.function.and_then(|id| self.blobs.get(&id)).map_or(0, |blob| blob.payload.nbytes())
    }

    /// The worker, or if it is too small for this call the largest that may run the task.
    ///
    /// # Errors
    /// What the task needs, if that is too small as well.
    pub(crate) fn with_room_for_arguments(&self, slot: Slot, worker: WorkerIx, call: &Call) -> Result<WorkerIx, u64> {
        if !self.workers.any_limit {
            return Ok(worker);
        }
        let arguments = own_bytes(call).saturating_add(self.function_bytes(call));
        let nbytes = arguments.saturating_add(self.said_bytes(slot));
        // A suspect has been sent before, and where it goes is being counted.
        if self.workers[worker].can_take(nbytes) || self.is_suspect(slot) {
            return Ok(worker);
        }
        self.largest_for(slot).filter(|&largest| self.workers[largest].can_take(nbytes)).ok_or(nbytes)
    }

    pub(crate) fn arguments_sent(&mut self, slot: Slot, worker: WorkerIx, call: &Call) {
        let nbytes = own_bytes(call);
        if nbytes >= LARGE_BYTES {
            self.tasks.rare_mut(slot).arguments_bytes = nbytes;
            self.workers[worker].arguments_bytes += nbytes;
        }
    }

    pub(crate) fn arguments_gone(&mut self, slot: Slot, worker: WorkerIx) {
        let entry = &mut self.workers[worker];
        if entry.arguments_bytes > 0 && self.tasks.rare(slot).is_some() {
            entry.arguments_bytes -= std::mem::take(&mut self.tasks.rare_mut(slot).arguments_bytes);
        }
    }

    /// The task fails when the event has been dealt with: this may be called while its inputs are being looked at.
    pub(crate) fn refuse(&mut self, slot: Slot, nbytes: u64) {
        self.tasks.set_state(slot, State::Waiting { missing: 0 });
        self.refused.push((self.tasks.id(slot), nbytes));
    }

    pub(crate) fn fail_refused(&mut self) {
        for (task, nbytes) in std::mem::take(&mut self.refused) {
            let slot = self.tasks.current(task);
            if let Some(slot) = slot.filter(|&slot| matches!(self.tasks[slot].state, State::Waiting { missing: 0 })) {
                let failure = self.too_large(slot, nbytes);
                self.fail(slot, &Arc::new(failure));
            }
        }
    }

    fn largest_for(&self, slot: Slot) -> Option<WorkerIx> {
        let class = self.tasks.lineage(slot)?.style_of(self.tasks[slot].row).class;
        let eligible = self.classes.get(class).eligible.iter().copied();
        eligible.max_by_key(|&ix| (self.workers[ix].usable_bytes(), std::cmp::Reverse(ix)))
    }

    fn too_large(&self, slot: Slot, nbytes: u64) -> Failure {
        let most = self.largest_for(slot).map_or(0, |ix| self.workers[ix].usable_bytes()) >> 20;
        let said = self.said_bytes(slot);
        let mib = |nbytes: u64| nbytes.div_ceil(1 << 20);
        let reason = if said > nbytes / 2 {
            format!(
                "it is said to need {} MiB (memory_bytes), and a worker has {most} MiB at most for a task; allow workers more memory, \
                 or make the task smaller",
                mib(said)
            )
        } else {
            format!(
                "{} MiB of arguments travel with it, and a worker has {most} MiB at most for a task; pass large data as \
                 futures (client.scatter, or a task that loads it), or allow workers more memory",
                mib(nbytes - said),
            )
        };
        Failure::OutOfMemory { task: self.tasks.printed(slot), reason: reason.into() }
    }
}

/// What travels with the task alone. Objects of this process weigh nothing: they are where they are.
fn own_bytes(call: &Call) -> u64 {
    call.args.nbytes().saturating_add(call.item.as_ref().map_or(0, |item| item.nbytes()))
}

impl Worker {
    /// What it has for one task.
    pub(crate) fn usable_bytes(&self) -> u64 {
        match self.info.memory_limit_bytes {
            0 => u64::MAX,
            limit => usable_bytes(limit),
        }
    }

    /// Whether it may get more arguments beside those that are here.
    pub(crate) fn has_room_for_arguments(&self) -> bool {
        self.arguments_bytes <= self.usable_bytes() / MUCH
    }

    /// Whether one value, or what one task needs, may be so large.
    pub(crate) fn can_take(&self, nbytes: u64) -> bool {
        nbytes <= self.usable_bytes()
    }
}
