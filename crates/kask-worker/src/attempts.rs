//! The attempts that are here, found by `(task, attempt)` or by slot, and the order in which they run.
//!
//! An attempt is *parked* until it is admitted, which is when there is room for what it needs (at once where there is no
//! memory limit); then it *waits* for inputs, is *ready*, and is *handed out* to the runners.
//!
//! An attempt keeps its slot for life; slots are reused. Lists elsewhere that name a slot may outlive the attempt, so
//! they carry its serial number as well, which never comes again.

use crate::families::FamilyId;
use crate::ready::{Place, ReadyQueue};
use hashbrown::HashMap;
use kask_types::{Attempt, BlobId, Resources, TaskId, ValueId};
use kask_wire::ComputeTask;
use kask_wire::worker::Priority;
use rustc_hash::FxBuildHasher;
use std::sync::Arc;

/// One attempt.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) task: TaskId,
    pub(crate) attempt: Attempt,
    pub(crate) serial: u64,
    pub(crate) priority: Priority,
    pub(crate) family: FamilyId,
    pub(crate) function: Option<BlobId>,
    pub(crate) resources: Option<Arc<Resources>>,
    /// Bytes set aside for it from its admission to its end: for its result, and for the parts it reads of values here.
    pub(crate) reserved: u64,
    /// Whether its result is written to disk when it is there.
    pub(crate) checkpoint: bool,
    pub(crate) state: State,
}

/// How it stands.
#[derive(Debug)]
pub(crate) enum State {
    /// There is no room for it yet. It is tied to nothing.
    Parked { compute: Box<ComputeTask> },
    /// So many of its inputs (counted as often as they occur) are not in memory here.
    Waiting { compute: Box<ComputeTask>, ties: Ties, missing: u32 },
    /// It could run.
    Ready { compute: Box<ComputeTask>, ties: Ties },
    /// The runners have it.
    HandedOut(HandedOut),
}

/// What a queued attempt's inputs are tied to: an input that is a part of a value either to the whole value, which is here, or
/// to the part itself, which is here or being fetched. One entry for each input; none where no input is a part.
#[derive(Debug, Default)]
pub(crate) struct Ties(pub(crate) Box<[bool]>);

impl Ties {
    /// Whether this input is a part that is read from the whole value.
    pub(crate) fn reads_whole(&self, input: usize) -> bool {
        self.0.get(input).copied().unwrap_or(false)
    }
}

impl State {
    /// Stands in while a state is taken apart.
    const GONE: State = State::HandedOut(HandedOut { share_ns: 0, counted: false, wanted: false, pins: Vec::new() });
}

#[derive(Debug)]
pub(crate) struct HandedOut {
    /// What it takes of the work that runners have in hand.
    pub(crate) share_ns: u64,
    /// Whether that counts: not while it has seceded.
    pub(crate) counted: bool,
    /// Whether anybody wants its result.
    pub(crate) wanted: bool,
    /// What it keeps pinned until it ends.
    pub(crate) pins: Vec<ValueId>,
}

impl Entry {
    pub(crate) fn place(&self, slot: u32) -> Place {
        (self.priority, self.serial, slot)
    }

    /// What the attempt is about, unless the runners have it.
    pub(crate) fn queued(&self) -> Option<&ComputeTask> {
        match &self.state {
            State::Parked { compute } | State::Waiting { compute, .. } | State::Ready { compute, .. } => Some(compute),
            State::HandedOut(_) => None,
        }
    }

    /// What the attempt is about and what its inputs are tied to, if they are.
    pub(crate) fn tied(&self) -> Option<(&ComputeTask, &Ties)> {
        match &self.state {
            State::Waiting { compute, ties, .. } | State::Ready { compute, ties } => Some((compute, ties)),
            State::Parked { .. } | State::HandedOut(_) => None,
        }
    }

