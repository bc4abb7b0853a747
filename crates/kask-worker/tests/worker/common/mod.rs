//! A worker core with a pretended shell: a store, a disk, runners, and messages that all go through the codec.
//!
//! The rig obeys actions as a shell does and asserts what every shell relies on: inputs and functions are there when an
//! attempt runs, and store and disk never hold more or less than the core believes. The disk answers when the test says so.

pub mod play;

use kask_graph::Slots;
use kask_types::{
    Attempt, BlobId, Failure, Incarnation, Payload, Resources, TaskId, TaskName, Tick, ValueId, WorkerId,
};
use kask_wire::worker::{FetchProblem, Finished, Input, Peer, Priority};
use kask_wire::{ComputeTask, SchedulerToWorker, WorkerToScheduler};
use kask_worker::{Action, Config, Event, MemoryConfig, Outcome, SpillProblem, TaskDone, Worker};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub const ME: WorkerId = WorkerId(0);

pub fn task(slot: u32) -> TaskId {
    TaskId { slot, generation: 0 }
}

pub fn blob(n: u128) -> BlobId {
    BlobId(n)
}

pub fn input(of: TaskId, holders: &[u32]) -> Input {
    Input { task: of, part: None, nbytes: 100, holders: holders.iter().map(|&id| WorkerId(id)).collect() }
}

/// One part of a value, which peers have.
pub fn part(of: TaskId, part: u32, nbytes: u64, holders: &[u32]) -> Input {
    Input { part: Some(part), nbytes, ..input(of, holders) }
}

/// A budget of exactly so many bytes.
pub fn budget(nbytes: u64) -> MemoryConfig {
    MemoryConfig { limit_bytes: 2 * nbytes, target_milli: 500, ..MemoryConfig::default() }
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
        memory_bytes: 0,
        checkpoint: false,
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
    pub worker_threads: u32,
    pub now: Tick,
    /// Whole values in memory, and their sizes.
    pub store: BTreeMap<TaskId, u64>,
    pub parts: BTreeMap<ValueId, u64>,
    pub disk: BTreeMap<TaskId, u64>,
    /// What the disk has been asked to write and to read and has not answered, in order, and whether the value is still wanted.
    pub writes: VecDeque<(TaskId, bool)>,
    pub reads: VecDeque<(TaskId, bool)>,
    pub written_bytes: u64,
    pub read_bytes: u64,
    pub blobs: BTreeSet<BlobId>,
    pub running: BTreeMap<(TaskId, Attempt), ComputeTask>,
    pub requests: BTreeMap<u64, (WorkerId, Vec<ValueId>)>,
    pub asked_at: BTreeMap<u64, Tick>,
    pub said: Vec<WorkerToScheduler>,
    pub ran: Vec<TaskId>,
    /// What is to be taken back if it has not started.
    pub recalled: Vec<(TaskId, Attempt)>,
    pub closed: Option<Arc<str>>,
    /// The tables are compared after so many events.
    pub check_every: u64,
    events: u64,
}

impl Rig {
    pub fn new(config: Config) -> Rig {
        let mut rig = Rig::unregistered(config);
        rig.hears(SchedulerToWorker::Registered { worker: ME, heartbeat_ms: 1000 });
        rig
    }

    pub fn unregistered(config: Config) -> Rig {
        Rig {
            worker_threads: config.nthreads,
            worker: Worker::new(config),
            now: Tick(0),
            store: BTreeMap::new(),
            parts: BTreeMap::new(),
            disk: BTreeMap::new(),
            writes: VecDeque::new(),
            reads: VecDeque::new(),
            written_bytes: 0,
            read_bytes: 0,
            blobs: BTreeSet::new(),
            running: BTreeMap::new(),
            requests: BTreeMap::new(),
            asked_at: BTreeMap::new(),
            said: Vec::new(),
            ran: Vec::new(),
            recalled: Vec::new(),
            closed: None,
            check_every: 1,
            events: 0,
        }
    }

