//! The invariants between the worker's tables. A violation is a bug here, never the scheduler's fault.

use crate::attempts::State;
use crate::worker::Worker;
use kask_types::{BlobId, Resources, TaskId};
use std::collections::BTreeMap;

#[derive(Default)]
struct Counted {
    uses: BTreeMap<TaskId, u32>,
    calls: BTreeMap<BlobId, u32>,
    waiting: usize,
    ready: usize,
    handed_out: usize,
    counted: usize,
    in_hand_ns: u64,
    taken: Resources,
}

impl Worker {
    /// Panics, saying where, when two tables disagree. For tests: its cost grows with what the worker holds.
    pub fn check(&self) {
        let counted = self.count();
        assert_eq!(counted.waiting, self.attempts.waiting, "attempts that wait for inputs");
        assert_eq!(counted.ready, self.attempts.ready.len(), "attempts that are ready");
        assert_eq!(counted.handed_out, self.attempts.handed_out, "attempts that are handed out");
        assert_eq!(counted.counted, self.attempts.counted, "attempts that count against the runners");
        assert_eq!(counted.in_hand_ns, self.attempts.in_hand_ns, "work in the runners' hands");
        self.check_values(&counted.uses);
        let mut resources = self.free_resources.clone();
        resources.add(&counted.taken);
        assert!(self.config.resources.covers(&resources) && resources.covers(&self.config.resources), "resources leak");
        for (&blob, &calls) in &counted.calls {
            assert_eq!(self.blobs.callers(blob), calls, "callers of {blob}");
        }
        assert_eq!(self.blobs.total_callers(), counted.calls.values().map(|&n| u64::from(n)).sum::<u64>());
        self.fetcher.check();
    }

    fn count(&self) -> Counted {
        let mut counted = Counted::default();
        for (slot, entry) in self.attempts.iter() {
            assert_eq!(self.attempts.slot_of(entry.task, entry.attempt), Some(slot), "{:?} is lost", entry.task);
            if let Some(function) = entry.function {
                *counted.calls.entry(function).or_default() += 1;
            }
            for input in entry.queued().into_iter().flat_map(|compute| &compute.inputs) {
                *counted.uses.entry(input.task).or_default() += 1;
            }
            match &entry.state {
                State::Waiting { compute, missing } => {
                    counted.waiting += 1;
                    let absent = compute.inputs.iter().filter(|input| !self.held.contains_key(&input.task));
                    assert_eq!(absent.count(), *missing as usize, "what {:?} waits for", entry.task);
                    assert!(*missing > 0, "{:?} waits for nothing", entry.task);
                }
                State::Ready { .. } => {
                    counted.ready += 1;
                    assert!(self.attempts.ready.contains(entry.place(slot), entry.resources.as_ref()));
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

    fn check_values(&self, uses: &BTreeMap<TaskId, u32>) {
        for (&task, &count) in uses {
            match (self.held.get(&task), self.fetcher.get(task)) {
                (Some(held), None) => assert_eq!(held.users, count, "users of {task:?}"),
                (None, Some(gather)) => {
                    assert_eq!(gather.interest, count, "interest in {task:?}");
                    let there =
                        gather.waiters.iter().filter(|(slot, serial)| self.attempts.same(*slot, *serial).is_some());
                    assert_eq!(there.count(), count as usize, "waiters for {task:?}");
                }
                (Some(_), Some(_)) => panic!("{task:?} is here and being fetched"),
                (None, None) => panic!("{task:?} is needed, and neither here nor being fetched"),
            }
        }
        let users: u64 = self.held.values().map(|held| u64::from(held.users)).sum();
        let interest = self.fetcher.total_interest();
        assert_eq!(users + interest, uses.values().map(|&count| u64::from(count)).sum::<u64>(), "users of values");
        assert_eq!(self.held.values().map(|held| held.nbytes).sum::<u64>(), self.held_bytes, "bytes held");
    }
}
