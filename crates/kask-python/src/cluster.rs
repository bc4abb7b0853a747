//! `Cluster`: a scheduler in this process with supervised worker processes, or workers on threads; and the body of such a
//! worker process.

use crate::connect::{self, building};
use crate::engine::Engine;
use crate::engine_core::{EngineCore, Kind};
use crate::errors;
use crate::home::Home;
use crate::interrupt;
use crate::local_cluster::{LocalCluster, ThreadWorkers};
use crate::logs;
use crate::memory::Spill;
use crate::runtime::PythonRuntime;
use kask_executor::SupervisorOptions;
use kask_executor::process::{self, WorkerProcessConfig};
use kask_net::Address;
use kask_scheduler::Config;
use kask_wire::ClientToScheduler;
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

static CLUSTERS: Mutex<Vec<Weak<LocalCluster>>> = Mutex::new(Vec::new());

/// A scheduler in this process and its workers.
#[pyclass(module = "kask._kask", frozen, weakref)]
pub struct Cluster {
    inner: Arc<LocalCluster>,
    local: bool,
    /// Client of the cluster itself, for what is asked of the scheduler on its behalf.
    own: Arc<EngineCore>,
    closed: Mutex<bool>,
}

#[pymethods]
impl Cluster {
    #[staticmethod]
    #[pyo3(signature = (*, n_workers, threads_per_worker, memory_limit, python, local_directory, resources, host, port,
                        processes, heartbeat_timeout, worker_env, preload, allowed_deaths, name, startup_timeout,
                        spill = None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn start(
        py: Python<'_>,
        n_workers: usize,
        threads_per_worker: u32,
        memory_limit: u64,
        python: String,
        local_directory: Option<String>,
        resources: Option<&Bound<'_, PyDict>>,
        host: Option<&str>,
        port: u16,
        processes: bool,
        heartbeat_timeout: f64,
        worker_env: BTreeMap<String, String>,
        preload: Vec<String>,
        allowed_deaths: u32,
        name: &str,
        startup_timeout: f64,
        spill: Option<Spill>,
    ) -> PyResult<Cluster> {
        if threads_per_worker == 0 {
            return Err(PyValueError::new_err("threads_per_worker must be at least 1"));
        }
        let scheduler = scheduler_config(heartbeat_timeout, allowed_deaths)?;
        let offered = connect::resources(resources)?;
        let spill = spill.unwrap_or_default();
        let spill_base = spill.base();
        let memory = spill.with_limit(memory_limit, processes)?;
        let home = Arc::new(Home::default());
        let start = Start {
            n_workers,
            scheduler,
            info: connect::client_info(py, name),
            timeout: interrupt::seconds(Some(startup_timeout))?.unwrap_or(Duration::from_secs(1 << 30)),
        };
        let (inner, client) = if processes {
            let worker = WorkerProcessConfig {
                nthreads: threads_per_worker,
                resources: offered.iter().map(|(name, amount)| (name.to_owned(), amount)).collect(),
                local_directory: local_directory.unwrap_or_default(),
                connect_timeout_ms: u64::try_from(start.timeout.as_millis()).unwrap_or(u64::MAX).max(10_000),
                preload,
                ..worker_defaults()
            }
            .with_memory(&memory);
            let options = SupervisorOptions {
                python: python.into(),
                arguments: vec!["-m".to_owned(), "kask.engine.worker_process".to_owned()],
                environment: worker_env.into_iter().collect(),
                worker,
                name_prefix: name.to_owned(),
                is_only_one: false,
                socket_directory: None,
                spill_base,
                restart: true,
            };
            start.processes(py, listen_address(host, port)?, options)?
        } else {
            let workers = ThreadWorkers {
                nthreads: threads_per_worker,
                resources: offered,
                memory,
                spill_base,
                name: name.to_owned(),
                local_directory: local_directory.map_or_else(|| connect::local_directory(py), Ok)?,
                synchronous: false,
            };
            start.threads(py, workers, PythonRuntime::new(true, home.clone()))?
        };
        let own = EngineCore::new(client, Kind::Remote, !processes, inner.address.clone(), None);
        let weak = Arc::downgrade(&inner);
        home.set_connect(Box::new(move |py| match weak.upgrade() {
            Some(cluster) => connect_to(py, &cluster, true, "task"),
            None => Err(errors::new(py, "ClientClosedError", "the cluster is closed", None)),
        }));
        let mut clusters = CLUSTERS.lock();
        clusters.retain(|cluster| cluster.strong_count() > 0);
        clusters.push(Arc::downgrade(&inner));
        Ok(Cluster { inner, local: !processes, own, closed: Mutex::new(false) })
    }

