//! How attempts are tied to their inputs: what is here is pinned, what is on disk is read back, what is elsewhere is fetched.
//!
//! `Held::pins`, `Held::readers` and `Gather::interest` count how often attempts name a value. Where there is a memory
//! limit, an attempt is tied from its admission to its end. Without one, it is tied from the start until it is handed out,
//! since the shell holds on to the inputs of what runs.

use crate::attempts::{State, Ties};
use crate::fetcher::Stage;
use crate::values::{Cost, Held, Residence};
use crate::worker::Worker;
use kask_types::{Attempt, TaskId, Tick, ValueId, WorkerId};
use kask_wire::worker::{FetchProblem, Input, Priority};
use kask_wire::{ComputeTask, WorkerToScheduler};

/// Copies that no attempt waits for are fetched last.
const LEAST_URGENT: Priority = Priority { user: i32::MAX, graph: u32::MAX, order: u32::MAX };

/// The value that an input names.
pub(crate) fn named(input: &Input) -> ValueId {
    ValueId { task: input.task, part: input.part }
}

impl Worker {
    /// A value is in the store: everybody who waited for it goes on.
    pub(crate) fn hold(&mut self, task: TaskId, nbytes: u64, made_by: Option<Attempt>, cost: Cost) {
        // It stays what it was first reported as: cancelling an attempt must not take away a copy.
        if self.values.contains(task) {
            self.came_again(task, nbytes);
            return;
        }
        let gather = if self.fetcher.is_idle() { None } else { self.fetcher.remove(task.into()) };
        let mut held = Held::new(nbytes, made_by, Residence::Memory, cost);
        held.pins = gather.as_ref().map_or(0, |gather| gather.interest);
        self.values.insert(task, held);
        let Some(gather) = gather else { return };
        if gather.acquire && made_by.is_some() {
            self.tell_again(task);
        }
        self.input_came(gather.waiters);
    }

    /// Says once more that a value is here. It may cross with the order to throw the value away, which came of what was
    /// said first; so when it is thrown away, that is said as well (in [`Worker::free`]).
    pub(crate) fn tell_again(&mut self, task: TaskId) {
        let nbytes = self.values.change(task, |held| {
            held.told_again = true;
            held.nbytes
        });
        self.outbox.holding(task, nbytes.expect("callers have looked"));
    }

    fn hold_part(&mut self, part: ValueId, nbytes: u64) {
        let Some(gather) = self.fetcher.remove(part) else { return };
        self.values.insert_part(part, nbytes, gather.interest);
        self.input_came(gather.waiters);
    }

    pub(crate) fn input_came(&mut self, waiters: Vec<(u32, u64)>) {
        for (slot, serial) in waiters {
            if self.attempts.same(slot, serial).is_some() {
                self.attempts.input_came(slot);
            }
        }
    }

    /// A value that is here came once more: whatever it was before, it is in memory now. `false` when it is not here.
    pub(crate) fn came_again(&mut self, task: TaskId, nbytes: u64) -> bool {
        let change = |held: &mut Held| {
            let before = held.residence;
            if !before.in_memory() {
                held.residence = Residence::Both;
            }
            held.nbytes = nbytes;
            before
        };
        match self.values.change(task, change) {
            None => false,
            Some(Residence::Unspilling) => {
                self.expect_no_answer(task, Residence::Unspilling);
                let waiters = self.unspilling.remove(&task).unwrap_or_default();
                self.input_came(waiters);
                true
            }
            Some(Residence::Memory | Residence::Fixed | Residence::Spilling | Residence::Both | Residence::Disk) => {
                true
            }
        }
    }

