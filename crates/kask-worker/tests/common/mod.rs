//! A worker core with a pretended shell: a store, runners, and messages that all go through the codec.
//!
//! The rig obeys actions as a shell does and asserts what every shell relies on: inputs and functions are there when an
//! attempt runs, and the store never holds more or less than the core believes.

// Each test file uses its own part of the vocabulary.
#![allow(dead_code)]

use kask_graph::Slots;
use kask_types::{Attempt, BlobId, Failure, Incarnation, Payload, Resources, TaskId, TaskName, Tick, WorkerId};
use kask_wire::worker::{FetchProblem, Finished, Input, Peer, Priority};
use kask_wire::{ComputeTask, SchedulerToWorker, WorkerToScheduler};
use kask_worker::{Action, Config, Event, Outcome, TaskDone, Worker};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub const ME: WorkerId = WorkerId(0);

pub fn task(slot: u32) -> TaskId {
    TaskId { slot, generation: 0 }
}

pub fn blob(n: u128) -> BlobId {
    BlobId(n)
}

pub fn input(of: TaskId, holders: &[u32]) -> Input {
    Input { task: of, nbytes: 100, holders: holders.iter().map(|&id| WorkerId(id)).collect() }
}

/// Attempt 1 at a task that calls nothing.
pub fn compute(of: TaskId, inputs: Vec<Input>) -> ComputeTask {
    ComputeTask {
        task: of,
        attempt: Attempt(1),
        name: TaskName::Custom(Arc::from(format!("f-{}", of.slot))),
        function: None,
        args: Payload::empty(),
        item: None,
        position: None,
        slots: Slots::Each,
        inputs,
        priority: Priority { order: of.slot, ..Priority::default() },
        resources: None,
    }
}

pub fn needs(mut task: ComputeTask, resources: &Resources) -> ComputeTask {
    task.resources = Some(Arc::new(resources.clone()));
    task
}

/// A failure of the user's making.
pub fn failure() -> Failure {
    Failure::Unrunnable { reason: Arc::from("as the test wants it") }
}

pub struct Rig {
    pub worker: Worker,
    pub now: Tick,
    pub store: BTreeSet<TaskId>,
    pub blobs: BTreeSet<BlobId>,
    pub running: BTreeMap<(TaskId, Attempt), ComputeTask>,
    pub requests: BTreeMap<u64, (WorkerId, Vec<TaskId>)>,
    pub asked_at: BTreeMap<u64, Tick>,
    pub said: Vec<WorkerToScheduler>,
    pub ran: Vec<TaskId>,
    pub closed: Option<Arc<str>>,
}

impl Rig {
    pub fn new(config: Config) -> Rig {
        let mut rig = Rig {
            worker: Worker::new(config),
            now: Tick(0),
            store: BTreeSet::new(),
            blobs: BTreeSet::new(),
            running: BTreeMap::new(),
            requests: BTreeMap::new(),
            asked_at: BTreeMap::new(),
            said: Vec::new(),
            ran: Vec::new(),
            closed: None,
        };
        rig.hears(SchedulerToWorker::Registered { worker: ME, heartbeat_ms: 1000 });
        rig
    }

    /// One runner, peers 1 to `peers`.
    pub fn with_peers(peers: u32) -> Rig {
        let mut rig = Rig::new(Config::default());
        for id in 1..=peers {
            rig.peer_joins(id);
        }
        rig
    }

    pub fn peer_joins(&mut self, id: u32) {
        let peer = Peer {
            worker: WorkerId(id),
            incarnation: Incarnation(u128::from(id)),
            address: Arc::from(format!("sim://{id}")),
        };
        self.hears(SchedulerToWorker::PeerJoined(peer));
    }

    pub fn peer_leaves(&mut self, id: u32) {
        self.requests.retain(|_, (peer, _)| *peer != WorkerId(id));
        self.hears(SchedulerToWorker::PeerLeft(WorkerId(id)));
    }

    pub fn hears(&mut self, message: SchedulerToWorker) {
        let bytes = postcard::to_stdvec(&message).expect("messages of bytes can be encoded");
        let decoded = postcard::from_bytes(&bytes).expect("what was encoded can be decoded");
        self.event(Event::FromScheduler(decoded));
    }

