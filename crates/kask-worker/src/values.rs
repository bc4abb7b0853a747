//! The values that are here: where each one is, who uses it, and what they all weigh.
//!
//! A value is held until the scheduler frees it, whoever made it. It is in memory, on disk, or both ([`Residence`]). A *pin*
//! is an admitted attempt that needs it in memory; a *reader* is a queued attempt that reads a part of it, for which it
//! does not matter where the value is. Every change goes through [`Values::change`], which keeps the sums of
//! [`Weights`] and the list of what could be given up. Parts of values that peers hold are here only as long as they are pinned.

use hashbrown::{HashMap, HashSet};
use kask_types::{Attempt, TaskId, ValueId, shrunk};
use rustc_hash::FxBuildHasher;

/// Values smaller than this are given up only when nothing larger is left.
pub(crate) const SMALL_BYTES: u64 = 1024;

/// A value that is here.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) nbytes: u64,
    /// The attempt that made it; absent for values that were here before: copies, scattered ones.
    pub(crate) made_by: Option<Attempt>,
    pub(crate) residence: Residence,
    /// How often attempts need it in memory: admitted ones where there is a limit, otherwise queued ones.
    pub(crate) pins: u32,
    /// How often queued attempts read a part of it.
    pub(crate) readers: u32,
    /// Whether it was chosen to give up its place in memory as soon as that is needed.
    pub(crate) chosen: bool,
    /// Whether the scheduler was told more than once that it is here.
    pub(crate) told_again: bool,
    /// What making it again would cost.
    pub(crate) cost: Cost,
    /// How many bytes had come to memory before it did.
    pub(crate) age: u64,
    /// Where it stands in its list of what could be given up.
    at: u32,
}

/// How long it took to make a value, as a power of 16 of nanoseconds: nothing finer is needed to order values by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cost(u8);

impl Cost {
    /// Of what another worker made, and may still have.
    pub(crate) const UNKNOWN: Cost = Cost(0);
    /// Of what a client put here: it cannot be made again.
    pub(crate) const PRICELESS: Cost = Cost(31);

    pub(crate) fn of_ns(duration_ns: u64) -> Cost {
        Cost((u64::BITS - duration_ns.leading_zeros()).div_ceil(4) as u8)
    }

    /// From 0, for the most expensive, to 31.
    pub(crate) fn cheapness(self) -> u32 {
        u32::from(Cost::PRICELESS.0 - self.0)
    }
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Residence {
    /// In memory.
    Memory,
    /// In memory, since it has no form that could be written.
    Fixed,
    /// In memory, and being written.
    Spilling,
    /// In memory and on disk.
    Both,
    /// On disk.
    Disk,
    /// On disk, and being read.
    Unspilling,
}

impl Residence {
    pub(crate) fn in_memory(self) -> bool {
        match self {
            Residence::Memory | Residence::Fixed | Residence::Spilling | Residence::Both => true,
            Residence::Disk | Residence::Unspilling => false,
        }
    }

    pub(crate) fn on_disk(self) -> bool {
        match self {
            Residence::Both | Residence::Disk | Residence::Unspilling => true,
            Residence::Memory | Residence::Fixed | Residence::Spilling => false,
        }
    }
}

impl Held {
    pub(crate) fn new(nbytes: u64, made_by: Option<Attempt>, residence: Residence, cost: Cost) -> Held {
        Held { nbytes, made_by, residence, pins: 0, readers: 0, chosen: false, told_again: false, cost, age: 0, at: 0 }
    }

    /// Whether it could be chosen to leave memory.
    pub(crate) fn is_loose(&self) -> bool {
        self.pins == 0 && !self.chosen && matches!(self.residence, Residence::Memory | Residence::Both)
    }

    /// Whether it can leave memory this instant, and was chosen to.
    pub(crate) fn is_evictable(&self) -> bool {
        self.pins == 0 && self.chosen && self.residence == Residence::Both
    }