    /// Throws a value away. Attempts that are tied to it fetch it again or end.
    pub(crate) fn free(&mut self, task: TaskId) {
        if let Some(held) = self.lose(task) {
            if held.told_again {
                self.outbox.missing([(task, self.me(), FetchProblem::NotThere)]);
            }
            return;
        }
        let mut given_up = self.acquires.forget(task);
        if let Some(gather) = self.fetcher.get_mut(task.into())
            && std::mem::take(&mut gather.acquire)
        {
            given_up = true;
            if gather.interest == 0 && !matches!(gather.stage, Stage::InFlight { .. }) {
                self.fetcher.remove(task.into());
            }
        }
        if given_up {
            self.outbox.missing([(task, self.me(), FetchProblem::NotThere)]);
        }
    }

    /// A value is here no more; `None` when it was not.
    pub(crate) fn lose(&mut self, task: TaskId) -> Option<Held> {
        let held = self.values.remove(task)?;
        self.outbox.drop_value(task.into());
        self.expect_no_answer(task, held.residence);
        self.memory.left_disk(held.residence.on_disk());
        if held.residence == Residence::Unspilling {
            self.unspilling.remove(&task);
        }
        if held.pins > 0 || held.readers > 0 {
            self.wait_again(task, held.residence.in_memory());
        }
        Some(held)
    }

    /// Rare: a value went that attempts here still wait to use, so looking at all of them is fine.
    fn wait_again(&mut self, task: TaskId, was_in_memory: bool) {
        let mut users = Vec::new();
        for (slot, entry) in self.attempts.iter_mut() {
            let (serial, priority) = (entry.serial, entry.priority);
            match &mut entry.state {
                State::Parked { .. } => {}
                State::Waiting { compute, ties, .. } | State::Ready { compute, ties } => {
                    for (at, input) in compute.inputs.iter().enumerate().filter(|(_, input)| input.task == task) {
                        if input.part.is_none() {
                            users.push((slot, serial, priority, input.clone(), was_in_memory));
                        } else if ties.reads_whole(at) {
                            ties.0[at] = false;
                            users.push((slot, serial, priority, input.clone(), true));
                        }
                    }
                }
                State::HandedOut(out) => out.pins.retain(|&pin| pin != ValueId::from(task)),
            }
        }
        let mut wanted = Vec::new();
        for (slot, serial, priority, input, had_come) in users {
            if self.values.pin_part(named(&input)) {
                continue;
            }
            if had_come {
                self.attempts.input_went(slot);
            }
            self.wait_for(slot, serial, priority, &input);
            wanted.push(named(&input));
        }
        for value in wanted {
            self.end_if_exhausted(value);
        }
    }

    fn wait_for(&mut self, slot: u32, serial: u64, priority: Priority, input: &Input) {
        let me = self.me();
        let gather = self.fetcher.want(input, priority, me);
        gather.interest += 1;
        gather.waiters.push((slot, serial));
    }

    /// What an attempt that is about to be admitted will be tied to.
    pub(crate) fn ties_of(&self, inputs: &[Input]) -> Ties {
        if inputs.iter().all(|input| input.part.is_none()) {
            return Ties::default();
        }
        Ties(inputs.iter().map(|input| input.part.is_some() && self.values.contains(input.task)).collect())
    }

    /// The usual case, for which nothing has to be waited: pins these if all of them are whole and in memory.
    pub(crate) fn pin_if_all_are_here(&mut self, inputs: &[Input]) -> bool {
        let is_here = |input: &Input| {
            input.part.is_none() && self.values.get(input.task).is_some_and(|held| held.residence.in_memory())
        };
        let all = inputs.iter().all(is_here);
        if all {
            inputs.iter().for_each(|input| {
                self.values.pin(input.task);
            });
        }
        all
    }

