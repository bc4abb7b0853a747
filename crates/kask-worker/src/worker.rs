//! The worker as a whole: events in, actions out.
//!
//! A worker is *new* until the scheduler has registered it, *working*, *closing* (what runs may end, nothing starts) or
//! *closed*. Every event is handled completely before the next: at the end of [`Worker::handle`] all attempts that can
//! be handed out are, and all requests that can be sent are.

use crate::admission::{Acquires, Next, Remembered};
use crate::api::{Action, Config, Event, ProtocolError};
use crate::attempts::Attempts;
use crate::blobs::Blobs;
use crate::families::Families;
use crate::fetcher::Fetcher;
use crate::memory::Memory;
use crate::outbox::Outbox;
use crate::pressure::Standing;
use crate::spill::StaleAnswers;
use crate::values::{Cost, Values};
use hashbrown::HashMap;
use kask_types::{BlobId, Payload, Resources, TaskId, Tick, WorkerId};
use kask_wire::worker::{FetchProblem, WorkerMetrics};
use kask_wire::{SchedulerToWorker, WorkerToScheduler};
use rustc_hash::FxBuildHasher;
use std::collections::VecDeque;
use std::sync::Arc;

/// One worker. See the crate's documentation.
#[derive(Debug)]
pub struct Worker {
    pub(crate) config: Config,
    phase: Phase,
    id: Option<WorkerId>,
    heartbeat_ms: u64,
    next_heartbeat: Option<Tick>,
    pub(crate) attempts: Attempts,
    pub(crate) values: Values,
    pub(crate) fetched_bytes: u64,
    pub(crate) memory: Memory,
    /// Attempts, by slot and serial number, that wait for values that are being read back; some may be gone.
    pub(crate) unspilling: HashMap<TaskId, Vec<(u32, u64)>, FxBuildHasher>,
    /// Values that were chosen to leave memory and can, in the order in which they will; some may have changed.
    pub(crate) evictable: VecDeque<TaskId>,
    /// How much there was to choose from when that was too little.
    pub(crate) fruitless: Option<u64>,
    pub(crate) stale: StaleAnswers,
    pub(crate) acquires: Acquires,
    pub(crate) next: Next,
    pub(crate) remembered: Option<Remembered>,
    pub(crate) standing: Standing,
    /// Values found on disk, to be told once registered.
    pub(crate) to_report: Vec<(TaskId, u64)>,
    pub(crate) fetcher: Fetcher,
    pub(crate) free_resources: Resources,
    pub(crate) families: Families,
    pub(crate) blobs: Blobs,
    pub(crate) outbox: Outbox,
}

#[derive(Debug)]
enum Phase {
    New,
    Working,
    Closing { reason: Arc<str> },
    Closed,
}

impl Worker {
    /// A worker that waits to be registered. The shell sends [`WorkerToScheduler::Register`] itself: only it knows
    /// address, process and versions.
    pub fn new(config: Config) -> Worker {
        Worker {
            free_resources: config.resources.clone(),
            memory: Memory::new(config.memory),
            values: Values::new(config.memory.limit_bytes > 0),
            config,
            phase: Phase::New,
            id: None,
            heartbeat_ms: 0,
            next_heartbeat: None,
            attempts: Attempts::default(),
            fetched_bytes: 0,
            unspilling: HashMap::default(),
            evictable: VecDeque::new(),
            fruitless: None,
            stale: StaleAnswers::default(),
            acquires: Acquires::default(),
            next: Next::default(),
            remembered: None,
            standing: Standing::default(),
            to_report: Vec::new(),
            fetcher: Fetcher::default(),
            families: Families::default(),
            blobs: Blobs::default(),
            outbox: Outbox::default(),
        }
    }

    /// The number that the scheduler gave this worker, once it has.
    pub fn worker_id(&self) -> Option<WorkerId> {
        self.id
    }

    pub(crate) fn me(&self) -> WorkerId {
        self.id.expect("nothing is asked of a worker before it is registered")
    }

