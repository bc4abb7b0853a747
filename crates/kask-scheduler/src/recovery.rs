//! Repair of what is lost: workers, replicas, inputs. Nobody else repairs anything.
//!
//! A value without a holder is computed again from its lineage when somebody needs it. The order in
//! [`Scheduler::lose_worker`] matters: first no state may name the worker, then values are taken out, then attempts are
//! ended, and only then is anything placed again.

use crate::clients::ClientIx;
use crate::event::Action;
use crate::scheduler::Scheduler;
use crate::tasks::{BatchIx, Slot, State, WorkerIx};
use crate::workers::Worker;
use kask_types::{Attempt, Certificate, DeathCause, Failure, Key, Loss, RaisedError, TaskId, WorkerId};
use kask_wire::worker::FetchProblem;
use kask_wire::{SchedulerToClient, SchedulerToSupervisor, SchedulerToWorker};
use std::sync::Arc;

impl Scheduler {
    /// A worker is gone, whoever found out.
    pub(crate) fn lose_worker(&mut self, ix: WorkerIx, certificate: Option<Certificate>) {
        let worker = self.take_out(ix);
        let certificate = certificate.or_else(|| worker.farewell.clone());
        let orphans: Vec<Slot> = worker.processing.iter().collect();
        let lost = self.remove_replicas_of(ix, &worker);
        let needed = self.take_values_out(&lost);
        let needed = self.await_return(&worker, needed);
        let asked = worker.standing != crate::workers::Standing::Open
            || certificate.as_ref().is_some_and(|known| known.cause == DeathCause::Retired);
        if !asked {
            self.counters.workers_lost += 1;
            self.counters.killed += orphans.len() as u64;
            self.count_death(&worker, &orphans, certificate);
        }
        for &slot in &orphans {
            self.wait_again(slot);
        }
        self.targets_lost(ix);
        self.compute_again(&needed);
        for slot in orphans {
            if matches!(self.tasks[slot].state, State::Waiting { missing: 0 }) {
                self.make_ready(slot);
            }
        }
        self.copies_to_are_over(ix);
        self.calls_to_are_over(&worker);
        self.retirements_changed();
        self.restarts_changed();
        self.settle();
    }

    /// Takes the worker out of the tables and tells everybody.
    fn take_out(&mut self, ix: WorkerIx) -> Box<Worker> {
        let worker = self.workers.remove(ix);
        self.out.forget_worker(worker.id);
        self.classes.workers_changed(&self.workers);
        self.threads_changed();
        for (_, client) in self.clients.iter() {
            self.out.tell_client(client.id, SchedulerToClient::WorkerLeft(worker.id));
        }
        for (_, other) in self.workers.iter() {
            self.out.tell_worker(other.id, SchedulerToWorker::PeerLeft(worker.id));
        }
        worker
    }

    /// No task names the worker as holder any more; gives the tasks that had no other.
    fn remove_replicas_of(&mut self, ix: WorkerIx, worker: &Worker) -> Vec<Slot> {
        let mut lost = Vec::new();
        for slot in worker.held.iter() {
            let State::Memory { holders, .. } = &mut self.tasks[slot].state else {
                unreachable!("a worker holds only tasks in memory");
            };
            let mut left = *holders;
            self.tasks.holders.remove(&mut left, ix.0);
            let State::Memory { holders, .. } = &mut self.tasks[slot].state else {
                unreachable!("looked at above");
            };
            *holders = left;
            if left.is_empty() {
                lost.push(slot);
            } else {
                self.announce(slot);
            }
        }
        lost
    }

    /// These values have no holder any more: what waits for them is counted again. Gives those that are needed;
    /// the caller demands them once nothing names a worker that is gone.
    pub(crate) fn take_values_out(&mut self, lost: &[Slot]) -> Vec<Slot> {
        let mut needed = Vec::new();
        for &slot in lost {
            self.tasks.set_state(slot, State::Released);
            self.copies_of_are_over(slot);
            for dependent in self.tasks.dependents(slot) {
                match &mut self.tasks[dependent].state {
                    State::Waiting { missing } => *missing += 1,
                    State::Queued | State::Parked => {
                        self.withdraw(dependent);
                        self.tasks.set_state(dependent, State::Waiting { missing: 1 });
                    }
                    State::Vacant
                    | State::Released
                    | State::Scattering
                    | State::Awaited
                    | State::Processing { .. }
                    | State::Memory { .. }
                    | State::Erred(_) => {}
                }
            }
            if self.is_needed(slot) {
                self.announce_pending(slot);
                needed.push(slot);
            } else {
                self.unsettled.push(slot);
            }
        }
        needed
    }

