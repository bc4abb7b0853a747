//! A worker of this process: its values, runners, disk and links around the actor of its core (`working`).

use crate::disk::Disk;
use crate::last_task::LastTask;
use crate::memory_settings::MemoryOptions;
use crate::monitor::{self, Managed};
use crate::runners::{self, RunQueue};
use crate::runtime::Runtime;
use crate::spill::SpillStats;
use crate::store::Store;
use crate::working::{Input, Working};
use kask_graph::PROCESS_MILLI;
use kask_net::data_plane::DataPlane;
use kask_net::reactor::{Link, Pump, Reactor, Wake, drive};
use kask_net::runtime as network;
use kask_net::timer::Timer;
use kask_types::{Incarnation, Resources, WorkerId};
use kask_wire::worker::{Peer, WorkerInfo};
use kask_wire::{SchedulerToWorker, WorkerToScheduler};
use kask_worker::{Config, Event, MemoryConfig};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;
use tracing::debug;

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
    /// What it may use of memory, and of the disk.
    pub memory: MemoryOptions,
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
    pub(crate) disk: Disk,
    pub(crate) managed: Managed,
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

impl WorkerHost {
    /// A worker without a scheduler. `data` is its way to other workers' values.
    pub fn new(options: WorkerOptions, runtime: Arc<dyn Runtime>, data: Arc<dyn DataPlane>) -> Arc<WorkerHost> {
        let config = Config {
            nthreads: options.nthreads,
            resources: options.resources.clone(),
            memory: memory_config(&options.memory),
            ..Config::default()
        };
        let store = Arc::new(Store::default());
        let queue = Arc::new(RunQueue::new(options.nthreads as usize));
        let timer = Arc::new(Timer::default());
        let started = (Instant::now(), SystemTime::now());
        let host = Arc::new_cyclic(|this| WorkerHost {
            this: this.clone(),
            reactor: Reactor::new(Working::new(
                config,
                this.clone(),
                (store.clone(), queue.clone(), timer.clone()),
                data,
                started.0,
            )),
            store,
            disk: Disk::new(options.name.clone(), options.memory.clone()),
            managed: Managed::new(),
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
            memory_limit_bytes: options.memory.limit_bytes,
            resources: options.resources.clone(),
            versions: options.versions.clone(),
            in_process: options.in_process,
        };
        if !self.synchronous {
            runners::start(self);
        }
        if options.memory.limit_bytes > 0 {
            monitor::start(self);
        }
        self.reactor.post(Input::Connect(uplink.clone()));
        drive(self.clone());
        uplink.post(WorkerToScheduler::Register(info));
        drive(uplink);
    }

    /// Takes over what an earlier process in this worker's place spilled for the same scheduler. Before [`WorkerHost::start`].
    pub fn adopt(self: &Arc<Self>, scheduler: Incarnation) {
        let adopted = self.disk.adopt(scheduler);
        if adopted.is_empty() {
            return;
        }
        let found = adopted.iter().map(|spilled| (spilled.task(), spilled.nbytes(), spilled.disk_bytes())).collect();
        adopted.into_iter().for_each(|spilled| self.store.adopt(spilled));
        self.post(Event::Adopted(found));
        drive(self.clone());
    }

    /// What has been spilled.
    pub fn spill_stats(&self) -> SpillStats {
        self.disk.stats()
    }

    /// The worker's name.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// The most that the worker may take; 0 for no limit.
    pub(crate) fn memory_limit_bytes(&self) -> u64 {
        self.options.memory.limit_bytes
    }

    /// What the process may take beside its values, before they have to make room for it.
    pub(crate) fn room_beside_values(&self) -> u64 {
        let MemoryConfig { limit_bytes, target_milli, .. } = memory_config(&self.options.memory);
        limit_bytes / 1000 * PROCESS_MILLI.saturating_sub(target_milli.into())
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
        self.disk.destroy();
        true
    }

    /// Starts nothing more, and tells those who wait for the worker's end.
    pub(crate) fn end(&self) {
        self.queue.stop();
        self.disk.stop();
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

fn memory_config(options: &MemoryOptions) -> MemoryConfig {
    let default = MemoryConfig::default();
    let target_milli = match options.target {
        target if target > 0.0 => (target.min(1.0) * 1000.0) as u32,
        _ => default.target_milli,
    };
    let can_spill = options.spill_directory.is_some();
    let &MemoryOptions { limit_bytes, checkpoints, .. } = options;
    MemoryConfig { limit_bytes, target_milli, can_spill, checkpoints, ..default }
}

/// What makes a worker known to those it does not share a process with.
impl WorkerHost {
    /// The worker as its peers know it, once it is registered.
    pub fn peer(&self) -> Option<Peer> {
        let worker = (*self.worker_id.lock())?;
        Some(Peer { worker, incarnation: self.options.incarnation, address: self.address.lock().clone() })
    }
}
