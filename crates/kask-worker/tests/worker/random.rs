//! Any sequence of events leaves the worker consistent, loses no attempt, and leaks no value: without a memory limit,
//! and with one that is far too small and a disk that fails in every way.

use crate::common::{ME, Rig, blob, budget, compute, failure, input, task};
use kask_types::{Attempt, Failure, Payload, Resources, TaskId, Tick, ValueId, WorkerId};
use kask_wire::worker::{FetchProblem, Input, Pressure, Priority};
use kask_wire::{SchedulerToWorker, WorkerToScheduler};
use kask_worker::{Config, Event, MemoryConfig, Outcome, SpillProblem};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Op {
    PeerJoins(u32),
    PeerLeaves(u32),
    Compute { slot: u32, inputs: Vec<In>, order: u32, blob: Option<u8>, gpu: bool, bytes: u64 },
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
    Written { which: usize, how: u8 },
    Read { which: usize, how: u8 },
    Measured { process_bytes: u64, most_bytes: u64 },
    Lent(u64),
}

/// An input: its slot, which part of it, and its holders.
type In = (u32, Option<u32>, Vec<u32>);

fn op() -> impl Strategy<Value = Op> {
    let holders = || prop::collection::vec(0u32..5, 0..4);
    let part = prop_oneof![3 => Just(None), 1 => (0u32..2).prop_map(Some)];
    let inputs = prop::collection::vec((0u32..10, part, holders()), 0..4);
    let bytes = prop_oneof![3 => Just(0u64), 2 => 0u64..1500, 1 => 2000u64..4500];
    let compute = (0u32..16, inputs, 0u32..4, prop::option::of(0u8..3), prop::bool::weighted(0.2), bytes);
    prop_oneof![
        1 => (1u32..5).prop_map(Op::PeerJoins),
        1 => (1u32..5).prop_map(Op::PeerLeaves),
        8 => compute
            .prop_map(|(slot, inputs, order, blob, gpu, bytes)| Op::Compute { slot, inputs, order, blob, gpu, bytes }),
        2 => any::<usize>().prop_map(Op::Cancel),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Op::Steal(a, b)),
        2 => (0u32..16).prop_map(Op::Free),
        1 => ((0u32..10), holders()).prop_map(|(slot, holders)| Op::Acquire(slot, holders)),
        1 => (0u8..3).prop_map(Op::DropBlob),
        5 => (any::<usize>(), 0u8..6).prop_map(|(which, how)| Op::Done { which, how }),
        5 => (any::<usize>(), prop::collection::vec(0u8..8, 0..6), any::<bool>())
            .prop_map(|(which, good, last)| Op::Answer { which, good, last }),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, good)| Op::AnswerLate { which, good }),
        1 => (0u32..10).prop_map(Op::Stored),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, back)| Op::Secede { which, back }),
        1 => (0u64..70_000).prop_map(Op::Wait),
        1 => (0u64..1_500).prop_map(Op::Wait),
        4 => (any::<usize>(), 0u8..12).prop_map(|(which, how)| Op::Written { which, how }),
        3 => (any::<usize>(), 0u8..8).prop_map(|(which, how)| Op::Read { which, how }),
        1 => (0u64..6_500, prop_oneof![Just(u64::MAX), 0u64..6_500])
            .prop_map(|(process_bytes, most_bytes)| Op::Measured { process_bytes, most_bytes }),
        1 => (0u64..3_000).prop_map(Op::Lent),
    ]
}

/// How often things happened that sequences must reach.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    written: usize,
    written_in_vain: usize,
    read: usize,
    lost: usize,
    handed_back: usize,
    out_of_memory: usize,
    refused_copies: usize,
    parts: usize,
    full: usize,
}

/// The rig, and what a scheduler would remember.
struct World {
    rig: Rig,
    next_attempt: BTreeMap<TaskId, u32>,
    /// Attempts that have not been answered, and whether they were cancelled.
    open: BTreeMap<(TaskId, Attempt), bool>,
    acquired: BTreeSet<TaskId>,
    all_requests: Vec<(u64, WorkerId, Vec<ValueId>)>,
    seen: Seen,
}

