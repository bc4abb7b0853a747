//! How engines come to be: one function for each kind. All blocking parts run without the GIL.

use crate::engine_core::{EngineCore, Kind};
use crate::errors;
use crate::functions::random128;
use crate::helpers;
use crate::home::Home;
use crate::interrupt;
use crate::local_cluster::{ClusterError, LocalCluster, ThreadWorkers};
use crate::runtime::{PythonRuntime, ThreadBody};
use kask_client::{Client, ClientError, WaitError};
use kask_executor::memory_settings::MemoryOptions;
use kask_executor::scratch::SpillBase;
use kask_net::tls::TlsPaths;
use kask_net::{Address, Security, Token};
use kask_types::{Incarnation, Resources};
use kask_wire::client::ClientInfo;
use parking_lot::Mutex;
use pyo3::exceptions::{PyKeyboardInterrupt, PyTimeoutError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyModule, PyTuple};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Threads that were started for tasks, to be joined at exit.
static THREADS: Mutex<Vec<Py<PyAny>>> = Mutex::new(Vec::new());

/// What a client says of itself.
pub fn client_info(py: Python<'_>, name: &str) -> ClientInfo {
    ClientInfo { name: name.into(), incarnation: Incarnation(random128()), versions: versions(py) }
}

/// `(package, version)` pairs of what must fit together.
pub fn versions(py: Python<'_>) -> Vec<(String, String)> {
    let python = py.version_info();
    vec![
        ("kask".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("python".to_owned(), format!("{}.{}.{}", python.major, python.minor, python.patch)),
    ]
}

/// Resources out of a dict.
pub fn resources(amounts: Option<&Bound<'_, PyDict>>) -> PyResult<Resources> {
    let mut pairs: Vec<(String, f64)> = Vec::new();
    for (name, amount) in amounts.into_iter().flat_map(|amounts| amounts.iter()) {
        pairs.push((name.extract()?, amount.extract()?));
    }
    Resources::new(pairs.iter().map(|(name, amount)| (name.as_str(), *amount))).map_err(PyValueError::new_err)
}

/// A folder for the files of this process's tasks.
pub fn local_directory(py: Python<'_>) -> PyResult<String> {
    py.import(intern!(py, "tempfile"))?.call_method0("gettempdir")?.extract()
}

/// An engine with a scheduler and runners of its own in this process.
pub fn embedded(
    py: Python<'_>,
    nthreads: u32,
    name: &str,
    amounts: Option<&Bound<'_, PyDict>>,
    memory: MemoryOptions,
    spill_base: Option<SpillBase>,
) -> PyResult<Arc<EngineCore>> {
    in_process(py, Kind::Embedded, nthreads, name, resources(amounts)?, memory, spill_base)
}

/// An engine whose tasks run in the thread that waits for them.
pub fn synchronous(py: Python<'_>) -> PyResult<Arc<EngineCore>> {
    in_process(py, Kind::Sync, 1, "sync", Resources::default(), MemoryOptions::default(), None)
}

fn in_process(
    py: Python<'_>,
    kind: Kind,
    nthreads: u32,
    name: &str,
    resources: Resources,
    memory: MemoryOptions,
    spill_base: Option<SpillBase>,
) -> PyResult<Arc<EngineCore>> {
    let home = Arc::new(Home::default());
    let runtime = PythonRuntime::new(true, home.clone());
    let workers = ThreadWorkers {
        nthreads,
        resources,
        memory,
        spill_base,
        name: name.to_owned(),
        local_directory: local_directory(py)?,
        synchronous: kind == Kind::Sync,
    };
    let info = client_info(py, name);
    let (cluster, client) = building(py, |interrupted| {
        let cluster = LocalCluster::threads(1, workers, kask_scheduler::Config::default(), runtime)?;
        let client = cluster.client(info, &mut *interrupted)?;
        cluster.wait_ready(1, &client, Duration::from_secs(30), interrupted)?;
        Ok((Arc::new(cluster), client))
    })?;
    let address = cluster.address.clone();
    let core = EngineCore::new(client, kind, true, address, Some(cluster));
    home.set_engine(&core);
    Ok(core)
}

/// Runs what builds (a part of) a cluster, without the GIL, hearing Ctrl-C.
pub fn building<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(kask_client::Interrupted<'_>) -> Result<T, ClusterError> + Send,
) -> PyResult<T> {
    crate::logs::to_python();
    let built = interrupt::wait(py, |interrupted| match work(interrupted) {
        Ok(built) => Ok(Ok(built)),
        Err(ClusterError::Wait(WaitError::Interrupted)) => Err(WaitError::Interrupted),
        Err(other) => Ok(Err(other)),
    })?;
    built.map_err(|problem| cluster_error(py, &problem))
}

fn cluster_error(py: Python<'_>, problem: &ClusterError) -> PyErr {
    match problem {
        ClusterError::Serve(_) | ClusterError::Io(_) | ClusterError::Directory(_) => {
            errors::connection(&problem.to_string())
        }
        ClusterError::Slow { .. } => PyTimeoutError::new_err(problem.to_string()),
        ClusterError::Wait(problem) => errors::from_wait(py, problem),
        ClusterError::Scratch(_) => {
            let hint = "name a folder that is there or can be made, and in which you may write";
            errors::new(py, "ClusterError", &problem.to_string(), Some(hint))
        }
        ClusterError::Incarnation(_) | ClusterError::Worker { .. } => {
            errors::new(py, "ClusterError", &problem.to_string(), None)
        }
    }
}

/// What a client proves who it is with.
pub fn security(
    token: Option<&str>,
    tls_ca: Option<String>,
    tls_cert: Option<String>,
    tls_key: Option<String>,
) -> PyResult<Security> {
    let token = match token {
        None => None,
        Some(token) if token.contains('/') || Path::new(token).is_file() => {
            Some(Token::read_file(token).map_err(|error| errors::connection(&error.to_string()))?)
        }
        Some(token) => Some(Token::from_hex(token).map_err(|error| PyValueError::new_err(error.to_string()))?),
    };
    let tls = match (tls_ca, tls_cert, tls_key) {
        (None, None, None) => None,
        (Some(ca), Some(certificate), Some(key)) => {
            let paths = TlsPaths { ca: ca.into(), certificate: certificate.into(), key: key.into() };
            Some(paths.load().map_err(|error| errors::connection(&error.to_string()))?)
        }
        _ => {
            let message = "TLS needs all three of tls_ca=, tls_cert= and tls_key=; `kask tls create` makes them";
            return Err(PyValueError::new_err(message));
        }
    };
    Ok(Security { token, tls })
}

/// An engine connected to a scheduler elsewhere.
pub fn remote(
    py: Python<'_>,
    address: &str,
    security: &Security,
    name: &str,
    timeout: Duration,
) -> PyResult<Arc<EngineCore>> {
    crate::logs::to_python();
    let place: Address = address.parse().map_err(|error| errors::connection(&format!("{error}")))?;
    let info = client_info(py, name);
    let connected =
        interrupt::wait(py, |interrupted| match Client::connect(&place, security, info, timeout, interrupted) {
            Ok(client) => Ok(Ok(client)),
            Err(ClientError::Interrupted | ClientError::Register { problem: WaitError::Interrupted, .. }) => {
                Err(WaitError::Interrupted)
            }
            Err(problem) => Ok(Err(problem)),
        })?;
    let client = connected.map_err(|problem| errors::connection(&problem.to_string()))?;
    Ok(EngineCore::new(client, Kind::Remote, false, place.to_string(), None))
}

/// How many threads are being started now.
static STARTING: AtomicUsize = AtomicUsize::new(0);
/// How long the exit waits for them.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// A thread that is being started, for as long as this lives. The interpreter must not end meanwhile: it would end
/// the starting thread in the middle.
pub struct Starting(());

impl Starting {
    /// Counts one more.
    pub fn begin() -> Starting {
        STARTING.fetch_add(1, Ordering::AcqRel);
        Starting(())
    }

    /// Waits until none is left; without the GIL.
    fn wait_for_all() {
        let started = Instant::now();
        while STARTING.load(Ordering::Acquire) > 0 && started.elapsed() < START_PATIENCE {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        STARTING.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Starts a Python thread; called by [`crate::runtime::PythonRuntime`].
pub fn start_thread(py: Python<'_>, name: &str, body: ThreadBody) -> PyResult<()> {
    let body = Bound::new(py, body)?;
    let thread = helpers::get(py, intern!(py, "start_thread"))?.call1((name, body))?;
    let mut threads = THREADS.lock();
    let known = std::mem::take(&mut *threads);
    drop(threads);
    // Asked without the lock: is_alive() may let go of the GIL.
    let mut alive = Vec::with_capacity(known.len() + 1);
    for thread in known {
        if thread.bind(py).call_method0(intern!(py, "is_alive"))?.is_truthy()? {
            alive.push(thread);
        }
    }
    alive.push(thread.unbind());
    THREADS.lock().append(&mut alive);
    Ok(())
}

/// Sees to it that [`shutdown_all`] is called at exit, whether or not the Python side does, but not in forked children:
/// the threads that it would end are not there.
pub fn shut_down_at_exit(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let process = std::process::id();
    let at_exit = PyCFunction::new_closure(py, None, None, move |args: &Bound<'_, PyTuple>, _| {
        if std::process::id() == process { shutdown_all(args.py()) } else { Ok(()) }
    })?;
    py.import(intern!(py, "atexit"))?.call_method1("register", (at_exit,)).map(drop)
}

/// Called at interpreter exit: closes what is open and waits for tasks that are running, as `concurrent.futures` does.
#[pyfunction]
pub fn shutdown_all(py: Python<'_>) -> PyResult<()> {
    for core in EngineCore::all() {
        let closed = interrupt::wait(py, |interrupted| {
            core.close(Duration::from_millis(50), interrupted);
            Ok(())
        });
        core.set_owner(None);
        closed?;
    }
    crate::cluster::close_all(py)?;
    py.detach(Starting::wait_for_all);
    let threads = std::mem::take(&mut *THREADS.lock());
    for thread in threads {
        if let Err(error) = thread.bind(py).call_method0(intern!(py, "join")) {
            if error.is_instance_of::<PyKeyboardInterrupt>(py) {
                // The user does not want to wait; the interpreter cannot end in order while tasks run.
                py.import(intern!(py, "os"))?.call_method1("_exit", (130,))?;
            }
            return Err(error);
        }
    }
    py.detach(crate::callbacks::finish);
    Ok(())
}