    /// Values that were lost and are needed.
    pub(crate) fn compute_again(&mut self, lost: &[Slot]) {
        self.counters.recomputed += lost.len() as u64;
        self.demand(lost);
    }

    /// Remembers what became of the last copy of a value that cannot be computed again, for whoever needs it.
    pub(crate) fn note_loss(&mut self, slot: Slot, problem: FetchProblem) {
        if self.tasks[slot].batch != BatchIx::SCATTERED {
            return;
        }
        self.tasks.rare_mut(slot).loss = match problem {
            FetchProblem::Unreadable => Loss::Unreadable,
            FetchProblem::NotThere => Loss::NotThere,
            FetchProblem::Unreachable | FetchProblem::Undecodable | FetchProblem::Busy => Loss::WithWorkers,
        };
    }

    /// The value is not (or shall not be) on this worker any more; says whether it was the last holder.
    pub(crate) fn remove_replica(&mut self, slot: Slot, worker: WorkerIx) -> bool {
        let State::Memory { holders, nbytes } = self.tasks[slot].state else {
            return false;
        };
        let mut left = holders;
        if !self.tasks.holders.remove(&mut left, worker.0) {
            return false;
        }
        self.tasks[slot].state = State::Memory { holders: left, nbytes };
        let entry = &mut self.workers[worker];
        entry.held.remove(slot);
        entry.held_bytes -= nbytes;
        // It may hold the value after all: what is not in the books must not be in its memory.
        self.free_on(worker, self.tasks.id(slot));
        if left.is_empty() {
            return true;
        }
        self.announce(slot);
        false
    }

    /// An attempt could not fetch its inputs and is over.
    pub(crate) fn inputs_missing(
        &mut self,
        from: WorkerIx,
        task: TaskId,
        attempt: Attempt,
        missing: Vec<(TaskId, WorkerId, FetchProblem)>,
    ) {
        let current = self.tasks.current(task).filter(|&slot| self.is_current(slot, attempt, from));
        let first = |of: FetchProblem| missing.iter().find(|(_, _, problem)| *problem == of).copied();
        let problem = first(FetchProblem::Undecodable).or_else(|| first(FetchProblem::Unreachable));
        let has_it = missing.iter().find(|&&(input, holder, problem)| match problem {
            FetchProblem::Undecodable | FetchProblem::Busy => true,
            FetchProblem::Unreachable => self.is_all_there_is(input, holder),
            FetchProblem::NotThere | FetchProblem::Unreadable => false,
        });
        let has_it = has_it.map(|&(_, holder, _)| holder);
        let patient = current.is_none_or(|slot| {
            let failures = self.tasks.rare(slot).map_or(0, |rare| rare.fetch_failures);
            failures + 1 < self.config.allowed_fetch_failures
        });
        if let Some(slot) = current {
            // Its state still names the attempt until all is counted again, so nothing takes it for waiting.
            self.end_attempt(slot);
        }
        let lost = self.drop_bad_replicas(missing, patient);
        let needed = self.take_values_out(&lost);
        if let Some(slot) = current {
            self.wait_again(slot);
        }
        self.compute_again(&needed);
        if let Some(slot) = current {
            self.after_fetch_failure(slot, problem, has_it);
        }
        self.settle();
    }

