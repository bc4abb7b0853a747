//! Values: which are here, which are being fetched, and which attempts wait for them.
//!
//! A value is held until the scheduler frees it, whoever made it. `Held::users` and `Gather::interest` count how often
//! attempts that are still queued name the value; a handed-out attempt counts no more, since the shell holds on to its
//! inputs.

use crate::attempts::State;
use crate::fetcher::Stage;
use crate::worker::Worker;
use kask_types::{Attempt, TaskId, Tick, WorkerId};
use kask_wire::WorkerToScheduler;
use kask_wire::worker::{FetchProblem, Input, Priority};

/// A value that is here.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) nbytes: u64,
    /// The attempt that made it; absent for values that were here before: copies, scattered ones.
    pub(crate) made_by: Option<Attempt>,
    /// How often queued attempts name it.
    pub(crate) users: u32,
}

/// Copies that no attempt waits for are fetched last.
const LEAST_URGENT: Priority = Priority { user: i32::MAX, graph: u32::MAX, order: u32::MAX };

impl Worker {
    /// A value is in the store: everybody who waited for it goes on.
    pub(crate) fn hold(&mut self, task: TaskId, nbytes: u64, made_by: Option<Attempt>) {
        if let Some(held) = self.held.get_mut(&task) {
            self.held_bytes = self.held_bytes - held.nbytes + nbytes;
            held.nbytes = nbytes;
            // It stays what it was first reported as: cancelling an attempt must not take away a copy.
            return;
        }
        self.held_bytes += nbytes;
        let gather = if self.fetcher.is_idle() { None } else { self.fetcher.remove(task) };
        let users = gather.as_ref().map_or(0, |gather| gather.interest);
        self.held.insert(task, Held { nbytes, made_by, users });
        let Some(gather) = gather else { return };
        if gather.acquire && made_by.is_some() {
            self.outbox.holding(task, nbytes);
        }
        for (slot, serial) in gather.waiters {
            if self.attempts.same(slot, serial).is_some() {
                self.attempts.input_came(slot);
            }
        }
    }

    /// Throws a value away. Queued attempts that need it fetch it again or end.
    pub(crate) fn free(&mut self, task: TaskId) {
        if let Some(held) = self.held.remove(&task) {
            self.held_bytes -= held.nbytes;
            self.outbox.drop_value(task);
            if held.users > 0 {
                self.wait_again(task);
            }
        } else if let Some(gather) = self.fetcher.get_mut(task)
            && std::mem::take(&mut gather.acquire)
        {
            let unwanted = gather.interest == 0 && !matches!(gather.stage, Stage::InFlight { .. });
            if unwanted {
                self.fetcher.remove(task);
            }
            self.outbox.missing([(task, self.me(), FetchProblem::NotThere)]);
        }
    }

    /// Rare: the scheduler gave up a value that attempts here still wait to use, so looking at all of them is fine.
    fn wait_again(&mut self, task: TaskId) {
        let mut users = Vec::new();
        for (slot, entry) in self.attempts.iter() {
            let Some(compute) = entry.queued() else { continue };
            let named = compute.inputs.iter().filter(|input| input.task == task);
            users.extend(named.map(|input| (slot, entry.serial, entry.priority, input.clone())));
        }
        for (slot, serial, priority, input) in users {
            self.attempts.input_went(slot);
            self.wait_for(slot, serial, priority, &input);
        }
        self.end_if_exhausted(task);
    }

    fn wait_for(&mut self, slot: u32, serial: u64, priority: Priority, input: &Input) {
        let me = self.me();
        let gather = self.fetcher.want(input, priority, me);
        gather.interest += 1;
        gather.waiters.push((slot, serial));
    }

    /// Ties a new attempt to its inputs. It may be ready, waiting or over afterwards.
    pub(crate) fn tie_inputs(&mut self, slot: u32, serial: u64, priority: Priority, inputs: &[Input]) {
        let mut fetched_any = false;
        for input in inputs {
            match self.held.get_mut(&input.task) {
                Some(held) => {
                    held.users += 1;
                    self.attempts.input_came(slot);
                }
                None => {
                    self.wait_for(slot, serial, priority, input);
                    fetched_any = true;
                }
            }
        }
        if fetched_any {
            for input in inputs {
                self.end_if_exhausted(input.task);
            }
        }
    }