    #[getter]
    fn address(&self) -> &str {
        &self.inner.address
    }

    /// The file that holds the token; empty where nothing listens.
    #[getter]
    fn token_file(&self) -> String {
        self.inner.token_file.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }

    /// The workers: name, pid, address, status.
    #[getter]
    fn workers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut addresses: FxHashMap<String, String> = FxHashMap::default();
        if !self.own.is_closed() {
            for (address, info) in
                crate::admin::scheduler_info(py, &self.own)?.as_any().get_item("workers")?.cast_into::<PyDict>()?.iter()
            {
                addresses.insert(info.get_item("name")?.extract()?, address.extract()?);
            }
        }
        let list = PyList::empty(py);
        for place in self.inner.places() {
            let worker = PyDict::new(py);
            let address = addresses.get(&place.name);
            let status = match (&place.problem, address) {
                (Some(problem), _) => format!("failed: {problem}"),
                (None, Some(_)) => "running".to_owned(),
                (None, None) => "starting".to_owned(),
            };
            worker.set_item("name", &place.name)?;
            worker.set_item("pid", place.pid)?;
            worker.set_item("address", address)?;
            worker.set_item("status", status)?;
            worker.set_item("deaths", place.deaths)?;
            list.append(worker)?;
        }
        Ok(list)
    }

    /// A client in this process, without a socket.
    fn engine<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, Engine>> {
        self.check_open(py)?;
        Engine::wrap(py, &connect_to(py, &self.inner, self.local, name)?)
    }

    /// Makes it `n` workers. Surplus ones leave after their data has been moved.
    /// New ones may use `memory_limit` bytes each, and so may those that take the place of one that died.
    #[pyo3(signature = (n, memory_limit = None))]
    fn scale(&self, py: Python<'_>, n: usize, memory_limit: Option<u64>) -> PyResult<()> {
        self.check_open(py)?;
        let surplus = building(py, |_| {
            if let Some(bytes) = memory_limit {
                self.inner.set_memory_limit(bytes);
            }
            self.inner.scale(n)
        })?;
        if !surplus.is_empty() {
            let client = self.own.client.clone();
            let workers: Vec<Arc<str>> = surplus.into_iter().map(Arc::from).collect();
            interrupt::wait(py, |interrupted| {
                let retire = |request| ClientToScheduler::Retire { request, workers };
                client.request(retire, Some(Duration::from_secs(60)), interrupted)
            })?;
        }
        Ok(())
    }

    /// Ends everything. Idempotent.
    #[pyo3(signature = (timeout))]
    fn close(&self, py: Python<'_>, timeout: f64) -> PyResult<()> {
        if std::mem::replace(&mut *self.closed.lock(), true) {
            return Ok(());
        }
        let timeout = interrupt::seconds(Some(timeout))?.unwrap_or(Duration::from_secs(1 << 30));
        interrupt::wait(py, |interrupted| {
            self.own.close(Duration::ZERO, &mut *interrupted);
            self.inner.close(timeout, interrupted);
            Ok(())
        })
    }

    fn __repr__(&self) -> String {
        format!("<Cluster at {}>", self.inner.address)
    }
}

impl Cluster {
    fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        if *self.closed.lock() {
            return Err(errors::new(py, "ClientClosedError", "the cluster is closed", None));
        }
        Ok(())
    }
}

/// Closes all clusters that are open; at exit.
pub fn close_all(py: Python<'_>) -> PyResult<()> {
    let clusters = std::mem::take(&mut *CLUSTERS.lock());
    for cluster in clusters.iter().filter_map(Weak::upgrade) {
        interrupt::wait(py, |interrupted| {
            cluster.close(Duration::from_millis(50), interrupted);
            Ok(())
        })?;
    }
    Ok(())
}

fn connect_to(py: Python<'_>, cluster: &Arc<LocalCluster>, local: bool, name: &str) -> PyResult<Arc<EngineCore>> {
    let info = connect::client_info(py, name);
    let client = building(py, |interrupted| cluster.client(info, interrupted))?;
    Ok(EngineCore::new(client, Kind::Remote, local, cluster.address.clone(), None))
}

/// What both kinds of cluster start with.
struct Start {
    n_workers: usize,
    scheduler: Config,
    info: kask_wire::client::ClientInfo,
    timeout: Duration,
}