    fn is_listed(&self) -> bool {
        matches!(self.residence, Residence::Memory | Residence::Spilling | Residence::Both)
    }
}

/// A part of a value that some peer holds.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) nbytes: u64,
    /// How often attempts need it that have not ended.
    pub(crate) pins: u32,
}

/// Bytes of values, by how they stand. Where there is no limit nothing is ever chosen to leave memory, and only how much is
/// in memory and on disk is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weights {
    /// In memory, whole values and parts.
    pub(crate) resident: u64,
    /// Could be chosen to leave memory.
    pub(crate) loose: u64,
    /// Can leave memory this instant, and were chosen to.
    pub(crate) evictable: u64,
    /// In memory and on disk, and not pinned.
    pub(crate) clean: u64,
    /// Being written.
    pub(crate) spilling: u64,
    /// Being read.
    pub(crate) unspilling: u64,
    /// Not in memory.
    pub(crate) on_disk_alone: u64,
}

impl Weights {
    fn of(held: &Held) -> Weights {
        let when = |there: bool| if there { held.nbytes } else { 0 };
        Weights {
            resident: when(held.residence.in_memory()),
            loose: when(held.is_loose()),
            evictable: when(held.is_evictable()),
            clean: when(held.pins == 0 && held.residence == Residence::Both),
            spilling: when(held.residence == Residence::Spilling),
            unspilling: when(held.residence == Residence::Unspilling),
            on_disk_alone: when(!held.residence.in_memory()),
        }
    }

    fn of_unlimited(held: &Held) -> Weights {
        let (resident, elsewhere) = if held.residence.in_memory() { (held.nbytes, 0) } else { (0, held.nbytes) };
        let unspilling = if held.residence == Residence::Unspilling { held.nbytes } else { 0 };
        Weights { resident, on_disk_alone: elsewhere, unspilling, ..Weights::default() }
    }

    fn each(&mut self, other: Weights, fold: impl Fn(&mut u64, u64)) {
        fold(&mut self.resident, other.resident);
        fold(&mut self.loose, other.loose);
        fold(&mut self.evictable, other.evictable);
        fold(&mut self.clean, other.clean);
        fold(&mut self.spilling, other.spilling);
        fold(&mut self.unspilling, other.unspilling);
        fold(&mut self.on_disk_alone, other.on_disk_alone);
    }

    fn add(&mut self, other: Weights) {
        self.each(other, |sum, more| *sum += more);
    }

