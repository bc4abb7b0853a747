//! Workers that run short of memory: who still gets what, and what they give back.
//!
//! - A *tight* worker spills to make room. Tasks from the queue, which make new values, go only to those of its runners
//!   that have nothing else to do (or are many if their results are small); tasks that read what is there go to it as ever. So producers wait for consumers.
//! - A *full* worker gets nothing that another worker can run, and else only tasks that read what it holds.
//! - A worker that gave attempts back *rests*: nothing is sent to it for a while, or until its pressure changes.
//!
//! Work must get done all the same: a task that only full workers may run is given to one of them that has nothing
//! else to do, one at a time. If such workers keep giving it back there is no room for it anywhere, and it fails.

use crate::classes::ClassIx;
use crate::scheduler::Scheduler;
use crate::tasks::{Slot, State, WorkerIx};
use crate::workers::Worker;
use kask_types::{Attempt, Failure, TaskId, Tick};
use kask_wire::worker::Pressure;
use std::sync::Arc;

impl Worker {
    /// Whether a task may be sent to it directly, which holds some of its inputs or none.
    pub(crate) fn may_be_sent(&self, holds_inputs: bool) -> bool {
        self.rests_until.is_none() && (self.pressure != Pressure::Full || holds_inputs)
    }

    /// What is added to the cost of sending it a task: more than any real cost, so that workers with less come first.
    pub(crate) fn reluctance_us(&self, is_root: bool) -> u64 {
        match self.pressure {
            Pressure::Comfortable => 0,
            Pressure::Tight => u64::from(is_root) << 60,
            Pressure::Full => 1 << 61,
        }
    }

    /// Whether it would be given a task that only full workers may run.
    pub(crate) fn takes_one_though_full(&self) -> bool {
        self.pressure == Pressure::Full && self.active == 0 && self.takes_tasks() && self.rests_until.is_none()
    }
}

impl Scheduler {
    /// A worker says how it stands for memory.
    pub(crate) fn pressure_told(&mut self, from: WorkerIx, pressure: Pressure) {
        let worker = &mut self.workers[from];
        worker.pressure = pressure;
        worker.rests_until = None;
        self.workers.strain_changed();
        self.workers.update(from, &self.config);
        self.look_at_parked = true;
    }

    /// A worker gives attempts back for want of room.
    pub(crate) fn handed_back(&mut self, from: WorkerIx, attempts: Vec<(TaskId, Attempt)>) {
        if let Some((task, attempt)) = attempts.iter().find(|&&(task, attempt)| self.was_never_sent(task, attempt)) {
            let reason = format!("handed back {task:?}, attempt {}, which nobody sent it", attempt.0);
            return self.expel_worker(from, reason);
        }
        let mut back = Vec::new();
        for (task, attempt) in attempts {
            if let Some(slot) = self.tasks.current(task)
                && self.is_current(slot, attempt, from)
            {
                self.end_attempt(slot);
                self.wait_again(slot);
                self.counters.handed_back += 1;
                back.push(slot);
            }
        }
        let until = self.now.after_ms(self.config.rest_ms);
        self.workers[from].rests_until = Some(until);
        self.workers.strain_changed();
        self.workers.update(from, &self.config);
        self.next_rest = Scheduler::sooner(self.next_rest, Some(until));
        let had_nothing_else = self.workers[from].processing.is_empty();
        for slot in back {
            if !matches!(self.tasks[slot].state, State::Waiting { missing: 0 }) {
                continue;
            }
            if had_nothing_else && self.only_full_may_run(slot) && self.hand_backs_are_enough(slot) {
                let failure = self.no_room(slot, from);
                self.fail(slot, &Arc::new(failure));
            } else {
                self.make_ready(slot);
            }
        }
    }

    fn only_full_may_run(&self, slot: Slot) -> bool {
        let class = self.tasks.lineage(slot).map(|batch| batch.style_of(self.tasks[slot].row).class);
        class.is_some_and(|class| self.is_full_throughout(class))
    }

    /// Whether there are workers for the class and all of them are full.
    pub(crate) fn is_full_throughout(&self, class: ClassIx) -> bool {
        let eligible = &self.classes.get(class).eligible;
        !eligible.is_empty() && eligible.iter().all(|&ix| self.workers[ix].pressure == Pressure::Full)
    }

    fn hand_backs_are_enough(&mut self, slot: Slot) -> bool {
        let rare = self.tasks.rare_mut(slot);
        rare.hand_backs += 1;
        rare.hand_backs >= self.config.allowed_hand_backs.max(1)
    }

    fn no_room(&self, slot: Slot, worker: WorkerIx) -> Failure {
        let worker = &self.workers[worker];
        let mib = |bytes: u64| bytes >> 20;
        let reason = format!(
            "every worker that may run it is full of values that are still needed and cannot be spilled; worker {}, \
             the last that was asked, holds {} MiB ({} MiB of them on disk) with a memory limit of {} MiB; release \
             results that are not needed, or allow more memory or more space on disk",
            worker.info.name,
            mib(worker.held_bytes),
            mib(worker.metrics.spilled_bytes),
            mib(worker.info.memory_limit_bytes),
        );
        Failure::OutOfMemory { task: self.tasks.printed(slot), reason: reason.into() }
    }

    /// Workers that have rested take work again.
    pub(crate) fn end_rests(&mut self) {
        if self.next_rest.is_none_or(|at| at > self.now) {
            return;
        }
        let is_over = |until: Option<Tick>| until.is_some_and(|until| until <= self.now);
        let rested: Vec<WorkerIx> =
            self.workers.iter().filter(|(_, worker)| is_over(worker.rests_until)).map(|(ix, _)| ix).collect();
        for ix in rested {
            self.workers[ix].rests_until = None;
            self.workers.update(ix, &self.config);
            self.look_at_parked = true;
        }
        self.workers.strain_changed();
        self.next_rest = self.workers.iter().filter_map(|(_, worker)| worker.rests_until).min();
    }

    /// A full worker with nothing else to do for a suspect that only full workers may run.
    pub(crate) fn full_worker_for(&self, slot: Slot) -> Option<WorkerIx> {
        if self.workers.full.is_empty() || !self.only_full_may_run(slot) {
            return None;
        }
        let idle = |&ix: &WorkerIx| {
            let worker = &self.workers[ix];
            worker.takes_one_though_full() && worker.suspect.is_none() && self.may_run_on(slot, ix)
        };
        self.workers.full.iter().copied().find(idle)
    }

    /// Queued tasks that only full workers may run go to those of them that have nothing else to do.
    pub(crate) fn hand_out_to_full(&mut self) {
        if self.workers.full.is_empty() || self.classes.nonempty.is_empty() {
            return;
        }
        let stuck: Vec<ClassIx> = self.classes.nonempty.iter().copied().collect();
        for class in stuck {
            if !self.is_full_throughout(class) {
                continue;
            }
            let eligible = self.classes.get(class).eligible.iter().copied();
            let mut idle: Vec<WorkerIx> = eligible.filter(|&ix| self.workers[ix].takes_one_though_full()).collect();
            while !idle.is_empty() {
                let Some(slot) = self.classes.pop_from(&mut self.tasks, class) else { break };
                let (_, _, holders) = self.weigh_inputs(slot);
                let held =
                    |ix: WorkerIx| holders.iter().find(|(holder, _)| *holder == ix).map_or(0, |(_, h)| h.bytes_here);
                let best = (0..idle.len()).max_by_key(|&at| (held(idle[at]), std::cmp::Reverse(at)));
                let worker = idle.swap_remove(best.expect("there is an idle one"));
                self.dispatch(slot, worker);
            }
        }
    }
}
