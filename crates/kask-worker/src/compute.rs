//! Attempts: how they come, are handed to the runners, end, and are cancelled or given back.

use crate::api::{Action, Outcome, ProtocolError, TaskDone};
use crate::attempts::{Entry, State, Ties};
use crate::values::Cost;
use crate::worker::Worker;
use kask_types::{Attempt, Failure, TaskId};
use kask_wire::worker::Finished;
use kask_wire::{ComputeTask, WorkerToScheduler};
use std::sync::Arc;

impl Worker {
    pub(crate) fn compute(&mut self, compute: ComputeTask) -> Result<(), ProtocolError> {
        let (task, attempt) = (compute.task, compute.attempt);
        if attempt == Attempt::default() || self.attempts.contains(task, attempt) {
            return Err(ProtocolError::NotNew { task, attempt });
        }
        if let Some(needed) = &compute.resources
            && !self.config.resources.covers(needed)
        {
            return Err(ProtocolError::NotOffered { task });
        }
        if let Some(function) = compute.function
            && !self.blobs.call(function)
        {
            return Err(ProtocolError::UnknownFunction { task, function });
        }
        let family = self.families.of(&compute.name, compute.function);
        if self.memory.is_limited() {
            self.attempts.insert(compute, family, None);
            return Ok(());
        }
        if self.pin_if_all_are_here(&compute.inputs) {
            let (slot, _) = self.attempts.insert(compute, family, Some(Ties::default()));
            self.attempts.make_ready(slot);
            return Ok(());
        }
        let (inputs, priority) = (compute.inputs.clone(), compute.priority);
        let ties = self.ties_of(&inputs);
        let (slot, serial) = self.attempts.insert(compute, family, Some(ties));
        self.tie_inputs(slot, serial, priority, &inputs);
        Ok(())
    }

    /// Gives the runners the most urgent attempts, as many as keep them busy for a while.
    ///
    /// A runner that has nothing always gets something; beyond that, shares of `ahead_ns` are handed out. Attempts that
    /// need resources stand for a whole share, so that nobody sits on resources without running. While the process takes too
    /// much memory, they run one by one.
    pub(crate) fn dispatch(&mut self) {
        let runners = self.config.nthreads.max(1) as usize;
        let full_ns = runners as u64 * self.config.ahead_ns;
        let one_by_one = self.memory.is_limited() && self.memory.overweight() > 0;
        while let Some((_, _, slot)) = self.attempts.ready.first(&self.free_resources) {
            let entry = self.attempts.get(slot);
            let share_ns = match entry.resources {
                Some(_) => self.config.ahead_ns,
                None => self.families.share_ns(entry.family, self.config.ahead_ns),
            };
            let is_enough = self.attempts.counted >= runners && self.attempts.in_hand_ns + share_ns > full_ns;
            if is_enough || (one_by_one && self.attempts.counted > 0) {
                break;
            }
            if let Some(needed) = &entry.resources {
                self.free_resources.subtract(needed);
            }
            let pins = self.pins_for_running(slot);
            let compute = self.attempts.hand_out(slot, share_ns, pins);
            self.outbox.act(Action::Run(compute));
        }
    }

    pub(crate) fn task_done(&mut self, done: TaskDone) {
        let slot = self.attempts.slot_of(done.task, done.attempt);
        let out = slot.and_then(|slot| match &self.attempts.get(slot).state {
            State::HandedOut(out) => Some((slot, out.wanted)),
            State::Parked { .. } | State::Waiting { .. } | State::Ready { .. } => None,
        });
        let Some((slot, wanted)) = out else {
            // Nobody knows this attempt (any more), so nobody will ever free what it made.
            if let Outcome::Value { nbytes } = done.outcome
                && !self.came_again(done.task, nbytes)
            {
                self.outbox.drop_value(done.task.into());
            }
            return;
        };
        let entry = self.remove_attempt(slot);
        if let Some(returned) = &entry.resources {
            self.free_resources.add(returned);
        }
        if let State::HandedOut(out) = &entry.state {
            for &value in &out.pins {
                let was_here = self.unpin(value);
                debug_assert!(was_here, "what goes under a running attempt is taken off its list");
            }
        }
        self.report(&entry, wanted, done);
    }

    /// An attempt is over: it gives back what was set aside for it. What its inputs are tied to is for the caller.
    pub(crate) fn remove_attempt(&mut self, slot: u32) -> Entry {
        let entry = self.attempts.remove(slot);
        self.memory.promised -= entry.reserved;
        if self.memory.is_limited() && entry.is_active() {
            self.families.left(entry.family);
        }
        if let Some(function) = entry.function
            && self.blobs.hang_up(function)
        {
            self.outbox.drop_blob(function);
        }
        entry
    }

