//! A place: one process after another under one name, and what stays between them.
//!
//! Start at [`Supervisor::keep`]. What stays is the folder of spilled values, which the next process adopts; what goes with each process
//! is its arena, its socket and its note of running tasks.

use crate::death::{self, EARLY, End};
use crate::die_with_parent::{self, ProcessHandle};
use crate::last_task;
use crate::process::WorkerProcessConfig;
use crate::supervisor::{Occupant, Supervisor};
use crate::watch::Watched;
use kask_net::arena;
use kask_types::Incarnation;
use kask_wire::SupervisorToScheduler;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tracing::{debug, warn};

/// So many early deaths in a row and the place stays empty.
const EARLY_DEATHS: u32 = 5;

/// A process that is about to be started.
struct Start {
    config: WorkerProcessConfig,
    arena: Option<OwnedFd>,
}

impl Supervisor {
    /// Fills one place with one process after another.
    pub(crate) async fn keep(self: Arc<Self>, id: u32) {
        let mut early_deaths = 0;
        loop {
            let incarnation = match kask_net::new_incarnation() {
                Ok(incarnation) => incarnation,
                Err(error) => return self.give_up(id, error.to_string()).await,
            };
            let Some(start) = self.begin(id, incarnation) else { return self.leave(id).await };
            let config = start.config.clone();
            self.tell(SupervisorToScheduler::Started { incarnation });
            let end = match self.spawn(id, start) {
                Ok((child, watched)) => self.attend(child, watched, config.last_task_file.as_deref()).await,
                Err(error) => {
                    let python = self.options.python.display();
                    return self.give_up(id, format!("{python} cannot be started: {error}")).await;
                }
            };
            early_deaths = if end.is_early() { early_deaths + 1 } else { 0 };
            let again = self.ended(id, early_deaths, &end);
            if let Some(overuse) = &end.seen.overuse {
                warn!(worker = config.name, "a worker process was ended for its use of memory: {overuse}");
            }
            if early_deaths >= EARLY_DEATHS {
                warn!(
                    worker = config.name,
                    "a worker process ended {early_deaths} times within {EARLY:?} of its start without having had a task: it is not started again; the last time, {}",
                    end.describe()
                );
            }
            let certificate = end.certificate(&config.name);
            debug!(%certificate, "a worker process ended");
            self.tell(SupervisorToScheduler::WorkerDied { incarnation, certificate, restarting: again });
            remove_files(&config);
            if !again {
                return self.leave(id).await;
            }
            if early_deaths > 1 {
                tokio::time::sleep(Duration::from_millis(50 << early_deaths.min(6))).await;
            }
        }
    }

    /// What the next process is told; `None` when there shall be none.
    fn begin(&self, id: u32, incarnation: Incarnation) -> Option<Start> {
        let mut config = self.options.worker.clone();
        config.memory_limit_bytes = self.memory_limit();
        {
            let mut state = self.state.lock();
            let closing = state.closing;
            let place = state.places.get_mut(&id)?;
            if closing || place.retired {
                return None;
            }
            place.info.incarnation = incarnation;
            place.occupant = Occupant::Starting;
            config.name = place.info.name.clone();
        }
        config.incarnation = format!("{incarnation}");
        let short = &config.incarnation[..12];
        if let Some(folder) = &self.options.socket_directory {
            config.listen = format!("unix://{}", folder.join(format!("w-{short}")).display());
        }
        let scratch = self.scratch();
        config.spill_directory = scratch.as_ref().and_then(|scratch| match scratch.place(&config.name) {
            Ok(folder) => Some(folder),
            Err(error) => {
                warn!(%error, worker = config.name, "no folder can be made for its values: it will not move them to disk");
                None
            }
        });
        let notes = scratch.as_ref().map_or(Path::new(&config.local_directory), |scratch| scratch.path());
        config.last_task_file = Some(notes.join(format!("running-{short}")));
        let arena = arena::create_file(arena::default_capacity());
        if let Err(error) = &arena {
            debug!(%error, worker = config.name, "no memory file can be made: the worker makes its own");
        }
        let arena = arena.ok();
        config.arena_fd = arena.as_ref().map(AsRawFd::as_raw_fd);
        Some(Start { config, arena })
    }

