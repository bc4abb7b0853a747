//! What the disk answers.
//!
//! Every value that [`crate::Action::Spill`] or [`crate::Action::Unspill`] names is answered once. A value may be thrown
//! away, and even come again, before that: such answers are counted as *stale* when the value goes, and passed over. As
//! long as one is due, the value that came again stays in memory.

use crate::api::SpillProblem;
use crate::memory::DiskTakes;
use crate::values::{Cost, Held, Residence, SMALL_BYTES};
use crate::worker::Worker;
use hashbrown::HashMap;
use kask_types::{TaskId, Tick};
use kask_wire::WorkerToScheduler;
use kask_wire::worker::FetchProblem;
use rustc_hash::FxBuildHasher;

/// Answers that are due for values that were thrown away meanwhile.
#[derive(Debug, Default)]
pub(crate) struct StaleAnswers {
    due: HashMap<TaskId, Due, FxBuildHasher>,
}

#[derive(Debug, Default)]
struct Due {
    spilled: u32,
    unspilled: u32,
}

impl StaleAnswers {
    pub(crate) fn are_due(&self, task: TaskId) -> bool {
        !self.due.is_empty() && self.due.contains_key(&task)
    }

    /// An answer came; `true` when it was one of these.
    fn tick_off(&mut self, task: TaskId, which: impl Fn(&mut Due) -> &mut u32) -> bool {
        let Some(due) = self.due.get_mut(&task) else { return false };
        if *which(due) == 0 {
            return false;
        }
        *which(due) -= 1;
        if due.spilled == 0 && due.unspilled == 0 {
            self.due.remove(&task);
        }
        true
    }
}

impl Worker {
    /// A value that stood like this is not what an answer that is due will be about.
    pub(crate) fn expect_no_answer(&mut self, task: TaskId, stood: Residence) {
        match stood {
            Residence::Spilling => self.stale.due.entry(task).or_default().spilled += 1,
            Residence::Unspilling => self.stale.due.entry(task).or_default().unspilled += 1,
            Residence::Memory | Residence::Fixed | Residence::Both | Residence::Disk => {}
        }
    }

    /// Has a value written although there may be room for it, so that it survives this process.
    pub(crate) fn checkpoint(&mut self, task: TaskId) {
        let can_write = self.memory.is_limited() && self.memory.checkpoints() && !self.stale.are_due(task);
        if !can_write || self.memory.disk_takes() != Some(DiskTakes::Many) {
            return;
        }
        let begins = self.values.change(task, |held| {
            let begins = held.residence == Residence::Memory && held.nbytes >= SMALL_BYTES;
            if begins {
                held.residence = Residence::Spilling;
            }
            begins
        });
        if begins == Some(true) {
            self.outbox.spill(vec![task]);
        }
    }

    /// Asks for a value that is on disk alone.
    pub(crate) fn unspill(&mut self, task: TaskId) {
        self.values.change(task, |held| held.residence = Residence::Unspilling);
        self.outbox.unspill(task);
    }

    /// Values were found on disk at the start.
    pub(crate) fn adopted(&mut self, found: Vec<(TaskId, u64, u64)>) {
        let mut adopted = Vec::with_capacity(found.len());
        for (task, nbytes, _) in found {
            if !self.values.contains(task) {
                self.values.insert(task, Held::new(nbytes, None, Residence::Disk, Cost::UNKNOWN));
                adopted.push((task, nbytes));
            }
        }
        if self.worker_id().is_some() {
            self.outbox.say(WorkerToScheduler::Adopted(adopted));
        } else {
            self.to_report.extend(adopted);
        }
    }

    pub(crate) fn spilled(&mut self, now: Tick, answers: Vec<(TaskId, Result<u64, SpillProblem>)>) {
        for (task, answer) in answers {
            let residence = match answer {
                Ok(_) => {
                    self.memory.disk_took();
                    Residence::Both
                }
                Err(SpillProblem::DiskFull | SpillProblem::Io | SpillProblem::Damaged) => {
                    self.memory.disk_failed(now);
                    Residence::Memory
                }
                Err(SpillProblem::Unpicklable) => Residence::Fixed,
            };
            if self.stale.tick_off(task, |due| &mut due.spilled) {
                self.memory.left_disk(answer.is_ok());
                continue;
            }
            let now_evictable = self.values.change(task, |held| {
                if held.residence == Residence::Spilling {
                    held.residence = residence;
                    held.chosen = held.pins == 0 && residence == Residence::Both;
                }
                held.is_evictable()
            });
            if now_evictable == Some(true) {
                self.evictable.push_back(task);
            }
        }
    }

    /// Values were read back, or are lost: then the scheduler is told at once, and whoever waits here asks others.
    pub(crate) fn unspilled(&mut self, answers: Vec<(TaskId, Result<(), SpillProblem>)>) {
        for (task, answer) in answers {
            if self.stale.tick_off(task, |due| &mut due.unspilled) {
                continue;
            }
            let Some(held) = self.values.get(task) else { continue };
            let alone_on_disk = !held.residence.in_memory();
            match answer {
                Ok(()) if held.residence == Residence::Unspilling => {
                    self.values.change(task, |held| held.residence = Residence::Both);
                    let waiters = self.unspilling.remove(&task).unwrap_or_default();
                    self.input_came(waiters);
                }
                // Asked for or not: the shell also finds out when it reads for peers, or a part for a runner.
                Err(_) if alone_on_disk => {
                    let me = self.me();
                    self.outbox.missing([(task, me, FetchProblem::Unreadable)]);
                    // The answer that was due has come.
                    self.unspilling.remove(&task);
                    self.values.change(task, |held| held.residence = Residence::Disk);
                    self.lose(task);
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
}
