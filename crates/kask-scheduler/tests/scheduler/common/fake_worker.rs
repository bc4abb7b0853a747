//! A worker without runners: tests decide when its attempts end. It refuses to be told nonsense.

use kask_types::{Attempt, BlobId, TaskId, WorkerId};
use kask_wire::worker::{ComputeTask, Input};
use kask_wire::{SchedulerToWorker, WorkerToScheduler};
use std::collections::{BTreeSet, VecDeque};

pub struct FakeWorker {
    pub id: WorkerId,
    pub name: String,
    /// Not received yet.
    pub inbox: VecDeque<SchedulerToWorker>,
    /// Attempts in the order in which they came.
    pub queue: Vec<ComputeTask>,
    /// Attempts that are running: they are kept when asked back, and answered when cancelled.
    pub started: BTreeSet<(TaskId, Attempt)>,
    /// Cancelled while running.
    pub doomed: Vec<(TaskId, Attempt)>,
    pub held: BTreeSet<TaskId>,
    pub blobs: BTreeSet<BlobId>,
    pub peers: BTreeSet<WorkerId>,
    pub acquiring: Vec<Input>,
    pub calls: Vec<u64>,
    pub closed: bool,
    /// Whether it answers when asked to give attempts back.
    pub answers_steals: bool,
    /// How many messages with tasks came, and how many tasks.
    pub batches: (usize, usize),
}

impl FakeWorker {
    pub fn new(id: WorkerId, name: &str) -> FakeWorker {
        FakeWorker {
            id,
            name: name.to_string(),
            inbox: VecDeque::new(),
            queue: Vec::new(),
            started: BTreeSet::new(),
            doomed: Vec::new(),
            held: BTreeSet::new(),
            blobs: BTreeSet::new(),
            peers: BTreeSet::new(),
            acquiring: Vec::new(),
            calls: Vec::new(),
            closed: false,
            answers_steals: true,
            batches: (0, 0),
        }
    }

    /// Takes an attempt out of the queue; whether it was there.
    pub fn drop_attempt(&mut self, task: TaskId, attempt: Attempt) -> bool {
        self.started.remove(&(task, attempt));
        let before = self.queue.len();
        self.queue.retain(|queued| (queued.task, queued.attempt) != (task, attempt));
        self.queue.len() < before
    }

    pub fn receive(&mut self, message: SchedulerToWorker) -> Vec<WorkerToScheduler> {
        match message {
            SchedulerToWorker::Registered { worker, heartbeat_ms } => {
                assert_eq!(worker, self.id);
                assert!(heartbeat_ms > 0);
            }
            SchedulerToWorker::Blobs(blobs) => {
                for (id, _) in blobs {
                    assert!(self.blobs.insert(id), "a blob is sent once");
                }
            }
            SchedulerToWorker::DropBlobs(blobs) => {
                for id in blobs {
                    assert!(self.blobs.remove(&id), "only what was sent is dropped");
                    let used = self.queue.iter().any(|task| task.function == Some(id));
                    assert!(!used, "a blob is kept while attempts call it");
                }
            }
            SchedulerToWorker::Compute(tasks) => {
                self.batches = (self.batches.0 + 1, self.batches.1 + tasks.len());
                tasks.into_iter().for_each(|task| self.accept(task));
            }
            SchedulerToWorker::Cancel(attempts) => {
                let started = attempts.iter().copied().filter(|of| self.started.contains(of));
                let lingering: Vec<(TaskId, Attempt)> = started.collect();
                self.doomed.extend(&lingering);
                for (task, attempt) in attempts {
                    self.drop_attempt(task, attempt);
                }
                if !lingering.is_empty() {
                    return vec![WorkerToScheduler::Lingering(lingering)];
                }
            }
            SchedulerToWorker::Steal(attempts) => return self.give_back(attempts),
            SchedulerToWorker::Free(tasks) => {
                for task in tasks {
                    self.held.remove(&task);
                }
            }
            SchedulerToWorker::Acquire(inputs) => self.acquiring.extend(inputs),
            SchedulerToWorker::PeerJoined(peer) => assert!(self.peers.insert(peer.worker)),
            SchedulerToWorker::PeerLeft(peer) => assert!(self.peers.remove(&peer)),
            SchedulerToWorker::Run { call, .. } => self.calls.push(call),
            SchedulerToWorker::Close { .. } => self.closed = true,
        }
        Vec::new()
    }

    fn accept(&mut self, task: ComputeTask) {
        assert!(task.function.is_none_or(|id| self.blobs.contains(&id)), "blobs come before the tasks that call them");
        for input in &task.inputs {
            assert!(!input.holders.is_empty(), "an input has a holder");
            let known = |holder: &WorkerId| *holder == self.id || self.peers.contains(holder);
            assert!(input.holders.iter().all(known), "holders were introduced before");
        }
        let twice = self.queue.iter().any(|queued| queued.task == task.task);
        assert!(!twice, "{} is sent to a worker that has an attempt of it", task.name);
        self.queue.push(task);
    }

    fn give_back(&mut self, attempts: Vec<(TaskId, Attempt)>) -> Vec<WorkerToScheduler> {
        if !self.answers_steals {
            return Vec::new();
        }
        let (mut given, mut kept) = (Vec::new(), Vec::new());
        for (task, attempt) in attempts {
            let is_started = self.started.contains(&(task, attempt));
            if !is_started && self.drop_attempt(task, attempt) {
                given.push((task, attempt));
            } else {
                kept.push((task, attempt));
            }
        }
        vec![WorkerToScheduler::StealAnswer { given, kept }]
    }
}
