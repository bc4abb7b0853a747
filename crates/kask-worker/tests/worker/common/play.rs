//! A graph played through one worker: a scheduler that knows what is wanted, runners and a disk that take their time.
//!
//! Sizes are what they are said to be, so the budget must hold: whenever more is taken than the budget allows, one attempt
//! alone is to blame.

use super::{Rig, compute, input};
use kask_types::{Attempt, TaskId, Tick};
use kask_wire::worker::{Input, Pressure, Priority};
use kask_wire::{SchedulerToWorker, WorkerToScheduler};
use kask_worker::{Config, Outcome, SpillProblem};
use std::collections::BTreeSet;

/// A task of the graph; its number is its place in the list and in the order.
#[derive(Clone, Debug)]
pub struct Node {
    pub family: &'static str,
    pub inputs: Vec<u32>,
    pub nbytes: u64,
    /// A client wants the result and keeps it.
    pub wanted: bool,
}

/// What remains to be done of a graph, and the worker that does it.
pub struct Play {
    pub rig: Rig,
    nodes: Vec<Node>,
    readers: Vec<Vec<u32>>,
    /// Inputs that have no value, for each task.
    missing: Vec<u32>,
    /// Readers that have no value, for each task.
    unread: Vec<u32>,
    attempt: Vec<u32>,
    has_value: BTreeSet<u32>,
    freed: BTreeSet<u32>,
    sent: BTreeSet<u32>,
    ready_roots: BTreeSet<u32>,
    ready_others: BTreeSet<u32>,
    /// So many tasks without inputs are sent at a time.
    pub roots_at_once: usize,
    pub handed_back: usize,
    rests_until: Tick,
    pub failed: Vec<String>,
    pub lost: usize,
    pub most_taken: u64,
    /// Some values cannot be written, so what has no room beside them may fail.
    some_are_fixed: bool,
}

