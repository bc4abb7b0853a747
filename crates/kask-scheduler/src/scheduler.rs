//! The scheduler: its tables, and the three methods that a shell drives it with.
//!
//! [`Scheduler::handle`] takes what happened and when; [`Scheduler::poll_action`] gives what to do, until nothing is
//! left; [`Scheduler::next_deadline`] says when to come back with [`Event::Tick`]. Nothing here does I/O or reads a
//! clock. Policies are in files of their own, as further methods: start with `lifecycle` for what becomes of a
//! task, `submit`, `placement`, `queue`, `stealing`, `recovery` and `poison`; for memory `pressure`, `memory`, `relief`
//! and `adopt`.

use crate::adopt::Return;
use crate::blobs::Blobs;
use crate::calls::Calls;
use crate::classes::Classes;
use crate::clients::{ClientIx, Clients};
use crate::config::Config;
use crate::event::{Action, Event};
use crate::outbox::Outbox;
use crate::placement::Candidate;
use crate::poison::{RecentDeaths, VainDeaths};
use crate::queries::WorkerWait;
use crate::replicas::{Copies, Replication};
use crate::restart::Restart;
use crate::retire::Retirement;
use crate::scatter::PendingScatter;
use crate::stealing::Lease;
use crate::supervisors::Supervisors;
use crate::tasks::{Slot, Tasks, WorkerIx};
use crate::workers::Workers;
use kask_types::{Incarnation, TaskId, Tick};
use kask_wire::client::Counters;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Inputs read by fewer tasks than this are followed to where they are.
const FEWEST_ROOTISH_READERS: u32 = 64;

/// Decides what runs where, keeps track of what is where, and repairs what is lost.
///
/// ```
/// use kask_scheduler::{Action, Config, Event, Scheduler};
/// use kask_types::{ClientId, Incarnation, Tick};
/// use kask_wire::client::ClientInfo;
/// use kask_wire::{ClientToScheduler, SchedulerToClient};
///
/// let mut scheduler = Scheduler::new(Config::default(), Incarnation(1), "0.1.0");
/// let info = ClientInfo { name: "me".into(), incarnation: Incarnation(2), versions: vec![] };
/// let (client, message) = (ClientId(0), ClientToScheduler::Register(info));
/// scheduler.handle(Tick(0), Event::ClientMessage { client, message });
/// let answer = scheduler.poll_action();
/// assert!(matches!(answer, Some(Action::ToClient { message: SchedulerToClient::Registered { .. }, .. })));
/// assert!(scheduler.poll_action().is_none());
/// ```
pub struct Scheduler {
    pub(crate) config: Config,
    pub(crate) incarnation: Incarnation,
    pub(crate) version: String,
    pub(crate) now: Tick,
    pub(crate) tasks: Tasks,
    pub(crate) workers: Workers,
    pub(crate) clients: Clients,
    pub(crate) supervisors: Supervisors,
    pub(crate) blobs: Blobs,
    pub(crate) classes: Classes,
    pub(crate) out: Outbox,
    pub(crate) counters: Counters,
    /// Submissions so far.
    pub(crate) graphs: u32,
    /// Tasks that may not be needed any more; empty between events.
    pub(crate) unsettled: Vec<Slot>,
    /// Ready tasks whose arguments no worker can take, and the bytes of these; empty between events.
    pub(crate) refused: Vec<(TaskId, u64)>,
    /// Ready suspects.
    pub(crate) parked: BTreeSet<Slot>,
    pub(crate) look_at_parked: bool,
    pub(crate) recent_deaths: RecentDeaths,
    pub(crate) vain_deaths: VainDeaths,
    /// Workers that may come back with values.
    pub(crate) returns: Vec<Return>,
    /// Not before this has any worker rested long enough.
    pub(crate) next_rest: Option<Tick>,
    pub(crate) next_relief: Tick,
    /// Tasks whose value is being put by these clients on these workers.
    pub(crate) scattering: BTreeMap<Slot, BTreeSet<(ClientIx, WorkerIx)>>,
    pub(crate) pending_scatters: Vec<PendingScatter>,
    pub(crate) scatter_turn: usize,
    pub(crate) copies: Copies,
    pub(crate) copies_changed: bool,
    pub(crate) replications: Vec<Replication>,
    pub(crate) retirements: Vec<Retirement>,
    pub(crate) look_at_retirements: bool,
    pub(crate) restarts: Vec<Restart>,
    pub(crate) worker_waits: Vec<WorkerWait>,
    pub(crate) calls: Calls,
    pub(crate) call_count: u64,
    pub(crate) leases: VecDeque<Lease>,
    pub(crate) next_balance: Tick,
    /// Not before this is any worker silent for too long.
    pub(crate) next_silence: Option<Tick>,
    /// An input with so many readers ends up everywhere.
    pub(crate) rootish_readers: u32,
    /// Where to look next for workers with room.
    pub(crate) cursor: WorkerIx,
    pub(crate) weights: Vec<Candidate>,
}

