//! How long tasks of one family take, learned from those that ended.
//!
//! Only used to decide how many tasks a runner gets in hand: a wrong guess costs time, never correctness.

use hashbrown::HashMap;
use kask_types::TaskName;
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
}

impl Families {
    pub(crate) fn of(&mut self, name: &TaskName) -> FamilyId {
        let prefix: &str = match name {
            TaskName::Hashed { prefix, .. } | TaskName::Block { prefix, .. } => prefix,
            TaskName::Custom(name) => name.split_once('-').map_or(&**name, |(head, _)| head),
        };
        if let Some(&id) = self.by_name.get(prefix) {
            return id;
        }
        self.add(Arc::from(prefix))
    }

    fn add(&mut self, name: Arc<str>) -> FamilyId {
        let at = if self.families.len() < REMEMBERED {
            self.families.push(Family { name: name.clone(), average_ns: None });
            self.families.len() - 1
        } else {
            let at = self.next_forgotten;
            self.next_forgotten = (at + 1) % REMEMBERED;
            self.by_name.remove(&self.families[at].name);
            self.families[at] = Family { name: name.clone(), average_ns: None };
            at
        };
        let id = FamilyId(at as u32);
        self.by_name.insert(name, id);
        id
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

    fn custom(name: &str) -> TaskName {
        TaskName::Custom(Arc::from(name))
    }

    #[test]
    fn short_tasks_go_out_by_the_hundred_and_long_ones_alone() {
        let mut families = Families::default();
        let inc = families.of(&custom("inc-1"));
        assert_eq!(inc, families.of(&custom("inc-2")));
        assert_eq!(families.share_ns(inc, 1_000_000), 500_000);
        families.learn(inc, 10);
        assert_eq!(families.share_ns(inc, 1_000_000), 1_000_000 / 512);
        for _ in 0..100 {
            families.learn(inc, 5_000_000);
        }
        assert_eq!(families.share_ns(inc, 1_000_000), 1_000_000);
    }

    #[test]
    fn the_number_of_families_is_bounded() {
        let mut families = Families::default();
        for i in 0..2 * REMEMBERED + 1 {
            families.of(&custom(&format!("f{i}")));
        }
        assert_eq!((families.families.len(), families.by_name.len()), (REMEMBERED, REMEMBERED));
        let id = families.of(&custom(&format!("f{}", 2 * REMEMBERED)));
        assert_eq!(families.families[id.0 as usize].name.as_ref(), format!("f{}", 2 * REMEMBERED));
    }
}