    fn report(&mut self, entry: &Entry, wanted: bool, done: TaskDone) {
        let (task, attempt) = (entry.task, entry.attempt);
        let (failure, reschedule) = match done.outcome {
            Outcome::Value { nbytes } => {
                self.families.learn(entry.family, done.duration_ns);
                self.families.learn_size(entry.family, nbytes);
                if wanted {
                    self.hold(task, nbytes, Some(attempt), Cost::of_ns(done.duration_ns));
                    if entry.checkpoint {
                        self.checkpoint(task);
                    }
                } else if !self.came_again(task, nbytes) {
                    self.outbox.drop_value(task.into());
                }
                let TaskDone { duration_ns, started_us, runner, .. } = done;
                self.outbox.finished(Finished { task, attempt, nbytes, duration_ns, started_us, runner });
                return;
            }
            Outcome::Failed { failure } => (failure, false),
            Outcome::Reschedule => {
                (Failure::Cancelled { reason: Arc::from("the task asked to be run elsewhere") }, true)
            }
        };
        self.outbox.say(WorkerToScheduler::Failed { task, attempt, failure, reschedule });
    }

    /// Nobody wants this attempt. Where its result is here already, it goes: to the scheduler, a cancelled attempt
    /// leaves nothing behind, whichever message was faster. A runner that has it is busy until it ends, though, which
    /// the scheduler has to know, or it takes the runner for idle.
    pub(crate) fn cancel(&mut self, task: TaskId, attempt: Attempt) {
        match self.attempts.slot_of(task, attempt) {
            Some(slot) => match &mut self.attempts.get_mut(slot).state {
                State::HandedOut(out) => {
                    if std::mem::take(&mut out.wanted) && out.counted {
                        self.outbox.lingering(task, attempt);
                        self.outbox.recall(task, attempt);
                    }
                }
                State::Parked { .. } | State::Waiting { .. } | State::Ready { .. } => self.drop_queued(slot),
            },
            None => {
                if self.values.get(task).is_some_and(|held| held.made_by == Some(attempt)) {
                    self.free(task);
                }
            }
        }
    }

    fn drop_queued(&mut self, slot: u32) {
        let entry = self.remove_attempt(slot);
        if let Some((compute, ties)) = entry.tied() {
            self.untie_inputs(compute, ties);
        }
    }

    /// What no runner has is given back at once. The rest is kept, unless it turns out that it has not started: it may
    /// stand behind a task that takes much longer than was to be expected.
    pub(crate) fn steal(&mut self, asked: Vec<(TaskId, Attempt)>) {
        let (mut given, mut kept) = (Vec::new(), Vec::new());
        for (task, attempt) in asked {
            let queued =
                self.attempts.slot_of(task, attempt).filter(|&slot| self.attempts.get(slot).queued().is_some());
            match queued {
                Some(slot) => {
                    self.drop_queued(slot);
                    given.push((task, attempt));
                }
                None => {
                    kept.push((task, attempt));
                    if self.attempts.contains(task, attempt) {
                        self.outbox.recall(task, attempt);
                    }
                }
            }
        }
        self.outbox.say(WorkerToScheduler::StealAnswer { given, kept });
    }

    pub(crate) fn seceded(&mut self, task: TaskId, attempt: Attempt, back: bool) {
        let Some(slot) = self.attempts.slot_of(task, attempt) else { return };
        let State::HandedOut(out) = &mut self.attempts.get_mut(slot).state else { return };
        if out.counted == back {
            return;
        }
        out.counted = back;
        let share_ns = out.share_ns;
        let family = self.attempts.get(slot).family;
        if back {
            self.attempts.count(share_ns);
            if self.memory.is_limited() {
                self.families.began(family);
            }
            self.outbox.say(WorkerToScheduler::Rejoined(task, attempt));
        } else {
            self.attempts.uncount(share_ns);
            if self.memory.is_limited() {
                self.families.left(family);
            }
            self.outbox.say(WorkerToScheduler::Seceded(task, attempt));
        }
    }

    /// Drops all that has not been handed out.
    pub(crate) fn drop_all_queued(&mut self) {
        let queued: Vec<u32> =
            self.attempts.iter().filter(|(_, entry)| entry.queued().is_some()).map(|(slot, _)| slot).collect();
        for slot in queued {
            self.drop_queued(slot);
        }
        self.fetcher.clear();
        self.acquires.clear();
    }
}
