//! Which values leave memory.
//!
//! Values are chosen in lots of a tenth of the budget at least, so that looking through all of them costs little for each.
//! What is chosen is written if there is no copy on disk, and leaves memory when the room is needed and not before. The order:
//! what parked attempts need late or not at all, then what has just come (who needs that may just not have been sent
//! yet), then what the first parked attempts need; what the very first needs stays. Among these, what has a copy
//! on disk goes before what must be written, what nobody needs before what somebody does, and there the one that is needed
//! last first; larger ones (by a factor of 16) go before smaller ones, there those that took longer to make (by a factor
//! of 16) first, since what is on disk need not be made again when the process dies, then those that came first. Values
//! under 1 KiB go when nothing else is left.

use crate::memory::DiskTakes;
use crate::values::{Held, Residence};
use crate::worker::Worker;
use hashbrown::HashMap;
use kask_types::TaskId;
use rustc_hash::FxBuildHasher;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// So many inputs of parked attempts are looked at to find out what will be needed when.
const MOST_LOOKED_AT: usize = 16_384;

/// What will be needed, and when: places in the line of parked attempts' inputs.
#[derive(Debug, Default)]
struct Outlook {
    first_use: HashMap<TaskId, u32, FxBuildHasher>,
    /// Inputs before this place fill half of the budget.
    soon: u32,
}

/// Lower goes first: tier, order in the tier, age.
type Rank = (u8, u32, u64);

impl Outlook {
    fn rank(&self, task: TaskId, held: &Held, is_fresh: bool) -> Rank {
        let is_dirty = u8::from(held.residence != Residence::Both);
        match self.first_use.get(&task) {
            None => {
                let tier = if is_fresh { 4 + is_dirty } else { 2 * is_dirty };
                let order = 32 * (held.nbytes.leading_zeros() / 4) + held.cost.cheapness();
                (tier, if is_dirty == 0 { 0 } else { order }, held.age)
            }
            Some(&at) if at >= self.soon => (1 + 2 * is_dirty, u32::MAX - at, held.age),
            Some(&at) => (6 + is_dirty, u32::MAX - at, held.age),
        }
    }
}

impl Worker {
    /// Lets chosen values leave memory until `shortage` bytes have.
    pub(crate) fn evict(&mut self, shortage: u64) {
        let mut freed = 0;
        while freed < shortage
            && let Some(task) = self.evictable.pop_front()
        {
            let Some(held) = self.values.get(task).filter(|held| held.is_evictable()) else { continue };
            let nbytes = held.nbytes;
            let stays = self.stale.are_due(task) || self.next.needs(task);
            self.values.change(task, |held| {
                held.chosen = false;
                if !stays {
                    held.residence = Residence::Disk;
                }
            });
            if !stays {
                freed += nbytes;
                self.memory.evicted(nbytes);
                self.outbox.evict(task);
            }
        }
    }

    /// Chooses values of `wanted` bytes, or of a lot if that is more, to leave memory.
    pub(crate) fn choose_victims(&mut self, wanted: u64) {
        if wanted == 0 || !self.is_worth_looking() {
            return;
        }
        let listed = self.values.listed();
        if self.evictable.len() > 2 * (listed.0.len() + listed.1.len()) + 64 {
            let values = &self.values;
            self.evictable.retain(|&task| values.get(task).is_some_and(Held::is_evictable));
        }
        let outlook = self.outlook();
        let mut to_spill = Vec::new();
        let mut found = self.choose_from(false, wanted.max(self.memory.lot()), &outlook, &mut to_spill);
        if found < wanted && self.small_ones_help(wanted - found) {
            let left = wanted - found;
            found += self.choose_from(true, left, &outlook, &mut to_spill);
        }
        if !to_spill.is_empty() {
            self.outbox.spill(to_spill);
        }
        self.fruitless = (found < wanted).then(|| self.values.weights().loose);
    }

    /// Whether small values add up to something.
    fn small_ones_help(&self, wanted: u64) -> bool {
        let small = self.values.listed().1.iter();
        let held = small.map(|&task| self.values.get(task).expect("a list names values that are here"));
        let loose: u64 = held.filter(|held| held.is_loose()).map(|held| held.nbytes).sum();
        loose >= wanted.min(self.memory.lot())
    }

    /// Whether there is more to choose from than when nothing was found last. While nothing runs, looking is all there is to
    /// do.
    fn is_worth_looking(&mut self) -> bool {
        let weights = self.values.weights();
        let nothing_can_be_written = match self.memory.disk_takes() {
            None => true,
            Some(DiskTakes::One) => weights.spilling > 0,
            Some(DiskTakes::Many) => false,
        };
        if nothing_can_be_written && weights.clean == weights.evictable {
            return false;
        }
        let loose = weights.loose;
        let Some(left) = &mut self.fruitless else { return loose > 0 };
        *left = loose.min(*left);
        loose > 0 && (loose >= *left + self.memory.lot() / 2 || self.attempts.active() == 0)
    }

