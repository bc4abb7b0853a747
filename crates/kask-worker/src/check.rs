//! The invariants between the worker's tables. A violation is a bug here, never the scheduler's fault.

use crate::attempts::{Entry, State};
use crate::inputs::named;
use crate::values::Residence;
use crate::worker::Worker;
use kask_types::{BlobId, Resources, TaskId, ValueId};
use std::collections::BTreeMap;

#[derive(Default)]
struct Counted {
    /// How often attempts need a value or part.
    uses: BTreeMap<ValueId, u32>,
    /// How often queued attempts read a part from a whole value.
    reads: BTreeMap<TaskId, u32>,
    calls: BTreeMap<BlobId, u32>,
    parked: usize,
    waiting: usize,
    ready: usize,
    handed_out: usize,
    counted: usize,
    active: usize,
    in_hand_ns: u64,
    promised: u64,
    taken: Resources,
}

impl Worker {
    /// Panics, saying where, when two tables disagree. For tests: its cost grows with what the worker holds.
    pub fn check(&self) {
        let counted = self.count();
        assert_eq!(counted.parked, self.attempts.parked.len(), "attempts that are parked");
        assert_eq!(counted.waiting, self.attempts.waiting, "attempts that wait for inputs");
        assert_eq!(counted.ready, self.attempts.ready.len(), "attempts that are ready");
        assert_eq!(counted.handed_out, self.attempts.handed_out, "attempts that are handed out");
        assert_eq!(counted.counted, self.attempts.counted, "attempts that count against the runners");
        assert_eq!(counted.active, self.attempts.active(), "attempts that were admitted");
        assert_eq!(counted.in_hand_ns, self.attempts.in_hand_ns, "work in the runners' hands");
        assert_eq!(counted.promised, self.memory.promised, "bytes promised to attempts");
        let limited = self.memory.is_limited();
        assert_eq!(if limited { counted.active } else { 0 }, self.families.total_active(), "families at work");
        assert!(limited || counted.parked == 0, "without a limit nothing is parked");
        self.check_values(&counted);
        let mut resources = self.free_resources.clone();
        resources.add(&counted.taken);
        assert!(self.config.resources.covers(&resources) && resources.covers(&self.config.resources), "resources leak");
        for (&blob, &calls) in &counted.calls {
            assert_eq!(self.blobs.callers(blob), calls, "callers of {blob}");
        }
        assert_eq!(self.blobs.total_callers(), counted.calls.values().map(|&n| u64::from(n)).sum::<u64>());
        self.fetcher.check();
        self.values.check();
        self.check_disk();
        self.check_remembered();
    }

    fn count(&self) -> Counted {
        let mut counted = Counted::default();
        for (slot, entry) in self.attempts.iter() {
            assert_eq!(self.attempts.slot_of(entry.task, entry.attempt), Some(slot), "{:?} is lost", entry.task);
            if let Some(function) = entry.function {
                *counted.calls.entry(function).or_default() += 1;
            }
            counted.active += usize::from(entry.is_active());
            counted.promised += entry.reserved;
            self.count_uses(entry, &mut counted);
            match &entry.state {
                State::Parked { .. } => {
                    counted.parked += 1;
                    assert!(self.attempts.parked.contains(entry.place(slot), entry.resources.as_ref()));
                    assert_eq!(entry.reserved, 0, "nothing is set aside for what is parked");
                }
                State::Waiting { compute, ties, missing } => {
                    counted.waiting += 1;
                    let here = |at: usize| ties.reads_whole(at) || self.is_in_memory(named(&compute.inputs[at]));
                    let absent = (0..compute.inputs.len()).filter(|&at| !here(at)).count();
                    assert_eq!(absent, *missing as usize, "what {:?} waits for", entry.task);
                    assert!(*missing > 0, "{:?} waits for nothing", entry.task);
                }
                State::Ready { compute, ties } => {
                    counted.ready += 1;
                    assert!(self.attempts.ready.contains(entry.place(slot), entry.resources.as_ref()));
                    for (at, input) in compute.inputs.iter().enumerate() {
                        assert!(ties.reads_whole(at) || self.is_in_memory(named(input)), "{:?}", entry.task);
                    }
                }
                State::HandedOut(out) => {
                    counted.handed_out += 1;
                    counted.counted += usize::from(out.counted);
                    counted.in_hand_ns += if out.counted { out.share_ns } else { 0 };
                    if let Some(taken) = &entry.resources {
                        counted.taken.add(taken);
                    }
                }
            }
        }
        counted
    }