    /// Takes replicas out of the books that are not there. A worker that another one could not reach keeps what nobody
    /// else has, as long as the scheduler itself can reach it and is `patient`, or the value cannot be computed again.
    fn drop_bad_replicas(&mut self, mut missing: Vec<(TaskId, WorkerId, FetchProblem)>, patient: bool) -> Vec<Slot> {
        // A holder that does not have the value must not count as another one that has.
        missing.sort_by_key(|(.., problem)| !matches!(problem, FetchProblem::NotThere | FetchProblem::Unreadable));
        let mut lost = Vec::new();
        for (input, holder, problem) in missing {
            let (Some(slot), Some(holder)) = (self.tasks.current(input), self.workers.find(holder)) else { continue };
            let drop_it = match problem {
                FetchProblem::NotThere | FetchProblem::Unreadable => true,
                FetchProblem::Unreachable => {
                    let can_be_made = self.tasks[slot].batch != BatchIx::SCATTERED;
                    (!patient && can_be_made) || self.has_other_holder(slot, holder)
                }
                // The value is there and good for whoever runs where it is.
                FetchProblem::Undecodable | FetchProblem::Busy => false,
            };
            if drop_it && self.remove_replica(slot, holder) {
                self.note_loss(slot, problem);
                lost.push(slot);
            }
        }
        lost
    }

    /// Whether this worker has the only copy of a value that cannot be computed again.
    fn is_all_there_is(&self, value: TaskId, holder: WorkerId) -> bool {
        let (Some(slot), Some(ix)) = (self.tasks.current(value), self.workers.find(holder)) else { return false };
        self.tasks[slot].batch == BatchIx::SCATTERED
            && self.workers[ix].held.contains(slot)
            && !self.has_other_holder(slot, ix)
    }

    fn has_other_holder(&self, slot: Slot, holder: WorkerIx) -> bool {
        match &self.tasks[slot].state {
            State::Memory { holders, .. } => self.tasks.holders.slice(holders).iter().any(|&other| other != holder.0),
            State::Vacant
            | State::Released
            | State::Scattering
            | State::Awaited
            | State::Waiting { .. }
            | State::Queued
            | State::Parked
            | State::Processing { .. }
            | State::Erred(_) => false,
        }
    }

    /// A busy holder is no failure. What could not come from a worker that has it is used there, if possible; if not, there
    /// is an end to trying.
    fn after_fetch_failure(
        &mut self,
        slot: Slot,
        problem: Option<(TaskId, WorkerId, FetchProblem)>,
        has_it: Option<WorkerId>,
    ) {
        if let Some((input, holder, problem)) = problem {
            let allowed = self.config.allowed_fetch_failures;
            let rare = self.tasks.rare_mut(slot);
            rare.fetch_failures += 1;
            rare.undecodable += u32::from(problem == FetchProblem::Undecodable);
            let (failures, undecodable) = (rare.fetch_failures, rare.undecodable);
            let why = if undecodable >= allowed {
                Some(("TypeError", "it cannot be pickled there or unpickled here"))
            } else if failures >= allowed && self.is_all_there_is(input, holder) && !self.may_use_at(slot, has_it) {
                Some(("ConnectionError", "the connection between them failed"))
            } else {
                None
            };
            if let Some(why) = why {
                let failure = self.not_sent(slot, input, holder, why);
                return self.fail(slot, &Arc::new(failure));
            }
        }
        if !matches!(self.tasks[slot].state, State::Waiting { missing: 0 }) {
            return;
        }
        let at_source = has_it.and_then(|holder| self.workers.find(holder));
        match at_source.filter(|_| self.may_use_at(slot, has_it) && !self.is_suspect(slot)) {
            Some(holder) => self.dispatch(slot, holder),
            None => self.make_ready(slot),
        }
    }

    fn may_use_at(&self, slot: Slot, holder: Option<WorkerId>) -> bool {
        holder.and_then(|holder| self.workers.find(holder)).is_some_and(|ix| self.may_run_on(slot, ix))
    }

