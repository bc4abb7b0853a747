//! The task table: one 64-byte record per task, found by slot or by key.
//!
//! A task is alive from the submission that needs it until nobody wants it and nothing alive depends on it; its
//! inputs live at least as long (they are its lineage). Records hold what every task has; what few tasks have (deaths,
//! used retries, dependents from other graphs) is in side tables, behind a flag. Adjacency is in the task's
//! [`Batch`].
//!
//! Invariants (verified by `check`): `dependents` counts the inputs, with repeats, of living tasks that name this one;
//! `needed_by` counts those of unfinished tasks only; `Waiting::missing` counts inputs that are not in memory.

use crate::batch::Batch;
use crate::families::{Families, FamilyIx};
use crate::idset::{IdPool, Ids};
use hashbrown::HashTable;
use indexmap::IndexMap;
use kask_types::{Attempt, Certificate, DeathCause, Failure, Incarnation, Key, Loss, TaskId, TaskName, shrunk};
use rustc_hash::FxBuildHasher;
use std::sync::Arc;

/// Index into the task table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) u32);

impl Slot {
    pub(crate) const NONE: Slot = Slot(u32::MAX);
}

/// Index into the batches; `NONE` for vacant slots, `SCATTERED` for tasks without lineage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BatchIx(pub(crate) u32);

impl BatchIx {
    pub(crate) const NONE: BatchIx = BatchIx(u32::MAX);
    pub(crate) const SCATTERED: BatchIx = BatchIx(u32::MAX - 1);
}

/// A worker's place in the table of workers; reused once nothing refers to the worker any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct WorkerIx(pub(crate) u32);

/// How a task stands.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// The slot has no task.
    Vacant,
    /// Not wanted now; kept because something alive depends on it.
    Released,
    /// A client is putting the value on workers.
    Scattering,
    /// Had a result on a worker that may come back with it; see `adopt`.
    Awaited,
    /// Wanted; so many inputs are not in memory.
    Waiting { missing: u32 },
    /// Could run; kept on the scheduler until a worker has room (or until a worker that may run it comes).
    Queued,
    /// Could run, but was on a worker that died: waits for a worker without another such task.
    Parked,
    /// A worker has it; which attempt is the task's `attempt`.
    Processing { worker: WorkerIx, cost_us: u32, phase: Phase, result_kib: u32 },
    /// Has a result, on these workers (never empty).
    Memory { holders: Ids, nbytes: u64 },
    /// Will not get a result.
    Erred(Arc<Failure>),
}

/// How an attempt stands, as far as the scheduler knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Sent.
    Assigned,
    /// The worker was asked to give it back.
    Stealing,
    /// The worker said that it has started.
    Started,
    /// It left its runner and does not count.
    Seceded,
}

impl State {
    /// Whether a result is still to come (so the inputs are needed).
    pub(crate) fn is_unfinished(&self) -> bool {
        match self {
            State::Waiting { .. } | State::Queued | State::Parked | State::Processing { .. } => true,
            State::Vacant
            | State::Released
            | State::Scattering
            | State::Awaited
            | State::Memory { .. }
            | State::Erred(_) => false,
        }
    }
}

/// What every task has.
pub(crate) struct Task {
    key: [u64; 2],
    pub(crate) state: State,
    pub(crate) generation: u32,
    pub(crate) attempt: Attempt,
    pub(crate) batch: BatchIx,
    /// Place in its batch, which is its rank in the graph's order.
    pub(crate) row: u32,
    /// Clients that want it.
    pub(crate) wanted_by: Ids,
    pub(crate) dependents: u32,
    pub(crate) needed_by: u32,
    family_and_flags: u32,
}

const _: () = assert!(size_of::<Task>() == 64, "a task is one cache line");

/// Facts about few tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// Run to the end even if nobody wants it.
    Detached = 1 << 24,
    /// Has an entry in the table of rare things.
    Rare = 1 << 25,
    /// Has dependents outside of its batch.
    FarDependents = 1 << 26,
    /// Reads one part of each of its inputs.
    ReadsPart = 1 << 27,
    /// What it gives is written to disk: an output of a shuffle, which all inputs of the shuffle are needed for.
    Checkpoint = 1 << 28,
}

const FAMILY_MASK: u32 = (1 << 24) - 1;

impl Task {
    pub(crate) fn key(&self) -> Key {
        Key(u128::from(self.key[1]) << 64 | u128::from(self.key[0]))
    }

    pub(crate) fn family(&self) -> FamilyIx {
        FamilyIx(self.family_and_flags & FAMILY_MASK)
    }

