//! `kask worker`.

use crate::arguments::{MOST_WORKERS, WorkerArguments};
use crate::scheduler::io;
use crate::security::{parse_address, read_scheduler_file};
use crate::{CommandError, asked_to_end, duration_ms};
use kask_executor::memory_limits::parse_limit;
use kask_executor::process::{SecurityConfig, WorkerProcessConfig};
use kask_executor::scratch::SpillBase;
use kask_executor::{Supervisor, SupervisorOptions};
use kask_net::link::Outgoing;
use kask_net::reactor::Link;
use kask_net::tls::CertificateRole;
use kask_net::{Address, Connection, LocalDir, connect_retrying, runtime};
use kask_types::{Resources, parse_size};
use kask_wire::{Role, SchedulerToSupervisor};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn run(arguments: WorkerArguments, python: PathBuf) -> Result<(), CommandError> {
    let known = arguments.scheduler_file.as_deref().map(read_scheduler_file).transpose()?;
    let text = match (&arguments.address, &known) {
        (Some(address), _) => address.clone(),
        (None, Some(file)) => file.address.clone(),
        (None, None) => return Err(CommandError::Argument("give the scheduler's address, or --scheduler-file".into())),
    };
    let count = worker_count(&arguments.nworkers)?;
    let workers = (count, memory_limit_bytes(&arguments, count)?);
    let files = arguments.security.files(CertificateRole::Worker, known.and_then(|file| file.token_file))?;
    let scheduler = parse_address(&text, files.tls.is_some())?;
    let timeout_ms = duration_ms("--connect-timeout", &arguments.connect_timeout, (1, "1ms"))?;
    let security = files.load()?;
    let directory = io(LocalDir::new(), "no private directory can be made")?;
    let options = supervisor_options(&arguments, python, &scheduler, files, &directory, workers, timeout_ms)?;
    let incarnation = kask_net::new_incarnation()?;
    let network = io(runtime::handle(), "no network thread")?;
    let (made, connected) = std::sync::mpsc::channel();
    {
        let (scheduler, security) = (scheduler.clone(), security.clone());
        network.spawn(async move {
            let timeout = Duration::from_millis(timeout_ms);
            // Nobody listening means that the process ends.
            let _ = made.send(connect_retrying(&scheduler, &security, Role::Supervisor, incarnation, timeout).await);
        });
    }
    let connection = connected.recv().expect("the network thread answers before it ends")?;
    let supervisor = Supervisor::new(options);
    let Connection { sender, receiver, .. } = connection;
    supervisor.connect(Outgoing::new(sender));
    supervisor.scale(count).map_err(|error| CommandError::Argument(error.to_string()))?;
    println!("kask worker: {count} worker process{} for {scheduler}", if count == 1 { "" } else { "es" });
    let (done, ended) = std::sync::mpsc::channel();
    let ending = supervisor.clone();
    network.spawn(async move {
        let outcome = tokio::select! {
            signal = asked_to_end() => signal.map(|()| None),
            reason = obey(supervisor.clone(), receiver) => Ok(Some(reason)),
            problem = hopeless(&supervisor) => Ok(Some(problem)),
        };
        ending.disconnect();
        ending.close().await;
        // Nobody listening means that the process ends.
        let _ = done.send(outcome);
    });
    match io(ended.recv().unwrap_or(Ok(None)), "signals cannot be received")? {
        None => Ok(()),
        Some(reason) => Err(CommandError::Argument(reason)),
    }
}

/// Does what the scheduler says until it goes away.
async fn obey(supervisor: Arc<Supervisor>, mut receiver: kask_net::Receiver) -> String {
    loop {
        match receiver.recv::<SchedulerToSupervisor>().await {
            Ok(Some(message)) => Link::post(&*supervisor, message),
            Ok(None) => return "the scheduler closed the connection".into(),
            Err(error) => return format!("the connection to the scheduler broke: {error}"),
        }
    }
}

/// Ends with the problem when no worker can be kept running.
async fn hopeless(supervisor: &Supervisor) -> String {
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let places = supervisor.places();
        if !places.is_empty() && places.iter().all(|place| place.problem.is_some()) {
            let place = places.into_iter().next();
            return place.and_then(|place| place.problem).unwrap_or_default();
        }
    }
}

