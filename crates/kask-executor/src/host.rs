//! The worker core as an actor, with its values, runners and links.

use crate::last_task::LastTask;
use crate::procfs;
use crate::runners::{self, Queued, RunQueue, takes_next};
use crate::runtime::{Blob, Job, Runtime, Value};
use crate::store::{Store, Stored};
use kask_net::data_plane::{DataPlane, DataSink, Fetched};
use kask_net::reactor::{Actor, Link, Pump, Reactor, Wake, drive};
use kask_net::runtime as network;
use kask_net::timer::Timer;
use kask_types::{BlobId, Failure, Incarnation, Payload, Resources, TaskId, Tick, WorkerId};
use kask_wire::worker::{FetchProblem, Peer, WorkerInfo, WorkerMetrics};
use kask_wire::{ComputeTask, SchedulerToWorker, WorkerToScheduler};
use kask_worker::{Action, Config, Event, Worker};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;
use tracing::{debug, warn};

/// How often ends that a busy runner left behind are worked off.
const TICKER: Duration = Duration::from_millis(1);

/// How a worker is set up.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Unique among the scheduler's workers.
    pub name: Arc<str>,
    /// Which life this is.
    pub incarnation: Incarnation,
    /// Number of runners.
    pub nthreads: u32,
    /// What it offers.
    pub resources: Resources,
    /// Budget in bytes; 0 for none.
    pub memory_limit_bytes: u64,
    /// A folder for its files.
    pub local_directory: Arc<str>,
    /// Host, for restrictions and locality.
    pub host: Arc<str>,
    /// `(package, version)` pairs.
    pub versions: Vec<(String, String)>,
    /// Whether scheduler, client and worker share this process.
    pub in_process: bool,
    /// Whether tasks run in the thread that waits for them.
    pub synchronous: bool,
    /// File in which the running tasks are noted for the supervisor.
    pub last_task_file: Option<std::path::PathBuf>,
}

/// A worker of this process.
pub struct WorkerHost {
    pub(crate) this: Weak<WorkerHost>,
    reactor: Reactor<Working>,
    pub(crate) store: Arc<Store>,
    pub(crate) queue: Arc<RunQueue>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) options: WorkerOptions,
    pub(crate) address: Mutex<Arc<str>>,
    pub(crate) synchronous: bool,
    pub(crate) running: AtomicUsize,
    pub(crate) runner_ended: Notify,
    pub(crate) last_task: LastTask,
    pub(crate) worker_id: Mutex<Option<WorkerId>>,
    ticking: AtomicBool,
    timer: Arc<Timer>,
    started: (Instant, SystemTime),
}

pub(crate) enum Input {
    Core(Event),
    Connect(Arc<dyn Link<WorkerToScheduler>>),
}

struct Working {
    core: Worker,
    host: Weak<WorkerHost>,
    store: Arc<Store>,
    queue: Arc<RunQueue>,
    data: Arc<dyn DataPlane>,
    uplink: Option<Arc<dyn Link<WorkerToScheduler>>>,
    blobs: FxHashMap<BlobId, Arc<Blob>>,
    ready: Vec<Queued>,
    timer: Arc<Timer>,
    started: Instant,
    is_registered: bool,
}

impl WorkerHost {
    /// A worker without a scheduler. `data` is its way to other workers' values.
    pub fn new(options: WorkerOptions, runtime: Arc<dyn Runtime>, data: Arc<dyn DataPlane>) -> Arc<WorkerHost> {
        let config = Config { nthreads: options.nthreads, resources: options.resources.clone(), ..Config::default() };
        let store = Arc::new(Store::default());
        let queue = Arc::new(RunQueue::new(options.nthreads as usize));
        let timer = Arc::new(Timer::default());
        let started = (Instant::now(), SystemTime::now());
        let host = Arc::new_cyclic(|this| WorkerHost {
            this: this.clone(),
            reactor: Reactor::new(Working {
                core: Worker::new(config),
                host: this.clone(),
                store: store.clone(),
                queue: queue.clone(),
                data,
                uplink: None,
                blobs: FxHashMap::default(),
                ready: Vec::new(),
                timer: timer.clone(),
                started: started.0,
                is_registered: false,
            }),
            store,
            queue,
            runtime,
            address: Mutex::new("".into()),
            synchronous: options.synchronous,
            running: AtomicUsize::new(0),
            runner_ended: Notify::new(),
            last_task: LastTask::open(options.last_task_file.as_deref()),
            worker_id: Mutex::new(None),
            ticking: AtomicBool::new(false),
            timer: timer.clone(),
            started,
            options,
        });
        let weak = Arc::downgrade(&host);
        timer.start(move || {
            let Some(host) = weak.upgrade() else { return false };
            host.post(Event::Tick);
            drive(host);
            true
        });
        host
    }