    pub(crate) fn has(&self, flag: Flag) -> bool {
        self.family_and_flags & flag as u32 != 0
    }

    pub(crate) fn set(&mut self, flag: Flag, on: bool) {
        if on {
            self.family_and_flags |= flag as u32;
        } else {
            self.family_and_flags &= !(flag as u32);
        }
    }
}

/// What few tasks have; gone when the task ends.
#[derive(Default)]
pub(crate) struct Rare {
    /// Deaths of workers that the task was on.
    pub(crate) deaths: Vec<Death>,
    /// Retries used up.
    pub(crate) retries: u32,
    /// Times that an input could not be fetched from a holder that has it, or may have.
    pub(crate) fetch_failures: u32,
    /// Those of them in which it could not be decoded.
    pub(crate) undecodable: u32,
    /// What the task is taken to need since a worker ran out of memory under it; 0 when none did.
    pub(crate) memory_bytes: u64,
    /// Times that a worker with nothing else to do gave it back for want of room.
    pub(crate) hand_backs: u32,
    /// Bytes of large arguments that went with the attempt that is under way.
    pub(crate) arguments_bytes: u64,
    /// What became of the last copy of its value, until somebody who needs it has been told.
    pub(crate) loss: Loss,
}

/// The death of a worker, as counted against a task.
pub(crate) struct Death {
    pub(crate) incarnation: Incarnation,
    pub(crate) certificate: Certificate,
}

impl Death {
    pub(crate) fn is_of_memory(&self) -> bool {
        self.certificate.cause == DeathCause::OutOfMemory
    }
}

/// A run of inputs or dependents in a batch's adjacency.
#[derive(Clone, Copy)]
pub(crate) struct Edges {
    batch: BatchIx,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Edges {
    const EMPTY: Edges = Edges { batch: BatchIx::NONE, start: 0, end: 0 };

    pub(crate) fn len(self) -> usize {
        (self.end - self.start) as usize
    }
}

/// All tasks.
#[derive(Default)]
pub(crate) struct Tasks {
    tasks: Vec<Task>,
    by_key: HashTable<Slot>,
    free: Vec<Slot>,
    /// The generation of slots that were never given out: later than any that had this number before the table shrank.
    first_generation: u32,
    pub(crate) batches: Vec<Option<Box<Batch>>>,
    free_batches: Vec<BatchIx>,
    /// Holder lists.
    pub(crate) holders: IdPool,
    /// Lists of clients that want a task.
    pub(crate) interest: IdPool,
    pub(crate) families: Families,
    rare: std::collections::BTreeMap<Slot, Rare>,
    far: std::collections::BTreeMap<Slot, IndexMap<Slot, u32, FxBuildHasher>>,
}

impl std::ops::Index<Slot> for Tasks {
    type Output = Task;
    fn index(&self, slot: Slot) -> &Task {
        &self.tasks[slot.0 as usize]
    }
}

impl std::ops::IndexMut<Slot> for Tasks {
    fn index_mut(&mut self, slot: Slot) -> &mut Task {
        &mut self.tasks[slot.0 as usize]
    }
}

impl Tasks {
    /// Number of living tasks.
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// All slots, living or not.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..self.tasks.len() as u32).map(Slot)
    }

    /// The slot that `id` names, whatever is in it now.
    pub(crate) fn slot_of(&self, id: TaskId) -> Option<Slot> {
        ((id.slot as usize) < self.tasks.len()).then_some(Slot(id.slot))
    }

    /// Whether the slot that `id` names may have been given back when the table shrank.
    pub(crate) fn was_dropped(&self, id: TaskId) -> bool {
        id.generation < self.first_generation
    }

    /// The living task with this key.
    pub(crate) fn find(&self, key: Key) -> Option<Slot> {
        let halves = halves(key);
        let tasks = &self.tasks;
        self.by_key.find(halves[0], |slot| tasks[slot.0 as usize].key == halves).copied()
    }

    /// The living task that `id` names, if its slot was not given to another since.
    pub(crate) fn current(&self, id: TaskId) -> Option<Slot> {
        let task = self.tasks.get(id.slot as usize)?;
        (task.generation == id.generation && !matches!(task.state, State::Vacant)).then_some(Slot(id.slot))
    }

    pub(crate) fn id(&self, slot: Slot) -> TaskId {
        TaskId { slot: slot.0, generation: self[slot].generation }
    }

