//! A cluster of pretended workers and clients around one scheduler.
//!
//! Its one-line methods are the vocabulary of the tests: `worker`, `client`, `submit`, `finish`, `die`. Every message
//! goes through the real encoding, and every event is followed by the scheduler's full invariant check. Messages to a
//! worker wait in its inbox until [`Cluster::deliver`]; most tests call [`Cluster::settle`], which delivers all.

mod fake_client;
mod fake_worker;

pub use fake_client::{FakeClient, Seen};
pub use fake_worker::FakeWorker;

use kask_graph::{ExplicitLayer, Graph, KeyLists, Layer, LayerKind, Wanted};
use kask_scheduler::{Action, Config, Event, Scheduler, SupervisorId};
use kask_types::{
    Annotations, Attempt, BlobId, Certificate, ClientId, DeathCause, Failure, Incarnation, Key, LayerToken, Payload,
    RaisedError, Resources, TaskId, Tick, WorkerId,
};
use kask_wire::client::{ClientInfo, Query, Reply, TaskStatus};
use kask_wire::worker::{ComputeTask, FetchProblem, Finished, Pressure, WorkerInfo, WorkerMetrics};
use kask_wire::{ClientToScheduler, SchedulerToSupervisor, SupervisorToScheduler, WorkerToScheduler};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Encodes and decodes, as a connection would.
pub fn wire<T: Serialize + DeserializeOwned>(message: &T) -> T {
    let bytes = postcard::to_stdvec(message).expect("every message of these tests can be encoded");
    postcard::from_bytes(&bytes).expect("what was encoded can be decoded")
}

pub fn function() -> BlobId {
    BlobId::of(b"function")
}

pub fn key(name: &str) -> Key {
    Key::from_name(name)
}

/// A task by name, and the names of its inputs.
pub type Def<'a> = (&'a str, &'a [&'a str]);

/// An explicit layer of named tasks.
pub fn graph(defs: &[Def<'_>]) -> Graph {
    graph_with(defs, Annotations::default())
}

pub fn graph_with(defs: &[Def<'_>], annotations: Annotations) -> Graph {
    let mut layer = ExplicitLayer { prefixes: vec!["f".into()], ..ExplicitLayer::default() };
    let mut inputs = KeyLists::default();
    let mut names = String::new();
    for (name, reads) in defs {
        layer.functions.push(Some(function()));
        layer.items.push(Payload::from_bytes(name.as_bytes().to_vec()));
        layer.keys.push(key(name));
        layer.names.push(Some((*name).into()));
        layer.families.push(0);
        inputs.keys.extend(reads.iter().map(|name| key(name)));
        inputs.ends.push(inputs.keys.len() as u32);
        names.push_str(name);
    }
    layer.inputs = inputs;
    let token = LayerToken(Key::from_name(&names).0);
    Graph { layers: vec![Layer { token, prefix: "f".into(), annotations, kind: LayerKind::Explicit(layer) }] }
}

pub fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| key(name)).collect()
}

pub fn raised(task: &str) -> Failure {
    Failure::Raised(Arc::new(RaisedError {
        task: task.into(),
        type_name: "ValueError".into(),
        message: "bad".into(),
        traceback: String::new(),
        worker: "w".into(),
        exception: None,
    }))
}

pub fn certificate(cause: DeathCause, last_task: Option<&str>) -> Certificate {
    Certificate { worker: "w".into(), cause, peak_memory_bytes: None, last_task: last_task.map(Arc::from) }
}

pub struct Cluster {
    pub scheduler: Scheduler,
    pub now: Tick,
    pub workers: BTreeMap<WorkerId, FakeWorker>,
    pub clients: BTreeMap<ClientId, FakeClient>,
    pub told_supervisors: Vec<(SupervisorId, SchedulerToSupervisor)>,
    /// Reasons of disconnections, oldest first.
    pub cut_off: Vec<String>,
    pub is_shut_down: bool,
    /// How long tasks are said to take.
    pub duration_ns: u64,
    /// How large results are said to be.
    pub nbytes: u64,
    /// What workers that join say of their memory.
    pub memory_limit_bytes: u64,
    next_id: u32,
}

impl Cluster {
    pub fn new() -> Cluster {
        Cluster::with(Config::default())
    }

