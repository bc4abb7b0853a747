//! The workers, what is on each, and which of them have room.
//!
//! Invariants: `processing` is the tasks whose state names the worker; `active` and `occupancy_us` count those of them
//! that have not seceded, and what is `lingering`; `held` is the tasks in memory that list the worker as holder; `result_kib` adds up what the
//! attempts here are expected to leave behind. `room`, `hungry`, `loaded` and `full` follow from these and change only
//! when a worker crosses a limit. What pressure means for a worker is in `pressure`.

use crate::config::Config;
use crate::slotset::SlotSet;
use crate::tasks::{Slot, WorkerIx};
use kask_types::{Attempt, BlobId, Certificate, TaskId, Tick, WorkerId};
use kask_wire::worker::{Peer, Pressure, WorkerInfo, WorkerMetrics};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeSet;

/// Results that add up to less than this part of a worker's memory limit do not matter.
const LITTLE: u64 = 64;

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
    /// Cancelled attempts that runners still have.
    lingering: FxHashSet<(TaskId, Attempt)>,
    pub(crate) active: u32,
    pub(crate) occupancy_us: u64,
    /// When an attempt ended here last, or the first one was sent to the idle worker.
    pub(crate) progress: Tick,
    pub(crate) held: SlotSet,
    pub(crate) held_bytes: u64,
    /// Size of the results that the attempts here are expected to leave, in KiB.
    pub(crate) result_kib: u64,
    /// Size of large arguments that came with the attempts here; see `arguments`.
    pub(crate) arguments_bytes: u64,
    pub(crate) pressure: Pressure,
    /// It gave attempts back for want of room: nothing is sent to it until then.
    pub(crate) rests_until: Option<Tick>,
    /// It has said nothing yet but that it is there: it may have values of an earlier life.
    pub(crate) is_new: bool,
    /// Values that it was told to free while it was new.
    pub(crate) freed_early: Vec<TaskId>,
    pub(crate) blobs: FxHashSet<BlobId>,
    /// Attempts that it was asked to give back and that are still in that state.
    pub(crate) stealing: u32,
    /// The one task here that was on a worker that died.
    pub(crate) suspect: Option<Slot>,
    /// What it said of its own end.
    pub(crate) farewell: Option<Certificate>,
    /// Whether it is in `room`, `hungry`, `loaded` and `full`.
    listed: [bool; 4],
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
            lingering: FxHashSet::default(),
            active: 0,
            occupancy_us: 0,
            progress: now,
            held: SlotSet::default(),
            held_bytes: 0,
            result_kib: 0,
            arguments_bytes: 0,
            pressure: Pressure::Comfortable,
            rests_until: None,
            is_new: true,
            freed_early: Vec::new(),
            blobs: FxHashSet::default(),
            stealing: 0,
            suspect: None,
            farewell: None,
            listed: [false; 4],
        }
    }

    pub(crate) fn takes_tasks(&self) -> bool {
        self.standing == Standing::Open
    }

    pub(crate) fn nthreads(&self) -> u64 {
        u64::from(self.info.nthreads.max(1))
    }

    /// A runner has this attempt, of which the scheduler knows nothing else any more. Nobody can say for how long.
    pub(crate) fn lingers(&mut self, task: TaskId, attempt: Attempt, config: &Config) {
        if self.lingering.insert((task, attempt)) {
            self.active += 1;
            self.occupancy_us += u64::from(config.unknown_duration_us);
        }
    }

    /// An attempt left its runner; whether it was one of those that linger.
    pub(crate) fn lingers_no_more(&mut self, task: TaskId, attempt: Attempt, config: &Config, now: Tick) -> bool {
        let was = !self.lingering.is_empty() && self.lingering.remove(&(task, attempt));
        if was {
            self.progress = now;
            self.active -= 1;
            self.occupancy_us -= u64::from(config.unknown_duration_us);
        }
        was
    }

    pub(crate) fn lingering(&self) -> usize {
        self.lingering.len()
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer { worker: self.id, incarnation: self.info.incarnation, address: self.info.address.clone() }
    }

    /// Whether queued tasks may be sent to it.
    pub(crate) fn has_room(&self, config: &Config) -> bool {
        let active = u64::from(self.active);
        let busy = || self.occupancy_us >= self.nthreads() * config.ahead_us || self.active >= config.most_attempts;
        let has_room = match self.pressure {
            Pressure::Comfortable => active <= self.nthreads() || !busy(),
            // What queues makes new values: only runners that have nothing else to do get some, unless they are small.
            Pressure::Tight => active < self.nthreads() || (self.makes_little() && !busy()),
            Pressure::Full => false,
        };
        has_room && self.has_room_for_arguments() && self.takes_tasks() && self.rests_until.is_none()
    }

    /// Whether what is made here is nothing to speak of beside what the worker may hold.
    fn makes_little(&self) -> bool {
        (self.result_kib << 10) < self.info.memory_limit_bytes / LITTLE
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
    /// Have a runner without work, and memory for more of it.
    pub(crate) hungry: BTreeSet<WorkerIx>,
    /// Have more attempts than runners.
    pub(crate) loaded: BTreeSet<WorkerIx>,
    /// Take tasks and have no memory left.
    pub(crate) full: BTreeSet<WorkerIx>,
    /// Whether any of them is short of memory or rests.
    pub(crate) any_strained: bool,
    /// Whether any of them said how much memory it may use.
    pub(crate) any_limit: bool,
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
        self.any_limit |= self[ix].info.memory_limit_bytes > 0;
        ix
    }

    /// Takes the worker out; its index may be reused at once, so nothing may name it any more when the next one comes.
    pub(crate) fn remove(&mut self, ix: WorkerIx) -> Box<Worker> {
        let worker = self.slots[ix.0 as usize].take().expect("only a worker that is there is removed");
        self.by_id.remove(&worker.id);
        self.room.remove(&ix);
        self.hungry.remove(&ix);
        self.loaded.remove(&ix);
        self.full.remove(&ix);
        self.free.push(ix);
        self.strain_changed();
        worker
    }

    /// Brings `room`, `hungry`, `loaded` and `full` up to date after the worker's load, pressure or standing changed.
    pub(crate) fn update(&mut self, ix: WorkerIx, config: &Config) {
        let worker = &mut self[ix];
        let threads = worker.nthreads();
        let has_room = worker.has_room(config);
        let hungry = has_room && worker.pressure == Pressure::Comfortable && u64::from(worker.active) < threads;
        let full = worker.pressure == Pressure::Full && worker.takes_tasks();
        let now = [has_room, hungry, u64::from(worker.active) > threads, full];
        if now == worker.listed {
            return;
        }
        let before = std::mem::replace(&mut worker.listed, now);
        let sets = [&mut self.room, &mut self.hungry, &mut self.loaded, &mut self.full];
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

    /// A worker's pressure changed, it begins or ends to rest, or it is gone.
    pub(crate) fn strain_changed(&mut self) {
        let strained = |worker: &Worker| worker.pressure != Pressure::Comfortable || worker.rests_until.is_some();
        let any = self.iter().any(|(_, worker)| strained(worker));
        self.any_strained = any;
    }

    /// Runners of all workers that take tasks.
    pub(crate) fn total_threads(&self) -> u64 {
        self.iter().filter(|(_, worker)| worker.takes_tasks()).map(|(_, worker)| worker.nthreads()).sum()
    }
}
