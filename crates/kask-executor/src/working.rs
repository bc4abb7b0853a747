//! What a worker does when its core says so: the core's events and actions.
//!
//! [`Working`] is the actor behind [`WorkerHost`]. It runs under the reactor's lock, so it waits for nobody: values are
//! written and read by the threads of `disk`, tasks are run by `runners`, and messages are queued.

use crate::disk::For;
use crate::host::WorkerHost;
use crate::procfs;
use crate::runners::{Queued, RunQueue, takes_next};
use crate::runtime::{Blob, Completion, Job, Value};
use crate::store::{Found, Removed, Store, Stored};
use kask_net::data_plane::{DataPlane, DataSink, Fetched};
use kask_net::reactor::{Actor, Link, Wake, drive};
use kask_net::timer::Timer;
use kask_types::{Attempt, BlobId, Failure, Payload, TaskId, Tick, ValueId, WorkerId};
use kask_wire::worker::{FetchProblem, WorkerMetrics};
use kask_wire::{ComputeTask, WorkerToScheduler};
use kask_worker::{Action, Config, Event, SpillProblem, Worker};
use rustc_hash::FxHashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// Thrown away values of so much memory are not waited for until the language frees them in its own time.
const RECLAIM_BYTES: u64 = 1 << 20;

/// What is posted to a worker.
pub(crate) enum Input {
    Core(Event),
    Connect(Arc<dyn Link<WorkerToScheduler>>),
}

/// The core and what it acts on.
pub(crate) struct Working {
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
    /// Whether values may turn out to be lost: those that come from disk.
    may_lose: bool,
}

impl Working {
    /// The actor of a worker; what it shares with its host is given.
    pub(crate) fn new(
        config: Config,
        host: Weak<WorkerHost>,
        (store, queue, timer): (Arc<Store>, Arc<RunQueue>, Arc<Timer>),
        data: Arc<dyn DataPlane>,
        started: Instant,
    ) -> Working {
        Working {
            may_lose: config.memory.can_spill,
            core: Worker::new(config),
            host,
            store,
            queue,
            data,
            uplink: None,
            blobs: FxHashMap::default(),
            ready: Vec::new(),
            timer,
            started,
            is_registered: false,
        }
    }
}

impl Actor for Working {
    type Event = Input;