    /// Attempts that the runners have, that could run, that wait for room or inputs; bytes of values in memory.
    pub fn metrics(&self) -> (u32, u32, u32, u64) {
        let waiting = self.attempts.waiting + self.attempts.parked.len();
        let (out, ready) = (self.attempts.handed_out, self.attempts.ready.len());
        (out as u32, ready as u32, waiting as u32, self.values.weights().resident)
    }

    /// Bytes of values on disk alone, and bytes set aside for what is being fetched, read back or made.
    pub fn memory_metrics(&self) -> (u64, u64) {
        (self.values.weights().on_disk_alone, self.reserved_bytes())
    }

    /// Attempts for which there was room and that will end if they are let: neither parked nor seceded.
    pub fn admitted(&self) -> usize {
        self.attempts.active()
    }

    /// What values, and what is set aside, may take of the memory at the moment; 0 where there is no limit.
    pub fn budget_bytes(&self) -> u64 {
        self.memory.budget()
    }

    /// Whether this worker holds a task's value, in memory or on disk.
    pub fn holds(&self, task: TaskId) -> bool {
        self.values.contains(task)
    }

    /// Whether this worker holds a task's value in memory.
    pub fn holds_in_memory(&self, task: TaskId) -> bool {
        self.values.get(task).is_some_and(|held| held.residence.in_memory())
    }

    /// How many values and parts are held, how many attempts are here, how many values are being fetched or wanted, how
    /// many functions and constants are kept: all 0 on a worker of which nothing is wanted.
    pub fn inventory(&self) -> (usize, usize, usize, usize) {
        let (out, ready, waiting, _) = self.metrics();
        let wanted = self.fetcher.gathers() + self.acquires.len();
        (self.values.len(), (out + ready + waiting) as usize, wanted, self.blobs.len())
    }