type Started = (Arc<LocalCluster>, kask_client::Client);

impl Start {
    fn processes(self, py: Python<'_>, listen: Option<Address>, options: SupervisorOptions) -> PyResult<Started> {
        building(py, |interrupted| {
            let cluster = LocalCluster::processes(self.n_workers, listen, options, self.scheduler)?;
            let cluster = Arc::new(cluster);
            let ready = cluster.client(self.info, &mut *interrupted).and_then(|client| {
                cluster.wait_ready(self.n_workers, &client, self.timeout, &mut *interrupted)?;
                Ok(client)
            });
            match ready {
                Ok(client) => Ok((cluster, client)),
                Err(problem) => {
                    cluster.close(Duration::ZERO, &mut || false);
                    Err(problem)
                }
            }
        })
    }

    fn threads(self, py: Python<'_>, workers: ThreadWorkers, runtime: Arc<PythonRuntime>) -> PyResult<Started> {
        building(py, |interrupted| {
            let cluster = Arc::new(LocalCluster::threads(self.n_workers, workers, self.scheduler, runtime)?);
            let client = cluster.client(self.info, &mut *interrupted)?;
            cluster.wait_ready(self.n_workers, &client, self.timeout, interrupted)?;
            Ok((cluster, client))
        })
    }
}

fn scheduler_config(heartbeat_timeout: f64, allowed_deaths: u32) -> PyResult<Config> {
    if !heartbeat_timeout.is_finite() || heartbeat_timeout <= 0.0 {
        return Err(PyValueError::new_err("heartbeat_timeout must be a positive number of seconds"));
    }
    let heartbeat_timeout_ms = (heartbeat_timeout * 1000.0) as u64;
    let defaults = Config::default();
    let heartbeat_interval_ms = defaults.heartbeat_interval_ms.min(heartbeat_timeout_ms / 4).max(1);
    Ok(Config { heartbeat_timeout_ms, heartbeat_interval_ms, allowed_deaths, ..defaults })
}

fn listen_address(host: Option<&str>, port: u16) -> PyResult<Option<Address>> {
    let Some(host) = host else { return Ok(None) };
    let text = if host.contains("://") {
        host.to_owned()
    } else if host.contains(':') {
        format!("tcp://[{host}]:{port}")
    } else {
        format!("tcp://{host}:{port}")
    };
    text.parse().map(Some).map_err(|error: kask_net::AddressError| PyValueError::new_err(error.to_string()))
}

/// What the supervisor and the cluster fill in.
fn worker_defaults() -> WorkerProcessConfig {
    WorkerProcessConfig {
        nthreads: 1,
        host: kask_net::hostname().unwrap_or_else(|| "localhost".to_owned()),
        connect_timeout_ms: 30_000,
        ..WorkerProcessConfig::default()
    }
}

/// Body of a worker process; the exit code.
#[pyfunction]
pub fn worker_process_main(py: Python<'_>, config: &str) -> PyResult<i32> {
    let settings = serde_json::from_str::<WorkerProcessConfig>(config)
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    logs::to_stderr();
    let home = Arc::new(Home::default());
    home.serve_process();
    let runtime = PythonRuntime::new(false, home.clone());
    let versions = connect::versions(py);
    let started = py.detach(|| process::start(config, runtime, versions));
    let host = match started {
        Ok(host) => host,
        Err(problem) => {
            eprintln!("kask worker: {problem}");
            return Ok(problem.exit_code());
        }
    };
    home.set_connect(Box::new(move |py| {
        let security = settings.security.load().map_err(|error| errors::connection(&error.to_string()))?;
        let timeout = Duration::from_millis(settings.connect_timeout_ms);
        connect::remote(py, &settings.scheduler, &security, &format!("task on {}", settings.name), timeout)
    }));
    interrupt::wait(py, |interrupted| {
        while !host.is_closed() {
            if interrupted() {
                return Err(kask_client::WaitError::Interrupted);
            }
            std::thread::sleep(Duration::from_millis(40));
        }
        // Tasks that are running lose their scheduler; the process ends with them.
        Ok(())
    })?;
    Ok(process::EXIT_OK)
}

/// The `kask` command; the exit code.
#[pyfunction]
pub fn cli_main(py: Python<'_>, argv: Vec<String>, python: &str) -> u8 {
    // The command's own runtime hears the signals, so nothing is left for Python to do meanwhile.
    py.detach(|| kask_cli::run(argv, Some(std::path::Path::new(python))))
}
