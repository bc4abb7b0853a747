//! Starts worker processes, watches them, and starts those that died anew.
//!
//! The supervisor outlives its workers. Each worker has a *place* with a name; a place is filled by one process after
//! another, each a new incarnation (see `place`). How a process ended is told to the scheduler as a death certificate (see
//! `death`); what it uses of the memory is watched meanwhile (see `watch`).

use crate::die_with_parent::ProcessHandle;
use crate::process::WorkerProcessConfig;
use crate::scratch::{Scratch, ScratchError, SpillBase};
use crate::watch::Watch;
use kask_net::reactor::{Link, Pump, Wake, drive};
use kask_net::reaper::remove_after_death;
use kask_net::runtime as network;
use kask_types::Incarnation;
use kask_wire::{SchedulerToSupervisor, SupervisorToScheduler};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::Notify;
use tracing::warn;

/// How long workers that were asked to end may take.
const GRACE: Duration = Duration::from_secs(2);

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
    /// Workers are named `prefix-0`, `prefix-1`, ...
    pub name_prefix: String,
    /// Whether the first worker is named `prefix` alone, for supervisors that never have another.
    pub is_only_one: bool,
    /// Folder for sockets, if workers listen on Unix sockets; `listen` of `worker` is used otherwise.
    pub socket_directory: Option<PathBuf>,
    /// Folder in which the folders for spilled values are made; see [`Scratch::new`] for where that is without one.
    pub spill_base: Option<SpillBase>,
    /// Whether a worker that died is started again.
    pub restart: bool,
}

/// Why there are not as many workers as were asked for.
#[derive(Debug, Error)]
pub enum ScaleError {
    /// The network thread.
    #[error("no network thread can be started: {0}")]
    Network(#[from] io::Error),
    /// The folder that the user has chosen for spilled values.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
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
    pub(crate) options: SupervisorOptions,
    uplink: Mutex<Option<Arc<dyn Link<SupervisorToScheduler>>>>,
    pub(crate) state: Mutex<State>,
    pub(crate) changed: Notify,
    pub(crate) watch: Watch,
    /// There from the first worker until all have ended; nothing if it cannot be made.
    scratch: Mutex<Option<Arc<Scratch>>>,
    /// What each process may use that starts from now on.
    memory_limit_bytes: AtomicU64,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) places: BTreeMap<u32, Place>,
    next: u32,
    pub(crate) closing: bool,
}

/// Who fills a place.
pub(crate) enum Occupant {
    Nobody,
    /// A process that is about to be there: whoever closes waits for it.
    Starting,
    Process(Arc<ProcessHandle>),
}

impl Occupant {
    fn process(&self) -> Option<&ProcessHandle> {
        match self {
            Occupant::Nobody | Occupant::Starting => None,
            Occupant::Process(process) => Some(process),
        }
    }
}

pub(crate) struct Place {
    pub(crate) info: PlaceInfo,
    pub(crate) occupant: Occupant,
    /// The process shall not be followed by another one.
    pub(crate) retired: bool,
}

impl Supervisor {
    /// A supervisor without workers.
    pub fn new(options: SupervisorOptions) -> Arc<Supervisor> {
        Arc::new(Supervisor {
            memory_limit_bytes: AtomicU64::new(options.worker.memory_limit_bytes),
            options,
            uplink: Mutex::new(None),
            state: Mutex::new(State::default()),
            changed: Notify::new(),
            watch: Watch::new(),
            scratch: Mutex::new(None),
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

    pub(crate) fn tell(&self, message: SupervisorToScheduler) {
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
    /// When there is no network thread, or no folder can be made where the user wants values to be spilled.
    pub fn scale(self: &Arc<Self>, n: usize) -> Result<Vec<String>, ScaleError> {
        let network = network::handle()?;
        if n > 0 {
            self.make_scratch()?;
        }
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
                let prefix = &self.options.name_prefix;
                let name = if self.options.is_only_one && id == 0 { prefix.clone() } else { format!("{prefix}-{id}") };
                let info = PlaceInfo { name, pid: None, incarnation: Incarnation(0), deaths: 0, problem: None };
                state.places.insert(id, Place { info, occupant: Occupant::Nobody, retired: false });
                started.push(id);
            }
        }
        for id in started {
            network.spawn(self.clone().keep(id));
        }
        Ok(surplus)
    }

    /// What each process may use that starts from now on, in a new place or in one whose process died; 0 for no limit.
    pub fn set_memory_limit(&self, bytes: u64) {
        self.memory_limit_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn memory_limit(&self) -> u64 {
        self.memory_limit_bytes.load(Ordering::Relaxed)
    }

    /// The places, oldest first.
    pub fn places(&self) -> Vec<PlaceInfo> {
        self.state.lock().places.values().map(|place| place.info.clone()).collect()
    }

    /// Where workers spill to; a supervisor without such a folder has workers that do not spill.
    pub(crate) fn scratch(&self) -> Option<Arc<Scratch>> {
        self.scratch.lock().clone()
    }

    /// In the caller's thread: what others have left behind is removed first, which may take a while.
    fn make_scratch(&self) -> Result<(), ScratchError> {
        let mut scratch = self.scratch.lock();
        if scratch.is_none() {
            let base = self.options.spill_base.as_ref();
            match Scratch::new(base) {
                Ok(made) => {
                    remove_after_death(made.path());
                    *scratch = Some(Arc::new(made));
                }
                Err(error) if base.is_some() => return Err(error),
                Err(error) => warn!(%error, "workers will not move values to disk"),
            }
        }
        Ok(())
    }

    fn kill(&self, incarnation: Incarnation, retire: bool) {
        let mut state = self.state.lock();
        let Some(place) = state.places.values_mut().find(|place| place.info.incarnation == incarnation) else {
            return;
        };
        place.retired |= retire;
        if let Some(process) = place.occupant.process() {
            process.kill();
        }
    }

    /// Starts no more processes, waits a little for those that were told to end, kills the rest, and removes what they
    /// have left on disk.
    pub async fn close(&self) {
        self.end_all().await;
        self.drop_scratch().await;
    }

    async fn end_all(&self) {
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

    /// Removes what was spilled: large files take a while, and the network thread has other things to do.
    async fn drop_scratch(&self) {
        let scratch = self.scratch.lock().take();
        // It fails when the process is ending; then the next scratch removes this one.
        let _ = tokio::task::spawn_blocking(move || drop(scratch)).await;
    }

    fn all_ended(&self) -> bool {
        self.state.lock().places.values().all(|place| matches!(place.occupant, Occupant::Nobody))
    }

    /// Kills all processes at once.
    pub fn kill_all(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        for process in state.places.values().filter_map(|place| place.occupant.process()) {
            process.kill();
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