fn worker_count(text: &str) -> Result<usize, CommandError> {
    if text == "auto" {
        return Ok(cores());
    }
    text.parse().ok().filter(|count| (1..=MOST_WORKERS).contains(count)).ok_or_else(|| {
        CommandError::Argument(format!("--nworkers takes a number from 1 to {MOST_WORKERS}, or auto, not {text:?}"))
    })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Of one of so many workers.
fn memory_limit_bytes(arguments: &WorkerArguments, count: usize) -> Result<u64, CommandError> {
    parse_limit(&arguments.memory_limit, count)
        .map_err(|error| CommandError::Argument(format!("--memory-limit {error}")))
}

fn supervisor_options(
    arguments: &WorkerArguments,
    python: PathBuf,
    scheduler: &Address,
    security: SecurityConfig,
    directory: &LocalDir,
    (count, memory_limit_bytes): (usize, u64),
    connect_timeout_ms: u64,
) -> Result<SupervisorOptions, CommandError> {
    let nthreads = match arguments.nthreads {
        Some(nthreads) => nthreads,
        None => u32::try_from(cores() / count).unwrap_or(1).max(1),
    };
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_string());
    let hostname = hostname.unwrap_or_else(|_| "localhost".into());
    let local = match scheduler {
        Address::Unix(_) => true,
        Address::Tcp { .. } | Address::Tls { .. } => false,
    };
    let host = arguments.host.clone().unwrap_or_else(|| match scheduler {
        Address::Tls { .. } => hostname.clone(),
        Address::Tcp { .. } | Address::Unix(_) => "127.0.0.1".into(),
    });
    let scheme = if scheduler.is_tls() { "tls" } else { "tcp" };
    let local_directory = arguments.local_directory.as_deref().unwrap_or(directory.path());
    io(std::fs::create_dir_all(local_directory), &format!("{} cannot be made", local_directory.display()))?;
    let name_prefix = arguments.name.clone().unwrap_or_else(|| format!("{hostname}-{}", std::process::id()));
    Ok(SupervisorOptions {
        python: arguments.python.clone().unwrap_or(python),
        arguments: vec!["-m".into(), "kask.engine.worker_process".into()],
        environment: Vec::new(),
        worker: WorkerProcessConfig {
            scheduler: scheduler.to_string(),
            security,
            nthreads,
            memory_limit_bytes,
            resources: parse_resources(&arguments.resources)?,
            local_directory: local_directory.display().to_string(),
            listen: format!("{scheme}://{host}:0"),
            host,
            connect_timeout_ms,
            preload: arguments.preload.clone(),
            spill_max_bytes: size("--spill-limit", &arguments.spill_limit)?,
            spill_reserve_bytes: arguments
                .spill_reserve
                .as_deref()
                .map(|text| size("--spill-reserve", text))
                .transpose()?,
            spill_compression: arguments.spill_compression,
            checkpoints: !arguments.no_checkpoints,
            memory_target: arguments.memory_target.map_or(Ok(0.0), target)?,
            ..WorkerProcessConfig::default()
        },
        name_prefix,
        is_only_one: count == 1,
        socket_directory: local.then(|| directory.path().to_path_buf()),
        spill_base: spill_base(arguments),
        restart: !arguments.no_restart,
    })
}

fn spill_base(arguments: &WorkerArguments) -> Option<SpillBase> {
    let named = |path: &Option<PathBuf>, option: &str| Some(SpillBase { path: path.clone()?, setting: option.into() });
    named(&arguments.spill_directory, "--spill-directory")
        .or_else(|| named(&arguments.local_directory, "--local-directory"))
}

fn size(option: &str, text: &str) -> Result<u64, CommandError> {
    parse_size(text).map_err(|problem| CommandError::Argument(format!("{option}: {problem}")))
}

fn target(share: f64) -> Result<f64, CommandError> {
    if share > 0.0 && share < 1.0 {
        return Ok(share);
    }
    Err(CommandError::Argument(format!("--memory-target takes a share above 0 and below 1, not {share}")))
}