    fn count_uses(&self, entry: &Entry, counted: &mut Counted) {
        if let Some((compute, ties)) = entry.tied() {
            for (at, input) in compute.inputs.iter().enumerate() {
                if ties.reads_whole(at) {
                    *counted.reads.entry(input.task).or_default() += 1;
                } else {
                    *counted.uses.entry(named(input)).or_default() += 1;
                }
            }
        }
        if let State::HandedOut(out) = &entry.state {
            for &pin in &out.pins {
                assert!(self.is_in_memory(pin), "{pin:?} left memory under {:?}", entry.task);
                *counted.uses.entry(pin).or_default() += 1;
            }
        }
    }

    fn is_in_memory(&self, value: ValueId) -> bool {
        match value.part {
            None => self.holds_in_memory(value.task),
            Some(_) => self.values.part(value).is_some(),
        }
    }

    fn check_values(&self, counted: &Counted) {
        let waiters = |list: &[(u32, u64)]| {
            list.iter().filter(|(slot, serial)| self.attempts.same(*slot, *serial).is_some()).count()
        };
        for (&value, &count) in &counted.uses {
            if let Some(gather) = self.fetcher.get(value) {
                assert!(!self.values.has(value), "{value:?} is here and being fetched");
                assert_eq!(gather.interest, count, "interest in {value:?}");
                assert_eq!(waiters(&gather.waiters), count as usize, "waiters for {value:?}");
                continue;
            }
            match (value.part, self.values.get(value.task), self.values.part(value)) {
                (None, Some(held), _) => {
                    assert_eq!(held.pins, count, "pins of {value:?}");
                    if held.residence == Residence::Unspilling {
                        assert_eq!(waiters(&self.unspilling[&value.task]), count as usize, "waiters for {value:?}");
                    }
                }
                (Some(_), _, Some(part)) => assert_eq!(part.pins, count, "pins of {value:?}"),
                (None, None, _) | (Some(_), _, None) => {
                    panic!("{value:?} is needed, and neither here nor being fetched")
                }
            }
        }
        for (task, held) in self.values.iter() {
            assert_eq!(held.pins, counted.uses.get(&task.into()).copied().unwrap_or(0), "pins of {task:?}");
            assert_eq!(held.readers, counted.reads.get(&task).copied().unwrap_or(0), "readers of {task:?}");
            assert!(held.pins == 0 || held.residence != Residence::Disk, "{task:?} is needed and nobody reads it back");
        }
        let parts: u64 = counted.uses.iter().filter(|(value, _)| self.values.part(**value).is_some()).count() as u64;
        let whole = self.values.iter().count() as u64;
        assert_eq!(whole + parts, self.values.len() as u64, "parts that nobody needs");
        let interest: u64 = counted.uses.iter().filter(|(value, _)| self.fetcher.get(**value).is_some()).count() as u64;
        let total: u64 = self.fetcher.total_interest();
        let named: u64 = counted
            .uses
            .iter()
            .filter(|(value, _)| self.fetcher.get(**value).is_some())
            .map(|(_, &count)| u64::from(count))
            .sum();
        assert!(total == named && interest <= self.fetcher.gathers() as u64, "interest in values");
    }

    /// What is chosen can go or is on its way; nobody waits for what is not being read.
    fn check_disk(&self) {
        for (task, held) in self.values.iter() {
            let is_queued = self.evictable.contains(&task);
            assert!(!held.is_evictable() || is_queued, "{task:?} was chosen and never goes");
            assert!(!held.chosen || held.residence == Residence::Both, "{task:?} is chosen and {:?}", held.residence);
            assert!(!held.chosen || held.pins == 0, "{task:?} is chosen and needed");
        }
        for task in self.unspilling.keys() {
            let held = self.values.get(*task).expect("what is waited for is held");
            assert_eq!(held.residence, Residence::Unspilling, "{task:?} is waited for");
        }
        let spilling = self.values.iter().any(|(_, held)| held.residence == Residence::Spilling);
        assert!(!spilling || self.memory.is_limited(), "nothing is written where there is no limit");
    }
}