    /// Prepares for so many more tasks.
    pub(crate) fn reserve(&mut self, count: usize) {
        let fresh = count.saturating_sub(self.free.len());
        if fresh > self.tasks.len() / 8 {
            self.tasks.reserve_exact(fresh);
        }
        let tasks = &self.tasks;
        self.by_key.reserve(count, |slot| tasks[slot.0 as usize].key[0]);
        // Slots that lie side by side are visited side by side; the last ones freed are taken first.
        let from = self.free.len() - count.min(self.free.len());
        self.free[from..].sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Makes a task that waits for nothing yet; the key is not known yet.
    pub(crate) fn insert(&mut self, key: Key, batch: BatchIx, row: u32, family: FamilyIx) -> Slot {
        let halves = halves(key);
        let make = |generation, attempt| Task {
            key: halves,
            state: State::Waiting { missing: 0 },
            generation,
            attempt,
            batch,
            row,
            wanted_by: Ids::new(),
            dependents: 0,
            needed_by: 0,
            family_and_flags: family.0,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                let old = &mut self.tasks[slot.0 as usize];
                *old = make(old.generation, Attempt(0));
                slot
            }
            None => {
                self.tasks.push(make(self.first_generation, Attempt(0)));
                Slot(self.tasks.len() as u32 - 1)
            }
        };
        self.families.enter(family, &State::Waiting { missing: 0 });
        let tasks = &self.tasks;
        self.by_key.insert_unique(halves[0], slot, |slot| tasks[slot.0 as usize].key[0]);
        slot
    }

    /// Takes a task that nothing refers to out of the table. Its batch must have been told.
    pub(crate) fn remove(&mut self, slot: Slot) {
        self.clear_rare(slot);
        self.set_state(slot, State::Vacant);
        let task = &mut self.tasks[slot.0 as usize];
        task.generation = task.generation.wrapping_add(1);
        task.batch = BatchIx::NONE;
        let key = task.key;
        let tasks = &self.tasks;
        let entry = self.by_key.find_entry(key[0], |other| tasks[other.0 as usize].key == key);
        entry.expect("a living task is in the index").remove();
        self.free.push(slot);
    }

    /// Gives the memory of a large burst back once no task is left. While one is, its number keeps the table as it is.
    pub(crate) fn shrink(&mut self) {
        if !self.by_key.is_empty() || shrunk(0, self.tasks.capacity()).is_none() {
            return;
        }
        let latest = self.tasks.iter().map(|task| task.generation).max();
        self.first_generation = latest.map_or(self.first_generation, |generation| generation.saturating_add(1));
        (self.tasks, self.by_key, self.free) = (Vec::new(), HashTable::new(), Vec::new());
        (self.holders, self.interest) = (IdPool::default(), IdPool::default());
    }

    /// Changes the state, keeping the families' counts; gives back the old one.
    pub(crate) fn set_state(&mut self, slot: Slot, state: State) -> State {
        let task = &mut self.tasks[slot.0 as usize];
        let family = task.family();
        self.families.change(family, &task.state, &state);
        std::mem::replace(&mut task.state, state)
    }

    pub(crate) fn batch(&self, ix: BatchIx) -> &Batch {
        self.batches[ix.0 as usize].as_ref().expect("a living task keeps its batch")
    }

    pub(crate) fn batch_mut(&mut self, ix: BatchIx) -> &mut Batch {
        self.batches[ix.0 as usize].as_mut().expect("a living task keeps its batch")
    }

    pub(crate) fn add_batch(&mut self, batch: Batch) -> BatchIx {
        match self.free_batches.pop() {
            Some(ix) => {
                self.batches[ix.0 as usize] = Some(Box::new(batch));
                ix
            }
            None => {
                self.batches.push(Some(Box::new(batch)));
                BatchIx(self.batches.len() as u32 - 1)
            }
        }
    }

    pub(crate) fn drop_batch(&mut self, ix: BatchIx) {
        self.batches[ix.0 as usize] = None;
        self.free_batches.push(ix);
    }

    /// The task's batch, unless it was scattered.
    pub(crate) fn lineage(&self, slot: Slot) -> Option<&Batch> {
        let batch = self[slot].batch;
        (batch != BatchIx::SCATTERED).then(|| self.batch(batch))
    }

    pub(crate) fn inputs(&self, slot: Slot) -> Edges {
        let Task { batch, row, .. } = self[slot];
        if batch == BatchIx::SCATTERED {
            return Edges::EMPTY;
        }
        let (start, end) = self.batch(batch).inputs.span(row);
        Edges { batch, start, end }
    }

    /// Input number `at` of [`Tasks::inputs`].
    pub(crate) fn input(&self, edges: Edges, at: u32) -> Slot {
        self.batch(edges.batch).inputs.get(at)
    }