    pub fn with(config: Config) -> Cluster {
        Cluster {
            scheduler: Scheduler::new(config, Incarnation(1), "test"),
            now: Tick::from_ms(1),
            workers: BTreeMap::new(),
            clients: BTreeMap::new(),
            told_supervisors: Vec::new(),
            cut_off: Vec::new(),
            is_shut_down: false,
            duration_ns: 1_000_000,
            nbytes: 100,
            memory_limit_bytes: 0,
            next_id: 0,
        }
    }

    // Events.

    pub fn handle(&mut self, event: Event) {
        self.now = self.now + 1_000;
        self.scheduler.handle(self.now, event);
        self.scheduler.check();
        while let Some(action) = self.scheduler.poll_action() {
            self.obey(action);
        }
    }

    fn obey(&mut self, action: Action) {
        match action {
            Action::ToWorker { worker, message } => {
                if let Some(worker) = self.workers.get_mut(&worker) {
                    worker.inbox.push_back(wire(&message));
                }
            }
            Action::ToClient { client, message } => {
                let client = self.clients.get_mut(&client).expect("only connected clients are told anything");
                client.receive(wire(&message));
            }
            Action::ToSupervisor { supervisor, message } => self.told_supervisors.push((supervisor, wire(&message))),
            Action::DisconnectWorker { worker, reason } => {
                self.workers.remove(&worker);
                self.cut_off.push(reason.to_string());
            }
            Action::DisconnectClient { client, reason } => {
                self.clients.remove(&client);
                self.cut_off.push(reason.to_string());
            }
            Action::Shutdown => self.is_shut_down = true,
        }
    }

    pub fn say(&mut self, worker: WorkerId, message: WorkerToScheduler) {
        let message = wire(&message);
        self.handle(Event::WorkerMessage { worker, message });
    }

    pub fn tell(&mut self, client: ClientId, message: ClientToScheduler) {
        let message = wire(&message);
        self.handle(Event::ClientMessage { client, message });
    }

    pub fn supervise(&mut self, supervisor: SupervisorId, message: SupervisorToScheduler) {
        let message = wire(&message);
        self.handle(Event::SupervisorMessage { supervisor, message });
    }

    pub fn wait_ms(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
        self.handle(Event::Tick);
    }

    // Joining and leaving.

    pub fn worker(&mut self, name: &str, nthreads: u32) -> WorkerId {
        self.worker_with(name, nthreads, Resources::default())
    }

    pub fn worker_with(&mut self, name: &str, nthreads: u32, resources: Resources) -> WorkerId {
        self.next_id += 1;
        let id = WorkerId(self.next_id);
        let info = WorkerInfo {
            name: name.into(),
            incarnation: incarnation(id),
            address: format!("address-of-{name}-{}", id.0).into(),
            host: "host".into(),
            pid: id.0,
            nthreads,
            memory_limit_bytes: self.memory_limit_bytes,
            resources,
            versions: vec![],
            in_process: false,
        };
        self.workers.insert(id, FakeWorker::new(id, name));
        self.say(id, WorkerToScheduler::Register(info));
        id
    }

    pub fn client(&mut self) -> ClientId {
        self.next_id += 1;
        let id = ClientId(self.next_id);
        self.clients.insert(id, FakeClient::default());
        let info = ClientInfo { name: "client".into(), incarnation: Incarnation(7), versions: vec![] };
        self.tell(id, ClientToScheduler::Register(info));
        self.tell(id, ClientToScheduler::Blobs(vec![(function(), Payload::empty())]));
        id
    }

    pub fn die(&mut self, worker: WorkerId) {
        self.die_of(worker, None);
    }

    pub fn die_of(&mut self, worker: WorkerId, certificate: Option<Certificate>) {
        self.workers.remove(&worker);
        self.handle(Event::WorkerLost { worker, certificate });
    }

    pub fn leave(&mut self, client: ClientId) {
        self.clients.remove(&client);
        self.handle(Event::ClientLost { client });
    }

    // What clients say.

    pub fn submit(&mut self, client: ClientId, graph: Graph, wanted: &[&str]) {
        let fake = self.clients.get_mut(&client).expect("the client is connected");
        fake.wants.extend(keys(wanted));
        self.tell(client, ClientToScheduler::Submit { graph, outputs: Wanted::Keys(keys(wanted)) });
    }

    pub fn want(&mut self, client: ClientId, name: &str) {
        self.clients.get_mut(&client).expect("the client is connected").wants.insert(key(name));
        self.tell(client, ClientToScheduler::Want(vec![key(name)]));
    }

