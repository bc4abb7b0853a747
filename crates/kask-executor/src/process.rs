//! The body of a worker process.
//!
//! The supervisor hands over a [`WorkerProcessConfig`] as JSON; the process listens for peers, connects to the scheduler, and works
//! until the scheduler lets go of it or goes away.

use crate::allocator::limit_arenas;
use crate::host::{WorkerHost, WorkerOptions};
use crate::inherited;
use crate::memory_settings::SpillCompression;
use crate::runtime::Runtime;
use crate::serve::serve;
use kask_net::link::Outgoing;
use kask_net::reactor::drive;
use kask_net::{
    Address, BindError, ConnectError, Connection, DataPool, Listener, Security, TlsError, TlsPaths, Token, TokenError,
    connect_retrying, runtime as network,
};
use kask_types::{Incarnation, Resources};
use kask_wire::{Role, SchedulerToWorker};
use kask_worker::Event;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tracing::debug;

/// Share of the memory limit that other processes may have views of. What they view stays in memory even if the worker needs
/// the room; with a third there is room to work in the rest, beside what any process takes.
const LENT_SHARE: u64 = 3;

/// The worker ended as it should.
pub const EXIT_OK: i32 = 0;
/// The scheduler could not be reached.
pub const EXIT_UNREACHABLE: i32 = 69;
/// The configuration makes no sense.
pub const EXIT_CONFIG: i32 = 78;

/// Everything a worker process has to know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WorkerProcessConfig {
    /// Where the scheduler listens.
    pub scheduler: String,
    /// How peers are trusted.
    pub security: SecurityConfig,
    /// Unique name.
    pub name: String,
    /// Which life this is, in hex.
    pub incarnation: String,
    /// Number of runners.
    pub nthreads: u32,
    /// Budget in bytes; 0 for none.
    pub memory_limit_bytes: u64,
    /// What it offers.
    pub resources: BTreeMap<String, f64>,
    /// A folder for its files.
    pub local_directory: String,
    /// Host, for restrictions and locality.
    pub host: String,
    /// Where to listen for peers and clients.
    pub listen: String,
    /// Where the running tasks are noted.
    pub last_task_file: Option<PathBuf>,
    /// How long to try to reach the scheduler.
    pub connect_timeout_ms: u64,
    /// Modules or files to import before the first task.
    pub preload: Vec<String>,
    /// The descriptor, inherited from the supervisor, of the memory file in which large buffers live.
    #[serde(default)]
    pub arena_fd: Option<i32>,
    /// A private folder for spilled values: the same for all lives of a place.
    #[serde(default)]
    pub spill_directory: Option<PathBuf>,
    /// Most bytes that may be on disk; 0 for no such limit.
    #[serde(default)]
    pub spill_max_bytes: u64,
    /// Bytes of the file system that stay free; the worker decides when this is nothing.
    #[serde(default)]
    pub spill_reserve_bytes: Option<u64>,
    /// Whether spilled values are compressed.
    #[serde(default)]
    pub spill_compression: SpillCompression,
    /// Whether results of which a checkpoint is asked are written before their room is needed.
    #[serde(default)]
    pub checkpoints: bool,
    /// Share of the budget above which values are spilled; 0 leaves it to the worker.
    #[serde(default)]
    pub memory_target: f64,
}

/// How peers are trusted: by the files that hold the secrets.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SecurityConfig {
    /// The file with the cluster's token.
    pub token_file: Option<PathBuf>,
    /// Certificates: CA, own certificate, own key.
    pub tls: Option<(PathBuf, PathBuf, PathBuf)>,
}

