//! The workers, what is on each, and which of them have room.
//!
//! Invariants: `processing` is the tasks whose state names the worker; `active` and `occupancy_us` count those of them
//! that have not seceded; `held` is the tasks in memory that list the worker as holder. `room`, `hungry` and `loaded`
//! follow from these and change only when a worker crosses a limit.

use crate::config::Config;
use crate::slotset::SlotSet;
use crate::tasks::{Slot, WorkerIx};
use kask_types::{BlobId, Certificate, Tick, WorkerId};
use kask_wire::worker::{Peer, WorkerInfo, WorkerMetrics};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeSet;

/// What becomes of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It takes tasks.
    Open,
    /// Its tasks and unique values move elsewhere, then it is closed.
    Retiring,
    /// It was told to close, or is being killed on request.
    Leaving,
}

/// A worker incarnation.
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) info: WorkerInfo,
    pub(crate) metrics: WorkerMetrics,
    pub(crate) last_heard: Tick,
    pub(crate) standing: Standing,
    pub(crate) processing: SlotSet,
    pub(crate) active: u32,
    pub(crate) occupancy_us: u64,
    /// When an attempt ended here last, or the first one was sent to the idle worker.
    pub(crate) progress: Tick,
    pub(crate) held: SlotSet,
    pub(crate) held_bytes: u64,
    pub(crate) blobs: FxHashSet<BlobId>,
    /// Attempts that it was asked to give back and that are still in that state.
    pub(crate) stealing: u32,
    /// The one task here that was on a worker that died.
    pub(crate) suspect: Option<Slot>,
    /// What it said of its own end.
    pub(crate) farewell: Option<Certificate>,
    /// Whether it is in `room`, `hungry` and `loaded`.
    listed: [bool; 3],
}

impl Worker {
    pub(crate) fn new(id: WorkerId, info: WorkerInfo, now: Tick) -> Worker {
        Worker {
            id,
            info,
            metrics: WorkerMetrics::default(),
            last_heard: now,
            standing: Standing::Open,
            processing: SlotSet::default(),
            active: 0,
            occupancy_us: 0,
            progress: now,
            held: SlotSet::default(),
            held_bytes: 0,
            blobs: FxHashSet::default(),
            stealing: 0,
            suspect: None,
            farewell: None,
            listed: [false; 3],
        }
    }

    pub(crate) fn takes_tasks(&self) -> bool {
        self.standing == Standing::Open
    }

    pub(crate) fn nthreads(&self) -> u64 {
        u64::from(self.info.nthreads.max(1))
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer { worker: self.id, incarnation: self.info.incarnation, address: self.info.address.clone() }
    }

    /// Whether queued tasks may be sent to it.
    pub(crate) fn has_room(&self, config: &Config) -> bool {
        let active = u64::from(self.active);
        let busy = self.occupancy_us >= self.nthreads() * config.ahead_us || self.active >= config.most_attempts;
        self.takes_tasks() && (active <= self.nthreads() || !busy)
    }

    /// How long until a task that is sent now starts, in microseconds.
    pub(crate) fn wait_us(&self) -> u64 {
        if u64::from(self.active) < self.nthreads() { 0 } else { self.occupancy_us / self.nthreads() }
    }

    /// The same as far as one can tell at `now`: when nothing has ended for long, what runs takes longer than expected.
    pub(crate) fn wait_at_us(&self, now: Tick) -> u64 {
        let wait_us = self.wait_us();
        if wait_us == 0 { 0 } else { wait_us + now.since_ns(self.progress) / 1000 }
    }
}

/// All workers.
#[derive(Default)]
pub(crate) struct Workers {
    slots: Vec<Option<Box<Worker>>>,
    free: Vec<WorkerIx>,
    by_id: FxHashMap<WorkerId, WorkerIx>,
    /// May be sent queued tasks.
    pub(crate) room: BTreeSet<WorkerIx>,
    /// Have a runner without work.
    pub(crate) hungry: BTreeSet<WorkerIx>,
    /// Have more attempts than runners.
    pub(crate) loaded: BTreeSet<WorkerIx>,
}

impl std::ops::Index<WorkerIx> for Workers {
    type Output = Worker;
    fn index(&self, ix: WorkerIx) -> &Worker {
        self.slots[ix.0 as usize].as_ref().expect("no state names a worker that is gone")
    }
}

impl std::ops::IndexMut<WorkerIx> for Workers {
    fn index_mut(&mut self, ix: WorkerIx) -> &mut Worker {
        self.slots[ix.0 as usize].as_mut().expect("no state names a worker that is gone")
    }
}

impl Workers {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// One more than the largest index in use.
    pub(crate) fn bound(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn find(&self, id: WorkerId) -> Option<WorkerIx> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (WorkerIx, &Worker)> {
        let all = self.slots.iter().enumerate();
        all.filter_map(|(at, worker)| Some((WorkerIx(at as u32), &**worker.as_ref()?)))
    }

    /// The worker that goes by this name, address or decimal id.
    pub(crate) fn named(&self, name: &str) -> Option<WorkerIx> {
        let found = self.iter().find(|(_, worker)| *worker.info.name == *name || *worker.info.address == *name);
        let by_id = || self.find(WorkerId(name.parse().ok()?));
        found.map(|(ix, _)| ix).or_else(by_id)
    }

    pub(crate) fn insert(&mut self, worker: Worker) -> WorkerIx {
        let id = worker.id;
        let ix = match self.free.pop() {
            Some(ix) => {
                self.slots[ix.0 as usize] = Some(Box::new(worker));
                ix
            }
            None => {
                self.slots.push(Some(Box::new(worker)));
                WorkerIx(self.slots.len() as u32 - 1)
            }
        };
        self.by_id.insert(id, ix);
        ix
    }

    /// Takes the worker out; its index may be reused at once, so nothing may name it any more when the next one comes.
    pub(crate) fn remove(&mut self, ix: WorkerIx) -> Box<Worker> {
        let worker = self.slots[ix.0 as usize].take().expect("only a worker that is there is removed");
        self.by_id.remove(&worker.id);
        self.room.remove(&ix);
        self.hungry.remove(&ix);
        self.loaded.remove(&ix);
        self.free.push(ix);
        worker
    }

    /// Brings `room`, `hungry` and `loaded` up to date after the worker's load or standing changed.
    pub(crate) fn update(&mut self, ix: WorkerIx, config: &Config) {
        let worker = &mut self[ix];
        let threads = worker.nthreads();
        let hungry = worker.takes_tasks() && u64::from(worker.active) < threads;
        let now = [worker.has_room(config), hungry, u64::from(worker.active) > threads];
        if now == worker.listed {
            return;
        }
        let before = std::mem::replace(&mut worker.listed, now);
        let sets = [&mut self.room, &mut self.hungry, &mut self.loaded];
        for (set, (before, now)) in sets.into_iter().zip(before.into_iter().zip(now)) {
            match (before, now) {
                (false, true) => {
                    set.insert(ix);
                }
                (true, false) => {
                    set.remove(&ix);
                }
                (false, false) | (true, true) => {}
            }
        }
    }

    /// Runners of all workers that take tasks.
    pub(crate) fn total_threads(&self) -> u64 {
        self.iter().filter(|(_, worker)| worker.takes_tasks()).map(|(_, worker)| worker.nthreads()).sum()
    }
}