    /// Registers with the scheduler behind `uplink` and starts the runners. `address` is where peers get values.
    pub fn start(self: &Arc<Self>, uplink: Arc<dyn Link<WorkerToScheduler>>, address: &str) {
        *self.address.lock() = address.into();
        let options = &self.options;
        let info = WorkerInfo {
            name: options.name.clone(),
            incarnation: options.incarnation,
            address: address.into(),
            host: options.host.clone(),
            pid: std::process::id(),
            nthreads: options.nthreads,
            memory_limit_bytes: options.memory_limit_bytes,
            resources: options.resources.clone(),
            versions: options.versions.clone(),
            in_process: options.in_process,
        };
        if !self.synchronous {
            runners::start(self);
        }
        self.reactor.post(Input::Connect(uplink.clone()));
        drive(self.clone());
        uplink.post(WorkerToScheduler::Register(info));
        drive(uplink);
    }

    /// The worker's name.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Where the scheduler's messages go.
    pub fn incoming(self: &Arc<Self>) -> Arc<dyn Link<SchedulerToWorker>> {
        self.clone()
    }

    pub(crate) fn post(&self, event: Event) {
        self.reactor.post(Input::Core(event));
    }

    pub(crate) fn wall_clock_us(&self, at: Instant) -> u64 {
        let since_epoch = self.started.1.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (since_epoch + at.duration_since(self.started.0)).as_micros() as u64
    }

    /// Runs queued tasks on the calling thread until there are none (the synchronous engine).
    pub fn run_inline(self: &Arc<Self>) {
        runners::run_here(self, 0);
    }

    /// Works off soon what a runner is about to leave behind.
    pub(crate) fn arm_ticker(self: &Arc<Self>) {
        if self.ticking.swap(true, Ordering::AcqRel) {
            return;
        }
        let host = self.clone();
        if let Ok(network) = network::handle() {
            network.spawn(async move {
                tokio::time::sleep(TICKER).await;
                host.ticking.store(false, Ordering::Release);
                drive(host);
            });
        }
    }

    /// Whether the worker has ended.
    pub fn is_closed(&self) -> bool {
        self.timer.is_stopped()
    }

    /// Ends when the worker has ended.
    pub async fn closed(&self) {
        self.timer.stopped().await;
    }