    /// Dependents within the task's batch, once per input that names the task.
    pub(crate) fn near_dependents(&self, slot: Slot) -> Edges {
        let Task { batch, row, .. } = self[slot];
        if batch == BatchIx::SCATTERED {
            return Edges::EMPTY;
        }
        let (start, end) = self.batch(batch).dependents.span(row);
        Edges { batch, start, end }
    }

    /// Dependent number `at` of [`Tasks::near_dependents`], if it is still alive.
    pub(crate) fn near_dependent(&self, edges: Edges, at: u32) -> Option<Slot> {
        // A slot that was freed is never given to another task of the same batch, so the batch tells.
        let slot = self.batch(edges.batch).dependents.get(at);
        (self[slot].batch == edges.batch).then_some(slot)
    }

    /// Dependents outside of the task's batch, and how many of their inputs name it.
    pub(crate) fn far_dependents(&self, slot: Slot) -> Vec<(Slot, u32)> {
        if !self[slot].has(Flag::FarDependents) {
            return Vec::new();
        }
        self.far[&slot].iter().map(|(&dependent, &count)| (dependent, count)).collect()
    }

    /// All living dependents, once per input that names the task.
    pub(crate) fn dependents(&self, slot: Slot) -> Vec<Slot> {
        let near = self.near_dependents(slot);
        let mut all: Vec<Slot> = (near.start..near.end).filter_map(|at| self.near_dependent(near, at)).collect();
        for (dependent, count) in self.far_dependents(slot) {
            all.extend(std::iter::repeat_n(dependent, count as usize));
        }
        all
    }

    pub(crate) fn add_far_dependent(&mut self, slot: Slot, dependent: Slot) {
        self[slot].set(Flag::FarDependents, true);
        *self.far.entry(slot).or_default().entry(dependent).or_insert(0) += 1;
    }

    /// Forgets that `dependent` depends on `slot`, where that was across batches.
    pub(crate) fn remove_far_dependent(&mut self, slot: Slot, dependent: Slot) {
        if !self[slot].has(Flag::FarDependents) {
            return;
        }
        let far = self.far.get_mut(&slot).expect("the flag says so");
        far.swap_remove(&dependent);
        if far.is_empty() {
            self.far.remove(&slot);
            self[slot].set(Flag::FarDependents, false);
        }
    }

    pub(crate) fn rare(&self, slot: Slot) -> Option<&Rare> {
        self[slot].has(Flag::Rare).then(|| &self.rare[&slot])
    }

    /// The entry for rare things, made if there is none.
    pub(crate) fn rare_mut(&mut self, slot: Slot) -> &mut Rare {
        self[slot].set(Flag::Rare, true);
        self.rare.entry(slot).or_default()
    }

    pub(crate) fn clear_rare(&mut self, slot: Slot) {
        if self[slot].has(Flag::Rare) {
            self[slot].set(Flag::Rare, false);
            self.rare.remove(&slot);
        }
    }

    /// The size of the task's value; 0 when it has none.
    pub(crate) fn nbytes(&self, slot: Slot) -> u64 {
        match self[slot].state {
            State::Memory { nbytes, .. } => nbytes,
            State::Vacant
            | State::Released
            | State::Scattering
            | State::Awaited
            | State::Waiting { .. }
            | State::Queued
            | State::Parked
            | State::Processing { .. }
            | State::Erred(_) => 0,
        }
    }

    /// How the task's key is printed.
    pub(crate) fn name(&self, slot: Slot) -> TaskName {
        match self.lineage(slot) {
            Some(batch) => batch.layer_of(self[slot].row).0.name(batch.local(self[slot].row).1),
            None => {
                TaskName::Hashed { prefix: self.families.prefix(self[slot].family()).clone(), key: self[slot].key() }
            }
        }
    }

    /// The printed key.
    pub(crate) fn printed(&self, slot: Slot) -> Arc<str> {
        self.name(slot).to_string().into()
    }

    /// Bytes of the table, the index, the adjacency and the side tables.
    pub(crate) fn memory_bytes(&self) -> usize {
        let batches: usize = self.batches.iter().flatten().map(|batch| batch.memory_bytes()).sum();
        let far: usize = self.far.values().map(|map| map.capacity() * 24 + 64).sum();
        self.tasks.capacity() * size_of::<Task>()
            + self.by_key.allocation_size()
            + self.free.capacity() * 4
            + batches
            + far
            + self.rare.len() * (size_of::<Rare>() + 16)
            + self.holders.memory_bytes()
            + self.interest.memory_bytes()
    }
}

fn halves(key: Key) -> [u64; 2] {
    // Keys are uniformly random, so half of one is as good as any hash of it.
    [key.0 as u64, (key.0 >> 64) as u64]
}
