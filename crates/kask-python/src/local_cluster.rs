//! Whole clusters of this process: the embedded engine, and a scheduler with workers on threads or in processes.
//!
//! Nothing here knows Python; the pyclasses hand in the runtime and wrap what comes back.

use kask_client::{Client, Connector, Interrupted, WaitError};
use kask_executor::memory_settings::MemoryOptions;
use kask_executor::process::WorkerProcessConfig;
use kask_executor::runtime::Runtime;
use kask_executor::scratch::{Scratch, ScratchError, SpillBase};
use kask_executor::supervisor::{PlaceInfo, ScaleError};
use kask_executor::{LocalWorkers, Supervisor, SupervisorOptions, WorkerHost, WorkerOptions};
use kask_net::data_plane::DataPlane;
use kask_net::{Address, DataPool, LocalDir, Security, new_incarnation, runtime as network};
use kask_scheduler::Config;
use kask_server::{SchedulerHost, ServeError};
use kask_types::Resources;
use kask_wire::client::ClientInfo;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long an in-process registration may take: no more than the machine's worst pause.
const REGISTER: Duration = Duration::from_secs(30);

/// Why there is no cluster.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The operating system.
    #[error("the local cluster cannot be set up: {0}")]
    Io(#[from] std::io::Error),
    /// The folder for spilled values.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// The private directory.
    #[error(transparent)]
    Directory(#[from] kask_net::security::LocalDirError),
    /// The scheduler's address.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Somebody was not ready in time.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// No random numbers.
    #[error(transparent)]
    Incarnation(#[from] kask_net::IncarnationError),
    /// Workers do not start.
    #[error("worker {name} did not start: {problem}")]
    Worker {
        /// Its name.
        name: String,
        /// What happened.
        problem: String,
    },
    /// Not all workers were there in time.
    #[error(
        "{there} of {wanted} workers were ready after {seconds:.1} s; raise the timeout or look at the workers' output"
    )]
    Slow {
        /// How many were.
        there: usize,
        /// How many were wanted.
        wanted: usize,
        /// After how long.
        seconds: f64,
    },
}

impl From<ScaleError> for ClusterError {
    fn from(error: ScaleError) -> ClusterError {
        match error {
            ScaleError::Network(error) => error.into(),
            ScaleError::Scratch(error) => error.into(),
        }
    }
}

/// What in-process workers have in common.
#[derive(Clone)]
pub struct ThreadWorkers {
    /// Number of runners of each.
    pub nthreads: u32,
    /// What each offers.
    pub resources: Resources,
    /// What each may use.
    pub memory: MemoryOptions,
    /// Where their private folders for spilled values are made.
    pub spill_base: Option<SpillBase>,
    /// Prefix of their names.
    pub name: String,
    /// A folder for their files.
    pub local_directory: String,
    /// Whether tasks run in the thread that waits for them.
    pub synchronous: bool,
}

/// A scheduler and its workers, all started by this process.
pub struct LocalCluster {
    /// The scheduler.
    pub scheduler: Arc<SchedulerHost>,
    /// Where others connect; `inproc://` if they cannot.
    pub address: String,
    /// The file with the token, where there is one.
    pub token_file: Option<PathBuf>,
    security: Security,
    workers: Workers,
    /// Removed with the cluster.
    _directory: Option<LocalDir>,
}

#[expect(clippy::large_enum_variant, reason = "a cluster has one of them")]
enum Workers {
    Threads {
        shared: Arc<LocalWorkers>,
        options: ThreadWorkers,
        runtime: Arc<dyn Runtime>,
        hosts: Mutex<Hosts>,
        /// Where they spill to, until they are closed; nothing where they have no limit.
        scratch: Mutex<Option<Scratch>>,
        /// What each that starts from now on may use.
        memory_limit_bytes: AtomicU64,
    },
    Processes {
        supervisor: Arc<Supervisor>,
    },
}

#[derive(Default)]
struct Hosts {
    hosts: Vec<Arc<WorkerHost>>,
    next: usize,
}