impl Play {
    pub fn new(nodes: Vec<Node>, config: Config) -> Play {
        let mut readers = vec![Vec::new(); nodes.len()];
        for (at, node) in nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&input| readers[input as usize].push(at as u32));
        }
        let is_root = |at: &u32| nodes[*at as usize].inputs.is_empty();
        let mut play = Play {
            rig: Rig::new(config),
            missing: nodes.iter().map(|node| node.inputs.len() as u32).collect(),
            unread: readers.iter().map(|readers| readers.len() as u32).collect(),
            attempt: vec![0; nodes.len()],
            has_value: BTreeSet::new(),
            freed: BTreeSet::new(),
            sent: BTreeSet::new(),
            ready_roots: (0..nodes.len() as u32).filter(is_root).collect(),
            ready_others: BTreeSet::new(),
            roots_at_once: 4,
            handed_back: 0,
            rests_until: Tick(0),
            failed: Vec::new(),
            lost: 0,
            most_taken: 0,
            some_are_fixed: false,
            nodes,
            readers,
        };
        play.go_on();
        play
    }

    pub fn is_done(&self) -> bool {
        self.has_value.len() == self.nodes.len()
    }

    /// What the scheduler does after every event: a worker that gave work back gets none for a while, and a full one
    /// gets one task at a time.
    pub fn go_on(&mut self) {
        self.watch();
        let mut heard = self.rig.heard();
        while !heard.is_empty() {
            heard.into_iter().for_each(|message| self.hear(message));
            self.watch();
            heard = self.rig.heard();
        }
        let is_full = self.rig.worker.pressure() == Pressure::Full;
        if self.rig.now < self.rests_until || (is_full && !self.sent.is_empty()) {
            return;
        }
        let at_once = if is_full { 1 } else { usize::MAX };
        let mut tasks = Vec::new();
        while tasks.len() < at_once
            && let Some(other) = self.ready_others.pop_first()
        {
            tasks.push(other);
        }
        while self.sent.len() + tasks.len() < self.roots_at_once.min(at_once)
            && let Some(root) = self.ready_roots.pop_first()
        {
            tasks.push(root);
        }
        if tasks.is_empty() {
            return;
        }
        self.sent.extend(&tasks);
        let tasks = tasks.into_iter().map(|at| self.compute(at)).collect();
        self.rig.hears(SchedulerToWorker::Compute(tasks));
        self.go_on();
    }

    fn compute(&mut self, at: u32) -> kask_wire::ComputeTask {
        self.attempt[at as usize] += 1;
        let node = &self.nodes[at as usize];
        let inputs =
            node.inputs.iter().map(|&of| Input { nbytes: self.nodes[of as usize].nbytes, ..input(id(of), &[0]) });
        let mut task = compute(id(at), inputs.collect());
        task.name = kask_types::TaskName::Custom(format!("{}-{at}", node.family).into());
        task.attempt = Attempt(self.attempt[at as usize]);
        task.memory_bytes = node.nbytes;
        task.priority = Priority { order: at, ..Priority::default() };
        task
    }

    /// More than the budget is taken only by one attempt that has no other way.
    fn watch(&mut self) {
        let worker = &self.rig.worker;
        let taken = worker.metrics().3 + worker.memory_metrics().1;
        self.most_taken = self.most_taken.max(taken);
        let budget = worker.budget_bytes();
        assert!(taken <= budget || worker.admitted() <= 1, "{taken} of {budget} are taken by {}", worker.admitted());
    }

    fn hear(&mut self, message: WorkerToScheduler) {
        match message {
            WorkerToScheduler::Finished(all) => all.iter().for_each(|one| self.finished(one.task.slot)),
            WorkerToScheduler::InputsMissing { task, .. } => {
                self.sent.remove(&task.slot);
                self.again(task.slot);
            }
            WorkerToScheduler::HandedBack(all) => {
                self.handed_back += all.len();
                self.rests_until = self.rig.now.after_ms(100);
                for (task, _) in all {
                    self.sent.remove(&task.slot);
                    self.again(task.slot);
                }
            }
            WorkerToScheduler::Failed { task, failure, .. } => {
                self.failed.push(failure.to_string());
                self.sent.remove(&task.slot);
                self.again(task.slot);
            }
            WorkerToScheduler::Missing(all) => all.iter().for_each(|(task, ..)| self.value_lost(task.slot)),
            _ => {}
        }
    }

    fn finished(&mut self, at: u32) {
        self.sent.remove(&at);
        if !self.has_value.insert(at) {
            return;
        }
        for reader in self.readers[at as usize].clone() {
            self.missing[reader as usize] -= 1;
            self.again(reader);
        }
        for input in self.nodes[at as usize].inputs.clone() {
            self.unread[input as usize] -= 1;
            self.free_if_done_with(input);
        }
        self.free_if_done_with(at);
    }

    /// Sends a task (again) as soon as it has what it needs, if it is needed.
    fn again(&mut self, at: u32) {
        if self.missing[at as usize] == 0 && !self.has_value.contains(&at) && !self.sent.contains(&at) {
            let is_root = self.nodes[at as usize].inputs.is_empty();
            if is_root { &mut self.ready_roots } else { &mut self.ready_others }.insert(at);
        }
    }

    fn free_if_done_with(&mut self, at: u32) {
        if self.unread[at as usize] == 0 && !self.nodes[at as usize].wanted && self.has_value.contains(&at) {
            self.freed.insert(at);
            self.rig.hears(SchedulerToWorker::Free(vec![id(at)]));
        }
    }

    /// A value is to be made again, and whatever it is made of that is not there any more.
    fn value_lost(&mut self, at: u32) {
        if !self.has_value.remove(&at) {
            return;
        }
        self.lost += 1;
        for reader in self.readers[at as usize].clone() {
            self.missing[reader as usize] += 1;
            self.ready_others.remove(&reader);
        }
        for input in self.nodes[at as usize].inputs.clone() {
            self.unread[input as usize] += 1;
            if self.freed.remove(&input) {
                self.value_lost(input);
            }
        }
        self.again(at);
    }

    pub fn end_one(&mut self, which: usize) -> bool {
        let running = self.rig.running.len();
        let Some((task, attempt)) = self.rig.running.keys().nth(which % running.max(1)).copied() else { return false };
        let nbytes = self.nodes[task.slot as usize].nbytes;
        self.rig.done(task, attempt.0, Outcome::Value { nbytes });
        self.go_on();
        true
    }

    pub fn write_one(&mut self, which: usize, answer: Result<(), SpillProblem>) -> bool {
        let any = !self.rig.writes.is_empty();
        self.some_are_fixed |= any && answer == Err(SpillProblem::Unpicklable);
        self.rig.writes_some(which, answer);
        self.go_on();
        any
    }

    pub fn read_one(&mut self, which: usize, answer: Result<(), SpillProblem>) -> bool {
        let any = !self.rig.reads.is_empty();
        self.rig.reads_some(which, answer);
        self.go_on();
        any
    }

    pub fn waits(&mut self, ms: u64) {
        self.rig.waits(ms);
        self.go_on();
    }

    /// Everything goes well from here on: one write and one read take as long as one task on each runner.
    pub fn play_to_the_end(&mut self) {
        self.failed.clear();
        for _ in 0..100 * self.nodes.len() + 1000 {
            if self.is_done() || (self.some_are_fixed && !self.failed.is_empty()) {
                return;
            }
            let wrote = self.write_one(0, Ok(()));
            let read = self.read_one(0, Ok(()));
            let ended = (0..self.rig.worker_threads).filter(|_| self.end_one(0)).count() > 0;
            if !wrote && !read && !ended {
                self.waits(100);
            }
        }
        panic!("this takes for ever: {:?}", self.rig.worker.inventory());
    }

    /// Nobody wants anything any more.
    pub fn give_up_all(&mut self) {
        let sent = self.sent.iter().map(|&at| (id(at), Attempt(self.attempt[at as usize]))).collect();
        self.rig.hears(SchedulerToWorker::Cancel(sent));
        while let Some((task, attempt)) = self.rig.running.keys().next().copied() {
            self.rig.done(task, attempt.0, Outcome::Value { nbytes: 1 });
        }
        let all = (0..self.nodes.len() as u32).map(id).collect();
        self.rig.hears(SchedulerToWorker::Free(all));
        while !self.rig.writes.is_empty() || !self.rig.reads.is_empty() {
            self.rig.writes_one(Ok(()));
            self.rig.reads_one(Ok(()));
        }
        assert_eq!(self.rig.worker.inventory(), (0, 0, 0, 0), "something is left");
        assert_eq!(self.rig.worker.memory_metrics(), (0, 0), "something is set aside for nobody");
        assert!(self.rig.disk.is_empty() && self.rig.store.is_empty());
    }
}

pub fn id(at: u32) -> TaskId {
    super::task(at)
}
