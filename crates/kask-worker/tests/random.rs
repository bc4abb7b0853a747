//! Any sequence of events leaves the worker consistent, loses no attempt, and leaks no value.

mod common;

use common::{Rig, blob, compute, failure, input, task};
use kask_types::{Attempt, Payload, Resources, TaskId, Tick, WorkerId};
use kask_wire::worker::{FetchProblem, Input, Priority};
use kask_wire::{SchedulerToWorker, WorkerToScheduler};
use kask_worker::{Config, Event, Outcome};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Op {
    PeerJoins(u32),
    PeerLeaves(u32),
    Compute { slot: u32, inputs: Vec<(u32, Vec<u32>)>, order: u32, blob: Option<u8>, gpu: bool },
    Cancel(usize),
    Steal(usize, usize),
    Free(u32),
    Acquire(u32, Vec<u32>),
    DropBlob(u8),
    Done { which: usize, how: u8 },
    Answer { which: usize, good: Vec<u8>, last: bool },
    AnswerLate { which: usize, good: bool },
    Stored(u32),
    Secede { which: usize, back: bool },
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let holders = || prop::collection::vec(0u32..5, 0..4);
    let inputs = prop::collection::vec((0u32..10, holders()), 0..4);
    let compute = (0u32..16, inputs, 0u32..4, prop::option::of(0u8..3), prop::bool::weighted(0.2));
    prop_oneof![
        1 => (1u32..5).prop_map(Op::PeerJoins),
        1 => (1u32..5).prop_map(Op::PeerLeaves),
        8 => compute.prop_map(|(slot, inputs, order, blob, gpu)| Op::Compute { slot, inputs, order, blob, gpu }),
        2 => any::<usize>().prop_map(Op::Cancel),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Op::Steal(a, b)),
        2 => (0u32..16).prop_map(Op::Free),
        1 => ((0u32..10), holders()).prop_map(|(slot, holders)| Op::Acquire(slot, holders)),
        1 => (0u8..3).prop_map(Op::DropBlob),
        5 => (any::<usize>(), 0u8..6).prop_map(|(which, how)| Op::Done { which, how }),
        5 => (any::<usize>(), prop::collection::vec(0u8..5, 0..6), any::<bool>())
            .prop_map(|(which, good, last)| Op::Answer { which, good, last }),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, good)| Op::AnswerLate { which, good }),
        1 => (0u32..10).prop_map(Op::Stored),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, back)| Op::Secede { which, back }),
        1 => (0u64..70_000).prop_map(Op::Wait),
    ]
}

/// The rig, and what a scheduler would remember.
struct World {
    rig: Rig,
    next_attempt: BTreeMap<TaskId, u32>,
    /// Attempts that have not been answered, and whether they were cancelled.
    open: BTreeMap<(TaskId, Attempt), bool>,
    acquired: BTreeSet<TaskId>,
    all_requests: Vec<(u64, WorkerId, Vec<TaskId>)>,
}

impl World {
    fn new() -> World {
        let resources = Resources::new([("GPU", 1.0)]).expect("a valid amount");
        let rig = Rig::new(Config {
            nthreads: 2,
            resources,
            fetch_concurrency: 2,
            fetch_batch_count: 3,
            ..Config::default()
        });
        let (next_attempt, open) = (BTreeMap::new(), BTreeMap::new());
        World { rig, next_attempt, open, acquired: BTreeSet::new(), all_requests: Vec::new() }
    }

