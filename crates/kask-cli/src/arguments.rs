//! The command line, as users write it.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, value_parser};
use kask_executor::memory_settings::SpillCompression;
use std::path::PathBuf;

/// Workers that one command starts, and threads of a worker. As in Python's settings.
pub(crate) const MOST_WORKERS: usize = 4096;

/// Parallel NumPy, pandas and plain Python.
#[derive(Debug, Parser)]
#[command(name = "kask", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a scheduler until it is interrupted. Needs no Python.
    Scheduler(SchedulerArguments),
    /// Run worker processes for a scheduler, under a supervisor that restarts them.
    Worker(Box<WorkerArguments>),
    /// Make certificates for clusters of several machines.
    Tls(TlsArguments),
    /// Print all settings, their values and where each comes from.
    Config(ConfigArguments),
    /// Print the version.
    Version,
}

/// How peers are trusted.
#[derive(Debug, Clone, Args)]
pub(crate) struct SecurityArguments {
    /// File with the token that peers on this machine must present; made if a scheduler finds none.
    #[arg(long, env = "KASK_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Directory that `kask tls create` filled; turns TLS on.
    #[arg(long, env = "KASK_TLS_DIR", value_name = "DIR", conflicts_with_all = ["tls_ca", "tls_cert", "tls_key"])]
    pub(crate) tls_dir: Option<PathBuf>,
    /// Certificate of the authority, instead of --tls-dir.
    #[arg(long, value_name = "FILE", requires = "tls_cert", requires = "tls_key")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Certificate of this process.
    #[arg(long, value_name = "FILE", requires = "tls_ca")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Key of this process.
    #[arg(long, value_name = "FILE", requires = "tls_ca")]
    pub(crate) tls_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SchedulerArguments {
    /// Address to listen at: tcp://HOST:PORT, tls://HOST:PORT or unix://PATH. Anything but this machine needs TLS.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["host", "port"])]
    pub(crate) listen: Option<String>,
    /// Host to listen at.
    #[arg(long, default_value = "127.0.0.1", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) host: String,
    /// Port to listen at; 0 takes any free one.
    #[arg(long, default_value_t = 8786)]
    pub(crate) port: u16,
    /// Write the address and the token's file here, as JSON, for `Client(scheduler_file=...)` and `kask worker`.
    #[arg(long, value_name = "FILE")]
    pub(crate) scheduler_file: Option<PathBuf>,
    /// How long a worker may be silent before it counts as dead.
    #[arg(long, env = "KASK_WORKER_TIMEOUT", default_value = "30s")]
    pub(crate) worker_timeout: String,
    /// On how many workers a task may have been when they died before it fails.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pub(crate) allowed_deaths: u32,
    #[command(flatten)]
    pub(crate) security: SecurityArguments,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArguments {
    /// The scheduler's address.
    #[arg(required_unless_present = "scheduler_file")]
    pub(crate) address: Option<String>,
    /// The file that `kask scheduler --scheduler-file` wrote, instead of an address.
    #[arg(long, value_name = "FILE", conflicts_with = "address")]
    pub(crate) scheduler_file: Option<PathBuf>,
    /// Number of worker processes; "auto" is one a core.
    #[arg(long, default_value = "1")]
    pub(crate) nworkers: String,
    /// Threads of each that run tasks; by default the cores are shared out.
    #[arg(long, value_parser = value_parser!(u32).range(1..=MOST_WORKERS as i64))]
    pub(crate) nthreads: Option<u32>,
    /// Memory of each: a size such as 4GiB, a share of this machine's such as 25%, 0 for no limit, or "auto" for an equal part of what
    /// the machine or the container has.
    #[arg(long, default_value = "auto")]
    pub(crate) memory_limit: String,
    /// Share of that memory above which results are moved to disk; by default the worker decides.
    #[arg(long, value_name = "SHARE")]
    pub(crate) memory_target: Option<f64>,
    /// Directory for results that do not fit the memory; --local-directory by default.
    #[arg(long, value_name = "DIR")]
    pub(crate) spill_directory: Option<PathBuf>,
    /// Most that each may have there; 0 for no limit.
    #[arg(long, value_name = "SIZE", default_value = "0")]
    pub(crate) spill_limit: String,
    /// How much of the disk stays free; by default a twentieth of it, and at most 10 GiB.
    #[arg(long, value_name = "SIZE")]
    pub(crate) spill_reserve: Option<String>,
    /// Whether what is moved to disk is compressed: auto (when it pays), lz4 or off.
    #[arg(long, value_name = "HOW", default_value_t)]
    pub(crate) spill_compression: SpillCompression,
    /// Do not write the outputs of shuffles to disk before the memory is needed: less to write, more to do again after a death.
    #[arg(long)]
    pub(crate) no_checkpoints: bool,
    /// What each offers, such as "GPU=1 license=2".
    #[arg(long, default_value = "")]
    pub(crate) resources: String,
    /// Name of the worker; several are numbered NAME-0, NAME-1, ...
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: Option<String>,
    /// Directory for the workers' files; a private temporary one by default.
    #[arg(long, value_name = "DIR")]
    pub(crate) local_directory: Option<PathBuf>,
    /// Host under which other workers and clients reach this machine.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) host: Option<String>,
    /// Module or file to import in each worker before its first task; may be given several times.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) preload: Vec<String>,
    /// How long to try to reach the scheduler.
    #[arg(long, default_value = "30s")]
    pub(crate) connect_timeout: String,
    /// Do not restart workers that die.
    #[arg(long)]
    pub(crate) no_restart: bool,
    /// Python interpreter of the workers.
    #[arg(long, value_name = "FILE")]
    pub(crate) python: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) security: SecurityArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TlsArguments {
    #[command(subcommand)]
    pub(crate) command: TlsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TlsCommand {
    /// Make an authority and certificates for schedulers, workers and clients.
    Create {
        /// Directory for the files; made if need be, nothing in it is overwritten.
        directory: PathBuf,
        /// Host name or address under which the scheduler is reached; may be given several times.
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        host: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    /// Python interpreter in which Kask is installed.
    #[arg(long, value_name = "FILE")]
    pub(crate) python: Option<PathBuf>,
}