impl World {
    fn new(memory: MemoryConfig) -> World {
        let resources = Resources::new([("GPU", 1.0)]).expect("a valid amount");
        let rig = Rig::new(Config {
            nthreads: 2,
            resources,
            fetch_concurrency: 2,
            fetch_batch_count: 3,
            fetch_inflight_bytes: 500,
            memory,
            ..Config::default()
        });
        let (next_attempt, open) = (BTreeMap::new(), BTreeMap::new());
        World { rig, next_attempt, open, acquired: BTreeSet::new(), all_requests: Vec::new(), seen: Seen::default() }
    }

    fn pick<T: Copy>(from: impl ExactSizeIterator<Item = T>, which: usize) -> Option<T> {
        let len = from.len();
        if len == 0 { None } else { from.into_iter().nth(which % len) }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::PeerJoins(id) => self.rig.peer_joins(id),
            Op::PeerLeaves(id) => self.rig.peer_leaves(id),
            Op::Compute { slot, inputs, order, blob, gpu, bytes } => {
                self.compute(slot, inputs, order, blob, gpu, bytes);
            }
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
                self.rig.stores(task(slot), 11 + 250 * u64::from(slot));
            }
            Op::Secede { which, back } => {
                if let Some((task, attempt)) = Self::pick(self.rig.running.keys().copied(), which) {
                    let event = if back { Event::Rejoined { task, attempt } } else { Event::Seceded { task, attempt } };
                    self.rig.event(event);
                }
            }
            Op::Wait(ms) => {
                self.rig.waits(ms);
            }
            Op::Written { which, how } => {
                self.seen.written_in_vain += usize::from(self.rig.writes.iter().any(|(_, wanted)| !wanted));
                self.seen.written += usize::from(!self.rig.writes.is_empty());
                let problems = [SpillProblem::DiskFull, SpillProblem::Unpicklable, SpillProblem::Io];
                self.rig.writes_some(which, problems.get(usize::from(how)).map_or(Ok(()), |&problem| Err(problem)));
            }
            Op::Read { which, how } => {
                self.seen.read += usize::from(!self.rig.reads.is_empty());
                let problems = [SpillProblem::Damaged, SpillProblem::Io];
                self.rig.reads_some(which, problems.get(usize::from(how)).map_or(Ok(()), |&problem| Err(problem)));
            }
            Op::Measured { process_bytes, most_bytes } => self.rig.measures(process_bytes, most_bytes),
            Op::Lent(kept_bytes) => self.rig.event(Event::Lent { kept_bytes }),
        }
        self.seen.parts += self.rig.parts.len();
        self.listen();
    }

    fn compute(&mut self, slot: u32, inputs: Vec<In>, order: u32, function: Option<u8>, gpu: bool, bytes: u64) {
        let inputs = inputs.iter().map(|(slot, part, holders)| Input { part: *part, ..input(task(*slot), holders) });
        let inputs: Vec<Input> = inputs.collect();
        let mut compute = compute(task(slot), inputs);
        let attempt = self.next_attempt.entry(task(slot)).or_insert(0);
        *attempt += 1;
        compute.attempt = Attempt(*attempt);
        compute.memory_bytes = bytes;
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
            n => Outcome::Value { nbytes: 300 * u64::from(n) },
        };
        self.rig.done(task, attempt.0, outcome);
    }

    fn answer(&mut self, which: usize, good: &[u8], last: bool) {
        let Some(request) = Self::pick(self.rig.requests.keys().copied().collect::<Vec<_>>().into_iter(), which) else {
            return;
        };
        let (peer, tasks) = self.rig.requests[&request].clone();
        let problems =
            [FetchProblem::NotThere, FetchProblem::Unreachable, FetchProblem::Undecodable, FetchProblem::Busy];
        let results = tasks.iter().zip(good).map(|(&task, &n)| {
            (task, problems.get(usize::from(n)).map_or(Ok(125 * u64::from(n)), |&problem| Err(problem)))
        });
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
                WorkerToScheduler::Failed { task, attempt, failure, .. } => {
                    self.seen.out_of_memory += usize::from(matches!(failure, Failure::OutOfMemory { .. }));
                    vec![(task, attempt)]
                }
                WorkerToScheduler::Pressure(pressure) => {
                    self.seen.full += usize::from(pressure == Pressure::Full);
                    Vec::new()
                }
                WorkerToScheduler::InputsMissing { task, attempt, missing } => {
                    assert!(!missing.is_empty());
                    vec![(task, attempt)]
                }
                WorkerToScheduler::HandedBack(list) => {
                    self.seen.handed_back += list.len();
                    list
                }
                WorkerToScheduler::StealAnswer { given, kept } => {
                    assert!(kept.iter().all(|of| self.rig.running.contains_key(of)), "only running ones are kept");
                    given
                }
                WorkerToScheduler::Lingering(list) => {
                    assert!(list.iter().all(|of| self.rig.running.contains_key(of)), "only running ones linger");
                    Vec::new()
                }
                WorkerToScheduler::Holding(list) => {
                    list.iter().for_each(|(task, _)| {
                        self.acquired.remove(task);
                    });
                    Vec::new()
                }
                WorkerToScheduler::Missing(list) => {
                    for (task, holder, problem) in list {
                        self.seen.lost += usize::from(!self.acquired.remove(&task) && holder == ME);
                        self.seen.refused_copies += usize::from(holder == ME && problem == FetchProblem::Busy);
                    }
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
            if self.rig.writes_one(Ok(())) || self.rig.reads_one(Ok(())) {
            } else if !self.rig.running.is_empty() {
                self.done(0, 5);
            } else if !self.rig.requests.is_empty() {
                self.answer(0, &[7, 7, 7], true);
            } else if self.open.is_empty() && self.acquired.is_empty() {
                break;
            } else {
                // A disk that is tried again, a peer that is busy, room that is waited for.
                self.rig.event(Event::Lent { kept_bytes: 0 });
                self.rig.measures(0, u64::MAX);
                self.rig.waits(300);
            }
            self.listen();
        }
        assert!(self.open.is_empty(), "never answered: {:?}", self.open);
        assert!(self.acquired.is_empty(), "never acquired, never refused: {:?}", self.acquired);
        let held: BTreeSet<TaskId> = self.rig.store.keys().chain(self.rig.disk.keys()).copied().collect();
        self.rig.hears(SchedulerToWorker::Free(held.into_iter().collect()));
        (0..3).for_each(|id| self.rig.hears(SchedulerToWorker::DropBlobs(vec![blob(id)])));
        assert_eq!(self.rig.worker.inventory(), (0, 0, 0, 0), "something is left");
        assert_eq!(self.rig.worker.memory_metrics(), (0, 0), "something is set aside for nobody");
    }
}