    fn pick<T: Copy>(from: impl ExactSizeIterator<Item = T>, which: usize) -> Option<T> {
        let len = from.len();
        if len == 0 { None } else { from.into_iter().nth(which % len) }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::PeerJoins(id) => self.rig.peer_joins(id),
            Op::PeerLeaves(id) => self.rig.peer_leaves(id),
            Op::Compute { slot, inputs, order, blob, gpu } => self.compute(slot, inputs, order, blob, gpu),
            Op::Cancel(which) => {
                if let Some(of) = Self::pick(self.open.keys().copied(), which) {
                    if self.rig.running.contains_key(&of) {
                        self.open.insert(of, true);
                    } else {
                        self.open.remove(&of);
                    }
                    self.rig.hears(SchedulerToWorker::Cancel(vec![of]));
                }
            }
            Op::Steal(a, b) => {
                let picked = [a, b].map(|which| Self::pick(self.open.keys().copied(), which));
                let asked: BTreeSet<_> = picked.into_iter().flatten().collect();
                self.rig.hears(SchedulerToWorker::Steal(asked.into_iter().collect()));
            }
            Op::Free(slot) => self.rig.hears(SchedulerToWorker::Free(vec![task(slot)])),
            Op::Acquire(slot, holders) => {
                self.acquired.insert(task(slot));
                self.rig.hears(SchedulerToWorker::Acquire(vec![input(task(slot), &holders)]));
            }
            Op::DropBlob(id) => self.rig.hears(SchedulerToWorker::DropBlobs(vec![blob(u128::from(id))])),
            Op::Done { which, how } => self.done(which, how),
            Op::Answer { which, good, last } => self.answer(which, &good, last),
            Op::AnswerLate { which, good } => {
                if let Some(at) = Self::pick(0..self.all_requests.len(), which) {
                    let (request, peer, tasks) = self.all_requests[at].clone();
                    if !self.rig.requests.contains_key(&request) {
                        let result = if good { Ok(3) } else { Err(FetchProblem::Unreachable) };
                        self.rig.answers_late(request, peer.0, &[(tasks[0], result)], true);
                    }
                }
            }
            Op::Stored(slot) => {
                self.rig.store.insert(task(slot));
                self.rig.event(Event::Stored { task: task(slot), nbytes: 11 });
            }
            Op::Secede { which, back } => {
                if let Some((task, attempt)) = Self::pick(self.rig.running.keys().copied(), which) {
                    let event = if back { Event::Rejoined { task, attempt } } else { Event::Seceded { task, attempt } };
                    self.rig.event(event);
                }
            }
            Op::Wait(ms) => {
                self.rig.now = self.rig.now.after_ms(ms);
                self.rig.event(Event::Tick);
            }
        }
        self.listen();
    }

    fn compute(&mut self, slot: u32, inputs: Vec<(u32, Vec<u32>)>, order: u32, function: Option<u8>, gpu: bool) {
        let inputs: Vec<Input> = inputs.iter().map(|(slot, holders)| input(task(*slot), holders)).collect();
        let mut compute = compute(task(slot), inputs);
        let attempt = self.next_attempt.entry(task(slot)).or_insert(0);
        *attempt += 1;
        compute.attempt = Attempt(*attempt);
        compute.priority = Priority { order, ..Priority::default() };
        compute.function = function.map(|id| blob(u128::from(id)));
        if gpu {
            compute.resources = Some(Arc::new(Resources::new([("GPU", 1.0)]).expect("a valid amount")));
        }
        if let Some(function) = compute.function {
            self.rig.hears(SchedulerToWorker::Blobs(vec![(function, Payload::empty())]));
        }
        self.open.insert((compute.task, compute.attempt), false);
        self.rig.hears(SchedulerToWorker::Compute(vec![compute]));
    }

    fn done(&mut self, which: usize, how: u8) {
        let Some((task, attempt)) = Self::pick(self.rig.running.keys().copied(), which) else { return };
        let outcome = match how {
            0 => Outcome::Failed { failure: failure() },
            1 => Outcome::Reschedule,
            n => Outcome::Value { nbytes: u64::from(n) },
        };
        self.rig.done(task, attempt.0, outcome);
    }

    fn answer(&mut self, which: usize, good: &[u8], last: bool) {
        let Some(request) = Self::pick(self.rig.requests.keys().copied().collect::<Vec<_>>().into_iter(), which) else {
            return;
        };
        let (peer, tasks) = self.rig.requests[&request].clone();
        let problems = [FetchProblem::NotThere, FetchProblem::Unreachable, FetchProblem::Undecodable];
        let results = tasks
            .iter()
            .zip(good)
            .map(|(&task, &n)| (task, problems.get(usize::from(n)).map_or(Ok(u64::from(n)), |&problem| Err(problem))));
        let results = results.collect::<Vec<_>>();
        if last {
            self.rig.requests.remove(&request);
        }
        self.rig.answers_late(request, peer.0, &results, last);
    }

    /// Ticks every answer off; none may come twice.
    fn listen(&mut self) {
        for (&request, (peer, tasks)) in &self.rig.requests {
            if self.all_requests.iter().all(|(known, ..)| *known != request) {
                self.all_requests.push((request, *peer, tasks.clone()));
            }
        }
        for message in self.rig.heard() {
            let ended: Vec<(TaskId, Attempt)> = match message {
                WorkerToScheduler::Finished(list) => list.iter().map(|one| (one.task, one.attempt)).collect(),
                WorkerToScheduler::Failed { task, attempt, .. } => vec![(task, attempt)],
                WorkerToScheduler::InputsMissing { task, attempt, missing } => {
                    assert!(!missing.is_empty());
                    vec![(task, attempt)]
                }
                WorkerToScheduler::StealAnswer { given, kept } => {
                    assert!(kept.iter().all(|of| self.rig.running.contains_key(of)), "only running ones are kept");
                    given
                }
                WorkerToScheduler::Holding(list) => {
                    list.iter().for_each(|(task, _)| {
                        self.acquired.remove(task);
                    });
                    Vec::new()
                }
                WorkerToScheduler::Missing(list) => {
                    list.iter().for_each(|(task, ..)| {
                        self.acquired.remove(task);
                    });
                    Vec::new()
                }
                _ => Vec::new(),
            };
            for of in ended {
                assert!(self.open.remove(&of).is_some(), "{of:?} was answered twice or never asked");
            }
        }
    }

    /// No more trouble: everything ends.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.rig.running.is_empty() {
                self.done(0, 5);
            } else if !self.rig.requests.is_empty() {
                self.answer(0, &[], true);
            } else {
                break;
            }
            self.listen();
        }
        assert!(self.open.is_empty(), "never answered: {:?}", self.open);
        assert!(self.acquired.is_empty(), "never acquired, never refused: {:?}", self.acquired);
        let held: Vec<TaskId> = self.rig.store.iter().copied().collect();
        self.rig.hears(SchedulerToWorker::Free(held));
        (0..3).for_each(|id| self.rig.hears(SchedulerToWorker::DropBlobs(vec![blob(id)])));
        assert_eq!(self.rig.worker.inventory(), (0, 0, 0, 0), "something is left");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_sequence_is_survived(ops in prop::collection::vec(op(), 1..80)) {
        let mut world = World::new();
        for op in ops {
            world.apply(op);
        }
        world.rig.now = world.rig.now + Tick::from_ms(1).0;
        world.settle();
    }
}