    /// An attempt that was queued is not any more: its inputs are needed once less.
    pub(crate) fn untie_inputs(&mut self, inputs: &[Input]) {
        for input in inputs {
            if let Some(held) = self.held.get_mut(&input.task) {
                held.users -= 1;
                continue;
            }
            let gather =
                self.fetcher.get_mut(input.task).expect("an input of a queued attempt is here or being fetched");
            gather.interest -= 1;
            if gather.interest == 0 {
                gather.waiters.clear();
                if !gather.acquire && !matches!(gather.stage, Stage::InFlight { .. }) {
                    self.fetcher.remove(input.task);
                }
            }
        }
    }

    pub(crate) fn acquire(&mut self, inputs: Vec<Input>) {
        let me = self.me();
        for input in inputs {
            if let Some(held) = self.held.get(&input.task) {
                self.outbox.holding(input.task, held.nbytes);
                continue;
            }
            self.fetcher.want(&input, LEAST_URGENT, me).acquire = true;
            self.end_if_exhausted(input.task);
        }
    }

    /// Where a wanted value has no holder left: ends all attempts that wait for it, and says why.
    fn end_if_exhausted(&mut self, task: TaskId) {
        let me = self.me();
        let Some(gather) = self.fetcher.get_mut(task) else { return };
        if gather.stage != Stage::Idle {
            return;
        }
        if gather.tried.is_empty() {
            gather.tried.push((me, FetchProblem::NotThere));
        }
        if std::mem::take(&mut gather.acquire) {
            self.outbox.missing(gather.tried.iter().map(|&(holder, problem)| (task, holder, problem)));
        }
        for (slot, serial) in std::mem::take(&mut gather.waiters) {
            if self.attempts.same(slot, serial).is_some() {
                self.end_without_inputs(slot);
            }
        }
        self.fetcher.remove(task);
    }

    fn end_without_inputs(&mut self, slot: u32) {
        let entry = self.attempts.remove(slot);
        let State::Waiting { compute, .. } = entry.state else {
            unreachable!("an attempt that misses an input waits");
        };
        let mut missing: Vec<(TaskId, WorkerId, FetchProblem)> = Vec::new();
        for input in &compute.inputs {
            let Some(gather) = self.fetcher.get(input.task) else { continue };
            if !missing.iter().any(|(task, ..)| *task == input.task) {
                missing.extend(gather.tried.iter().map(|&(holder, problem)| (input.task, holder, problem)));
            }
        }
        self.untie_inputs(&compute.inputs);
        self.hang_up(entry.function);
        self.outbox.say(WorkerToScheduler::InputsMissing { task: entry.task, attempt: entry.attempt, missing });
    }

    pub(crate) fn fetched(
        &mut self,
        now: Tick,
        request: u64,
        results: Vec<(TaskId, Result<u64, FetchProblem>)>,
        last: bool,
    ) {
        self.fetcher.progressed(request, now, &self.config);
        for (task, result) in results {
            match result {
                Ok(nbytes) => self.value_came(task, nbytes),
                Err(problem) if self.fetcher.is_in_flight(task, request) => {
                    self.fetcher.failed(task, problem);
                    self.ask_others(task);
                }
                Err(_) => {}
            }
        }
        if last {
            self.close_request(request, FetchProblem::NotThere);
        }
    }

    fn value_came(&mut self, task: TaskId, nbytes: u64) {
        if self.held.contains_key(&task) {
            return;
        }
        self.fetched_bytes += nbytes;
        match self.fetcher.get(task) {
            Some(gather) if gather.interest > 0 || gather.acquire => {
                self.hold(task, nbytes, None);
                self.outbox.holding(task, nbytes);
            }
            Some(_) => {
                self.fetcher.remove(task);
                self.outbox.drop_value(task);
            }
            None => self.outbox.drop_value(task),
        }
    }

    /// Turns to the other holders of a value that one of them did not deliver, if anybody still wants it.
    fn ask_others(&mut self, task: TaskId) {
        let me = self.me();
        let Some(gather) = self.fetcher.get(task) else { return };
        if gather.interest == 0 && !gather.acquire {
            self.fetcher.remove(task);
        } else if !self.fetcher.ask_next(task, me) {
            self.end_if_exhausted(task);
        }
    }

    pub(crate) fn close_request(&mut self, request: u64, problem: FetchProblem) {
        for task in self.fetcher.close_request(request, problem) {
            self.ask_others(task);
        }
    }

    pub(crate) fn peer_left(&mut self, peer: WorkerId) {
        for task in self.fetcher.peer_left(peer).unwrap_or_default() {
            self.ask_others(task);
        }
    }
}
