//! What workers say. A message about an attempt that is over is answered, never believed.

use crate::event::Action;
use crate::scheduler::Scheduler;
use crate::tasks::{Phase, Slot, State, WorkerIx};
use crate::workers::Worker;
use kask_types::{Attempt, Failure, TaskId, WorkerId};
use kask_wire::worker::{Finished, Pressure, WorkerInfo};
use kask_wire::{SchedulerToClient, SchedulerToWorker, WorkerToScheduler};
use std::sync::Arc;

impl Scheduler {
    pub(crate) fn worker_message(&mut self, id: WorkerId, message: WorkerToScheduler) {
        let (worker, message) = match (self.workers.find(id), message) {
            (None, WorkerToScheduler::Register(info)) => return self.worker_joins(id, info),
            (None, _) => {
                let reason = "this worker was cut off, or has not registered".into();
                return self.out.last(Action::DisconnectWorker { worker: id, reason });
            }
            (Some(ix), WorkerToScheduler::Register(_)) => {
                return self.expel_worker(ix, "a worker registers once".into());
            }
            (Some(ix), message) => (ix, message),
        };
        self.workers[worker].last_heard = self.now;
        // A client may have put something on it that it holds before it is registered here.
        if !matches!(message, WorkerToScheduler::Adopted(_) | WorkerToScheduler::Holding(_)) {
            self.has_come(worker);
        }
        match message {
            WorkerToScheduler::Register(_) => unreachable!("handled above"),
            WorkerToScheduler::Heartbeat(metrics) => self.workers[worker].metrics = metrics,
            WorkerToScheduler::Finished(results) => self.finished(worker, results),
            WorkerToScheduler::Failed { task, attempt, failure, reschedule } => {
                self.failed(worker, task, attempt, failure, reschedule);
            }
            WorkerToScheduler::InputsMissing { task, attempt, missing } => {
                self.inputs_missing(worker, task, attempt, missing);
            }
            WorkerToScheduler::StealAnswer { given, kept } => self.steal_answered(worker, given, kept),
            WorkerToScheduler::Lingering(attempts) => self.lingering(worker, attempts),
            WorkerToScheduler::Holding(values) => self.holding(worker, values),
            WorkerToScheduler::Missing(values) => self.missing(worker, values),
            WorkerToScheduler::Pressure(pressure) => self.pressure_told(worker, pressure),
            WorkerToScheduler::HandedBack(attempts) => self.handed_back(worker, attempts),
            WorkerToScheduler::Adopted(values) => self.adopted(worker, values),
            WorkerToScheduler::Seceded(task, attempt) => {
                self.phase_told(worker, task, attempt, Phase::Seceded);
            }
            WorkerToScheduler::Rejoined(task, attempt) => {
                self.phase_told(worker, task, attempt, Phase::Started);
            }
            WorkerToScheduler::RunAnswer { call, result } => self.call_answered(worker, call, result),
            WorkerToScheduler::Closing(certificate) => {
                let reason = certificate.to_string().into();
                self.lose_worker(worker, Some(certificate));
                self.out.last(Action::DisconnectWorker { worker: id, reason });
            }
        }
    }

    fn worker_joins(&mut self, id: WorkerId, info: WorkerInfo) {
        let taken = self.workers.iter().any(|(_, worker)| worker.info.name == info.name);
        if taken {
            let reason = format!("there is a worker called {} already; choose another name", info.name).into();
            return self.out.last(Action::DisconnectWorker { worker: id, reason });
        }
        let worker = Worker::new(id, info, self.now);
        let (peer, info) = (worker.peer(), worker.info.clone());
        let heartbeat_ms = self.config.told_heartbeat_ms();
        self.out.tell_worker(id, SchedulerToWorker::Registered { worker: id, heartbeat_ms });
        for (_, other) in self.workers.iter() {
            self.out.tell_worker(id, SchedulerToWorker::PeerJoined(other.peer()));
            self.out.tell_worker(other.id, SchedulerToWorker::PeerJoined(peer.clone()));
        }
        for (_, client) in self.clients.iter() {
            self.out.tell_client(client.id, SchedulerToClient::WorkerJoined(peer.clone(), info.clone()));
        }
        let silent_at = self.now.after_ms(self.config.heartbeat_timeout_ms);
        self.next_silence = Scheduler::sooner(self.next_silence, Some(silent_at));
        let ix = self.workers.insert(worker);
        self.workers.update(ix, &self.config);
        self.classes.workers_changed(&self.workers);
        self.threads_changed();
        self.look_at_parked = true;
        self.copies_changed = true;
        self.retry_scatters();
        self.worker_waits_changed();
        self.retirements_changed();
        self.restarts_changed();
    }

