//! A simulated worker process: the worker core in a shell of a store, runners and an inbox.

use crate::call::Call;
use crate::network::{NodeHappening, NodeIx};
use kask_types::{Attempt, BlobId, Incarnation, Key, Payload, Resources, TaskId, Tick, WorkerId};
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
}

pub(crate) struct Node {
    pub(crate) ix: NodeIx,
    pub(crate) slot: u32,
    pub(crate) life: Life,
    pub(crate) info: WorkerInfo,
    pub(crate) core: Worker,
    pub(crate) store: BTreeMap<TaskId, u64>,
    pub(crate) blobs: BTreeMap<BlobId, Payload>,
    pub(crate) running: BTreeMap<(TaskId, Attempt), Running>,
    pub(crate) queue: VecDeque<(TaskId, Attempt)>,
    pub(crate) free_runners: BTreeSet<u32>,
    pub(crate) inbox: VecDeque<NodeHappening>,
    /// Requests in flight: whom they ask for what.
    pub(crate) requests: BTreeMap<u64, (NodeIx, Vec<TaskId>)>,
    pub(crate) tick_at: Option<Tick>,
    /// The scheduler has cut it off, or its connection broke otherwise.
    pub(crate) cut: bool,
    /// The scheduler has asked it to close.
    pub(crate) told_to_close: bool,
    /// The scheduler may have lost patience with it.
    pub(crate) was_silent: bool,
    /// Attempts that the scheduler has sent here and believes to be here.
    pub(crate) assigned: BTreeMap<(TaskId, Attempt), Key>,
}

impl Node {
    pub(crate) fn new(ix: NodeIx, slot: u32, incarnation: Incarnation, config: &Config, nthreads: u32) -> Node {
        let resources =
            if slot == 0 { Resources::new([("GPU", 1.0)]).expect("a valid amount") } else { Resources::default() };
        let info = WorkerInfo {
            name: Arc::from(format!("worker{ix}")),
            incarnation,
            address: Arc::from(format!("sim://{ix}")),
            host: Arc::from(format!("host{slot}")),
            pid: ix as u32,
            nthreads,
            memory_limit_bytes: 0,
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
        }
    }

    pub(crate) fn worker(&self) -> WorkerId {
        WorkerId(self.ix as u32)
    }

    /// The attempt that started last of those that run.
    pub(crate) fn last_started(&self) -> Option<&Running> {
        let running = self.running.values().filter(|running| running.started.is_some());
        running.max_by_key(|running| (running.started, running.compute.task))
    }

    /// Store and core must agree on what is here.
    pub(crate) fn check(&self) {
        self.core.check();
        assert_eq!(self.core.inventory().0, self.store.len(), "{:?}: core and store disagree", self.worker());
        for &task in self.store.keys() {
            assert!(self.core.holds(task), "{:?}: {task:?} is in the store and forgotten", self.worker());
        }
        assert_eq!(self.core.inventory().3, self.blobs.len(), "{:?}: functions disagree", self.worker());
    }
}