    fn choose_from(&mut self, small: bool, wanted: u64, outlook: &Outlook, to_spill: &mut Vec<TaskId>) -> u64 {
        let takes = self.memory.disk_takes();
        let fresh = self.memory.budget() / 8;
        let (large, all_small) = self.values.listed();
        let listed = if small { all_small } else { large };
        let candidates = listed.iter().filter_map(|&task| {
            let held = self.values.get(task).expect("a list names values that are here");
            let can_go = held.is_loose() && !self.stale.are_due(task) && !self.next.needs(task);
            can_go.then(|| Reverse((outlook.rank(task, held, self.values.since(held) < fresh), task)))
        });
        let mut candidates: BinaryHeap<_> = candidates.collect();
        let mut found = 0;
        while found < wanted
            && let Some(Reverse((_, task))) = candidates.pop()
        {
            let is_first = to_spill.is_empty() && self.values.weights().spilling == 0;
            let may_spill = takes == Some(DiskTakes::Many) || (takes == Some(DiskTakes::One) && is_first);
            let chosen = self.values.change(task, |held| {
                if held.residence == Residence::Memory && !may_spill {
                    return None;
                }
                let is_clean = held.residence == Residence::Both;
                if is_clean {
                    held.chosen = true;
                } else {
                    held.residence = Residence::Spilling;
                }
                Some((is_clean, held.nbytes))
            });
            let Some((is_clean, nbytes)) = chosen.expect("a list names values that are here") else { continue };
            found += nbytes;
            if is_clean {
                self.evictable.push_back(task);
            } else {
                to_spill.push(task);
            }
        }
        found
    }

    /// When what parked attempts need will be needed.
    fn outlook(&self) -> Outlook {
        let mut outlook = Outlook { soon: u32::MAX, ..Outlook::default() };
        let (mut seen, mut bytes) = (0, 0u64);
        for place in self.attempts.parked.iter() {
            let compute = self.attempts.get(place.2).queued().expect("what is parked is not handed out");
            for input in &compute.inputs {
                if bytes >= self.memory.budget() / 2 {
                    outlook.soon = outlook.soon.min(seen);
                }
                // Parts are read from where the whole value is, memory or disk.
                if input.part.is_none() {
                    outlook.first_use.entry(input.task).or_insert(seen);
                    bytes = bytes.saturating_add(input.nbytes);
                }
                seen += 1;
            }
            if seen as usize >= MOST_LOOKED_AT {
                break;
            }
        }
        outlook
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Cost;
    use kask_types::Attempt;

    fn held(nbytes: u64, duration_ns: u64, age: u64) -> Held {
        let mut held = Held::new(nbytes, Some(Attempt(1)), Residence::Memory, Cost::of_ns(duration_ns));
        held.age = age;
        held
    }

    /// The order in which these would go, if nobody needs any.
    fn order(values: &[Held]) -> Vec<usize> {
        let outlook = Outlook::default();
        let task = TaskId { slot: 0, generation: 0 };
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by_key(|&at| outlook.rank(task, &values[at], false));
        order
    }

    #[test]
    fn of_values_of_about_a_size_those_go_first_that_took_longer_to_make() {
        let (cheap, dear) = (1_000_000, 1_000_000_000);
        assert_eq!(order(&[held(1 << 20, cheap, 0), held(1 << 22, dear, 1)]), [1, 0]);
        assert_eq!(order(&[held(1 << 23, cheap, 0), held(1 << 20, dear, 1)]), [1, 0]);
        assert_eq!(order(&[held(1 << 20, dear, 0), held(1 << 28, cheap, 1)]), [1, 0], "size comes first");
        assert_eq!(order(&[held(1 << 20, 5_000_000, 1), held(1 << 20, 4_500_000, 0)]), [1, 0], "then age");
    }

    #[test]
    fn what_cannot_be_made_again_goes_before_what_can_and_what_others_made_last() {
        let mut scattered = held(1 << 20, 0, 2);
        scattered.cost = Cost::PRICELESS;
        let mut copy = held(1 << 20, 0, 0);
        copy.cost = Cost::UNKNOWN;
        assert_eq!(order(&[copy, held(1 << 20, u64::MAX, 1), scattered]), [2, 1, 0]);
    }

    #[test]
    fn what_is_on_disk_already_goes_before_everything_whatever_it_cost() {
        let mut clean = held(1 << 20, 1, 9);
        clean.residence = Residence::Both;
        assert_eq!(order(&[held(1 << 30, u64::MAX, 0), clean]), [1, 0]);
    }

    #[test]
    fn costs_are_powers_of_16_and_a_value_is_described_in_few_bytes() {
        for (ns, cost) in [(0, 0), (1, 1), (15, 1), (16, 2), (255, 2), (256, 3), (u64::MAX, 16)] {
            assert_eq!(Cost::of_ns(ns).cheapness(), 31 - cost, "{ns} ns");
        }
        assert!(size_of::<Held>() <= 48, "{} bytes", size_of::<Held>());
    }
}
