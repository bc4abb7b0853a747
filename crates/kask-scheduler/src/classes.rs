//! Classes of tasks by what they ask of a worker, and the queue of each class.
//!
//! Class 0 asks for nothing. Tasks that ask for the same workers and resources share a class, so which workers will do
//! is worked out when a worker comes or goes, never per task. A queued task is in the [`RankSet`] of its batch; the class
//! lists the batches that have some, best priority first. Invariant: a batch is listed exactly when its set is not
//! empty, `queued` is the sum of the lengths, and `eligible` is sorted.
//!
//! [`RankSet`]: crate::rankset::RankSet

use crate::tasks::{BatchIx, Slot, Tasks, WorkerIx};
use crate::workers::Workers;
use kask_types::{Resources, WorkerRestriction};
use kask_wire::worker::WorkerInfo;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Index into the classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClassIx(pub(crate) u32);

impl ClassIx {
    pub(crate) const ANY: ClassIx = ClassIx(0);
}

/// Where a batch stands in a queue: user priority, graph, batch, which of its sets.
type Place = (i32, u32, BatchIx, u32);

/// See the module.
#[derive(Default)]
pub(crate) struct Class {
    workers: Option<WorkerRestriction>,
    resources: Resources,
    /// Styles that name it.
    pub(crate) users: u32,
    /// Workers that may run its tasks, ascending.
    pub(crate) eligible: Vec<WorkerIx>,
    queue: BTreeSet<Place>,
    pub(crate) queued: u64,
}

/// All classes.
pub(crate) struct Classes {
    classes: Vec<Option<Class>>,
    free: Vec<ClassIx>,
    /// Those with queued tasks.
    pub(crate) nonempty: BTreeSet<ClassIx>,
}

impl Default for Classes {
    fn default() -> Classes {
        Classes { classes: vec![Some(Class::default())], free: Vec::new(), nonempty: BTreeSet::new() }
    }
}

/// Whether a worker is one of those named: by name, address or host.
pub(crate) fn names_worker(restriction: &WorkerRestriction, info: &WorkerInfo) -> bool {
    restriction.workers.iter().any(|name| is_called(info, name))
}

/// Whether the worker goes by this name, address or host.
pub(crate) fn is_called(info: &WorkerInfo, name: &str) -> bool {
    *info.name == *name || *info.address == *name || *info.host == *name
}

impl Class {
    fn compute_eligible(&mut self, workers: &Workers) {
        let covering: Vec<WorkerIx> = workers
            .iter()
            .filter(|(_, worker)| worker.takes_tasks() && worker.info.resources.covers(&self.resources))
            .map(|(ix, _)| ix)
            .collect();
        self.eligible = match &self.workers {
            None => covering,
            Some(restriction) => {
                let named = covering.iter().copied().filter(|&ix| names_worker(restriction, &workers[ix].info));
                let named: Vec<WorkerIx> = named.collect();
                if named.is_empty() && restriction.allow_other_workers { covering } else { named }
            }
        };
    }

    pub(crate) fn restriction(&self) -> &Option<WorkerRestriction> {
        &self.workers
    }

    pub(crate) fn resources(&self) -> &Resources {
        &self.resources
    }

    pub(crate) fn allows(&self, worker: WorkerIx) -> bool {
        self.eligible.binary_search(&worker).is_ok()
    }
}

impl Classes {
    /// The class of tasks that ask for this; counts one more user.
    pub(crate) fn intern(
        &mut self,
        restriction: &Option<WorkerRestriction>,
        resources: &Resources,
        workers: &Workers,
    ) -> ClassIx {
        let same = |class: &Class| class.workers == *restriction && class.resources == *resources;
        let found = self.classes.iter().position(|class| class.as_ref().is_some_and(same));
        let ix = match found {
            Some(at) => ClassIx(at as u32),
            None => {
                let mut class =
                    Class { workers: restriction.clone(), resources: resources.clone(), ..Class::default() };
                class.compute_eligible(workers);
                match self.free.pop() {
                    Some(ix) => {
                        self.classes[ix.0 as usize] = Some(class);
                        ix
                    }
                    None => {
                        self.classes.push(Some(class));
                        ClassIx(self.classes.len() as u32 - 1)
                    }
                }
            }
        };
        self.get_mut(ix).users += 1;
        ix
    }

    /// One style less names the class.
    pub(crate) fn release(&mut self, ix: ClassIx) {
        let class = self.get_mut(ix);
        class.users -= 1;
        if class.users == 0 && ix != ClassIx::ANY {
            debug_assert_eq!(class.queued, 0, "a class outlives its queued tasks");
            self.classes[ix.0 as usize] = None;
            self.free.push(ix);
        }
    }

