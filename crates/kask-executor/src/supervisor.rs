//! Starts worker processes, watches them, and starts those that died anew.
//!
//! The supervisor outlives its workers. Each worker has a *place* with a name; a place is filled by one process after
//! another, each a new incarnation. How a process ended is told to the scheduler as a death certificate.

use crate::process::WorkerProcessConfig;
use crate::{last_task, procfs};
use kask_net::reactor::{Link, Pump, Wake, drive};
use kask_net::runtime as network;
use kask_types::{Certificate, DeathCause, Incarnation};
use kask_wire::{SchedulerToSupervisor, SupervisorToScheduler};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::Notify;
use tracing::{debug, warn};

/// A process that lives shorter than this counts as failing to start.
const EARLY: Duration = Duration::from_secs(2);
/// So many early deaths in a row and the place stays empty.
const EARLY_DEATHS: u32 = 5;
/// How long workers that were asked to end may take.
const GRACE: Duration = Duration::from_secs(2);
/// How often the memory of a process is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Lines of standard error kept for the error message.
const TAIL_LINES: usize = 12;

/// How workers are started.
#[derive(Clone, Debug)]
pub struct SupervisorOptions {
    /// The Python interpreter.
    pub python: PathBuf,
    /// Its arguments: what runs the body of a worker process.
    pub arguments: Vec<String>,
    /// More environment variables.
    pub environment: Vec<(String, String)>,
    /// What all workers have in common; name, incarnation, listen address and files are filled in.
    pub worker: WorkerProcessConfig,
    /// Workers are named `prefix-0`, `prefix-1`, ... (a lone one just `prefix` if `number_single` is false).
    pub name_prefix: String,
    /// Folder for sockets, if workers listen on Unix sockets; `listen` of `worker` is used otherwise.
    pub socket_directory: Option<PathBuf>,
    /// Whether a worker that died is started again.
    pub restart: bool,
}

/// A place as others see it.
#[derive(Clone, Debug)]
pub struct PlaceInfo {
    /// The worker's name.
    pub name: String,
    /// Process id, while there is a process.
    pub pid: Option<u32>,
    /// Which life.
    pub incarnation: Incarnation,
    /// How often a process of this place has died.
    pub deaths: u32,
    /// Why the place stays empty.
    pub problem: Option<String>,
}

/// Watches worker processes.
pub struct Supervisor {
    options: SupervisorOptions,
    uplink: Mutex<Option<Arc<dyn Link<SupervisorToScheduler>>>>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    places: BTreeMap<u32, Place>,
    next: u32,
    closing: bool,
}

struct Place {
    info: PlaceInfo,
    /// The process shall not be followed by another one.
    retired: bool,
}

/// What is to be known of a process that ended.
struct End {
    status: io::Result<ExitStatus>,
    peak_memory_bytes: Option<u64>,
    lived: Duration,
    tail: Vec<String>,
}

impl Supervisor {
    /// A supervisor without workers.
    pub fn new(options: SupervisorOptions) -> Arc<Supervisor> {
        Arc::new(Supervisor {
            options,
            uplink: Mutex::new(None),
            state: Mutex::new(State::default()),
            changed: Notify::new(),
        })
    }

    /// Registers with the scheduler behind `uplink`.
    pub fn connect(&self, uplink: Arc<dyn Link<SupervisorToScheduler>>) {
        *self.uplink.lock() = Some(uplink);
        let host = self.options.worker.host.as_str().into();
        self.tell(SupervisorToScheduler::Register { host, pid: std::process::id() });
    }

    /// Forgets the scheduler.
    pub fn disconnect(&self) {
        let uplink = self.uplink.lock().take();
        drop(uplink);
    }

    fn tell(&self, message: SupervisorToScheduler) {
        let uplink = self.uplink.lock().clone();
        if let Some(uplink) = uplink {
            uplink.post(message);
            drive(uplink);
        }
    }