/// Applies all, and has everything end.
fn survive(memory: MemoryConfig, ops: Vec<Op>) -> Seen {
    let mut world = World::new(memory);
    for op in ops {
        world.apply(op);
    }
    world.rig.now = world.rig.now + Tick::from_ms(1).0;
    world.settle();
    world.seen
}

/// A test that reaches nothing finds nothing.
#[test]
fn the_sequences_reach_every_rule() {
    let mut runner = TestRunner::deterministic();
    let strategy = prop::collection::vec(op(), 1..120);
    let mut total = Seen::default();
    for _ in 0..600 {
        let ops = strategy.new_tree(&mut runner).expect("any sequence will do").current();
        let seen = survive(budget(3_000), ops);
        total.written += seen.written;
        total.written_in_vain += seen.written_in_vain;
        total.read += seen.read;
        total.lost += seen.lost;
        total.handed_back += seen.handed_back;
        total.out_of_memory += seen.out_of_memory;
        total.refused_copies += seen.refused_copies;
        total.parts += seen.parts;
        total.full += seen.full;
    }
    println!("{total:?}");
    let Seen { written, written_in_vain, read, lost, handed_back, out_of_memory, refused_copies, parts, full } = total;
    let all = [written, written_in_vain, read, lost, handed_back, out_of_memory, refused_copies, parts, full];
    assert!(all.iter().all(|&times| times > 0), "{total:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_sequence_is_survived(ops in prop::collection::vec(op(), 1..80)) {
        survive(MemoryConfig::default(), ops);
    }

    #[test]
    fn any_sequence_is_survived_with_too_little_memory(ops in prop::collection::vec(op(), 1..120)) {
        survive(budget(3_000), ops);
    }

    #[test]
    fn any_sequence_is_survived_without_a_disk(ops in prop::collection::vec(op(), 1..80)) {
        survive(MemoryConfig { can_spill: false, ..budget(3_000) }, ops);
    }
}