    pub fn unwant(&mut self, client: ClientId, name: &str) {
        let fake = self.clients.get_mut(&client).expect("the client is connected");
        fake.wants.remove(&key(name));
        fake.seen.remove(&key(name));
        self.tell(client, ClientToScheduler::Unwant(vec![key(name)]));
    }

    pub fn cancel(&mut self, client: ClientId, name: &str, force: bool) {
        let reason = "no longer needed".into();
        self.tell(client, ClientToScheduler::Cancel { keys: vec![key(name)], force, reason });
    }

    pub fn ask(&mut self, client: ClientId, query: Query) -> Reply {
        self.tell(client, ClientToScheduler::Ask { request: 77, query });
        self.clients.get_mut(&client).expect("connected").answers.remove(&77).expect("answered at once")
    }

    pub fn status(&mut self, client: ClientId, name: &str) -> TaskStatus {
        match self.ask(client, Query::States(vec![key(name)])) {
            Reply::States(states) => states[0].1,
            other => panic!("asked for a state, answered {other:?}"),
        }
    }

    pub fn seen(&self, client: ClientId, name: &str) -> Option<Seen> {
        self.clients[&client].seen.get(&key(name)).cloned()
    }

    pub fn answer(&mut self, client: ClientId, request: u64) -> Option<Reply> {
        self.clients.get_mut(&client).expect("connected").answers.remove(&request)
    }

    // What workers do.

    /// Delivers the oldest message to a worker; whether there was one.
    pub fn deliver(&mut self, worker: WorkerId) -> bool {
        let Some(fake) = self.workers.get_mut(&worker) else { return false };
        let Some(message) = fake.inbox.pop_front() else { return false };
        for reply in fake.receive(message) {
            self.say(worker, reply);
        }
        true
    }

    /// Delivers everything, and lets copies that were asked for arrive.
    pub fn settle(&mut self) {
        loop {
            let ids: Vec<WorkerId> = self.workers.keys().copied().collect();
            let mut progress = false;
            for id in ids {
                while self.deliver(id) {
                    progress = true;
                }
                progress |= self.copy(id);
            }
            if !progress {
                return;
            }
        }
    }

    /// Fetches what the worker was asked to acquire.
    pub fn copy(&mut self, worker: WorkerId) -> bool {
        let Some(fake) = self.workers.get_mut(&worker) else { return false };
        let inputs = std::mem::take(&mut fake.acquiring);
        let progress = !inputs.is_empty();
        for input in inputs {
            match self.fetch(worker, input.task, &input.holders) {
                Ok(()) => self.say(worker, WorkerToScheduler::Holding(vec![(input.task, input.nbytes)])),
                Err((holder, problem)) => {
                    self.say(worker, WorkerToScheduler::Missing(vec![(input.task, holder, problem)]));
                }
            }
        }
        progress
    }

    fn fetch(&mut self, worker: WorkerId, task: TaskId, holders: &[WorkerId]) -> Result<(), (WorkerId, FetchProblem)> {
        let mut problem = FetchProblem::Unreachable;
        let mut last = holders[0];
        for &holder in holders {
            last = holder;
            match self.workers.get(&holder) {
                Some(peer) if peer.held.contains(&task) => {
                    self.workers.get_mut(&worker).expect("alive").held.insert(task);
                    return Ok(());
                }
                Some(_) => problem = FetchProblem::NotThere,
                None => problem = FetchProblem::Unreachable,
            }
        }
        Err((last, problem))
    }

    /// The attempt of the named task on this worker.
    pub fn attempt(&self, worker: WorkerId, name: &str) -> ComputeTask {
        let fake = &self.workers[&worker];
        let found = fake.queue.iter().find(|task| task.name.to_string() == name);
        found.unwrap_or_else(|| panic!("{name} is not on {}", fake.name)).clone()
    }

    /// Gives the named attempt back for want of room.
    pub fn hand_back(&mut self, worker: WorkerId, name: &str) {
        let ComputeTask { task, attempt, .. } = self.attempt(worker, name);
        self.workers.get_mut(&worker).expect("alive").drop_attempt(task, attempt);
        self.say(worker, WorkerToScheduler::HandedBack(vec![(task, attempt)]));
    }

    pub fn pressure(&mut self, worker: WorkerId, pressure: Pressure) {
        self.say(worker, WorkerToScheduler::Pressure(pressure));
    }

