//! How the chunks of two chunkings of an axis lie on each other.

use super::super::sizes::{ChunkSizes, SizeRun};

/// Of old chunks and new ones along an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meeting {
    /// Pairs of an old chunk and a new one that have elements in common.
    pub pairs: u64,
    /// Elements of the old chunks under each new one, in all.
    pub read: u64,
    /// The most elements of the old chunks under a new one.
    pub most_read: u64,
    /// The most old chunks under a new one.
    pub most_met: u64,
    /// The most new chunks over an old one.
    pub most_parts: u64,
}

impl Meeting {
    fn add(&mut self, other: Meeting, times: u64) {
        self.pairs += other.pairs * times;
        self.read += other.read * times;
        self.most_read = self.most_read.max(other.most_read);
        self.most_met = self.most_met.max(other.most_met);
        self.most_parts = self.most_parts.max(other.most_parts);
    }
}

/// For each axis.
pub(super) fn all(old: &[ChunkSizes], new: &[ChunkSizes]) -> Vec<Meeting> {
    old.iter().zip(new).map(|(old, new)| meet(old, new)).collect()
}

/// Of an axis that has elements. Empty chunks are passed over.
///
/// Where runs of equal chunks begin together, what happens until their cuts fall together again happens over and over, and is looked at
/// once.
pub(super) fn meet(old: &ChunkSizes, new: &ChunkSizes) -> Meeting {
    let mut found = Meeting::default();
    let (mut left, mut right) = (Cursor::new(old), Cursor::new(new));
    while let (Some(a), Some(b)) = (left.run(), right.run()) {
        if let Some((times, a_count, b_count)) = repeats(a, b) {
            found.add(until_together(|| a.size, || b.size), times);
            left.skip(a_count);
            right.skip(b_count);
        } else {
            found.add(until_together(|| left.next(), || right.next()), 1);
        }
    }
    found
}

/// How often the cuts of two runs that begin together fall together while both last, and how many chunks of each these are.
fn repeats(a: SizeRun, b: SizeRun) -> Option<(u64, u32, u32)> {
    let common = gcd(a.size, b.size);
    let (a_each, b_each) = (b.size / common, a.size / common);
    let times = (u64::from(a.count) / a_each).min(u64::from(b.count) / b_each);
    let count = |each: u64| u32::try_from(times * each).expect("no more than the run has");
    (times > 0).then(|| (times, count(a_each), count(b_each)))
}

/// Passes chunks whose beginnings fall together until their ends do.
fn until_together(mut next_old: impl FnMut() -> u64, mut next_new: impl FnMut() -> u64) -> Meeting {
    let mut found = Meeting { pairs: 1, ..Meeting::default() };
    let (mut old_start, mut old_end, mut new_end) = (0, next_old(), next_new());
    let (mut read_from, mut met, mut parts) = (0, 1, 1);
    loop {
        if old_end <= new_end {
            found.most_parts = found.most_parts.max(parts);
        }
        if new_end <= old_end {
            found.read += old_end - read_from;
            found.most_read = found.most_read.max(old_end - read_from);
            found.most_met = found.most_met.max(met);
        }
        if old_end == new_end {
            return found;
        }
        found.pairs += 1;
        if old_end < new_end {
            old_start = old_end;
            old_end += next_old();
            (met, parts) = (met + 1, 1);
        } else {
            read_from = old_start;
            new_end += next_new();
            (met, parts) = (1, parts + 1);
        }
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A place between chunks that have elements.
struct Cursor {
    runs: Vec<SizeRun>,
    /// The first run of which something is left.
    at: usize,
}

impl Cursor {
    fn new(sizes: &ChunkSizes) -> Cursor {
        Cursor { runs: sizes.runs().filter(|run| run.size > 0).collect(), at: 0 }
    }

    /// What is left of the run that comes next.
    fn run(&self) -> Option<SizeRun> {
        self.runs.get(self.at).copied()
    }

    /// Passes so many chunks of this run.
    fn skip(&mut self, count: u32) {
        self.runs[self.at].count -= count;
        self.at += usize::from(self.runs[self.at].count == 0);
    }

    fn next(&mut self) -> u64 {
        let size = self.run().expect("both chunkings have as many elements").size;
        self.skip(1);
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, counted chunk by chunk.
    fn counted(old: &ChunkSizes, new: &ChunkSizes) -> Meeting {
        let places = |sizes: &ChunkSizes| {
            let places = (0..sizes.blocks()).map(|block| (sizes.start(block), sizes.start(block) + sizes.size(block)));
            places.filter(|(start, end)| start < end).collect::<Vec<_>>()
        };
        let (old, new) = (places(old), places(new));
        let common = |(a, b): (u64, u64), (c, d): (u64, u64)| a.max(c) < b.min(d);
        let mut found = Meeting::default();
        for &own in &new {
            let under: Vec<_> = old.iter().filter(|&&one| common(one, own)).collect();
            let read = under.iter().map(|(start, end)| end - start).sum();
            let met = under.len() as u64;
            found.add(Meeting { pairs: met, read, most_read: read, most_met: met, most_parts: 0 }, 1);
        }
        for &one in &old {
            let parts = new.iter().filter(|&&own| common(one, own)).count() as u64;
            found.most_parts = found.most_parts.max(parts);
        }
        found
    }

    fn any_pair() -> impl Strategy<Value = (ChunkSizes, ChunkSizes)> {
        let runs = || prop::collection::vec((0u64..7, 1u32..9), 1..6);
        (runs(), runs()).prop_map(|(left, right)| {
            let sizes = |runs: Vec<(u64, u32)>, longer: u64| {
                let runs = runs.into_iter().map(|(size, count)| SizeRun { size, count });
                ChunkSizes::from_runs(runs.chain([SizeRun { size: longer, count: 1 }])).unwrap()
            };
            let total = |runs: &[(u64, u32)]| runs.iter().map(|(size, count)| size * u64::from(*count)).sum::<u64>();
            let most = total(&left).max(total(&right)) + 1;
            let (left_more, right_more) = (most - total(&left), most - total(&right));
            (sizes(left, left_more), sizes(right, right_more))
        })
    }

    proptest! {
        #[test]
        fn pieces_are_counted_as_one_by_one((old, new) in any_pair()) {
            prop_assert_eq!(meet(&old, &new), counted(&old, &new));
        }
    }

    #[test]
    fn repeated_cuts_are_looked_at_once() {
        let (fine, coarse) = (ChunkSizes::uniform(1 << 40, 1 << 10), ChunkSizes::uniform(1 << 40, 3 << 10));
        let found = meet(&fine.unwrap(), &coarse.unwrap());
        assert_eq!((found.pairs, found.read, found.most_met, found.most_parts), (1 << 30, 1 << 40, 3, 1));
    }
}