impl LocalCluster {
    /// A scheduler with `n` workers whose runners are threads of this process.
    pub fn threads(
        n: usize,
        options: ThreadWorkers,
        scheduler: Config,
        runtime: Arc<dyn Runtime>,
    ) -> Result<LocalCluster, ClusterError> {
        let incarnation = new_incarnation()?;
        let limited = options.memory.limit_bytes > 0;
        let scratch = limited.then(|| Scratch::new(options.spill_base.as_ref())).transpose()?;
        let cluster = LocalCluster {
            scheduler: SchedulerHost::new(scheduler, incarnation),
            address: format!("inproc://{incarnation}"),
            token_file: None,
            security: Security::default(),
            workers: Workers::Threads {
                memory_limit_bytes: AtomicU64::new(options.memory.limit_bytes),
                shared: Arc::new(LocalWorkers::default()),
                options,
                runtime,
                hosts: Mutex::default(),
                scratch: Mutex::new(scratch),
            },
            _directory: None,
        };
        cluster.scale(n)?;
        Ok(cluster)
    }

    /// A scheduler with `n` supervised worker processes. `listen` of `None` means Unix sockets in a private directory.
    /// Workers are still starting when this returns: see [`LocalCluster::wait_ready`].
    pub fn processes(
        n: usize,
        listen: Option<Address>,
        mut options: SupervisorOptions,
        scheduler: Config,
    ) -> Result<LocalCluster, ClusterError> {
        let (directory, security) = Security::local_dir()?;
        let host = SchedulerHost::new(scheduler, new_incarnation()?);
        let unix = listen.is_none();
        let address = host.listen(&listen.unwrap_or_else(|| directory.socket("scheduler")), &security)?;
        let token_file = directory.token_file();
        options.worker = WorkerProcessConfig { scheduler: address.to_string(), ..options.worker };
        options.worker.security.token_file = Some(token_file.clone());
        options.worker.local_directory = directory.path().display().to_string();
        if unix {
            options.socket_directory = Some(directory.path().to_path_buf());
        } else {
            options.worker.listen = format!("tcp://{}:0", address.host().unwrap_or("127.0.0.1"));
        }
        let supervisor = Supervisor::new(options);
        supervisor.connect(host.add_supervisor(supervisor.clone()));
        if let Err(error) = supervisor.scale(n) {
            supervisor.disconnect();
            host.close("the cluster was not started");
            return Err(error.into());
        }
        Ok(LocalCluster {
            scheduler: host,
            address: address.to_string(),
            token_file: Some(token_file),
            security,
            workers: Workers::Processes { supervisor },
            _directory: Some(directory),
        })
    }

    /// A client in this process, without a socket to the scheduler.
    pub fn client(&self, info: ClientInfo, interrupted: Interrupted) -> Result<Client, ClusterError> {
        let data: Arc<dyn DataPlane> = match &self.workers {
            Workers::Threads { shared, .. } => shared.clone(),
            Workers::Processes { .. } => Arc::new(DataPool::new(self.security.clone(), info.incarnation)),
        };
        let connector = Connector::new(data);
        let uplink = self.scheduler.add_client(connector.incoming());
        Ok(connector.finish(uplink, info, self.driver(), REGISTER, interrupted)?)
    }

    /// For the synchronous engine: how the waiting thread runs tasks itself.
    pub(crate) fn driver(&self) -> Option<Arc<dyn Fn() + Send + Sync>> {
        let Workers::Threads { options, hosts, .. } = &self.workers else { return None };
        if !options.synchronous {
            return None;
        }
        let host = hosts.lock().hosts.first().cloned()?;
        Some(Arc::new(move || host.run_inline()))
    }

