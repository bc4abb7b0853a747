//! `kask worker`.

use crate::arguments::WorkerArguments;
use crate::memory::parse_limit;
use crate::scheduler::{io, random_incarnation};
use crate::security::{parse_address, read_scheduler_file};
use crate::{CommandError, asked_to_end};
use kask_executor::process::{SecurityConfig, WorkerProcessConfig};
use kask_executor::{Supervisor, SupervisorOptions};
use kask_net::link::Outgoing;
use kask_net::reactor::Link;
use kask_net::tls::CertificateRole;
use kask_net::{Address, Connection, LocalDir, connect_retrying, runtime};
use kask_types::{Resources, parse_duration_ms};
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
    let files = arguments.security.files(CertificateRole::Worker, known.and_then(|file| file.token_file))?;
    let scheduler = parse_address(&text, files.tls.is_some())?;
    let timeout_ms = parse_duration_ms(&arguments.connect_timeout).map_err(CommandError::Argument)?;
    let security = files.load()?;
    let incarnation = random_incarnation()?;
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
    let directory = io(LocalDir::new(), "no private directory can be made")?;
    let count = worker_count(&arguments.nworkers)?;
    let options = supervisor_options(&arguments, python, &scheduler, files, &directory, count, timeout_ms)?;
    let supervisor = Supervisor::new(options);
    let Connection { sender, receiver, .. } = connection;
    supervisor.connect(Outgoing::new(sender));
    io(supervisor.scale(count), "workers cannot be started")?;
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
    text.parse().ok().filter(|count| (1..=4096).contains(count)).ok_or_else(|| {
        CommandError::Argument(format!("--nworkers takes a number from 1 to 4096, or auto, not {text:?}"))
    })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn supervisor_options(
    arguments: &WorkerArguments,
    python: PathBuf,
    scheduler: &Address,
    security: SecurityConfig,
    directory: &LocalDir,
    count: usize,
    connect_timeout_ms: u64,
) -> Result<SupervisorOptions, CommandError> {
    let memory_limit_bytes = parse_limit(&arguments.memory_limit, count as u64).map_err(CommandError::Argument)?;
    let nthreads = match arguments.nthreads {
        Some(0) => return Err(CommandError::Argument("--nthreads must be at least 1".into())),
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
            name: String::new(),
            incarnation: String::new(),
            nthreads,
            memory_limit_bytes,
            resources: parse_resources(&arguments.resources)?,
            local_directory: local_directory.display().to_string(),
            listen: format!("{scheme}://{host}:0"),
            host,
            last_task_file: None,
            connect_timeout_ms,
            preload: arguments.preload.clone(),
        },
        name_prefix,
        socket_directory: local.then(|| directory.path().to_path_buf()),
        restart: !arguments.no_restart,
    })
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
        resources.insert(name.to_string(), amount);
    }
    Resources::new(resources.iter().map(|(name, amount)| (name.as_str(), *amount))).map_err(CommandError::Argument)?;
    Ok(resources)
}