    fn handle(&mut self, events: &mut Vec<Input>, wake: &mut Wake) {
        let now = Tick(self.started.elapsed().as_nanos() as u64);
        for input in events.drain(..) {
            match input {
                Input::Core(event) => {
                    let is_measurement = matches!(event, Event::Memory { .. });
                    self.core.handle(now, event);
                    if is_measurement && let Some(host) = self.host.upgrade() {
                        host.managed.set(self.core.metrics().3);
                    }
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
            Action::Run(task) => self.run(*task),
            Action::Recall(attempts) => self.recall(attempts),
            Action::Fetch { request, peer, values } => {
                let Some(host) = self.host.upgrade() else { return };
                self.data.get(peer, values, Box::new(FetchSink { host, request, peer }));
            }
            Action::Drop(values) => {
                let Removed { on_disk, memory_bytes } = self.store.remove(&values);
                if memory_bytes >= RECLAIM_BYTES {
                    self.with_host(|host| host.runtime.reclaim());
                }
                self.tell_of_lent();
                if !on_disk.is_empty() {
                    self.with_host(|host| host.disk.remove(host, on_disk));
                }
            }
            Action::Spill(tasks) => self.spill(&tasks),
            Action::Evict(tasks) => {
                self.store.evict(&tasks);
                self.with_host(|host| host.runtime.reclaim());
                self.tell_of_lent();
            }
            Action::Unspill(tasks) => self.with_host(|host| {
                for task in tasks {
                    host.disk.read(host, For::Itself, Box::new(move |host| host.unspill(task)));
                }
            }),
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
            WorkerToScheduler::Heartbeat(metrics) => WorkerToScheduler::Heartbeat(self.measure(metrics)),
            other => other,
        };
        if let Some(uplink) = &self.uplink {
            uplink.post(message);
            wake.add(uplink.clone());
        }
    }

    /// Adds what the shell knows to what the core knows.
    fn measure(&self, metrics: WorkerMetrics) -> WorkerMetrics {
        let disk = self.host.upgrade().map(|host| host.spill_stats()).unwrap_or_default();
        WorkerMetrics {
            memory_bytes: procfs::own_memory_bytes(),
            served_bytes: self.store.served_bytes.load(Ordering::Relaxed),
            spill_written_bytes: disk.written_bytes,
            spill_read_bytes: disk.read_bytes,
            ..metrics
        }
    }

    fn with_host(&self, act: impl FnOnce(&Arc<WorkerHost>)) {
        // When there is none, the worker is being dropped, and nothing matters any more.
        if let Some(host) = self.host.upgrade() {
            act(&host);
        }
    }

    /// Tells the core of memory that is not free although values were given up. Whoever drives handles it next.
    fn tell_of_lent(&self) {
        let kept_bytes = kask_net::share::kept_bytes();
        if kept_bytes > 0 {
            self.with_host(|host| host.post(Event::Lent { kept_bytes }));
        }
    }

    /// Has values written. Those that are not here (any more) are answered at once.
    fn spill(&self, tasks: &[TaskId]) {
        let (mut to_spill, mut gone) = (Vec::with_capacity(tasks.len()), Vec::new());
        for task in tasks {
            match self.store.to_spill(*task) {
                Some(value) => to_spill.push(value),
                None => gone.push((*task, Err(SpillProblem::Unpicklable))),
            }
        }
        self.with_host(|host| {
            if !gone.is_empty() {
                host.post(Event::Spilled(gone));
            }
            if !to_spill.is_empty() {
                host.disk.write(host, to_spill);
            }
        });
    }

    /// Gives an attempt to the runners, by way of the disk when that has some of its inputs.
    fn run(&mut self, task: ComputeTask) {
        let (id, attempt) = (task.task, task.attempt);
        match self.job_of(task) {
            Err(failure) => self.ready.push(Queued::Failed { task: id, attempt, failure }),
            Ok((job, elsewhere)) if elsewhere.is_empty() => self.ready.push(Queued::Job(job)),
            Ok((job, elsewhere)) => self.with_host(|host| {
                host.disk.read(host, For::Itself, Box::new(move |host| host.queue_with_inputs(job, elsewhere)));
            }),
        }
    }

    /// Takes back what has not started. Whoever drives handles the ends next.
    fn recall(&mut self, attempts: Vec<(TaskId, Attempt)>) {
        // What is ready joins the queue first, so that there is one place to look.
        self.queue.push(&mut self.ready, takes_next(&self.queue));
        let taken = self.queue.recall(&attempts.into_iter().collect());
        self.with_host(|host| {
            for job in taken {
                host.post_done(job.task, job.attempt, Completion::Reschedule, Instant::now(), 0);
            }
        });
    }

    /// An attempt with the inputs that are in memory, and which are not: in order of their places.
    fn job_of(&self, task: ComputeTask) -> Result<(Job, Vec<(usize, ValueId)>), Failure> {
        let mut inputs = Vec::with_capacity(task.inputs.len());
        let mut elsewhere = Vec::new();
        for (index, input) in task.inputs.iter().enumerate() {
            let id = ValueId { task: input.task, part: input.part };
            match self.store.get(id) {
                Some(Found::Memory(Stored::Value(value))) => inputs.push(value),
                Some(Found::Memory(Stored::Unsendable(failure))) => return Err(failure),
                Some(Found::Disk { .. }) => elsewhere.push((index, id)),
                // A reader has just found it damaged, and the core is about to hear of it.
                None if self.may_lose => elsewhere.push((index, id)),
                None => return Err(self.incomplete(&task, "an input")),
            }
        }
        let function = match task.function.map(|id| self.blobs.get(&id)) {
            None => None,
            Some(Some(blob)) => Some(blob.clone()),
            Some(None) => return Err(self.incomplete(&task, "the function")),
        };
        let job = Job {
            task: task.task,
            attempt: task.attempt,
            name: task.name,
            function,
            args: task.args,
            item: task.item,
            position: task.position,
            slots: task.slots,
            inputs,
        };
        Ok((job, elsewhere))
    }

    /// A broken invariant between core and shell: the attempt is given back rather than lost.
    fn incomplete(&self, task: &ComputeTask, what: &str) -> Failure {
        debug_assert!(false, "the worker core handed out {} before {what} was there", task.name);
        warn!(task = %task.name, what, "a task was handed out incomplete; it will be run again elsewhere");
        let reason = format!("worker {} had lost {what} of {}", self.queue_name(), task.name).into();
        Failure::Unrunnable { reason }
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
        self.with_host(|host| host.disk.stop());
    }
}

impl WorkerHost {
    /// Completes the inputs of a job, whose places are given in order, from disk, and gives it to the runners.
    fn queue_with_inputs(self: &Arc<Self>, mut job: Job, on_disk: Vec<(usize, ValueId)>) {
        for (index, id) in on_disk {
            let ended = match self.find(id) {
                Some(Stored::Value(value)) => {
                    job.inputs.insert(index, value);
                    continue;
                }
                Some(Stored::Unsendable(failure)) => Completion::Failed(failure),
                // The scheduler has been told, and will have the input made again.
                None => Completion::Reschedule,
            };
            self.post_done(job.task, job.attempt, ended, Instant::now(), 0);
            drive(self.clone());
            return;
        }
        self.queue.push(&mut vec![Queued::Job(job)], false);
    }
}

struct FetchSink {
    host: Arc<WorkerHost>,
    request: u64,
    peer: WorkerId,
}

impl DataSink for FetchSink {
    fn values(&mut self, values: Vec<(ValueId, Fetched)>, last: bool) {
        let mut results = Vec::with_capacity(values.len());
        for (id, fetched) in values {
            let result = match fetched {
                Fetched::Here(payload) => {
                    let nbytes = payload.nbytes();
                    self.host.store.insert(id, Stored::Value(Value::received(payload)), nbytes);
                    Ok(nbytes)
                }
                Fetched::Failed(failure) => {
                    self.host.store.insert(id, Stored::Unsendable(failure), 0);
                    Ok(0)
                }
                Fetched::NotThere => Err(FetchProblem::NotThere),
                Fetched::Unreachable => Err(FetchProblem::Unreachable),
                Fetched::Busy => Err(FetchProblem::Busy),
            };
            results.push((id, result));
        }
        self.host.post(Event::Fetched { request: self.request, peer: self.peer, results, last });
        drive(self.host.clone());
    }
}