/// Why the secrets cannot be used.
#[derive(Debug, Error)]
pub enum SecurityConfigError {
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl SecurityConfig {
    /// Reads the files.
    ///
    /// # Errors
    /// When one is missing, readable by others, or no token or certificate.
    pub fn load(&self) -> Result<Security, SecurityConfigError> {
        let token = self.token_file.as_ref().map(Token::read_file).transpose()?;
        let tls = match &self.tls {
            None => None,
            Some((ca, certificate, key)) => {
                Some(TlsPaths { ca: ca.clone(), certificate: certificate.clone(), key: key.clone() }.load()?)
            }
        };
        Ok(Security { token, tls })
    }
}

/// Why a worker process does not work.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// Bad JSON or a value in it.
    #[error("the worker's configuration is not usable: {0}")]
    Config(String),
    /// Secrets.
    #[error(transparent)]
    Security(#[from] SecurityConfigError),
    /// No port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No scheduler.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No network thread.
    #[error("the operating system gave no network thread: {0}")]
    Runtime(#[from] std::io::Error),
}

impl ProcessError {
    /// The process's exit code.
    pub fn exit_code(&self) -> i32 {
        match self {
            ProcessError::Connect(_) | ProcessError::Runtime(_) => EXIT_UNREACHABLE,
            ProcessError::Config(_) | ProcessError::Security(_) | ProcessError::Bind(_) => EXIT_CONFIG,
        }
    }
}

/// Starts a worker as `config` (JSON) says. `versions` are told to the scheduler.
///
/// # Errors
/// One sentence for everything that keeps it from registering.
pub fn start(
    config: &str,
    runtime: Arc<dyn Runtime>,
    versions: Vec<(String, String)>,
) -> Result<Arc<WorkerHost>, ProcessError> {
    let config: WorkerProcessConfig =
        serde_json::from_str(config).map_err(|error| ProcessError::Config(error.to_string()))?;
    limit_arenas(config.nthreads);
    if let Some(fd) = config.arena_fd {
        inherited::take_arena(fd, config.memory_limit_bytes);
    }
    if config.memory_limit_bytes > 0 {
        kask_net::share::set_lent_max_bytes(config.memory_limit_bytes / LENT_SHARE);
    }
    let incarnation = u128::from_str_radix(&config.incarnation, 16)
        .map(Incarnation)
        .map_err(|error| ProcessError::Config(format!("incarnation: {error}")))?;
    let scheduler: Address = config.scheduler.parse().map_err(|error| ProcessError::Config(format!("{error}")))?;
    let listen: Address = config.listen.parse().map_err(|error| ProcessError::Config(format!("{error}")))?;
    let resources = Resources::new(config.resources.iter().map(|(name, amount)| (name.as_str(), *amount)))
        .map_err(ProcessError::Config)?;
    let security = config.security.load()?;
    let timeout = Duration::from_millis(config.connect_timeout_ms);
    let network = network::handle()?;
    let (sender, answer) = std::sync::mpsc::channel();
    {
        let security = security.clone();
        network.spawn(async move {
            let made = async {
                let listener = Listener::bind(&listen, &security, incarnation)?;
                let connection = connect_retrying(&scheduler, &security, Role::Worker, incarnation, timeout).await?;
                Ok::<(Listener, Connection), ProcessError>((listener, connection))
            };
            // The receiver waits until this is sent.
            let _ = sender.send(made.await);
        });
    }
    let (listener, connection) = answer.recv().expect("the network thread answers before it ends")?;
    let options = WorkerOptions {
        name: config.name.as_str().into(),
        incarnation,
        nthreads: config.nthreads,
        resources,
        memory: config.memory_options(),
        local_directory: config.local_directory.as_str().into(),
        host: config.host.as_str().into(),
        versions,
        in_process: false,
        synchronous: false,
        last_task_file: config.last_task_file,
    };
    let data = Arc::new(DataPool::new(security, incarnation));
    let host = WorkerHost::new(options, runtime, data);
    let address = listener.address().to_string();
    let uplink = Outgoing::new(connection.sender);
    host.adopt(connection.peer);
    network.spawn(serve(host.clone(), listener));
    host.start(uplink, &address);
    let mut receiver = connection.receiver;
    let working = host.clone();
    network.spawn(async move {
        loop {
            match receiver.recv::<SchedulerToWorker>().await {
                Ok(Some(message)) => {
                    working.post(Event::FromScheduler(message));
                    drive(working.clone());
                }
                Ok(None) => break,
                Err(error) => {
                    debug!(%error, "the connection to the scheduler broke");
                    break;
                }
            }
        }
        // The scheduler is gone: nothing that this worker holds is of use to anyone.
        working.end();
    });
    Ok(host)
}