    /// Whether it counts among those that will end if they are let: it was admitted and has not left its runner.
    pub(crate) fn is_active(&self) -> bool {
        match &self.state {
            State::Parked { .. } => false,
            State::Waiting { .. } | State::Ready { .. } => true,
            State::HandedOut(out) => out.counted,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Attempts {
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    by_name: HashMap<(TaskId, Attempt), u32, FxBuildHasher>,
    next_serial: u64,
    /// Those in state `Parked`, and no others.
    pub(crate) parked: ReadyQueue,
    /// Those in state `Ready`, and no others.
    pub(crate) ready: ReadyQueue,
    /// How many are in state `Waiting`.
    pub(crate) waiting: usize,
    /// How many are in state `HandedOut`.
    pub(crate) handed_out: usize,
    /// How many of those count against the runners.
    pub(crate) counted: usize,
    /// The sum of their shares.
    pub(crate) in_hand_ns: u64,
}

impl Attempts {
    pub(crate) fn contains(&self, task: TaskId, attempt: Attempt) -> bool {
        self.by_name.contains_key(&(task, attempt))
    }

    pub(crate) fn slot_of(&self, task: TaskId, attempt: Attempt) -> Option<u32> {
        self.by_name.get(&(task, attempt)).copied()
    }

    pub(crate) fn get(&self, slot: u32) -> &Entry {
        self.slots[slot as usize].as_ref().expect("a slot named by an index or a queue is taken")
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut Entry {
        self.slots[slot as usize].as_mut().expect("a slot named by an index or a queue is taken")
    }

    pub(crate) fn is_taken(&self, slot: u32) -> bool {
        self.slots[slot as usize].is_some()
    }

    /// The entry in `slot` if it is still the one with this serial number.
    pub(crate) fn same(&self, slot: u32, serial: u64) -> Option<&Entry> {
        self.slots[slot as usize].as_ref().filter(|entry| entry.serial == serial)
    }

    /// Those that were admitted and will end if they are let.
    pub(crate) fn active(&self) -> usize {
        self.waiting + self.ready.len() + self.counted
    }

    /// Takes a new attempt in: as waiting for all of its inputs if it is admitted and tied to them, otherwise parked.
    pub(crate) fn insert(&mut self, compute: ComputeTask, family: FamilyId, admitted: Option<Ties>) -> (u32, u64) {
        let serial = self.next_serial;
        self.next_serial += 1;
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        let (task, attempt, priority, function) = (compute.task, compute.attempt, compute.priority, compute.function);
        let checkpoint = compute.checkpoint;
        let resources = compute.resources.clone().filter(|resources| !resources.is_empty());
        let compute = Box::new(compute);
        let state = match admitted {
            Some(ties) => {
                self.waiting += 1;
                State::Waiting { missing: compute.inputs.len() as u32, compute, ties }
            }
            None => {
                self.parked.insert((priority, serial, slot), resources.as_ref());
                State::Parked { compute }
            }
        };
        let entry =
            Entry { task, attempt, serial, priority, family, function, resources, reserved: 0, checkpoint, state };
        self.by_name.insert((task, attempt), slot);
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = Some(entry),
            None => self.slots.push(Some(entry)),
        }
        (slot, serial)
    }

    /// There is room for a parked attempt now: it waits for all of its inputs.
    pub(crate) fn admit(&mut self, slot: u32, ties: Ties, reserved: u64) {
        let entry = self.slots[slot as usize].as_mut().expect("a slot named by an index or a queue is taken");
        let was_there = self.parked.remove(entry.place(slot), entry.resources.as_ref());
        debug_assert!(was_there, "what is parked is in the queue");
        entry.reserved = reserved;
        entry.state = match std::mem::replace(&mut entry.state, State::GONE) {
            State::Parked { compute } => State::Waiting { missing: compute.inputs.len() as u32, compute, ties },
            State::Waiting { .. } | State::Ready { .. } | State::HandedOut(_) => {
                unreachable!("only what is parked is admitted")
            }
        };
        self.waiting += 1;
    }

    /// One occurrence of an input came; the last one makes the attempt ready.
    pub(crate) fn input_came(&mut self, slot: u32) {
        let entry = self.get_mut(slot);
        if let State::Waiting { missing, .. } = &mut entry.state {
            *missing -= 1;
            if *missing == 0 {
                self.make_ready(slot);
            }
        }
    }

    /// Waiting for nothing: queues the attempt.
    pub(crate) fn make_ready(&mut self, slot: u32) {
        let entry = self.slots[slot as usize].as_mut().expect("a slot named by an index or a queue is taken");
        entry.state = match std::mem::replace(&mut entry.state, State::GONE) {
            State::Waiting { compute, ties, .. } => State::Ready { compute, ties },
            State::Parked { .. } | State::Ready { .. } | State::HandedOut(_) => {
                unreachable!("only what waits becomes ready")
            }
        };
        self.waiting -= 1;
        self.ready.insert(entry.place(slot), entry.resources.as_ref());
    }

    /// An input of a queued attempt went away again.
    pub(crate) fn input_went(&mut self, slot: u32) {
        let entry = self.slots[slot as usize].as_mut().expect("a slot named by an index or a queue is taken");
        entry.state = match std::mem::replace(&mut entry.state, State::GONE) {
            State::Waiting { compute, ties, missing } => State::Waiting { compute, ties, missing: missing + 1 },
            State::Ready { compute, ties } => {
                let was_there = self.ready.remove((entry.priority, entry.serial, slot), entry.resources.as_ref());
                debug_assert!(was_there, "what is ready is in the queue");
                self.waiting += 1;
                State::Waiting { compute, ties, missing: 1 }
            }
            State::Parked { .. } | State::HandedOut(_) => unreachable!("only tied attempts have inputs that can go"),
        };
    }

    /// The runners get a ready attempt, which keeps `pins` until it ends.
    pub(crate) fn hand_out(&mut self, slot: u32, share_ns: u64, pins: Vec<ValueId>) -> Box<ComputeTask> {
        let entry = self.slots[slot as usize].as_mut().expect("a slot named by an index or a queue is taken");
        let was_there = self.ready.remove((entry.priority, entry.serial, slot), entry.resources.as_ref());
        debug_assert!(was_there, "what is ready is in the queue");
        let out = State::HandedOut(HandedOut { share_ns, counted: true, wanted: true, pins });
        let State::Ready { compute, .. } = std::mem::replace(&mut entry.state, out) else {
            unreachable!("only what is ready is handed out");
        };
        self.handed_out += 1;
        self.count(share_ns);
        compute
    }

    pub(crate) fn count(&mut self, share_ns: u64) {
        self.counted += 1;
        self.in_hand_ns += share_ns;
    }

    pub(crate) fn uncount(&mut self, share_ns: u64) {
        self.counted -= 1;
        self.in_hand_ns -= share_ns;
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Entry {
        let entry = self.slots[slot as usize].take().expect("a slot named by an index or a queue is taken");
        self.by_name.remove(&(entry.task, entry.attempt));
        self.free.push(slot);
        match &entry.state {
            State::Parked { .. } => {
                let was_there = self.parked.remove(entry.place(slot), entry.resources.as_ref());
                debug_assert!(was_there, "what is parked is in the queue");
            }
            State::Waiting { .. } => self.waiting -= 1,
            State::Ready { .. } => {
                let was_there = self.ready.remove(entry.place(slot), entry.resources.as_ref());
                debug_assert!(was_there, "what is ready is in the queue");
            }
            State::HandedOut(out) => {
                self.handed_out -= 1;
                if out.counted {
                    self.uncount(out.share_ns);
                }
            }
        }
        entry
    }

    /// All attempts in slot order, to change what they are tied to.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Entry)> {
        self.slots.iter_mut().enumerate().filter_map(|(slot, entry)| Some((slot as u32, entry.as_mut()?)))
    }

    /// All attempts in slot order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.slots.iter().enumerate().filter_map(|(slot, entry)| Some((slot as u32, entry.as_ref()?)))
    }
}