    /// Starts a process and has it watched.
    fn spawn(&self, id: u32, start: Start) -> io::Result<(Child, Watched)> {
        let Start { config, arena } = start;
        let json = serde_json::to_string(&config).map_err(io::Error::other)?;
        let mut command = Command::new(&self.options.python);
        command
            .args(&self.options.arguments)
            .envs(self.options.environment.iter().map(|(name, value)| (name, value)))
            .env("KASK_WORKER_CONFIG", json)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        die_with_parent::prepare(&mut command, config.arena_fd);
        let child = command.spawn()?;
        let pid = child.id().expect("it has not been waited for");
        let handle = Arc::new(ProcessHandle::of_child(pid));
        let watched = self.watch.add(handle.clone(), config.memory_limit_bytes, arena);
        let mut state = self.state.lock();
        let unwanted = state.closing;
        if let Some(place) = state.places.get_mut(&id) {
            place.info.pid = Some(pid);
            place.occupant = Occupant::Process(handle.clone());
            if unwanted || place.retired {
                handle.kill();
            }
        }
        drop(state);
        self.changed.notify_waiters();
        Ok((child, watched))
    }

    /// Waits for the end of a process, passing its standard error on meanwhile.
    async fn attend(&self, mut child: Child, watched: Watched, note: Option<&Path>) -> End {
        let started = Instant::now();
        let tail = tokio::spawn(death::pass_on(child.stderr.take()));
        let status = child.wait().await;
        let lived = started.elapsed();
        let seen = watched.end(status.as_ref().is_ok_and(|status| status.signal() == Some(libc::SIGKILL)));
        // A grandchild may hold the pipe open: do not wait for it.
        let tail = tokio::time::timeout(Duration::from_millis(200), tail).await;
        let tail = tail.ok().and_then(Result::ok).unwrap_or_default().into();
        let notes = note.map(last_task::read).unwrap_or_default();
        End { status, seen, lived, tail, running: notes.running, has_worked: notes.were_used }
    }

    /// Notes the end; true if another process follows.
    fn ended(&self, id: u32, early_deaths: u32, end: &End) -> bool {
        let mut state = self.state.lock();
        let closing = state.closing;
        let Some(place) = state.places.get_mut(&id) else { return false };
        place.info.pid = None;
        place.occupant = Occupant::Nobody;
        place.info.deaths += 1;
        if !closing && !place.retired && (early_deaths >= EARLY_DEATHS || end.is_hopeless()) {
            place.info.problem = Some(end.describe());
        }
        let again =
            self.options.restart && !closing && !place.retired && !end.is_clean() && place.info.problem.is_none();
        drop(state);
        self.changed.notify_waiters();
        again
    }

    async fn give_up(&self, id: u32, problem: String) {
        warn!(%problem, "a worker process cannot be started");
        if let Some(place) = self.state.lock().places.get_mut(&id) {
            place.info.problem = Some(problem);
            place.occupant = Occupant::Nobody;
        }
        self.forget_spilled(id).await;
        self.changed.notify_waiters();
    }

    async fn leave(&self, id: u32) {
        self.forget_spilled(id).await;
        let mut state = self.state.lock();
        if state.places.get(&id).is_some_and(|place| place.info.problem.is_none()) {
            state.places.remove(&id);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// No process of this place will adopt what is spilled. At the end all of it goes at once.
    async fn forget_spilled(&self, id: u32) {
        let name = {
            let state = self.state.lock();
            state.places.get(&id).filter(|_| !state.closing).map(|place| place.info.name.clone())
        };
        if let (Some(name), Some(scratch)) = (name, self.scratch()) {
            // It fails when the process is ending; then the next scratch removes all of this one.
            let _ = tokio::task::spawn_blocking(move || scratch.remove(&name)).await;
        }
    }
}

fn remove_files(config: &WorkerProcessConfig) {
    let socket = config.listen.strip_prefix("unix://").map(PathBuf::from);
    for file in config.last_task_file.iter().cloned().chain(socket) {
        // Gone already is as good.
        let _ = std::fs::remove_file(file);
    }
}