    /// Makes it `n` workers. Superfluous ones are not ended here: the scheduler retires them and then says
    /// [`SchedulerToSupervisor::Kill`]; their names are given back.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn scale(self: &Arc<Self>, n: usize) -> io::Result<Vec<String>> {
        let network = network::handle()?;
        let mut surplus = Vec::new();
        let mut started = Vec::new();
        {
            let mut state = self.state.lock();
            let alive: Vec<u32> = state.places.iter().filter(|(_, p)| !p.retired).map(|(id, _)| *id).collect();
            for id in alive.iter().skip(n) {
                surplus.extend(state.places.get(id).map(|place| place.info.name.clone()));
            }
            for _ in alive.len()..n {
                let id = state.next;
                state.next += 1;
                let name = format!("{}-{id}", self.options.name_prefix);
                let info = PlaceInfo { name, pid: None, incarnation: Incarnation(0), deaths: 0, problem: None };
                state.places.insert(id, Place { info, retired: false });
                started.push(id);
            }
        }
        for id in started {
            network.spawn(self.clone().keep(id));
        }
        Ok(surplus)
    }

    /// The places, oldest first.
    pub fn places(&self) -> Vec<PlaceInfo> {
        self.state.lock().places.values().map(|place| place.info.clone()).collect()
    }

    /// Fills one place with one process after another.
    async fn keep(self: Arc<Self>, id: u32) {
        let mut early_deaths = 0;
        loop {
            let incarnation = match random_incarnation() {
                Ok(incarnation) => incarnation,
                Err(error) => return self.give_up(id, format!("no random numbers: {error}")),
            };
            let config = match self.begin(id, incarnation) {
                Some(config) => config,
                None => return self.leave(id),
            };
            let note = config.last_task_file.clone();
            let name = config.name.clone();
            self.tell(SupervisorToScheduler::Started { incarnation });
            let end = match self.spawn(&config) {
                Ok((child, stderr)) => self.watch(id, child, stderr).await,
                Err(error) => {
                    let python = self.options.python.display();
                    return self.give_up(id, format!("{python} cannot be started: {error}"));
                }
            };
            early_deaths = if end.lived < EARLY { early_deaths + 1 } else { 0 };
            let again = self.ended(id, early_deaths, &end);
            let certificate = certificate(&name, note.as_deref(), &end);
            debug!(%certificate, "a worker process ended");
            self.tell(SupervisorToScheduler::WorkerDied { incarnation, certificate, restarting: again });
            self.remove_files(&config);
            if !again {
                return self.leave(id);
            }
            if early_deaths > 1 {
                tokio::time::sleep(Duration::from_millis(50 << early_deaths.min(6))).await;
            }
        }
    }

    fn begin(&self, id: u32, incarnation: Incarnation) -> Option<WorkerProcessConfig> {
        let mut state = self.state.lock();
        let closing = state.closing;
        let place = state.places.get_mut(&id)?;
        if closing || place.retired {
            return None;
        }
        place.info.incarnation = incarnation;
        let mut config = self.options.worker.clone();
        config.name = place.info.name.clone();
        config.incarnation = format!("{incarnation}");
        let short = &config.incarnation[..12];
        if let Some(folder) = &self.options.socket_directory {
            config.listen = format!("unix://{}", folder.join(format!("w-{short}")).display());
        }
        config.last_task_file = Some(PathBuf::from(&config.local_directory).join(format!("running-{short}")));
        Some(config)
    }

    fn spawn(&self, config: &WorkerProcessConfig) -> io::Result<(Child, Option<ChildStderr>)> {
        let json = serde_json::to_string(config).map_err(io::Error::other)?;
        let mut command = Command::new(&self.options.python);
        command
            .args(&self.options.arguments)
            .envs(self.options.environment.iter().map(|(name, value)| (name, value)))
            .env("KASK_WORKER_CONFIG", json)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        crate::die_with_parent::prepare(&mut command);
        let mut child = command.spawn()?;
        let stderr = child.stderr.take();
        Ok((child, stderr))
    }

    /// Waits for the end of a process, passing its standard error on and looking at its memory meanwhile.
    async fn watch(&self, id: u32, mut child: Child, stderr: Option<ChildStderr>) -> End {
        let started = Instant::now();
        let pid = child.id();
        if let Some(place) = self.state.lock().places.get_mut(&id) {
            place.info.pid = pid;
        }
        self.changed.notify_waiters();
        let tail = tokio::spawn(pass_on(stderr));
        let mut peak = None;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                () = tokio::time::sleep(LOOK) => {
                    peak = pid.and_then(procfs::peak_memory_bytes).or(peak);
                }
            }
        };
        // A grandchild may hold the pipe open: do not wait for it.
        let tail = tokio::time::timeout(Duration::from_millis(200), tail).await;
        let tail = tail.ok().and_then(Result::ok).unwrap_or_default();
        End { status, peak_memory_bytes: peak, lived: started.elapsed(), tail: tail.into() }
    }

    /// Notes the end; true if another process follows.
    fn ended(&self, id: u32, early_deaths: u32, end: &End) -> bool {
        let mut state = self.state.lock();
        let closing = state.closing;
        let Some(place) = state.places.get_mut(&id) else { return false };
        place.info.pid = None;
        place.info.deaths += 1;
        let clean = end.status.as_ref().is_ok_and(ExitStatus::success);
        let hopeless = end.lived < EARLY && matches!(&end.status, Ok(status) if is_hopeless(*status));
        if !closing && !place.retired && (early_deaths >= EARLY_DEATHS || hopeless) {
            place.info.problem = Some(describe(end));
        }
        let again = self.options.restart && !closing && !place.retired && !clean && place.info.problem.is_none();
        drop(state);
        self.changed.notify_waiters();
        again
    }

    fn give_up(&self, id: u32, problem: String) {
        warn!(%problem, "a worker process cannot be started");
        if let Some(place) = self.state.lock().places.get_mut(&id) {
            place.info.problem = Some(problem);
        }
        self.changed.notify_waiters();
    }

    fn leave(&self, id: u32) {
        let mut state = self.state.lock();
        if state.places.get(&id).is_some_and(|place| place.info.problem.is_none()) {
            state.places.remove(&id);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn remove_files(&self, config: &WorkerProcessConfig) {
        let socket = config.listen.strip_prefix("unix://").map(PathBuf::from);
        for file in config.last_task_file.iter().cloned().chain(socket) {
            // Gone already is as good.
            let _ = std::fs::remove_file(file);
        }
    }

    fn kill(&self, incarnation: Incarnation, retire: bool) {
        let mut state = self.state.lock();
        let Some(place) = state.places.values_mut().find(|place| place.info.incarnation == incarnation) else {
            return;
        };
        place.retired |= retire;
        if let Some(pid) = place.info.pid {
            crate::die_with_parent::kill(pid);
        }
    }

    /// Starts no more processes, waits a little for those that were told to end, and kills the rest.
    pub async fn close(&self) {
        self.state.lock().closing = true;
        let deadline = tokio::time::Instant::now() + GRACE;
        while !self.all_ended() {
            let changed = self.changed.notified();
            if self.all_ended() {
                return;
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                break;
            }
        }
        self.kill_all();
        let deadline = tokio::time::Instant::now() + GRACE;
        while !self.all_ended() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn all_ended(&self) -> bool {
        self.state.lock().places.values().all(|place| place.info.pid.is_none())
    }

    /// Kills all processes at once.
    pub fn kill_all(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        for pid in state.places.values().filter_map(|place| place.info.pid) {
            crate::die_with_parent::kill(pid);
        }
    }
}

impl Pump for Supervisor {
    fn pump(&self, _: &mut Wake) {}
}

impl Link<SchedulerToSupervisor> for Supervisor {
    fn post(&self, message: SchedulerToSupervisor) {
        match message {
            SchedulerToSupervisor::Kill { incarnation, retire } => self.kill(incarnation, retire),
            SchedulerToSupervisor::Close => self.state.lock().closing = true,
        }
    }
    fn close(&self, _: &str) {
        self.state.lock().closing = true;
    }
}

/// Exit codes with which a worker says that trying again is of no use.
fn is_hopeless(status: ExitStatus) -> bool {
    matches!(status.code(), Some(crate::process::EXIT_CONFIG | crate::process::EXIT_UNREACHABLE | 2 | 127))
}

fn describe(end: &End) -> String {
    let cause = match &end.status {
        Ok(status) => cause_of(*status).to_string(),
        Err(error) => format!("could not be waited for ({error})"),
    };
    let said = if end.tail.is_empty() { String::new() } else { format!("; it said: {}", end.tail.join(" | ")) };
    format!("the worker process {cause} {:.1} s after its start{said}", end.lived.as_secs_f64())
}

fn cause_of(status: ExitStatus) -> DeathCause {
    match (status.code(), status.signal()) {
        (Some(code), _) => DeathCause::Exited(code),
        (None, Some(signal)) => DeathCause::Signalled(signal),
        (None, None) => DeathCause::Disconnected,
    }
}

fn certificate(name: &str, note: Option<&std::path::Path>, end: &End) -> Certificate {
    let mut running = note.map(last_task::read).unwrap_or_default();
    Certificate {
        worker: name.into(),
        cause: end.status.as_ref().map_or(DeathCause::Disconnected, |status| cause_of(*status)),
        peak_memory_bytes: end.peak_memory_bytes,
        // With several runners nobody can say which one of them it was.
        last_task: if running.len() == 1 { running.pop().map(Into::into) } else { None },
    }
}

/// Passes a child's standard error on to ours, line by line, and keeps its last lines.
async fn pass_on(stderr: Option<ChildStderr>) -> VecDeque<String> {
    let mut tail = VecDeque::new();
    let Some(stderr) = stderr else { return tail };
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        eprintln!("{line}");
        tail.push_back(line);
        if tail.len() > TAIL_LINES {
            tail.pop_front();
        }
    }
    tail
}

fn random_incarnation() -> Result<Incarnation, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(Incarnation(u128::from_le_bytes(bytes)))
}
