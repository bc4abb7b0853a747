//! The `kask` command: scheduler, worker, tls, config, version.
//!
//! One definition serves the Rust binary and the command that `pip install` puts on the path. The scheduler needs no Python;
//! workers are Python processes under a supervisor that is this very process.

mod arguments;
mod scheduler;
mod security;
mod tls;
mod worker;

use arguments::{Arguments, Command};
use clap::Parser;
use kask_types::parse_duration_ms;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use thiserror::Error;
use tracing_subscriber::EnvFilter;

/// Exit code after a problem that a sentence on standard error describes.
const FAILED: u8 = 1;
/// The longest time that options give, 100,000 days: beyond that clocks overflow.
const LONGEST_MS: u64 = 100_000 * 86_400_000;
/// Exit code for arguments that make no sense.
const USAGE: u8 = 2;

/// What went wrong, said in one sentence.
#[derive(Debug, Error)]
enum CommandError {
    #[error(transparent)]
    Address(#[from] kask_net::AddressError),
    #[error(transparent)]
    Security(#[from] kask_executor::process::SecurityConfigError),
    #[error(transparent)]
    Serve(#[from] kask_server::ServeError),
    #[error(transparent)]
    Connect(#[from] kask_net::ConnectError),
    #[error(transparent)]
    Certificates(#[from] kask_net::certificates::CreateError),
    #[error(transparent)]
    Token(#[from] kask_net::TokenError),
    #[error(transparent)]
    Incarnation(#[from] kask_net::IncarnationError),
    #[error("{0}")]
    Argument(String),
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
}

/// Runs the command line `argv` (with the program's name first); `python` is the interpreter for workers.
pub fn run(argv: impl IntoIterator<Item = impl Into<OsString> + Clone>, python: Option<&Path>) -> u8 {
    let arguments = match Arguments::try_parse_from(argv) {
        Ok(arguments) => arguments,
        Err(message) => {
            // Nothing can be done about a closed standard output.
            let _ = message.print();
            return if message.use_stderr() { USAGE } else { 0 };
        }
    };
    log_to_stderr();
    let python = python.map_or_else(|| PathBuf::from("python3"), Path::to_path_buf);
    let result = match arguments.command {
        Command::Scheduler(options) => scheduler::run(options),
        Command::Worker(options) => worker::run(*options, python),
        Command::Tls(options) => tls::run(options),
        Command::Config(options) => config(options.python.unwrap_or(python)),
        Command::Version => {
            println!("kask {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("kask: {error}");
            FAILED
        }
    }
}

/// What is worth saying: what the variable `KASK_LOG` lets through, otherwise warnings.
pub fn log_filter() -> EnvFilter {
    EnvFilter::try_from_env("KASK_LOG").unwrap_or_else(|_| EnvFilter::new("warn"))
}

/// Has that written to standard error. In a process that logs already, its own settings stay.
pub fn log_to_stderr() {
    let _ = tracing_subscriber::fmt().with_env_filter(log_filter()).with_writer(std::io::stderr).try_init();
}

/// [`run`] for a `main` function.
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os(), None))
}

/// Time that an option gives: `least` or more, and no more than clocks can count.
fn duration_ms(option: &str, text: &str, least: (u64, &str)) -> Result<u64, CommandError> {
    let ms = parse_duration_ms(text).map_err(|problem| CommandError::Argument(format!("{option}: {problem}")))?;
    if (least.0..=LONGEST_MS).contains(&ms) {
        return Ok(ms);
    }
    Err(CommandError::Argument(format!("{option} takes from {} to 100000d, not {text:?}", least.1)))
}

/// The settings are Python's: it prints them.
fn config(python: PathBuf) -> Result<(), CommandError> {
    let status = std::process::Command::new(&python)
        .args(["-m", "kask.config"])
        .status()
        .map_err(|source| CommandError::Io { what: format!("{} cannot be started", python.display()), source })?;
    if status.success() {
        Ok(())
    } else {
        Err(CommandError::Argument(format!("{} -m kask.config ended with {status}", python.display())))
    }
}

/// Ends when the user or the system asks the process to.
async fn asked_to_end() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}
