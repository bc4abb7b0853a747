//! `kask scheduler`.

use crate::arguments::SchedulerArguments;
use crate::security::{SchedulerFile, ensure_token, parse_address};
use crate::{CommandError, asked_to_end, duration_ms};
use kask_net::runtime;
use kask_net::tls::CertificateRole;
use kask_scheduler::Config;
use kask_server::SchedulerHost;
use std::path::Path;
use std::time::Duration;

/// How long the last messages may take to go out.
const GOODBYE: Duration = Duration::from_millis(100);
/// A worker that is busy with itself for so long is still alive. As in Python's settings.
const LEAST_WORKER_TIMEOUT: (u64, &str) = (100, "100ms");

pub(crate) fn run(arguments: SchedulerArguments) -> Result<(), CommandError> {
    let config = config(&arguments)?;
    let files = arguments.security.files(CertificateRole::Scheduler, None)?;
    let address = match &arguments.listen {
        Some(listen) => parse_address(listen, files.tls.is_some())?,
        None => parse_address(&format!("{}:{}", arguments.host, arguments.port), files.tls.is_some())?,
    };
    if !address.is_tls()
        && let Some(file) = &files.token_file
    {
        ensure_token(file)?;
    }
    let security = files.load()?;
    let host = SchedulerHost::new(config, kask_net::new_incarnation()?);
    let bound = host.listen(&address, &security)?;
    if let Some(file) = &arguments.scheduler_file {
        // Who reads it may be in another folder.
        let token_file = io(files.token_file.as_deref().map(std::path::absolute).transpose(), "no current folder")?;
        write_scheduler_file(file, &SchedulerFile { address: bound.to_string(), token_file })?;
    }
    println!("kask scheduler listens at {bound}");
    if let (false, Some(file)) = (bound.is_tls(), &files.token_file) {
        println!("token: {}", file.display());
    }
    let network = io(runtime::handle(), "no network thread")?;
    let (done, ended) = std::sync::mpsc::channel();
    let waiting = host.clone();
    network.spawn(async move {
        tokio::select! {
            signal = asked_to_end() => drop(done.send(signal)),
            () = waiting.closed() => drop(done.send(Ok(()))),
        }
    });
    let outcome = ended.recv().unwrap_or(Ok(()));
    host.close("the scheduler was stopped");
    std::thread::sleep(GOODBYE);
    if let Some(file) = &arguments.scheduler_file {
        // Gone already is as good.
        let _ = std::fs::remove_file(file);
    }
    io(outcome, "signals cannot be received")
}

fn config(arguments: &SchedulerArguments) -> Result<Config, CommandError> {
    Ok(Config {
        heartbeat_timeout_ms: duration_ms("--worker-timeout", &arguments.worker_timeout, LEAST_WORKER_TIMEOUT)?,
        allowed_deaths: arguments.allowed_deaths,
        ..Config::default()
    })
}

fn write_scheduler_file(file: &Path, content: &SchedulerFile) -> Result<(), CommandError> {
    let text = serde_json::to_string(content).map_err(|error| CommandError::Argument(error.to_string()))?;
    // Written beside and renamed: a reader never sees half a file.
    let beside = file.with_extension("partial");
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, file));
    io(written, &format!("{} cannot be written", file.display()))
}

pub(crate) fn io<T>(result: std::io::Result<T>, what: &str) -> Result<T, CommandError> {
    result.map_err(|source| CommandError::Io { what: what.to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command};
    use clap::Parser;

    fn config_of(more: &[&str]) -> Result<Config, String> {
        let words = ["kask", "scheduler"].iter().chain(more);
        let parsed = Arguments::try_parse_from(words).map_err(|problem| problem.to_string())?;
        let Command::Scheduler(arguments) = parsed.command else { panic!("it is about the scheduler") };
        config(&arguments).map_err(|problem| problem.to_string())
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert_eq!(config_of(&["--worker-timeout", "2s"]).expect("a timeout").heartbeat_timeout_ms, 2000);
        for (option, value) in [
            ("--worker-timeout", "0"),
            ("--worker-timeout", "99ms"),
            ("--worker-timeout", "200000d"),
            ("--worker-timeout", "soon"),
            ("--allowed-deaths", "0"),
            ("--allowed-deaths", "4294967295"),
            ("--host", ""),
        ] {
            let problem = config_of(&[&format!("{option}={value}")]).expect_err("refused");
            assert!(problem.contains(option) && problem.contains(value), "{problem}");
        }
    }
}