    /// Takes note of an event.
    pub fn handle(&mut self, now: Tick, event: Event) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        match event {
            Event::FromScheduler(message) => {
                if let Err(error) = self.hear(now, message) {
                    self.close(Arc::from(error.to_string()));
                    return;
                }
            }
            Event::TaskDone(done) => self.task_done(done),
            Event::TasksDone(all) => all.into_iter().for_each(|done| self.task_done(done)),
            Event::Fetched { request, peer: _, results, last } => self.fetched(now, request, results, last),
            Event::Stored { task, nbytes } => {
                let was_here = self.values.contains(task);
                self.hold(task, nbytes, None, Cost::PRICELESS);
                if was_here { self.tell_again(task) } else { self.outbox.holding(task, nbytes) }
            }
            Event::Seceded { task, attempt } => self.seceded(task, attempt, false),
            Event::Rejoined { task, attempt } => self.seceded(task, attempt, true),
            Event::Spilled(answers) => self.spilled(now, answers),
            Event::DiskTrouble(reason) => self.memory.disk_says(reason),
            Event::Unspilled(answers) => self.unspilled(answers),
            Event::Adopted(found) => self.adopted(found),
            Event::Memory { process_bytes, most_bytes } => {
                self.memory.measured(process_bytes, most_bytes, self.values.weights().resident);
            }
            Event::Lent { kept_bytes } => self.memory.lent(kept_bytes),
            Event::Tick => {}
        }
        self.follow_up(now);
    }

    fn follow_up(&mut self, now: Tick) {
        while let Some(request) = self.fetcher.overdue(now) {
            self.close_request(request, FetchProblem::Unreachable);
        }
        while let Some(value) = self.fetcher.rested(now) {
            self.ask_others(value);
        }
        self.beat(now);
        if let Phase::Closing { reason } = &self.phase {
            if self.attempts.handed_out == 0 {
                self.close(reason.clone());
            }
            return;
        }
        if self.id.is_some() {
            self.admit(now);
        }
        if !self.fetcher.is_idle() {
            while let Some(new) = self.fetcher.next_request(now, &self.config) {
                self.outbox.act(Action::Fetch { request: new.request, peer: new.peer, values: new.values });
            }
        }
        self.dispatch();
    }

    fn beat(&mut self, now: Tick) {
        if self.next_heartbeat.is_some_and(|due| due <= now) {
            self.next_heartbeat = Some(now.after_ms(self.heartbeat_ms));
            let (executing, ready, waiting, managed_bytes) = self.metrics();
            let (spilled_bytes, reserved_bytes) = self.memory_metrics();
            let metrics = WorkerMetrics {
                managed_bytes,
                spilled_bytes,
                reserved_bytes,
                unmanaged_bytes: self.memory.unmanaged(),
                executing,
                ready,
                waiting,
                fetched_bytes: self.fetched_bytes,
                ..WorkerMetrics::default()
            };
            self.outbox.say(WorkerToScheduler::Heartbeat(metrics));
        }
    }

    fn close(&mut self, reason: Arc<str>) {
        self.drop_all_queued();
        self.phase = Phase::Closed;
        self.next_heartbeat = None;
        self.outbox.close(reason);
    }

    fn hear(&mut self, now: Tick, message: SchedulerToWorker) -> Result<(), ProtocolError> {
        match (&self.phase, &message) {
            (Phase::New, SchedulerToWorker::Registered { .. } | SchedulerToWorker::Close { .. }) => {}
            (Phase::New, _) => return Err(ProtocolError::NotRegistered),
            (_, SchedulerToWorker::Registered { .. }) => return Err(ProtocolError::RegisteredTwice),
            (Phase::Working | Phase::Closing { .. } | Phase::Closed, _) => {}
        }
        match message {
            SchedulerToWorker::Registered { worker, heartbeat_ms } => {
                self.phase = Phase::Working;
                self.id = Some(worker);
                self.heartbeat_ms = heartbeat_ms.max(1);
                self.next_heartbeat = Some(now.after_ms(self.heartbeat_ms));
                let adopted = std::mem::take(&mut self.to_report);
                if !adopted.is_empty() {
                    self.outbox.say(WorkerToScheduler::Adopted(adopted));
                }
            }
            SchedulerToWorker::Blobs(blobs) => self.keep_blobs(blobs),
            SchedulerToWorker::DropBlobs(blobs) => {
                for blob in blobs {
                    if self.blobs.give_up(blob) {
                        self.outbox.drop_blob(blob);
                    }
                }
            }
            SchedulerToWorker::Compute(tasks) => {
                if matches!(self.phase, Phase::Working) {
                    for compute in tasks {
                        self.compute(compute)?;
                    }
                }
            }
            SchedulerToWorker::Cancel(attempts) => {
                attempts.into_iter().for_each(|(task, attempt)| self.cancel(task, attempt));
            }
            SchedulerToWorker::Steal(attempts) => self.steal(attempts),
            SchedulerToWorker::Free(tasks) => tasks.into_iter().for_each(|task| self.free(task)),
            SchedulerToWorker::Acquire(inputs) => {
                if matches!(self.phase, Phase::Working) {
                    self.acquire(now, inputs);
                }
            }
            SchedulerToWorker::PeerJoined(peer) => {
                if peer.worker != self.me() {
                    self.fetcher.peer_joined(peer.worker);
                    self.outbox.act(Action::PeerJoined(peer));
                }
            }
            SchedulerToWorker::PeerLeft(peer) => {
                self.peer_left(peer);
                self.outbox.act(Action::PeerLeft(peer));
            }
            SchedulerToWorker::Run { call, payload } => self.outbox.act(Action::RunFunction { call, payload }),
            SchedulerToWorker::Close { reason } => {
                self.drop_all_queued();
                self.phase = Phase::Closing { reason };
            }
        }
        Ok(())
    }

    fn keep_blobs(&mut self, blobs: Vec<(BlobId, Payload)>) {
        for (id, _) in &blobs {
            self.blobs.keep(*id);
        }
        self.outbox.act(Action::KeepBlobs(blobs));
    }

    /// The next thing to do; `None` when all is done for now.
    pub fn poll_action(&mut self) -> Option<Action> {
        let values = &self.values;
        self.outbox.pop(|value| values.has(value))
    }

    /// When the next [`Event::Tick`] is due at the latest.
    pub fn next_deadline(&self) -> Option<Tick> {
        if matches!(self.phase, Phase::Closed) {
            return None;
        }
        let memory = [self.memory.next_deadline(), self.standing.next_deadline(), self.acquires.next_deadline()];
        [self.next_heartbeat, self.fetcher.next_deadline()].into_iter().chain(memory).flatten().min()
    }
}