    /// A client asked these workers in vain for values that it wants: it is told how each key stands now.
    pub(crate) fn client_missed(&mut self, client: ClientIx, missed: Vec<(Key, WorkerId)>) {
        let (mut lost, mut concerned) = (Vec::new(), Vec::new());
        for (key, holder) in missed {
            let wanted = self.tasks.find(key).filter(|&slot| self.clients[client].wants.contains(slot));
            // Of a key that is gone or given up the client was told, or wants to know nothing.
            let Some(slot) = wanted else { continue };
            concerned.push((key, slot));
            let Some(holder) = self.workers.find(holder) else { continue };
            // By now it may hold the value: what cannot be computed again is not given up on a client's word.
            let is_all_there_is = self.tasks[slot].batch == BatchIx::SCATTERED && !self.has_other_holder(slot, holder);
            if !is_all_there_is && self.remove_replica(slot, holder) {
                lost.push(slot);
            }
        }
        let needed = self.take_values_out(&lost);
        self.compute_again(&needed);
        for (key, slot) in concerned {
            match self.tasks[slot].state {
                State::Memory { .. } | State::Erred(_) => self.report(client, slot),
                State::Vacant
                | State::Released
                | State::Scattering
                | State::Awaited
                | State::Waiting { .. }
                | State::Queued
                | State::Parked
                | State::Processing { .. } => self.out.pending(self.clients[client].id, key),
            }
        }
        self.settle();
    }

    /// Whether the task's restrictions allow the worker.
    pub(crate) fn may_run_on(&self, slot: Slot, worker: WorkerIx) -> bool {
        let batch = self.tasks.lineage(slot);
        batch.is_some_and(|batch| self.classes.get(batch.style_of(self.tasks[slot].row).class).allows(worker))
    }

    fn not_sent(&self, slot: Slot, input: TaskId, holder: WorkerId, (type_name, why): (&str, &str)) -> Failure {
        let task = self.tasks.printed(slot);
        let input = self.tasks.current(input).map_or_else(|| "an input".into(), |slot| self.tasks.printed(slot));
        let worker = self.workers.find(holder).map_or_else(String::new, |ix| self.workers[ix].info.name.to_string());
        let tries = self.config.allowed_fetch_failures;
        let message = format!(
            "the value of {input} could not be sent from worker {worker} to where {task} was to run ({tries} tries): \
             {why}"
        );
        let traceback = String::new();
        let type_name = type_name.to_string();
        Failure::Raised(Arc::new(RaisedError { task, type_name, message, traceback, worker, exception: None }))
    }

    /// Workers that showed no sign of life for too long are cut off.
    pub(crate) fn end_silent_workers(&mut self) {
        let timeout = self.config.heartbeat_timeout_ms;
        if self.next_silence.is_none_or(|at| at > self.now) {
            return;
        }
        let silent = |worker: &Worker| worker.last_heard.after_ms(timeout) <= self.now;
        let frozen: Vec<WorkerIx> =
            self.workers.iter().filter(|(_, worker)| silent(worker)).map(|(ix, _)| ix).collect();
        for ix in frozen {
            let worker = &self.workers[ix];
            let silent_ms = self.now.since_ns(worker.last_heard) / 1_000_000;
            let (id, incarnation) = (worker.id, worker.info.incarnation);
            let cause = DeathCause::Frozen { silent_ms };
            let certificate =
                Certificate { worker: worker.info.name.clone(), cause, peak_memory_bytes: None, last_task: None };
            let retire = worker.standing == crate::workers::Standing::Leaving && self.is_to_stay_away(incarnation);
            let reason = format!("worker {} {cause}", worker.info.name);
            if let Some(supervisor) = self.supervisors.of(incarnation) {
                self.out.tell_supervisor(supervisor, SchedulerToSupervisor::Kill { incarnation, retire });
            }
            self.lose_worker(ix, Some(certificate));
            self.out.last(Action::DisconnectWorker { worker: id, reason: reason.into() });
        }
        self.next_silence = self.workers.iter().map(|(_, worker)| worker.last_heard.after_ms(timeout)).min();
    }

    /// A worker spoke nonsense.
    pub(crate) fn expel_worker(&mut self, ix: WorkerIx, reason: String) {
        let worker = &self.workers[ix];
        let (id, incarnation) = (worker.id, worker.info.incarnation);
        let certificate = Certificate {
            worker: worker.info.name.clone(),
            cause: DeathCause::ProtocolError,
            peak_memory_bytes: None,
            last_task: None,
        };
        if let Some(supervisor) = self.supervisors.of(incarnation) {
            self.out.tell_supervisor(supervisor, SchedulerToSupervisor::Kill { incarnation, retire: false });
        }
        self.lose_worker(ix, Some(certificate));
        self.out.last(Action::DisconnectWorker { worker: id, reason: reason.into() });
    }
}