    /// Drops what is queued, lets what runs come to its end, and lets go of all values. Waits up to `timeout` for runners.
    /// True when all runners have ended.
    pub fn close(self: &Arc<Self>, timeout: Duration, interrupted: &mut dyn FnMut() -> bool) -> bool {
        self.end();
        let deadline = Instant::now().checked_add(timeout);
        while self.running.load(Ordering::Acquire) > 0 {
            if deadline.is_some_and(|deadline| Instant::now() > deadline) || interrupted() {
                return false;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        self.store.clear();
        true
    }

    /// Starts nothing more, and tells those who wait for the worker's end.
    pub(crate) fn end(&self) {
        self.queue.stop();
        self.timer.stop();
    }
}

impl Pump for WorkerHost {
    fn pump(&self, wake: &mut Wake) {
        self.reactor.pump(wake);
    }
}

impl Link<SchedulerToWorker> for WorkerHost {
    fn post(&self, message: SchedulerToWorker) {
        WorkerHost::post(self, Event::FromScheduler(message));
    }
    fn close(&self, reason: &str) {
        debug!(worker = %self.options.name, reason, "the scheduler let go of this worker");
        self.end();
    }
}

impl Actor for Working {
    type Event = Input;

    fn handle(&mut self, events: &mut Vec<Input>, wake: &mut Wake) {
        let now = Tick(self.started.elapsed().as_nanos() as u64);
        for input in events.drain(..) {
            match input {
                Input::Core(event) => {
                    self.core.handle(now, event);
                    while let Some(action) = self.core.poll_action() {
                        self.act(action, wake);
                    }
                }
                Input::Connect(uplink) => self.uplink = Some(uplink),
            }
        }
        if !self.is_registered
            && let (Some(host), Some(id)) = (self.host.upgrade(), self.core.worker_id())
        {
            *host.worker_id.lock() = Some(id);
            self.is_registered = true;
        }
        let by_runner = takes_next(&self.queue);
        self.queue.push(&mut self.ready, by_runner);
        self.timer.set(self.core.next_deadline().map(|tick| self.started + Duration::from_nanos(tick.0)));
    }
}

impl Working {
    fn act(&mut self, action: Action, wake: &mut Wake) {
        match action {
            Action::Run(task) => {
                let queued = self.job_of(task);
                self.ready.push(queued);
            }
            Action::Fetch { request, peer, tasks } => {
                let Some(host) = self.host.upgrade() else { return };
                self.data.get(peer, tasks, Box::new(FetchSink { host, request, peer }));
            }
            Action::Drop(tasks) => self.store.remove(&tasks),
            Action::KeepBlobs(blobs) => {
                for (id, payload) in blobs {
                    self.blobs.insert(id, Arc::new(Blob { payload, loaded: Default::default() }));
                }
            }
            Action::DropBlobs(blobs) => blobs.iter().for_each(|id| drop(self.blobs.remove(id))),
            Action::ToScheduler(message) => self.tell(message, wake),
            Action::PeerJoined(peer) => self.data.join(&peer),
            Action::PeerLeft(worker) => self.data.leave(worker),
            Action::RunFunction { call, payload } => self.run_function(call, payload),
            Action::Close { reason } => self.close(&reason, wake),
        }
    }

    fn tell(&mut self, message: WorkerToScheduler, wake: &mut Wake) {
        let message = match message {
            WorkerToScheduler::Heartbeat(metrics) => WorkerToScheduler::Heartbeat(WorkerMetrics {
                memory_bytes: procfs::own_memory_bytes(),
                served_bytes: self.store.served_bytes.load(Ordering::Relaxed),
                ..metrics
            }),
            other => other,
        };
        if let Some(uplink) = &self.uplink {
            uplink.post(message);
            wake.add(uplink.clone());
        }
    }

    fn job_of(&self, task: ComputeTask) -> Queued {
        let mut inputs = Vec::with_capacity(task.inputs.len());
        for input in &task.inputs {
            match self.store.get(input.task) {
                Some(Stored::Value(value)) => inputs.push(value),
                Some(Stored::Unsendable(failure)) => {
                    return Queued::Failed { task: task.task, attempt: task.attempt, failure };
                }
                None => return self.incomplete(&task, "an input"),
            }
        }
        let function = match task.function {
            None => None,
            Some(id) => match self.blobs.get(&id) {
                Some(blob) => Some(blob.clone()),
                None => return self.incomplete(&task, "the function"),
            },
        };
        Queued::Job(Job {
            task: task.task,
            attempt: task.attempt,
            name: task.name,
            function,
            args: task.args,
            item: task.item,
            position: task.position,
            slots: task.slots,
            inputs,
        })
    }

    /// A broken invariant between core and shell: the attempt is given back rather than lost.
    fn incomplete(&self, task: &ComputeTask, what: &str) -> Queued {
        debug_assert!(false, "the worker core handed out {} before {what} was there", task.name);
        warn!(task = %task.name, what, "a task was handed out incomplete; it will be run again elsewhere");
        let reason = format!("worker {} had lost {what} of {}", self.queue_name(), task.name).into();
        Queued::Failed { task: task.task, attempt: task.attempt, failure: Failure::Unrunnable { reason } }
    }

    fn queue_name(&self) -> String {
        self.host.upgrade().map(|host| host.name().to_string()).unwrap_or_default()
    }

    fn run_function(&self, call: u64, payload: Payload) {
        let (Some(host), Some(uplink)) = (self.host.upgrade(), self.uplink.clone()) else { return };
        let runtime = host.runtime.clone();
        let body = Box::new(move || {
            let result = runtime.call(payload);
            uplink.post(WorkerToScheduler::RunAnswer { call, result });
            drive(uplink);
        });
        host.runtime.spawn(format!("kask-{}-call", host.name()), body);
    }

    fn close(&mut self, reason: &str, wake: &mut Wake) {
        debug!(reason, "the worker closes");
        if let Some(uplink) = self.uplink.take() {
            uplink.close(reason);
            wake.add(uplink);
        }
        self.data.close();
        self.queue.stop();
        self.timer.stop();
    }
}

struct FetchSink {
    host: Arc<WorkerHost>,
    request: u64,
    peer: WorkerId,
}

impl DataSink for FetchSink {
    fn values(&mut self, values: Vec<(TaskId, Fetched)>, last: bool) {
        let mut results = Vec::with_capacity(values.len());
        for (task, fetched) in values {
            let result = match fetched {
                Fetched::Here(payload) => {
                    let nbytes = payload.nbytes();
                    self.host.store.insert(task, Stored::Value(Value::received(payload)));
                    Ok(nbytes)
                }
                Fetched::Failed(failure) => {
                    self.host.store.insert(task, Stored::Unsendable(failure));
                    Ok(0)
                }
                Fetched::NotThere => Err(FetchProblem::NotThere),
                Fetched::Unreachable => Err(FetchProblem::Unreachable),
            };
            results.push((task, result));
        }
        self.host.post(Event::Fetched { request: self.request, peer: self.peer, results, last });
        drive(self.host.clone());
    }
}

/// What makes a worker known to those it does not share a process with.
impl WorkerHost {
    /// The worker as its peers know it, once it is registered.
    pub fn peer(&self) -> Option<Peer> {
        let worker = (*self.worker_id.lock())?;
        Some(Peer { worker, incarnation: self.options.incarnation, address: self.address.lock().clone() })
    }
}