    /// Waits until `n` workers of this cluster are registered.
    pub fn wait_ready(
        &self,
        n: usize,
        client: &Client,
        timeout: Duration,
        interrupted: Interrupted,
    ) -> Result<(), ClusterError> {
        let started = Instant::now();
        loop {
            let step = Duration::from_millis(100).min(timeout);
            let query = kask_wire::Query::WorkersAtLeast(u32::try_from(n).unwrap_or(u32::MAX));
            match client.ask(query, Some(step), &mut *interrupted) {
                Ok(_) => return Ok(()),
                Err(WaitError::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(place) = self.places().into_iter().find(|place| place.problem.is_some()) {
                let problem = place.problem.unwrap_or_default();
                return Err(ClusterError::Worker { name: place.name, problem });
            }
            if started.elapsed() > timeout {
                let there = client.worker_count();
                return Err(ClusterError::Slow { there, wanted: n, seconds: timeout.as_secs_f64() });
            }
        }
    }

    /// What each worker may use that starts from now on.
    pub fn set_memory_limit(&self, bytes: u64) {
        match &self.workers {
            Workers::Processes { supervisor } => supervisor.set_memory_limit(bytes),
            Workers::Threads { memory_limit_bytes, .. } => memory_limit_bytes.store(bytes, Ordering::Relaxed),
        }
    }

    /// Makes it `n` workers; gives the names of those that should be retired through a client.
    pub fn scale(&self, n: usize) -> Result<Vec<String>, ClusterError> {
        match &self.workers {
            Workers::Processes { supervisor } => Ok(supervisor.scale(n)?),
            Workers::Threads { shared, options, runtime, hosts, scratch, memory_limit_bytes } => {
                let limit = memory_limit_bytes.load(Ordering::Relaxed);
                let memory = MemoryOptions { limit_bytes: limit, ..options.memory.clone() };
                let options = ThreadWorkers { memory, ..options.clone() };
                let mut hosts = hosts.lock();
                hosts.hosts.retain(|host| !host.is_closed());
                let surplus = hosts.hosts.iter().skip(n).map(|host| host.name().to_string()).collect();
                while hosts.hosts.len() < n {
                    let host =
                        self.thread_worker(&options, hosts.next, runtime.clone(), shared, scratch.lock().as_ref())?;
                    hosts.next += 1;
                    hosts.hosts.push(host);
                }
                Ok(surplus)
            }
        }
    }

    fn thread_worker(
        &self,
        options: &ThreadWorkers,
        index: usize,
        runtime: Arc<dyn Runtime>,
        shared: &Arc<LocalWorkers>,
        scratch: Option<&Scratch>,
    ) -> Result<Arc<WorkerHost>, ClusterError> {
        let name = format!("{}-{index}", options.name);
        let spill_directory = scratch.map(|scratch| scratch.place(&name)).transpose()?;
        let goes_with_process = scratch.map(|scratch| scratch.path().to_owned());
        let memory = MemoryOptions { spill_directory, goes_with_process, ..options.memory.clone() };
        let worker = WorkerOptions {
            name: name.as_str().into(),
            incarnation: new_incarnation()?,
            nthreads: options.nthreads,
            resources: options.resources.clone(),
            memory,
            local_directory: options.local_directory.as_str().into(),
            host: "localhost".into(),
            versions: Vec::new(),
            in_process: true,
            synchronous: options.synchronous,
            last_task_file: None,
        };
        let host = WorkerHost::new(worker, runtime, shared.clone());
        shared.add(&host);
        let uplink = self.scheduler.add_worker(host.incoming());
        host.start(uplink, &format!("{}/{name}", self.address));
        Ok(host)
    }

    /// The workers as (name, pid, problem) where they are processes.
    pub fn places(&self) -> Vec<PlaceInfo> {
        match &self.workers {
            Workers::Processes { supervisor } => supervisor.places(),
            Workers::Threads { hosts, .. } => hosts
                .lock()
                .hosts
                .iter()
                .filter(|host| !host.is_closed())
                .filter_map(|host| {
                    let incarnation = host.peer()?.incarnation;
                    let name = host.name().to_string();
                    Some(PlaceInfo { name, pid: Some(std::process::id()), incarnation, deaths: 0, problem: None })
                })
                .collect(),
        }
    }

    /// Ends everything: clients are told, queued work is dropped, what runs in threads may end within `timeout`.
    /// True when nothing of it is left running.
    pub fn close(&self, timeout: Duration, interrupted: Interrupted) -> bool {
        let hosts = match &self.workers {
            Workers::Threads { hosts, .. } => std::mem::take(&mut hosts.lock().hosts),
            Workers::Processes { .. } => Vec::new(),
        };
        self.scheduler.close("the cluster was closed");
        let mut ended = true;
        for host in &hosts {
            ended &= host.close(timeout, &mut *interrupted);
        }
        match &self.workers {
            Workers::Threads { scratch, .. } => drop(scratch.lock().take()),
            Workers::Processes { supervisor } => self.close_processes(supervisor.clone()),
        }
        ended
    }

    fn close_processes(&self, supervisor: Arc<Supervisor>) {
        supervisor.disconnect();
        let Ok(network) = network::handle() else { return supervisor.kill_all() };
        let (done, ended) = std::sync::mpsc::channel();
        network.spawn(async move {
            supervisor.close().await;
            // Nobody listening any more means that nobody waits.
            let _ = done.send(());
        });
        // The supervisor's own limits end this; the one here is for a network thread that died.
        let _ = ended.recv_timeout(Duration::from_secs(10));
    }
}