    /// One runner, a budget of so many bytes, and two peers.
    pub fn with_budget(nbytes: u64) -> Rig {
        let mut rig = Rig::new(Config { memory: budget(nbytes), ..Config::default() });
        (1..=2).for_each(|id| rig.peer_joins(id));
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

    /// The process takes so much, and may take so much for the sake of others.
    pub fn measures(&mut self, process_bytes: u64, most_bytes: u64) {
        self.event(Event::Memory { process_bytes, most_bytes });
    }

    pub fn event(&mut self, event: Event) {
        self.worker.handle(self.now, event);
        while let Some(action) = self.worker.poll_action() {
            self.obey(action);
        }
        self.events += 1;
        if self.events.is_multiple_of(self.check_every) {
            self.worker.check();
            self.compare();
        }
    }

    /// What the core believes to be in memory and on disk is there, and nothing else.
    fn compare(&self) {
        for task in self.store.keys() {
            assert!(self.worker.holds_in_memory(*task), "{task:?} lies in the store and the core has forgotten it");
        }
        let alone_on_disk = || self.disk.iter().filter(|(task, _)| !self.store.contains_key(task));
        for (task, _) in alone_on_disk() {
            assert!(self.worker.holds(*task) && !self.worker.holds_in_memory(*task), "{task:?} is on disk alone");
        }
        let held = self.store.len() + alone_on_disk().count() + self.parts.len();
        assert_eq!(self.worker.inventory().0, held, "the core believes in values that are not there");
        let bytes = self.store.values().chain(self.parts.values()).sum::<u64>();
        assert_eq!(self.worker.metrics().3, bytes, "bytes in memory");
        assert_eq!(
            self.worker.memory_metrics().0,
            alone_on_disk().map(|(_, bytes)| bytes).sum::<u64>(),
            "bytes on disk"
        );
        assert_eq!(self.worker.inventory().3, self.blobs.len(), "functions kept");
    }

    fn obey(&mut self, action: Action) {
        match action {
            Action::Run(compute) => {
                for input in &compute.inputs {
                    let is_here = match input.part {
                        None => self.store.contains_key(&input.task),
                        Some(_) => {
                            let part = ValueId { task: input.task, part: input.part };
                            let whole = self.store.contains_key(&input.task) || self.disk.contains_key(&input.task);
                            whole || self.parts.contains_key(&part)
                        }
                    };
                    assert!(is_here, "{:?} runs without {:?}", compute.task, input.task);
                }
                if let Some(function) = compute.function {
                    assert!(self.blobs.contains(&function), "{:?} runs without its function", compute.task);
                }
                self.ran.push(compute.task);
                assert!(self.running.insert((compute.task, compute.attempt), *compute).is_none(), "it runs already");
            }
            Action::Recall(attempts) => self.recalled.extend(attempts),
            Action::Fetch { request, peer, values } => {
                assert!(!values.is_empty() && peer != ME);
                let former = self.requests.iter().find(|(_, (other, _))| *other == peer).map(|(&former, _)| former);
                if let Some(former) = former {
                    assert!(self.now.since_ns(self.asked_at[&former]) >= 60_000_000_000, "two requests to {peer:?}");
                    self.requests.remove(&former);
                }
                self.asked_at.insert(request, self.now);
                self.requests.insert(request, (peer, values));
            }
            Action::Drop(values) => values.iter().for_each(|value| self.throw_away(*value)),
            Action::Spill(tasks) => {
                for task in tasks {
                    assert!(self.store.contains_key(&task), "{task:?} is to be written and is not in memory");
                    assert!(!self.disk.contains_key(&task), "{task:?} is written again");
                    self.writes.push_back((task, true));
                }
            }
            Action::Evict(tasks) => {
                for task in tasks {
                    assert!(self.disk.contains_key(&task), "{task:?} leaves memory and is not on disk");
                    assert!(self.store.remove(&task).is_some(), "{task:?} leaves memory and is not there");
                    let named = |of: &ComputeTask| of.inputs.iter().any(|i| i.task == task && i.part.is_none());
                    assert!(!self.running.values().any(named), "{task:?} leaves memory under a running task");
                }
            }
            Action::Unspill(tasks) => {
                for task in tasks {
                    assert!(self.disk.contains_key(&task), "{task:?} is to be read and is not on disk");
                    self.reads.push_back((task, true));
                }
            }
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

    fn throw_away(&mut self, value: ValueId) {
        if value.part.is_some() {
            self.parts.remove(&value);
            return;
        }
        self.store.remove(&value.task);
        self.disk.remove(&value.task);
        // What runs holds on to it; a value that comes again under this name is another one.
        for running in self.running.values_mut() {
            running.inputs.retain(|input| input.task != value.task || input.part.is_some());
        }
        let pending = self.writes.iter_mut().chain(&mut self.reads);
        pending.filter(|(task, _)| *task == value.task).for_each(|(_, wanted)| *wanted = false);
    }

    /// A value comes to the store. What counts is its size, not that of its copy on disk.
    pub fn puts(&mut self, of: TaskId, nbytes: u64) {
        self.store.insert(of, nbytes);
        self.disk.entry(of).and_modify(|on_disk| *on_disk = nbytes);
    }

    /// A client puts a value here.
    pub fn stores(&mut self, of: TaskId, nbytes: u64) {
        self.puts(of, nbytes);
        self.event(Event::Stored { task: of, nbytes });
    }

    /// The disk answers the oldest write. `false` when there is none.
    pub fn writes_one(&mut self, answer: Result<(), SpillProblem>) -> bool {
        let Some((task, wanted)) = self.writes.pop_front() else { return false };
        if answer.is_ok() && wanted {
            let nbytes = self.store[&task];
            self.disk.insert(task, nbytes);
            self.written_bytes += nbytes;
        }
        self.event(Event::Spilled(vec![(task, answer.map(|()| 7))]));
        true
    }

    /// The disk answers some write, the oldest of its value.
    pub fn writes_some(&mut self, which: usize, answer: Result<(), SpillProblem>) {
        if !self.writes.is_empty() {
            let task = self.writes[which % self.writes.len()].0;
            let at = self.writes.iter().position(|(other, _)| *other == task).expect("it was found above");
            let moved = self.writes.remove(at).expect("it was found above");
            self.writes.push_front(moved);
            self.writes_one(answer);
        }
    }

    /// The disk answers some read, the oldest of its value.
    pub fn reads_some(&mut self, which: usize, answer: Result<(), SpillProblem>) {
        if !self.reads.is_empty() {
            let task = self.reads[which % self.reads.len()].0;
            let at = self.reads.iter().position(|(other, _)| *other == task).expect("it was found above");
            let moved = self.reads.remove(at).expect("it was found above");
            self.reads.push_front(moved);
            self.reads_one(answer);
        }
    }

    pub fn writes_all(&mut self) {
        while self.writes_one(Ok(())) {}
    }

    /// The disk answers the oldest read. `false` when there is none.
    pub fn reads_one(&mut self, answer: Result<(), SpillProblem>) -> bool {
        let Some((task, wanted)) = self.reads.pop_front() else { return false };
        if answer.is_ok() && wanted {
            let nbytes = self.disk[&task];
            self.store.insert(task, nbytes);
            self.read_bytes += nbytes;
        }
        self.event(Event::Unspilled(vec![(task, answer)]));
        true
    }

    /// Time passes; the worker is told when it asked to be.
    pub fn waits(&mut self, ms: u64) {
        let until = self.now.after_ms(ms);
        while let Some(due) = self.worker.next_deadline().filter(|due| *due <= until) {
            self.now = due.max(self.now);
            self.event(Event::Tick);
            assert!(self.worker.next_deadline().is_none_or(|next| next > due), "a deadline that does not pass");
        }
        self.now = until;
        self.event(Event::Tick);
    }

    /// Everything said since the last time.
    pub fn heard(&mut self) -> Vec<WorkerToScheduler> {
        std::mem::take(&mut self.said)
    }

    /// The same, without heartbeats and how the worker stands for memory.
    pub fn heard_of_tasks(&mut self) -> Vec<WorkerToScheduler> {
        let mut heard = self.heard();
        heard.retain(|said| !matches!(said, WorkerToScheduler::Heartbeat(_) | WorkerToScheduler::Pressure(_)));
        heard
    }

    /// The tasks handed to the runners since the last time.
    pub fn started(&mut self) -> Vec<TaskId> {
        std::mem::take(&mut self.ran)
    }

    pub fn done(&mut self, of: TaskId, attempt: u32, outcome: Outcome) {
        let attempt = Attempt(attempt);
        self.running.remove(&(of, attempt)).expect("the test ends what runs");
        if let Outcome::Value { nbytes } = outcome {
            self.puts(of, nbytes);
        }
        let done = TaskDone { task: of, attempt, outcome, duration_ns: 1000, started_us: 5, runner: 0 };
        self.event(Event::TaskDone(done));
    }

    pub fn gives(&mut self, of: TaskId, attempt: u32) {
        self.done(of, attempt, Outcome::Value { nbytes: 8 });
    }

    pub fn gives_bytes(&mut self, of: TaskId, nbytes: u64) {
        self.done(of, 1, Outcome::Value { nbytes });
    }

    /// The peer answers the only request in flight to it.
    pub fn answers<V: Into<ValueId> + Copy>(
        &mut self,
        peer: u32,
        results: &[(V, Result<u64, FetchProblem>)],
        last: bool,
    ) {
        let asked = self.requests.iter().find(|(_, (id, _))| *id == WorkerId(peer));
        let (&request, _) = asked.expect("a request to the peer is in flight");
        if last {
            self.requests.remove(&request);
        }
        self.answers_late(request, peer, results, last);
    }

    pub fn answers_late<V: Into<ValueId> + Copy>(
        &mut self,
        request: u64,
        peer: u32,
        results: &[(V, Result<u64, FetchProblem>)],
        last: bool,
    ) {
        let results: Vec<_> = results.iter().map(|&(value, result)| (value.into(), result)).collect();
        for (value, result) in &results {
            match (result, value.part) {
                (Ok(nbytes), None) => {
                    self.puts(value.task, *nbytes);
                }
                // A part that is here already stays.
                (Ok(nbytes), Some(_)) => {
                    self.parts.entry(*value).or_insert(*nbytes);
                }
                (Err(_), _) => {}
            }
        }
        self.event(Event::Fetched { request, peer: WorkerId(peer), results, last });
    }
}

pub fn is_finished(message: &WorkerToScheduler, of: TaskId, attempt: u32) -> bool {
    matches!(message, WorkerToScheduler::Finished(list)
        if matches!(list[..], [Finished { task, attempt: Attempt(n), .. }] if (task, n) == (of, attempt)))
}
