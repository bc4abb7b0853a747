//! A set of ranks with a fast minimum: a tree of 64-way bit words.
//!
//! The ready tasks of a graph, by their place in the graph's order. Insert, remove and minimum touch one word per
//! level (four levels for 16 million ranks), so a queue of ten million tasks is as fast as one of ten thousand.
//! Invariant: a bit above the lowest level is set exactly when the word below it is not 0.

/// A set of numbers below a bound that was given when it was made.
#[derive(Default)]
pub(crate) struct RankSet {
    /// Lowest level first; each word is summarised by one bit of the next level, the last by `top`.
    levels: Vec<Box<[u64]>>,
    top: u64,
    len: u32,
}

impl RankSet {
    /// An empty set of numbers below `bound`.
    pub(crate) fn new(bound: usize) -> RankSet {
        let mut levels = Vec::new();
        let mut words = bound.div_ceil(64);
        while words > 1 {
            levels.push(vec![0; words].into_boxed_slice());
            words = words.div_ceil(64);
        }
        RankSet { levels, top: 0, len: 0 }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn contains(&self, rank: u32) -> bool {
        let word = match self.levels.first() {
            Some(level) => level[rank as usize / 64],
            None => self.top,
        };
        word >> (rank % 64) & 1 == 1
    }

    /// Whether `rank` was new.
    pub(crate) fn insert(&mut self, rank: u32) -> bool {
        if self.contains(rank) {
            return false;
        }
        self.len += 1;
        let mut at = rank as usize;
        for level in &mut self.levels {
            let word = &mut level[at / 64];
            let was_empty = *word == 0;
            *word |= 1 << (at % 64);
            if !was_empty {
                return true;
            }
            at /= 64;
        }
        self.top |= 1 << at;
        true
    }

    /// Whether `rank` was there.
    pub(crate) fn remove(&mut self, rank: u32) -> bool {
        if !self.contains(rank) {
            return false;
        }
        self.len -= 1;
        let mut at = rank as usize;
        for level in &mut self.levels {
            let word = &mut level[at / 64];
            *word &= !(1 << (at % 64));
            if *word != 0 {
                return true;
            }
            at /= 64;
        }
        self.top &= !(1 << at);
        true
    }

    /// The smallest number.
    pub(crate) fn first(&self) -> Option<u32> {
        if self.top == 0 {
            return None;
        }
        let mut at = self.top.trailing_zeros() as usize;
        for level in self.levels.iter().rev() {
            at = at * 64 + level[at].trailing_zeros() as usize;
        }
        Some(at as u32)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.levels.iter().map(|level| level.len() * 8).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_a_set(
            bound in prop_oneof![Just(1u32), Just(64), Just(65), Just(4096), Just(4097), Just(300_000)],
            steps in proptest::collection::vec((any::<bool>(), any::<u32>()), 0..200),
        ) {
            let (mut set, mut model) = (RankSet::new(bound as usize), BTreeSet::new());
            for (insert, number) in steps {
                let rank = if number % 3 == 0 { number % bound } else { number % bound.min(8) };
                if insert {
                    prop_assert_eq!(set.insert(rank), model.insert(rank));
                } else {
                    prop_assert_eq!(set.remove(rank), model.remove(&rank));
                }
                prop_assert_eq!(set.first(), model.first().copied());
                prop_assert_eq!(set.len() as usize, model.len());
                prop_assert_eq!(set.contains(rank), model.contains(&rank));
            }
        }
    }
}
