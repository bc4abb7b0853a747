//! How long tasks of one family take and how large their results are, learned from those that ended.
//!
//! Used to decide how many tasks a runner gets in hand and what room is set aside for their results: a wrong guess costs
//! time, never correctness.

use hashbrown::HashMap;
use kask_types::{BlobId, TaskName};
use rustc_hash::FxBuildHasher;
use std::sync::Arc;

/// Index of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FamilyId(u32);

/// So many families are remembered; after that, the one known longest is forgotten for each new one.
const REMEMBERED: usize = 4096;

/// Of the time that a runner should have in hand, the smallest share that one task can stand for.
const MOST_IN_HAND: u64 = 512;

#[derive(Debug, Default)]
pub(crate) struct Families {
    by_name: HashMap<Arc<str>, FamilyId, FxBuildHasher>,
    families: Vec<Family>,
    next_forgotten: usize,
}

#[derive(Debug)]
struct Family {
    name: Arc<str>,
    average_ns: Option<u64>,
    /// Few results are larger.
    result_bytes: Option<u64>,
    /// Admitted attempts that have neither ended nor left their runners; counted only where there is a memory limit.
    active: u32,
}

impl Family {
    fn new(name: Arc<str>) -> Family {
        Family { name, average_ns: None, result_bytes: None, active: 0 }
    }
}

impl Families {
    /// The family of a task. A name that the user chose may be any, and then calls of one function are a family.
    pub(crate) fn of(&mut self, name: &TaskName, function: Option<BlobId>) -> FamilyId {
        match (name, function) {
            (TaskName::Hashed { prefix, .. } | TaskName::Block { prefix, .. }, _) => self.named(prefix),
            (TaskName::Custom(_), Some(function)) => self.named(&function.to_string()),
            (TaskName::Custom(name), None) => self.named(name.split_once('-').map_or(&**name, |(head, _)| head)),
        }
    }

    fn named(&mut self, name: &str) -> FamilyId {
        match self.by_name.get(name) {
            Some(&id) => id,
            None => self.add(Arc::from(name)),
        }
    }

    fn add(&mut self, name: Arc<str>) -> FamilyId {
        let at = match self.forgotten() {
            None => {
                self.families.push(Family::new(name.clone()));
                self.families.len() - 1
            }
            Some(at) => {
                self.by_name.remove(&self.families[at].name);
                self.families[at] = Family::new(name.clone());
                at
            }
        };
        let id = FamilyId(at as u32);
        self.by_name.insert(name, id);
        id
    }

    /// The family to forget for a new one, once there are many: one that is not at work.
    fn forgotten(&mut self) -> Option<usize> {
        if self.families.len() < REMEMBERED {
            return None;
        }
        let count = self.families.len();
        let at = (0..count).map(|i| (self.next_forgotten + i) % count).find(|&at| self.families[at].active == 0)?;
        self.next_forgotten = (at + 1) % count;
        Some(at)
    }

    /// An attempt was admitted, or came back to its runner.
    pub(crate) fn began(&mut self, id: FamilyId) {
        self.families[id.0 as usize].active += 1;
    }

    /// It ended, or left its runner.
    pub(crate) fn left(&mut self, id: FamilyId) {
        self.families[id.0 as usize].active -= 1;
    }

    pub(crate) fn active(&self, id: FamilyId) -> u32 {
        self.families[id.0 as usize].active
    }

    pub(crate) fn total_active(&self) -> usize {
        self.families.iter().map(|family| family.active as usize).sum()
    }

    /// What to set aside for a result, once one is known.
    pub(crate) fn result_bytes(&self, id: FamilyId) -> Option<u64> {
        self.families[id.0 as usize].result_bytes
    }

    /// Takes note of a result's size: the estimate jumps up, and sinks by an eighth of the difference.
    pub(crate) fn learn_size(&mut self, id: FamilyId, nbytes: u64) {
        let estimate = &mut self.families[id.0 as usize].result_bytes;
        *estimate = Some(match *estimate {
            Some(known) if known > nbytes => known - (known - nbytes).div_ceil(8),
            Some(_) | None => nbytes,
        });
    }

    /// Takes note of one more call: a moving average over about eight of them.
    pub(crate) fn learn(&mut self, id: FamilyId, duration_ns: u64) {
        let average = &mut self.families[id.0 as usize].average_ns;
        *average = Some(match *average {
            None => duration_ns,
            Some(known) => known - known / 8 + duration_ns / 8,
        });
    }

    /// What one task takes of the `ahead_ns` of work that a runner should have in hand: all of it when tasks are
    /// long, half when nothing is known, and at least so much that no more than 512 are handed out.
    pub(crate) fn share_ns(&self, id: FamilyId, ahead_ns: u64) -> u64 {
        match self.families[id.0 as usize].average_ns {
            None => ahead_ns / 2,
            Some(average) => average.clamp(ahead_ns / MOST_IN_HAND, ahead_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_users_choose_say_nothing_where_the_function_is_known() {
        let mut families = Families::default();
        let mut of =
            |name: &str, function: Option<u128>| families.of(&TaskName::Custom(Arc::from(name)), function.map(BlobId));
        assert_eq!(of("u0", Some(1)), of("('v', 1)", Some(1)));
        assert_ne!(of("u0", Some(1)), of("u0", Some(2)));
        assert_eq!(of("u-0", None), of("u-1", None));
        assert_ne!(of("u-0", None), of("v-0", None));
    }

    #[test]
    fn short_tasks_go_out_by_the_hundred_and_long_ones_alone() {
        let mut families = Families::default();
        let inc = families.named("inc");
        assert_eq!(families.share_ns(inc, 1_000_000), 500_000);
        families.learn(inc, 10);
        assert_eq!(families.share_ns(inc, 1_000_000), 1_000_000 / 512);
        for _ in 0..100 {
            families.learn(inc, 5_000_000);
        }
        assert_eq!(families.share_ns(inc, 1_000_000), 1_000_000);
    }

    #[test]
    fn the_size_of_results_is_estimated_from_above() {
        let mut families = Families::default();
        let inc = families.named("inc");
        assert_eq!(families.result_bytes(inc), None);
        for (nbytes, expected) in [(80, 80), (0, 70), (100, 100), (20, 90)] {
            families.learn_size(inc, nbytes);
            assert_eq!(families.result_bytes(inc), Some(expected));
        }
    }

    #[test]
    fn families_at_work_are_not_forgotten() {
        let mut families = Families::default();
        let ids: Vec<FamilyId> = (0..REMEMBERED).map(|i| families.named(&format!("f{i}"))).collect();
        ids.iter().for_each(|&id| families.began(id));
        let new = families.named("new");
        assert_eq!(families.active(new), 0);
        families.began(new);
        families.left(ids[7]);
        assert_eq!(families.named("newer"), ids[7], "the idle one makes way");
    }

    #[test]
    fn the_number_of_families_is_bounded() {
        let mut families = Families::default();
        for i in 0..2 * REMEMBERED + 1 {
            families.named(&format!("f{i}"));
        }
        assert_eq!((families.families.len(), families.by_name.len()), (REMEMBERED, REMEMBERED));
        let id = families.named(&format!("f{}", 2 * REMEMBERED));
        assert_eq!(families.families[id.0 as usize].name.as_ref(), format!("f{}", 2 * REMEMBERED));
    }
}