    fn finished(&mut self, from: WorkerIx, results: Vec<Finished>) {
        for result in results {
            let Finished { task, attempt, nbytes, duration_ns, .. } = result;
            self.lingers_no_more(from, task, attempt);
            match self.tasks.current(task) {
                Some(slot) if self.is_current(slot, attempt, from) => {
                    let family = self.tasks[slot].family();
                    self.tasks.families.learn(family, duration_ns, nbytes);
                    self.counters.finished += 1;
                    self.complete(slot, from, nbytes);
                }
                current => {
                    if self.was_never_sent(task, attempt) {
                        let reason = format!("finished {task:?}, attempt {}, which nobody sent it", attempt.0);
                        return self.expel_worker(from, reason);
                    }
                    self.answer_stale_result(from, task, current);
                }
            }
        }
    }

    /// Whether no attempt with this number was ever made.
    pub(crate) fn was_never_sent(&self, task: TaskId, attempt: Attempt) -> bool {
        let slot = self.tasks.slot_of(task);
        if attempt.0 == 0 || slot.is_none() && !self.tasks.was_dropped(task) {
            return true;
        }
        slot.is_some_and(|slot| {
            let current = &self.tasks[slot];
            current.generation == task.generation && attempt > current.attempt
        })
    }

    /// A result of an attempt that is over is thrown away, unless the worker has the value for another reason. It was
    /// told to when the attempt was ended; what it holds of a value that is in memory may have come since.
    fn answer_stale_result(&mut self, from: WorkerIx, task: TaskId, current: Option<Slot>) {
        let keep = current.is_some_and(|slot| match self.tasks[slot].state {
            State::Memory { .. } => true,
            State::Processing { worker, .. } => worker == from,
            State::Vacant
            | State::Released
            | State::Scattering
            | State::Awaited
            | State::Waiting { .. }
            | State::Queued
            | State::Parked
            | State::Erred(_) => false,
        });
        if !keep {
            self.free_on(from, task);
        }
    }

    fn failed(&mut self, from: WorkerIx, task: TaskId, attempt: Attempt, failure: Failure, reschedule: bool) {
        self.lingers_no_more(from, task, attempt);
        let Some(slot) = self.tasks.current(task).filter(|&slot| self.is_current(slot, attempt, from)) else {
            if self.was_never_sent(task, attempt) {
                let reason = format!("failed {task:?}, attempt {}, which nobody sent it", attempt.0);
                self.expel_worker(from, reason);
            }
            return;
        };
        self.end_attempt(slot);
        self.wait_again(slot);
        if !reschedule {
            self.counters.failed += 1;
            let style = self.tasks.lineage(slot).expect("only tasks with a lineage run");
            let allowed = style.style_of(self.tasks[slot].row).retries;
            let used = self.tasks.rare(slot).map_or(0, |rare| rare.retries);
            if used >= allowed {
                return self.fail(slot, &Arc::new(failure));
            }
            self.tasks.rare_mut(slot).retries += 1;
        }
        if matches!(self.tasks[slot].state, State::Waiting { missing: 0 }) {
            let avoid = reschedule.then_some(from);
            self.make_ready_avoiding(slot, avoid);
        }
    }

    fn phase_told(&mut self, from: WorkerIx, task: TaskId, attempt: Attempt, phase: Phase) {
        if let Some(slot) = self.tasks.current(task)
            && self.is_current(slot, attempt, from)
        {
            self.set_phase(slot, |_| phase);
        } else if phase == Phase::Seceded {
            self.lingers_no_more(from, task, attempt);
        } else {
            self.lingering(from, vec![(task, attempt)]);
        }
    }

    /// Runners are busy with attempts that are over as far as anybody else is concerned.
    fn lingering(&mut self, from: WorkerIx, attempts: Vec<(TaskId, Attempt)>) {
        for (task, attempt) in attempts {
            if self.was_never_sent(task, attempt) {
                let reason = format!("has {task:?}, attempt {}, which nobody sent it", attempt.0);
                return self.expel_worker(from, reason);
            }
            let is_current = self.tasks.current(task).is_some_and(|slot| self.is_current(slot, attempt, from));
            if !is_current {
                self.workers[from].lingers(task, attempt, &self.config);
            }
        }
        self.workers.update(from, &self.config);
    }

    fn lingers_no_more(&mut self, from: WorkerIx, task: TaskId, attempt: Attempt) {
        if self.workers[from].lingers_no_more(task, attempt, &self.config, self.now) {
            self.look_at_parked |= self.workers[from].pressure == Pressure::Full;
            self.workers.update(from, &self.config);
        }
    }
}