fn parse_resources(text: &str) -> Result<BTreeMap<String, f64>, CommandError> {
    let mut resources = BTreeMap::new();
    for part in text.split([' ', ',']).filter(|part| !part.is_empty()) {
        let (name, amount) = part.split_once('=').ok_or_else(|| {
            CommandError::Argument(format!("--resources takes NAME=AMOUNT pairs such as \"GPU=1\", not {part:?}"))
        })?;
        let amount: f64 = amount
            .parse()
            .map_err(|_| CommandError::Argument(format!("--resources {name} needs a number, not {amount:?}")))?;
        if name.is_empty() || resources.insert(name.to_string(), amount).is_some() {
            return Err(CommandError::Argument(format!(
                "--resources needs a name of its own for each amount, not {text:?}"
            )));
        }
    }
    Resources::new(resources.iter().map(|(name, amount)| (name.as_str(), *amount)))
        .map_err(|problem| CommandError::Argument(format!("--resources: {problem}")))?;
    Ok(resources)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command};
    use clap::Parser;
    use kask_executor::memory_settings::SpillCompression;

    fn options(more: &[&str]) -> Result<SupervisorOptions, CommandError> {
        options_of(more, 2)
    }

    fn options_of(more: &[&str], count: usize) -> Result<SupervisorOptions, CommandError> {
        let words = ["kask", "worker", "tcp://127.0.0.1:1"].iter().chain(more);
        let parsed = Arguments::try_parse_from(words).map_err(|problem| CommandError::Argument(problem.to_string()))?;
        let Command::Worker(arguments) = parsed.command else { panic!("it is about workers") };
        let directory = LocalDir::new().expect("a directory");
        let address = "tcp://127.0.0.1:1".parse().expect("an address");
        let (workers, security) = ((count, memory_limit_bytes(&arguments, count)?), SecurityConfig::default());
        supervisor_options(&arguments, "python".into(), &address, security, &directory, workers, 1000)
    }

    #[test]
    fn memory_options_reach_the_workers() {
        let more = ["--memory-limit", "3GiB", "--memory-target", "0.5", "--spill-directory", "/data/spill"];
        let spill =
            ["--spill-limit", "20 GB", "--spill-reserve", "1GiB", "--spill-compression", "off", "--no-checkpoints"];
        let options = options(&[&more[..], &spill[..]].concat()).expect("options");
        let memory = options.worker.memory_options();
        assert_eq!((memory.limit_bytes, memory.target), (3 << 30, 0.5));
        assert_eq!((memory.spill_max_bytes, memory.spill_reserve_bytes), (20_000_000_000, Some(1 << 30)));
        assert_eq!((memory.spill_compression, memory.checkpoints), (SpillCompression::Off, false));
        let base = SpillBase { path: "/data/spill".into(), setting: "--spill-directory".into() };
        assert_eq!(options.spill_base, Some(base));
    }

    #[test]
    fn by_default_workers_share_the_memory_and_spill_without_a_limit() {
        let memory = options(&[]).expect("options").worker.memory_options();
        assert_eq!(memory.limit_bytes, kask_executor::memory_limits::auto_limit_bytes(2, true));
        assert_eq!((memory.target, memory.spill_max_bytes, memory.spill_reserve_bytes), (0.0, 0, None));
    }

    #[test]
    fn only_several_workers_are_numbered() {
        let named = |count| options_of(&["--name", "me"], count).expect("options");
        assert_eq!(named(1).name_prefix, "me");
        assert_eq!([1, 2].map(|count| named(count).is_only_one), [true, false]);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (option, value) in [
            ("--memory-limit", "lots"),
            ("--spill-limit", "much"),
            ("--spill-reserve", "-1"),
            ("--spill-limit", "0.5"),
            ("--spill-reserve", "9000000 TiB"),
            ("--memory-target", "1.5"),
            ("--memory-target", "NaN"),
            ("--resources", "GPU=-1"),
            ("--resources", "GPU=much"),
            ("--resources", "=1"),
            ("--resources", "GPU=1 GPU=2"),
            ("--nthreads", "0"),
            ("--nthreads", "5000"),
            ("--name", ""),
            ("--host", ""),
            ("--preload", ""),
        ] {
            let problem = options(&[&format!("{option}={value}")]).expect_err("refused").to_string();
            let told = value.rsplit('=').next().expect("a part");
            assert!(problem.contains(option) && problem.contains(told), "{problem}");
        }
    }
}