    /// Ties an attempt that was just admitted to its inputs, as [`Worker::ties_of`] found them. It may be ready, waiting
    /// or over afterwards.
    pub(crate) fn tie_inputs(&mut self, slot: u32, serial: u64, priority: Priority, inputs: &[Input]) {
        if inputs.is_empty() {
            self.attempts.make_ready(slot);
            return;
        }
        let mut fetched_any = false;
        for input in inputs {
            let is_here = match input.part {
                None => match self.values.pin(input.task) {
                    None => None,
                    Some(Residence::Disk) => {
                        self.unspill(input.task);
                        self.unspilling.entry(input.task).or_default().push((slot, serial));
                        Some(false)
                    }
                    Some(Residence::Unspilling) => {
                        self.unspilling.entry(input.task).or_default().push((slot, serial));
                        Some(false)
                    }
                    Some(Residence::Memory | Residence::Fixed | Residence::Spilling | Residence::Both) => Some(true),
                },
                Some(_) => (self.values.read(input.task) || self.values.pin_part(named(input))).then_some(true),
            };
            match is_here {
                Some(true) => self.attempts.input_came(slot),
                Some(false) => {}
                None => {
                    self.wait_for(slot, serial, priority, input);
                    fetched_any = true;
                }
            }
        }
        if fetched_any {
            inputs.iter().for_each(|input| self.end_if_exhausted(named(input)));
        }
    }

    /// An attempt that was tied to its inputs is not any more, and has not been handed out.
    pub(crate) fn untie_inputs(&mut self, compute: &ComputeTask, ties: &Ties) {
        for (at, input) in compute.inputs.iter().enumerate() {
            if ties.reads_whole(at) {
                self.values.unread(input.task);
            } else if !self.unpin(named(input)) {
                self.lose_interest(named(input));
            }
        }
    }

    /// One attempt less needs a value that is here; parts go with the last one. `false` when it is not here.
    pub(crate) fn unpin(&mut self, value: ValueId) -> bool {
        if value.part.is_none() {
            return self.values.unpin(value.task);
        }
        let unpinned = self.values.unpin_part(value);
        if unpinned == Some(true) {
            self.outbox.drop_value(value);
        }
        unpinned.is_some()
    }

    fn lose_interest(&mut self, value: ValueId) {
        let gather = self.fetcher.get_mut(value).expect("an input of a queued attempt is here or being fetched");
        gather.interest -= 1;
        if gather.interest == 0 {
            gather.waiters.clear();
            if !gather.acquire && !matches!(gather.stage, Stage::InFlight { .. }) {
                self.fetcher.remove(value);
            }
        }
    }

    /// Where a ready attempt's inputs go when it is handed out: it keeps what is returned until it ends. The shell holds on
    /// to all of them, so what is kept here is what must not be counted as gone, or dropped, before.
    pub(crate) fn pins_for_running(&mut self, slot: u32) -> Vec<ValueId> {
        let Some((compute, ties)) = self.attempts.get(slot).tied() else {
            unreachable!("a ready attempt is tied to its inputs");
        };
        let limited = self.memory.is_limited();
        let mut kept = Vec::new();
        for (at, input) in compute.inputs.iter().enumerate() {
            if ties.reads_whole(at) {
                self.values.unread(input.task);
            } else if limited || input.part.is_some() {
                kept.push(named(input));
            } else {
                let was_here = self.values.unpin(input.task);
                debug_assert!(was_here, "a ready attempt's inputs are here");
            }
        }
        kept
    }

    /// The scheduler wants copies here.
    pub(crate) fn acquire(&mut self, now: Tick, inputs: Vec<Input>) {
        for input in inputs {
            if self.values.contains(input.task) {
                self.tell_again(input.task);
            } else if self.memory.is_limited() {
                self.acquires.wait(input, now);
            } else {
                self.fetch_copy(&input);
            }
        }
    }

    pub(crate) fn fetch_copy(&mut self, input: &Input) {
        let me = self.me();
        self.fetcher.want(input, LEAST_URGENT, me).acquire = true;
        self.end_if_exhausted(input.task.into());
    }

    /// Where a wanted value has no holder left: ends all attempts that wait for it, and says why.
    fn end_if_exhausted(&mut self, value: ValueId) {
        let me = self.me();
        let Some(gather) = self.fetcher.get_mut(value) else { return };
        if gather.stage != Stage::Idle {
            return;
        }
        if gather.tried.is_empty() {
            gather.tried.push((me, FetchProblem::NotThere));
        }
        if std::mem::take(&mut gather.acquire) {
            self.outbox.missing(gather.tried.iter().map(|&(holder, problem)| (value.task, holder, problem)));
        }
        for (slot, serial) in std::mem::take(&mut gather.waiters) {
            if self.attempts.same(slot, serial).is_some() {
                self.end_without_inputs(slot);
            }
        }
        self.fetcher.remove(value);
    }