    /// The worker says that it has written values to its disk.
    pub fn spilled(&mut self, worker: WorkerId) {
        let metrics = WorkerMetrics { spilled_bytes: 1, ..WorkerMetrics::default() };
        self.say(worker, WorkerToScheduler::Heartbeat(metrics));
    }

    /// Names of the attempts on a worker.
    pub fn on(&self, worker: WorkerId) -> BTreeSet<String> {
        self.workers[&worker].queue.iter().map(|task| task.name.to_string()).collect()
    }

    /// The worker that has an attempt of the named task.
    pub fn place(&self, name: &str) -> Option<WorkerId> {
        self.workers.keys().copied().find(|&worker| self.on(worker).contains(name))
    }

    /// Fetches the inputs of an attempt; if that fails, reports it and gives `false`.
    pub fn gather(&mut self, worker: WorkerId, task: &ComputeTask) -> bool {
        let mut missing = Vec::new();
        let mut fetched = Vec::new();
        for input in &task.inputs {
            if self.workers[&worker].held.contains(&input.task) {
                continue;
            }
            match self.fetch(worker, input.task, &input.holders) {
                Ok(()) => fetched.push((input.task, input.nbytes)),
                Err((holder, problem)) => missing.push((input.task, holder, problem)),
            }
        }
        if !fetched.is_empty() {
            self.say(worker, WorkerToScheduler::Holding(fetched));
        }
        if missing.is_empty() || !self.workers.contains_key(&worker) {
            return self.workers.contains_key(&worker);
        }
        self.workers.get_mut(&worker).expect("alive").drop_attempt(task.task, task.attempt);
        self.say(worker, WorkerToScheduler::InputsMissing { task: task.task, attempt: task.attempt, missing });
        false
    }

    pub fn finish(&mut self, worker: WorkerId, name: &str) {
        let task = self.attempt(worker, name);
        if self.gather(worker, &task) {
            self.finish_attempt(worker, task.task, task.attempt);
        }
    }

    pub fn finish_attempt(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        let fake = self.workers.get_mut(&worker).expect("the worker is alive");
        if fake.drop_attempt(task, attempt) {
            fake.held.insert(task);
        }
        let (nbytes, duration_ns, started_us, runner) = (self.nbytes, self.duration_ns, 0, 0);
        let result = Finished { task, attempt, nbytes, duration_ns, started_us, runner };
        self.say(worker, WorkerToScheduler::Finished(vec![result]));
    }

    pub fn fail(&mut self, worker: WorkerId, name: &str) {
        self.fail_with(worker, name, raised(name), false);
    }

    pub fn fail_with(&mut self, worker: WorkerId, name: &str, failure: Failure, reschedule: bool) {
        let ComputeTask { task, attempt, .. } = self.attempt(worker, name);
        self.workers.get_mut(&worker).expect("alive").drop_attempt(task, attempt);
        self.say(worker, WorkerToScheduler::Failed { task, attempt, failure, reschedule });
    }

    /// Runs everything that is on any worker until nothing is left to run.
    pub fn run_all(&mut self) {
        self.run_all_until(|_| false);
    }

    /// The same, or until `enough`.
    pub fn run_all_until(&mut self, enough: impl Fn(&Cluster) -> bool) {
        for _ in 0..100_000 {
            self.settle();
            if enough(self) {
                return;
            }
            let next = self.workers.iter().find_map(|(&id, fake)| Some((id, fake.queue.first()?.clone())));
            let Some((worker, task)) = next else { return };
            if self.gather(worker, &task) {
                self.finish_attempt(worker, task.task, task.attempt);
            }
        }
        panic!("the workers never run out of work");
    }
}

pub fn incarnation(worker: WorkerId) -> Incarnation {
    Incarnation(1_000 + u128::from(worker.0))
}

/// A worker whose supervisor is known before it is.
pub fn supervised(cluster: &mut Cluster, supervisor: SupervisorId, name: &str) -> WorkerId {
    let upcoming = WorkerId(cluster.workers.keys().last().map_or(0, |id| id.0) + 1);
    let register = SupervisorToScheduler::Register { host: "host".into(), pid: 1 };
    cluster.supervise(supervisor, register);
    cluster.supervise(supervisor, SupervisorToScheduler::Started { incarnation: incarnation(upcoming) });
    let worker = cluster.worker(name, 1);
    assert_eq!(worker, upcoming);
    worker
}