    fn subtract(&mut self, other: Weights) {
        self.each(other, |sum, less| *sum -= less);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Values {
    held: HashMap<TaskId, Held, FxBuildHasher>,
    parts: HashMap<ValueId, Part, FxBuildHasher>,
    weights: Weights,
    /// Values in memory that could be written, in no order; kept only where there is a limit.
    lists: Option<Lists>,
    /// Whether something happened to these since they were watched.
    watched: HashSet<TaskId, FxBuildHasher>,
    watched_changed: bool,
    /// How many bytes have come to memory since the start.
    clock: u64,
}

#[derive(Debug, Default)]
struct Lists {
    large: Vec<TaskId>,
    small: Vec<TaskId>,
}

impl Lists {
    fn of(&mut self, nbytes: u64) -> &mut Vec<TaskId> {
        if nbytes < SMALL_BYTES { &mut self.small } else { &mut self.large }
    }
}

impl Values {
    /// No values. `limited` says whether they will ever have to be given up.
    pub(crate) fn new(limited: bool) -> Values {
        Values { lists: limited.then(Lists::default), ..Values::default() }
    }

    pub(crate) fn get(&self, task: TaskId) -> Option<&Held> {
        self.held.get(&task)
    }

    #[inline]
    pub(crate) fn contains(&self, task: TaskId) -> bool {
        self.held.contains_key(&task)
    }

    pub(crate) fn part(&self, part: ValueId) -> Option<&Part> {
        self.parts.get(&part)
    }

    /// Whether this value or part is here as such.
    pub(crate) fn has(&self, value: ValueId) -> bool {
        match value.part {
            None => self.held.contains_key(&value.task),
            Some(_) => self.parts.contains_key(&value),
        }
    }

    /// Values and parts that are here.
    pub(crate) fn len(&self) -> usize {
        self.held.len() + self.parts.len()
    }

    pub(crate) fn weights(&self) -> &Weights {
        &self.weights
    }

    pub(crate) fn iter_unordered(&self) -> impl Iterator<Item = (TaskId, &Held)> {
        self.held.iter().map(|(task, held)| (*task, held))
    }

    /// In order of the tasks, which costs sorting them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TaskId, &Held)> {
        let mut tasks: Vec<TaskId> = self.held.keys().copied().collect();
        tasks.sort_unstable();
        tasks.into_iter().map(|task| (task, &self.held[&task]))
    }

    /// Remembers from now on whether one of these (or a part of one) came, went, or changed its place.
    pub(crate) fn watch(&mut self, tasks: impl Iterator<Item = TaskId>) {
        self.watched.clear();
        self.watched.extend(tasks);
        self.watched_changed = false;
    }

    pub(crate) fn watched_changed(&self) -> bool {
        self.watched_changed
    }

    fn moved(&mut self, task: TaskId) {
        self.watched_changed |= !self.watched.is_empty() && self.watched.contains(&task);
    }

    /// Takes a value in that is not here.
    #[inline]
    pub(crate) fn insert(&mut self, task: TaskId, mut held: Held) {
        held.age = self.clock;
        self.clock += held.nbytes;
        if self.lists.is_none() && held.residence.in_memory() {
            self.weights.resident += held.nbytes;
        } else {
            self.weights.add(self.weights_of(&held));
            self.moved(task);
            Self::list(&mut self.lists, task, &mut held);
        }
        let former = self.held.insert(task, held);
        debug_assert!(former.is_none(), "callers have looked");
    }

    #[inline]
    pub(crate) fn remove(&mut self, task: TaskId) -> Option<Held> {
        let held = self.held.remove(&task)?;
        if let Some(capacity) = shrunk(self.held.len(), self.held.capacity()) {
            self.held.shrink_to(capacity);
        }
        if self.lists.is_none() && held.residence.in_memory() {
            self.weights.resident -= held.nbytes;
            return Some(held);
        }
        self.weights.subtract(self.weights_of(&held));
        self.moved(task);
        if held.is_listed() {
            self.unlist(held.nbytes, held.at);
        }
        Some(held)
    }

    fn weights_of(&self, held: &Held) -> Weights {
        if self.lists.is_some() { Weights::of(held) } else { Weights::of_unlimited(held) }
    }

    /// Changes a value that is here, and all sums with it.
    pub(crate) fn change<T>(&mut self, task: TaskId, change: impl FnOnce(&mut Held) -> T) -> Option<T> {
        let is_limited = self.lists.is_some();
        let weigh = |held: &Held| if is_limited { Weights::of(held) } else { Weights::of_unlimited(held) };
        let held = self.held.get_mut(&task)?;
        let (before, was_listed, listed_bytes, at) = (weigh(held), held.is_listed(), held.nbytes, held.at);
        let residence = held.residence;
        let result = change(held);
        if held.residence != residence {
            self.watched_changed |= !self.watched.is_empty() && self.watched.contains(&task);
        }
        if held.residence.in_memory() && !residence.in_memory() {
            held.age = self.clock;
            self.clock += held.nbytes;
        }
        self.weights.subtract(before);
        self.weights.add(weigh(held));
        let stays = was_listed && held.is_listed() && (listed_bytes < SMALL_BYTES) == (held.nbytes < SMALL_BYTES);
        if !stays {
            if was_listed {
                self.unlist(listed_bytes, at);
            }
            let held = self.held.get_mut(&task).expect("it was there above");
            Self::list(&mut self.lists, task, held);
        }
        Some(result)
    }

    /// How many bytes came to memory since this value did.
    pub(crate) fn since(&self, held: &Held) -> u64 {
        self.clock - held.age
    }

    /// One attempt more needs a value in memory. `None` when it is not here; otherwise where it is.
    pub(crate) fn pin(&mut self, task: TaskId) -> Option<Residence> {
        let held = self.held.get_mut(&task)?;
        let residence = held.residence;
        if held.pins > 0 || self.lists.is_none() {
            held.pins += 1;
        } else {
            // What was chosen to go is of use again.
            self.change(task, |held| (held.pins, held.chosen) = (1, false));
        }
        Some(residence)
    }

    /// One attempt less does; `false` when the value is not here.
    pub(crate) fn unpin(&mut self, task: TaskId) -> bool {
        let Some(held) = self.held.get_mut(&task) else { return false };
        if held.pins == 1 && self.lists.is_some() {
            self.change(task, |held| held.pins = 0);
        } else {
            held.pins -= 1;
        }
        true
    }

    /// A queued attempt more reads a part of a value; `false` when that is not here.
    pub(crate) fn read(&mut self, task: TaskId) -> bool {
        self.held.get_mut(&task).map(|held| held.readers += 1).is_some()
    }

    pub(crate) fn unread(&mut self, task: TaskId) {
        self.held.get_mut(&task).expect("what is read from is here").readers -= 1;
    }

    /// Takes a part in that so many attempts wait for.
    pub(crate) fn insert_part(&mut self, part: ValueId, nbytes: u64, pins: u32) {
        self.weights.resident += nbytes;
        self.moved(part.task);
        let former = self.parts.insert(part, Part { nbytes, pins });
        debug_assert!(former.is_none() && pins > 0, "callers have looked, and nobody keeps what is not needed");
    }

    /// One attempt more needs a part; `false` when it is not here.
    pub(crate) fn pin_part(&mut self, part: ValueId) -> bool {
        self.parts.get_mut(&part).map(|part| part.pins += 1).is_some()
    }

    /// One attempt less needs a part. `None` when it is not here, otherwise whether it went.
    pub(crate) fn unpin_part(&mut self, part: ValueId) -> Option<bool> {
        let held = self.parts.get_mut(&part)?;
        held.pins -= 1;
        if held.pins > 0 {
            return Some(false);
        }
        self.weights.resident -= held.nbytes;
        self.parts.remove(&part);
        self.moved(part.task);
        Some(true)
    }

    /// What is in memory and could be written, in no order: values of some size, and small ones.
    pub(crate) fn listed(&self) -> (&[TaskId], &[TaskId]) {
        self.lists.as_ref().map_or((&[], &[]), |lists| (&lists.large, &lists.small))
    }

    fn list(lists: &mut Option<Lists>, task: TaskId, held: &mut Held) {
        if let Some(lists) = lists
            && held.is_listed()
        {
            let list = lists.of(held.nbytes);
            held.at = list.len() as u32;
            list.push(task);
        }
    }

    fn unlist(&mut self, nbytes: u64, at: u32) {
        let Some(lists) = &mut self.lists else { return };
        let list = lists.of(nbytes);
        list.swap_remove(at as usize);
        if let Some(moved) = list.get(at as usize) {
            self.held.get_mut(moved).expect("a list names values that are here").at = at;
        }
    }

    /// Panics where sums or lists are not what the values say.
    pub(crate) fn check(&self) {
        let mut sums = Weights::default();
        for (task, held) in self.iter() {
            sums.add(self.weights_of(held));
            let Some(lists) = &self.lists else { continue };
            let list = if held.nbytes < SMALL_BYTES { &lists.small } else { &lists.large };
            let found = list.get(held.at as usize) == Some(&task);
            assert_eq!(found && held.is_listed(), held.is_listed(), "{task:?} in its list");
        }
        for (id, part) in &self.parts {
            assert!(part.pins > 0, "{id:?} is kept for nobody");
            sums.resident += part.nbytes;
        }
        assert_eq!(sums, self.weights, "bytes of values");
        let listed = self.held.values().filter(|held| held.is_listed()).count();
        assert!(self.lists.as_ref().is_none_or(|lists| lists.large.len() + lists.small.len() == listed), "lists");
    }
}
