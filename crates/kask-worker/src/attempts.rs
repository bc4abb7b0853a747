//! The attempts that are here, found by `(task, attempt)` or by slot, and the order in which they run.
//!
//! An attempt keeps its slot for life; slots are reused. Lists elsewhere that name a slot may outlive the attempt, so
//! they carry its serial number as well, which never comes again.

use crate::families::FamilyId;
use crate::ready::{Place, ReadyQueue};
use hashbrown::HashMap;
use kask_types::{Attempt, BlobId, Resources, TaskId};
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
    pub(crate) state: State,
}

/// How it stands.
#[derive(Debug)]
pub(crate) enum State {
    /// So many of its inputs (counted as often as they occur) are not here.
    Waiting { compute: ComputeTask, missing: u32 },
    /// It could run.
    Ready { compute: ComputeTask },
    /// The runners have it.
    HandedOut(HandedOut),
}

#[derive(Debug)]
pub(crate) struct HandedOut {
    /// What it takes of the work that runners have in hand.
    pub(crate) share_ns: u64,
    /// Whether that counts: not while it has seceded.
    pub(crate) counted: bool,
    /// Whether anybody wants its result.
    pub(crate) wanted: bool,
}

impl Entry {
    pub(crate) fn place(&self, slot: u32) -> Place {
        (self.priority, self.serial, slot)
    }

    /// What the attempt is about, unless the runners have it.
    pub(crate) fn queued(&self) -> Option<&ComputeTask> {
        match &self.state {
            State::Waiting { compute, .. } | State::Ready { compute } => Some(compute),
            State::HandedOut(_) => None,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Attempts {
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    by_name: HashMap<(TaskId, Attempt), u32, FxBuildHasher>,
    next_serial: u64,
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

    /// The entry in `slot` if it is still the one with this serial number.
    pub(crate) fn same(&self, slot: u32, serial: u64) -> Option<&Entry> {
        self.slots[slot as usize].as_ref().filter(|entry| entry.serial == serial)
    }

    /// Takes a new attempt in, as waiting for all of its inputs.
    pub(crate) fn insert(&mut self, compute: ComputeTask, family: FamilyId) -> (u32, u64) {
        let serial = self.next_serial;
        self.next_serial += 1;
        let entry = Entry {
            task: compute.task,
            attempt: compute.attempt,
            serial,
            priority: compute.priority,
            family,
            function: compute.function,
            resources: compute.resources.clone().filter(|resources| !resources.is_empty()),
            state: State::Waiting { missing: compute.inputs.len() as u32, compute },
        };
        let name = (entry.task, entry.attempt);
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(entry);
                slot
            }
            None => {
                self.slots.push(Some(entry));
                self.slots.len() as u32 - 1
            }
        };
        self.by_name.insert(name, slot);
        self.waiting += 1;
        (slot, serial)
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
        let placeholder = State::HandedOut(HandedOut { share_ns: 0, counted: false, wanted: false });
        entry.state = match std::mem::replace(&mut entry.state, placeholder) {
            State::Waiting { compute, .. } => State::Ready { compute },
            State::Ready { .. } | State::HandedOut(_) => unreachable!("only what waits becomes ready"),
        };
        self.waiting -= 1;
        self.ready.insert(entry.place(slot), entry.resources.as_ref());
    }

    /// An input of a queued attempt went away again.
    pub(crate) fn input_went(&mut self, slot: u32) {
        let entry = self.slots[slot as usize].as_mut().expect("a slot named by an index or a queue is taken");
        let placeholder = State::HandedOut(HandedOut { share_ns: 0, counted: false, wanted: false });
        entry.state = match std::mem::replace(&mut entry.state, placeholder) {
            State::Waiting { compute, missing } => State::Waiting { compute, missing: missing + 1 },
            State::Ready { compute } => {
                let was_there = self.ready.remove((entry.priority, entry.serial, slot), entry.resources.as_ref());
                debug_assert!(was_there, "what is ready is in the queue");
                self.waiting += 1;
                State::Waiting { compute, missing: 1 }
            }
            State::HandedOut(_) => unreachable!("the runners hold on to their inputs"),
        };
    }

    /// The runners get a ready attempt.
    pub(crate) fn hand_out(&mut self, slot: u32, share_ns: u64) -> ComputeTask {
        let entry = self.slots[slot as usize].as_mut().expect("a slot named by an index or a queue is taken");
        let was_there = self.ready.remove((entry.priority, entry.serial, slot), entry.resources.as_ref());
        debug_assert!(was_there, "what is ready is in the queue");
        let out = State::HandedOut(HandedOut { share_ns, counted: true, wanted: true });
        let State::Ready { compute } = std::mem::replace(&mut entry.state, out) else {
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

    /// All attempts in slot order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.slots.iter().enumerate().filter_map(|(slot, entry)| Some((slot as u32, entry.as_ref()?)))
    }
}