    fn end_without_inputs(&mut self, slot: u32) {
        let entry = self.remove_attempt(slot);
        let State::Waiting { compute, ties, .. } = &entry.state else {
            unreachable!("an attempt that misses an input waits");
        };
        let mut missing: Vec<(TaskId, WorkerId, FetchProblem)> = Vec::new();
        for input in &compute.inputs {
            let Some(gather) = self.fetcher.get(named(input)) else { continue };
            if !missing.iter().any(|(task, ..)| *task == input.task) {
                missing.extend(gather.tried.iter().map(|&(holder, problem)| (input.task, holder, problem)));
            }
        }
        self.untie_inputs(compute, ties);
        self.outbox.say(WorkerToScheduler::InputsMissing { task: entry.task, attempt: entry.attempt, missing });
    }

    pub(crate) fn fetched(
        &mut self,
        now: Tick,
        request: u64,
        results: Vec<(ValueId, Result<u64, FetchProblem>)>,
        last: bool,
    ) {
        self.fetcher.progressed(request, now, &self.config);
        for (value, result) in results {
            match result {
                Ok(nbytes) => self.value_came(value, nbytes),
                Err(problem) if self.fetcher.is_in_flight(value, request) => {
                    self.did_not_come(now, value, problem);
                }
                Err(_) => {}
            }
        }
        if last {
            self.close_request(request, FetchProblem::NotThere);
        }
    }

    fn value_came(&mut self, value: ValueId, nbytes: u64) {
        if value.part.is_none() && self.came_again(value.task, nbytes) {
            return;
        }
        if self.values.part(value).is_some() {
            return;
        }
        self.fetched_bytes += nbytes;
        match self.fetcher.get(value) {
            Some(gather) if gather.interest > 0 && value.part.is_some() => self.hold_part(value, nbytes),
            Some(gather) if gather.interest > 0 || gather.acquire => {
                self.hold(value.task, nbytes, None, Cost::UNKNOWN);
                self.outbox.holding(value.task, nbytes);
            }
            Some(_) => {
                self.fetcher.remove(value);
                self.outbox.drop_value(value);
            }
            None => self.outbox.drop_value(value),
        }
    }

    fn did_not_come(&mut self, now: Tick, value: ValueId, problem: FetchProblem) {
        match problem {
            FetchProblem::Busy => {
                let is_wanted = self.fetcher.get(value).is_some_and(|gather| gather.interest > 0 || gather.acquire);
                if is_wanted {
                    self.fetcher.busy(value, now, &self.config);
                }
            }
            FetchProblem::NotThere
            | FetchProblem::Unreachable
            | FetchProblem::Undecodable
            | FetchProblem::Unreadable => {
                self.fetcher.failed(value, problem);
            }
        }
        self.ask_others(value);
    }

    /// Turns to the other holders of a value that one of them did not deliver, if anybody still wants it.
    pub(crate) fn ask_others(&mut self, value: ValueId) {
        let me = self.me();
        let Some(gather) = self.fetcher.get(value) else { return };
        if gather.interest == 0 && !gather.acquire {
            self.fetcher.remove(value);
        } else if !self.fetcher.ask_next(value, me) {
            self.end_if_exhausted(value);
        }
    }

    pub(crate) fn close_request(&mut self, request: u64, problem: FetchProblem) {
        for value in self.fetcher.close_request(request, problem) {
            self.ask_others(value);
        }
    }

    pub(crate) fn peer_left(&mut self, peer: WorkerId) {
        for value in self.fetcher.peer_left(peer).unwrap_or_default() {
            self.ask_others(value);
        }
    }
}