    pub(crate) fn get(&self, ix: ClassIx) -> &Class {
        self.classes[ix.0 as usize].as_ref().expect("a style keeps its class")
    }

    fn get_mut(&mut self, ix: ClassIx) -> &mut Class {
        self.classes[ix.0 as usize].as_mut().expect("a style keeps its class")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ClassIx, &Class)> {
        let all = self.classes.iter().enumerate();
        all.filter_map(|(at, class)| Some((ClassIx(at as u32), class.as_ref()?)))
    }

    /// Workers came or went, or take no more tasks.
    pub(crate) fn workers_changed(&mut self, workers: &Workers) {
        for class in self.classes.iter_mut().flatten() {
            class.compute_eligible(workers);
        }
    }

    /// Queued tasks that some worker may run.
    pub(crate) fn runnable(&self) -> u64 {
        let classes = self.nonempty.iter().map(|&ix| self.get(ix));
        classes.filter(|class| !class.eligible.is_empty()).map(|class| class.queued).sum()
    }

    /// Queues a task; its state is the caller's business.
    pub(crate) fn push(&mut self, tasks: &mut Tasks, slot: Slot) {
        let (ix, row) = (tasks[slot].batch, tasks[slot].row);
        let batch = tasks.batch_mut(ix);
        let (class, user) = (batch.style_of(row).class, batch.style_of(row).user);
        let graph = batch.graph;
        let (set, rows) = batch.ready_for(class, user);
        let was_empty = rows.is_empty();
        let new = rows.insert(row);
        debug_assert!(new, "a task is queued once");
        let entry = self.get_mut(class);
        entry.queued += 1;
        if was_empty {
            entry.queue.insert((user, graph, ix, set));
            self.nonempty.insert(class);
        }
    }

    /// Takes a task out of its queue.
    pub(crate) fn remove(&mut self, tasks: &mut Tasks, slot: Slot) {
        let (ix, row) = (tasks[slot].batch, tasks[slot].row);
        let batch = tasks.batch_mut(ix);
        let (class, user) = (batch.style_of(row).class, batch.style_of(row).user);
        let graph = batch.graph;
        let (set, rows) = batch.ready_for(class, user);
        let found = rows.remove(row);
        debug_assert!(found, "a queued task is in its queue");
        let empty = rows.is_empty();
        self.removed(class, (user, graph, ix, set), empty);
    }

    fn removed(&mut self, class: ClassIx, place: Place, empty: bool) {
        let entry = self.get_mut(class);
        entry.queued -= 1;
        if empty {
            entry.queue.remove(&place);
            if entry.queued == 0 {
                self.nonempty.remove(&class);
            }
        }
    }

    /// Takes the best task that this worker may run.
    pub(crate) fn pop_for(&mut self, tasks: &mut Tasks, worker: WorkerIx) -> Option<Slot> {
        let open = self.nonempty.iter().filter(|&&ix| self.get(ix).allows(worker));
        let heads = open.map(|&ix| (*self.get(ix).queue.first().expect("a queue that is not empty"), ix));
        let (place, class) = match self.nonempty.len() {
            0 => return None,
            _ => heads.min_by_key(|&((user, graph, batch, set), ix)| {
                let head = tasks.batch(batch).ready[set as usize].rows.first();
                (user, graph, head, ix)
            })?,
        };
        Some(self.pop_at(tasks, place, class))
    }

    /// Takes the best task of a class that has queued tasks.
    pub(crate) fn pop_from(&mut self, tasks: &mut Tasks, class: ClassIx) -> Option<Slot> {
        let place = *self.get(class).queue.first()?;
        Some(self.pop_at(tasks, place, class))
    }

    fn pop_at(&mut self, tasks: &mut Tasks, place: Place, class: ClassIx) -> Slot {
        let (_, _, ix, set) = place;
        let batch = tasks.batch_mut(ix);
        let rows = &mut batch.ready[set as usize].rows;
        let row = rows.first().expect("a listed batch has queued tasks");
        rows.remove(row);
        let empty = rows.is_empty();
        let slot = batch.slots[row as usize];
        self.removed(class, place, empty);
        slot
    }

    /// Batches in the class's queue, for the invariant check.
    pub(crate) fn listed(&self, ix: ClassIx) -> impl Iterator<Item = (BatchIx, usize)> + '_ {
        self.get(ix).queue.iter().map(|&(_, _, batch, set)| (batch, set as usize))
    }
}

/// `None` when nothing is asked for, so that the common case costs nothing per task.
pub(crate) fn shared_resources(resources: &Resources) -> Option<Arc<Resources>> {
    (!resources.is_empty()).then(|| Arc::new(resources.clone()))
}