    pub fn event(&mut self, event: Event) {
        self.worker.handle(self.now, event);
        while let Some(action) = self.worker.poll_action() {
            self.obey(action);
        }
        self.worker.check();
        for &task in &self.store {
            assert!(self.worker.holds(task), "{task:?} lies in the store and the core has forgotten it");
        }
        assert_eq!(self.worker.inventory().0, self.store.len(), "the core believes in values that are not there");
        assert_eq!(self.worker.inventory().3, self.blobs.len(), "functions kept");
    }

    fn obey(&mut self, action: Action) {
        match action {
            Action::Run(compute) => {
                for input in &compute.inputs {
                    assert!(self.store.contains(&input.task), "{:?} runs without {:?}", compute.task, input.task);
                }
                if let Some(function) = compute.function {
                    assert!(self.blobs.contains(&function), "{:?} runs without its function", compute.task);
                }
                self.ran.push(compute.task);
                assert!(self.running.insert((compute.task, compute.attempt), compute).is_none(), "it runs already");
            }
            Action::Fetch { request, peer, tasks } => {
                assert!(!tasks.is_empty() && peer != ME);
                let former = self.requests.iter().find(|(_, (other, _))| *other == peer).map(|(&former, _)| former);
                if let Some(former) = former {
                    assert!(self.now.since_ns(self.asked_at[&former]) >= 60_000_000_000, "two requests to {peer:?}");
                    self.requests.remove(&former);
                }
                self.asked_at.insert(request, self.now);
                self.requests.insert(request, (peer, tasks));
            }
            Action::Drop(tasks) => tasks.iter().for_each(|task| {
                self.store.remove(task);
            }),
            Action::KeepBlobs(blobs) => self.blobs.extend(blobs.iter().map(|(id, _)| *id)),
            Action::DropBlobs(blobs) => {
                for id in blobs {
                    assert!(self.blobs.remove(&id), "{id} is dropped twice");
                    assert!(self.running.values().all(|task| task.function != Some(id)), "{id} is being called");
                }
            }
            Action::ToScheduler(message) => {
                let bytes = postcard::to_stdvec(&message).expect("messages of bytes can be encoded");
                self.said.push(postcard::from_bytes(&bytes).expect("what was encoded can be decoded"));
            }
            Action::Close { reason } => self.closed = Some(reason),
            Action::PeerJoined(_) | Action::PeerLeft(_) | Action::RunFunction { .. } => {}
        }
    }

    /// Everything said since the last time.
    pub fn heard(&mut self) -> Vec<WorkerToScheduler> {
        std::mem::take(&mut self.said)
    }

    /// The tasks handed to the runners since the last time.
    pub fn started(&mut self) -> Vec<TaskId> {
        std::mem::take(&mut self.ran)
    }

    pub fn done(&mut self, of: TaskId, attempt: u32, outcome: Outcome) {
        let attempt = Attempt(attempt);
        self.running.remove(&(of, attempt)).expect("the test ends what runs");
        if let Outcome::Value { .. } = outcome {
            self.store.insert(of);
        }
        let done = TaskDone { task: of, attempt, outcome, duration_ns: 1000, started_us: 5, runner: 0 };
        self.event(Event::TaskDone(done));
    }

    pub fn gives(&mut self, of: TaskId, attempt: u32) {
        self.done(of, attempt, Outcome::Value { nbytes: 8 });
    }

    /// The peer answers the only request in flight to it.
    pub fn answers(&mut self, peer: u32, results: &[(TaskId, Result<u64, FetchProblem>)], last: bool) {
        let asked = self.requests.iter().find(|(_, (id, _))| *id == WorkerId(peer));
        let (&request, _) = asked.expect("a request to the peer is in flight");
        if last {
            self.requests.remove(&request);
        }
        self.answers_late(request, peer, results, last);
    }

    pub fn answers_late(
        &mut self,
        request: u64,
        peer: u32,
        results: &[(TaskId, Result<u64, FetchProblem>)],
        last: bool,
    ) {
        for (task, result) in results {
            if result.is_ok() {
                self.store.insert(*task);
            }
        }
        self.event(Event::Fetched { request, peer: WorkerId(peer), results: results.to_vec(), last });
    }
}

pub fn is_finished(message: &WorkerToScheduler, of: TaskId, attempt: u32) -> bool {
    matches!(message, WorkerToScheduler::Finished(list)
        if matches!(list[..], [Finished { task, attempt: Attempt(n), .. }] if (task, n) == (of, attempt)))
}