impl Scheduler {
    /// A scheduler without workers, clients and tasks.
    pub fn new(config: Config, incarnation: Incarnation, version: &str) -> Scheduler {
        Scheduler {
            config,
            incarnation,
            version: version.to_string(),
            now: Tick(0),
            tasks: Tasks::default(),
            workers: Workers::default(),
            clients: Clients::default(),
            supervisors: Supervisors::default(),
            blobs: Blobs::default(),
            classes: Classes::default(),
            out: Outbox::default(),
            counters: Counters::default(),
            graphs: 0,
            unsettled: Vec::new(),
            refused: Vec::new(),
            parked: BTreeSet::new(),
            look_at_parked: false,
            recent_deaths: RecentDeaths::new(),
            vain_deaths: VainDeaths::default(),
            returns: Vec::new(),
            next_rest: None,
            next_relief: Tick(0),
            scattering: BTreeMap::new(),
            pending_scatters: Vec::new(),
            scatter_turn: 0,
            copies: Copies::default(),
            copies_changed: false,
            replications: Vec::new(),
            retirements: Vec::new(),
            look_at_retirements: false,
            restarts: Vec::new(),
            worker_waits: Vec::new(),
            calls: Calls::new(),
            call_count: 0,
            leases: VecDeque::new(),
            next_balance: Tick(0),
            next_silence: None,
            rootish_readers: FEWEST_ROOTISH_READERS,
            cursor: WorkerIx(0),
            weights: Vec::new(),
        }
    }

    /// Something happened at `now`, which never goes back.
    pub fn handle(&mut self, now: Tick, event: Event) {
        self.now = self.now.max(now);
        match event {
            Event::ClientMessage { client, message } => self.client_message(client, message),
            Event::ClientLost { client } => self.client_lost(client),
            Event::WorkerMessage { worker, message } => self.worker_message(worker, message),
            Event::WorkerLost { worker, certificate } => {
                if let Some(ix) = self.workers.find(worker) {
                    self.lose_worker(ix, certificate);
                }
            }
            Event::SupervisorMessage { supervisor, message } => self.supervisor_message(supervisor, message),
            Event::SupervisorLost { supervisor } => self.supervisor_lost(supervisor),
            Event::Tick => {}
        }
        self.follow_up();
    }

    /// What is due by time, and what may have become possible.
    fn follow_up(&mut self) {
        self.end_silent_workers();
        self.end_leases();
        self.end_certificate_waits();
        self.end_graces();
        self.end_rests();
        self.end_rests_of_copies();
        if self.restart_due().is_some_and(|due| due <= self.now) {
            self.restarts_changed();
        }
        self.place_parked();
        self.relieve();
        self.go_on_copying();
        self.go_on_retiring();
        self.hand_out();
        self.hand_out_to_full();
        self.fail_refused();
        self.balance();
        debug_assert!(self.unsettled.is_empty(), "every handler settles what it unsettles");
        self.tasks.shrink();
    }

    /// What to do next; `None` when all is done for now.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.out.poll()
    }

    /// When to call [`Scheduler::handle`] with [`Event::Tick`] if nothing else happens before.
    pub fn next_deadline(&self) -> Option<Tick> {
        let lease = self.leases.front().map(|lease| lease.until);
        let all = [self.next_silence, lease, self.verdict_due(), self.restart_due(), self.balance_due()];
        let of_memory = [self.return_due(), self.next_rest, self.relief_due(), self.copies.rested_at()];
        all.into_iter().chain(of_memory).flatten().min()
    }

    /// Totals since the start.
    pub fn counters(&self) -> Counters {
        let spilled_bytes = self.workers.iter().map(|(_, worker)| worker.metrics.spilled_bytes).sum();
        Counters { spilled_bytes, ..self.counters }
    }

    /// Number of tasks known.
    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// Bytes of the tables that grow with the tasks: records, index, adjacency, queues, sets.
    pub fn memory_bytes(&self) -> usize {
        let workers: usize =
            self.workers.iter().map(|(_, worker)| worker.held.memory_bytes() + worker.processing.memory_bytes()).sum();
        let clients: usize = self.clients.iter().map(|(_, client)| client.wants.memory_bytes()).sum();
        self.tasks.memory_bytes() + workers + clients
    }

    /// Workers with runners came or went.
    pub(crate) fn threads_changed(&mut self) {
        let threads = u32::try_from(self.workers.total_threads()).unwrap_or(u32::MAX);
        self.rootish_readers = FEWEST_ROOTISH_READERS.max(threads.saturating_mul(4));
    }
}
