//! A simulated worker process: the worker core in a shell of a store, runners and an inbox.

use crate::call::{Call, nbytes_of};
use crate::network::{NodeHappening, NodeIx};
use kask_types::{Attempt, BlobId, Incarnation, Key, Payload, Resources, TaskId, Tick, ValueId, WorkerId};
use kask_wire::ComputeTask;
use kask_wire::worker::WorkerInfo;
use kask_worker::{Config, Worker};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Runs,
    /// Nothing happens there; what should, waits in the inbox.
    Frozen,
    Dead,
}

/// An attempt that the core handed out.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) key: Key,
    pub(crate) call: Call,
    pub(crate) compute: ComputeTask,
    /// The inputs' values, held from the hand-over on.
    pub(crate) inputs: Vec<u64>,
    /// Which runner runs it; none while it is queued or has seceded.
    pub(crate) runner: Option<u32>,
    pub(crate) started: Option<Tick>,
    /// An input could not be read from disk: it ends without having run.
    pub(crate) is_spoilt: bool,
}

/// A value on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnDisk {
    pub(crate) value: u64,
    pub(crate) is_damaged: bool,
}

/// What a worker process leaves to the next one in its place.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) files: BTreeMap<TaskId, OnDisk>,
    /// Values being written and being read, with the number of the job that is at it.
    pub(crate) writing: BTreeMap<TaskId, u64>,
    pub(crate) reading: BTreeMap<TaskId, u64>,
    pub(crate) jobs: u64,
}

impl Disk {
    /// The number of a new job.
    pub(crate) fn job(&mut self) -> u64 {
        self.jobs += 1;
        self.jobs
    }

    pub(crate) fn nbytes(&self) -> u64 {
        self.files.values().map(|file| nbytes_of(file.value)).sum()
    }
}

/// Orders of the scheduler that this process must know of once it has heard a message with a higher number.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub(crate) sent: u64,
    pub(crate) heard: u64,
    pub(crate) cancelled: BTreeMap<(TaskId, Attempt), u64>,
    pub(crate) peers_left: BTreeMap<WorkerId, u64>,
}

pub(crate) struct Node {
    pub(crate) ix: NodeIx,
    pub(crate) slot: u32,
    pub(crate) life: Life,
    pub(crate) info: WorkerInfo,
    pub(crate) core: Worker,
    /// Values in memory.
    pub(crate) store: BTreeMap<TaskId, u64>,
    /// Parts of values that peers hold.
    pub(crate) parts: BTreeMap<ValueId, u64>,
    pub(crate) disk: Disk,
    pub(crate) orders: Orders,
    pub(crate) blobs: BTreeMap<BlobId, Payload>,
    pub(crate) running: BTreeMap<(TaskId, Attempt), Running>,
    pub(crate) queue: VecDeque<(TaskId, Attempt)>,
    pub(crate) free_runners: BTreeSet<u32>,
    pub(crate) inbox: VecDeque<NodeHappening>,
    /// Requests in flight: whom they ask for what.
    pub(crate) requests: BTreeMap<u64, (NodeIx, Vec<ValueId>)>,
    pub(crate) tick_at: Option<Tick>,
    /// The scheduler has cut it off, or its connection broke otherwise.
    pub(crate) cut: bool,
    /// The scheduler has asked it to close.
    pub(crate) told_to_close: bool,
    /// The scheduler may have lost patience with it.
    pub(crate) was_silent: bool,
    /// Attempts that the scheduler has sent here and believes to be here; empty once the process is dead.
    pub(crate) assigned: BTreeMap<(TaskId, Attempt), Key>,
    /// The same until the scheduler knows of the death.
    pub(crate) believed: BTreeSet<(TaskId, Attempt)>,
}

impl Node {
    pub(crate) fn new(ix: NodeIx, slot: u32, incarnation: Incarnation, config: &Config, nthreads: u32) -> Node {
        let resources =
            if slot == 0 { Resources::new([("GPU", 1.0)]).expect("a valid amount") } else { Resources::default() };
        let info = WorkerInfo {
            name: Arc::from(format!("worker{slot}")),
            incarnation,
            address: Arc::from(format!("sim://{ix}")),
            host: Arc::from(format!("host{slot}")),
            pid: ix as u32,
            nthreads,
            memory_limit_bytes: config.memory.limit_bytes,
            resources: resources.clone(),
            versions: Vec::new(),
            in_process: false,
        };
        Node {
            ix,
            slot,
            life: Life::Runs,
            info,
            core: Worker::new(Config { nthreads, resources, ..config.clone() }),
            store: BTreeMap::new(),
            parts: BTreeMap::new(),
            disk: Disk::default(),
            orders: Orders::default(),
            blobs: BTreeMap::new(),
            running: BTreeMap::new(),
            queue: VecDeque::new(),
            free_runners: (0..nthreads).collect(),
            inbox: VecDeque::new(),
            requests: BTreeMap::new(),
            tick_at: None,
            cut: false,
            told_to_close: false,
            was_silent: false,
            assigned: BTreeMap::new(),
            believed: BTreeSet::new(),
        }
    }

    pub(crate) fn worker(&self) -> WorkerId {
        WorkerId(self.ix as u32)
    }

    /// A value that is here, in memory or on disk; `Err` when it is damaged.
    pub(crate) fn value(&self, task: TaskId) -> Option<Result<u64, ()>> {
        let in_memory = self.store.get(&task).map(|&value| Ok(value));
        let on_disk = || self.disk.files.get(&task).map(|file| if file.is_damaged { Err(()) } else { Ok(file.value) });
        in_memory.or_else(on_disk)
    }

    /// Number of values here, in memory or on disk.
    pub(crate) fn held(&self) -> usize {
        self.store.len() + self.disk.files.keys().filter(|task| !self.store.contains_key(task)).count()
    }

    /// What the values in memory take.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.store.values().chain(self.parts.values()).map(|&value| nbytes_of(value)).sum()
    }

    /// The attempt that started last of those that run.
    pub(crate) fn last_started(&self) -> Option<&Running> {
        let running = self.running.values().filter(|running| running.started.is_some());
        running.max_by_key(|running| (running.started, running.compute.task))
    }

    /// Store and core must agree on what is here.
    pub(crate) fn check(&self) {
        self.core.check();
        let held = self.held() + self.parts.len();
        assert_eq!(self.core.inventory().0, held, "{:?}: core and store disagree", self.worker());
        for &task in self.store.keys() {
            assert!(self.core.holds_in_memory(task), "{:?}: {task:?} is in the store and forgotten", self.worker());
        }
        for &task in self.disk.files.keys() {
            assert!(self.core.holds(task), "{:?}: {task:?} is on disk and forgotten", self.worker());
            let in_memory = self.core.holds_in_memory(task);
            assert_eq!(in_memory, self.store.contains_key(&task), "{:?}: {task:?} is in memory", self.worker());
        }
        assert_eq!(self.core.inventory().3, self.blobs.len(), "{:?}: functions disagree", self.worker());
    }
}
