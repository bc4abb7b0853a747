//! Which pages of an arena are taken, which are free but still resident (*warm*), and which are free holes (*cold*).
//!
//! Pure bookkeeping in pages: no memory is touched here, and no system call made. What the caller is committing or
//! punching meanwhile is in neither set of free pages, so that nobody else is given it.
//!
//! Invariants ([`Allocator::check`]):
//! - taken, warm, cold and underway ranges do not overlap, and together are the whole arena;
//! - no two free ranges of a kind touch: they are one.
//!
//! Start with [`Allocator::take_warm`] and [`Allocator::take_cold`].

use std::collections::{BTreeMap, BTreeSet, HashSet};

/// A range of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pages {
    pub(crate) start: u32,
    pub(crate) count: u32,
}

impl Pages {
    fn end(self) -> u32 {
        self.start + self.count
    }
}

/// How many free ranges are tried for one that fits with its alignment, before a larger one is taken.
const ALIGNED_TRIES: usize = 16;

#[derive(Debug)]
pub(crate) struct Allocator {
    warm: Spans,
    cold: Spans,
    taken: BTreeMap<u32, u32>,
    /// Which of the taken ranges may lack memory: where they begin.
    promised: HashSet<u32>,
    taken_pages: u64,
    clock: u64,
}

/// What became of a range that was freed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    /// It is warm.
    Warm,
    /// It may lack memory, and is underway: the caller punches it and gives it back.
    Underway(Pages),
}

impl Allocator {
    /// All of `pages` are cold.
    pub(crate) fn new(pages: u32) -> Allocator {
        let mut cold = Spans::default();
        cold.insert(Pages { start: 0, count: pages }, 0);
        Allocator {
            warm: Spans::default(),
            cold,
            taken: BTreeMap::new(),
            promised: HashSet::new(),
            taken_pages: 0,
            clock: 0,
        }
    }

    /// Takes resident pages, if there is a range of so many.
    pub(crate) fn take_warm(&mut self, count: u32, align: u32) -> Option<u32> {
        let pages = self.warm.carve(count, align)?;
        self.set_taken(pages);
        Some(pages.start)
    }

    /// Takes pages out of the holes, which are then underway: [`Allocator::committed`] or
    /// [`Allocator::give_back`] follows. As many as `wanted`, or else as `count`.
    pub(crate) fn take_cold(&mut self, count: u32, wanted: u32, align: u32) -> Option<Pages> {
        if wanted > count
            && let Some(pages) = self.cold.carve(wanted, align)
        {
            return Some(pages);
        }
        self.cold.carve(count, align)
    }

    /// Pages that were underway have memory now: the first `count` are taken, the rest is warm.
    pub(crate) fn committed(&mut self, pages: Pages, count: u32) {
        self.set_taken(Pages { start: pages.start, count });
        if pages.count > count {
            self.add_warm(Pages { start: pages.start + count, count: pages.count - count });
        }
    }

    /// Pages that were underway are holes (again).
    pub(crate) fn give_back(&mut self, pages: Pages) {
        self.cold.insert(pages, 0);
    }

    /// Frees what was taken from `start` on; `None` if nothing was.
    pub(crate) fn free(&mut self, start: u32) -> Option<Freed> {
        let is_promised = self.promised.contains(&start);
        let pages = self.withdraw(start)?;
        if is_promised {
            return Some(Freed::Underway(pages));
        }
        self.add_warm(pages);
        Some(Freed::Warm)
    }

    /// What was taken from `start` on may lack memory.
    pub(crate) fn promise(&mut self, start: u32) {
        self.promised.insert(start);
    }

    /// What was taken from `start` on is underway then; the caller punches it and gives it back.
    pub(crate) fn withdraw(&mut self, start: u32) -> Option<Pages> {
        let count = self.taken.remove(&start)?;
        self.promised.remove(&start);
        self.taken_pages -= u64::from(count);
        Some(Pages { start, count })
    }

    /// Keeps the first `count` pages of what was taken from `start` on, unless it may lack memory.
    pub(crate) fn shrink(&mut self, start: u32, count: u32) {
        if self.promised.contains(&start) {
            return;
        }
        let Some(had) = self.taken.get_mut(&start).filter(|had| **had > count) else { return };
        let rest = *had - count;
        *had = count;
        self.taken_pages -= u64::from(rest);
        self.add_warm(Pages { start: start + count, count: rest });
    }

    /// How many pages were taken from `start` on.
    pub(crate) fn size_of(&self, start: u32) -> Option<u32> {
        self.taken.get(&start).copied()
    }

    /// What was taken that `page` is part of.
    pub(crate) fn containing(&self, page: u32) -> Option<Pages> {
        let (start, count) = self.taken.range(..=page).next_back()?;
        (page - start < *count).then_some(Pages { start: *start, count: *count })
    }

    /// Warm pages beyond `retained`, the longest unused first; they are underway then, and the caller punches them and
    /// gives them back.
    pub(crate) fn take_excess(&mut self, retained: u64) -> Option<Pages> {
        let excess = self.warm.pages.checked_sub(retained).filter(|excess| *excess > 0)?;
        let excess = u32::try_from(excess).unwrap_or(u32::MAX);
        let oldest = self.warm.oldest()?;
        let count = oldest.count.min(excess);
        let pages = Pages { start: oldest.end() - count, count };
        self.warm.cut(oldest, pages);
        Some(pages)
    }

    pub(crate) fn taken_pages(&self) -> u64 {
        self.taken_pages
    }

    pub(crate) fn warm_pages(&self) -> u64 {
        self.warm.pages
    }

    fn set_taken(&mut self, pages: Pages) {
        self.taken.insert(pages.start, pages.count);
        self.taken_pages += u64::from(pages.count);
    }

    fn add_warm(&mut self, pages: Pages) {
        self.clock += 1;
        self.warm.insert(pages, self.clock);
    }
}

/// Free ranges of one kind, by place, size and age.
#[derive(Debug, Default)]
struct Spans {
    by_start: BTreeMap<u32, Span>,
    by_size: BTreeSet<(u32, u32)>,
    by_age: BTreeSet<(u64, u32)>,
    pages: u64,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    count: u32,
    /// When it, or the youngest part of it, became free.
    stamp: u64,
}

impl Spans {
    /// Adds a range and joins it with its neighbours.
    fn insert(&mut self, pages: Pages, stamp: u64) {
        let Pages { mut start, mut count } = pages;
        let mut stamp = stamp;
        let before = self.by_start.range(..start).next_back().map(|(start, span)| (*start, *span));
        if let Some((place, span)) = before.filter(|(place, span)| place + span.count == start) {
            self.forget(place, span);
            (start, count, stamp) = (place, count + span.count, stamp.max(span.stamp));
        }
        if let Some(span) = self.by_start.get(&(start + count)).copied() {
            self.forget(start + count, span);
            (count, stamp) = (count + span.count, stamp.max(span.stamp));
        }
        self.remember(start, Span { count, stamp });
    }

    /// Takes `count` pages out of the smallest range that holds them.
    fn carve(&mut self, count: u32, align: u32) -> Option<Pages> {
        let (whole, start) = self.fit(count, align)?;
        let pages = Pages { start, count };
        self.cut(whole, pages);
        Some(pages)
    }

    /// The smallest range that holds so many pages, and where in it they begin.
    fn fit(&self, count: u32, align: u32) -> Option<(Pages, u32)> {
        let aligned = |&(size, start): &(u32, u32)| {
            let place = start.checked_next_multiple_of(align)?;
            let end = place.checked_add(count)?;
            (end <= start + size).then_some((Pages { start, count: size }, place))
        };
        let near = self.by_size.range((count, 0)..).take(ALIGNED_TRIES).find_map(aligned);
        if align == 1 || near.is_some() {
            return near;
        }
        // So large that the alignment does not matter.
        self.by_size.range((count.checked_add(align - 1)?, 0)..).next().and_then(aligned)
    }

    /// Removes `part` of the range `whole`.
    fn cut(&mut self, whole: Pages, part: Pages) {
        let span = self.by_start[&whole.start];
        self.forget(whole.start, span);
        if part.start > whole.start {
            self.remember(whole.start, Span { count: part.start - whole.start, stamp: span.stamp });
        }
        if part.end() < whole.end() {
            self.remember(part.end(), Span { count: whole.end() - part.end(), stamp: span.stamp });
        }
    }

    fn oldest(&self) -> Option<Pages> {
        let (_, start) = self.by_age.first()?;
        Some(Pages { start: *start, count: self.by_start[start].count })
    }

    fn remember(&mut self, start: u32, span: Span) {
        self.by_start.insert(start, span);
        self.by_size.insert((span.count, start));
        self.by_age.insert((span.stamp, start));
        self.pages += u64::from(span.count);
    }

    fn forget(&mut self, start: u32, span: Span) {
        self.by_start.remove(&start);
        self.by_size.remove(&(span.count, start));
        self.by_age.remove(&(span.stamp, start));
        self.pages -= u64::from(span.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Allocator {
        /// Compares all tables; `underway` is what the caller holds.
        fn check(&self, total: u32, underway: &[Pages]) {
            let mut all: Vec<(Pages, char)> =
                self.taken.iter().map(|(start, count)| (Pages { start: *start, count: *count }, 't')).collect();
            for (spans, kind) in [(&self.warm, 'w'), (&self.cold, 'c')] {
                let pages = spans.by_start.iter().map(|(start, span)| Pages { start: *start, count: span.count });
                all.extend(pages.map(|pages| (pages, kind)));
                assert_eq!(spans.by_start.len(), spans.by_size.len());
                assert_eq!(spans.by_start.len(), spans.by_age.len());
                let sum: u64 = spans.by_start.values().map(|span| u64::from(span.count)).sum();
                assert_eq!(sum, spans.pages);
            }
            all.extend(underway.iter().map(|pages| (*pages, 'u')));
            all.sort();
            let mut end = 0;
            let mut last = 't';
            for (pages, kind) in all {
                assert_eq!(pages.start, end, "a gap or an overlap");
                assert!(pages.count > 0);
                assert!(kind != last || matches!(kind, 't' | 'u'), "two free ranges touch");
                (end, last) = (pages.end(), kind);
            }
            assert_eq!(end, total);
            let taken: u64 = self.taken.values().map(|count| u64::from(*count)).sum();
            assert_eq!(taken, self.taken_pages);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Take { count: u32, align: bool },
        TakeInVain { count: u32 },
        Free { which: usize },
        Withdraw { which: usize },
        Shrink { which: usize, count: u32 },
        Trim { retained: u64 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (1u32..200, any::<bool>()).prop_map(|(count, align)| Step::Take { count, align }),
            1 => (1u32..200).prop_map(|count| Step::TakeInVain { count }),
            4 => any::<usize>().prop_map(|which| Step::Free { which }),
            1 => any::<usize>().prop_map(|which| Step::Withdraw { which }),
            1 => (any::<usize>(), 1u32..100).prop_map(|(which, count)| Step::Shrink { which, count }),
            1 => (0u64..300).prop_map(|retained| Step::Trim { retained }),
        ];
        proptest::collection::vec(step, 1..200)
    }

    const TOTAL: u32 = 2000;
    const ALIGN: u32 = 16;

    fn take(allocator: &mut Allocator, count: u32, align: u32) -> Option<u32> {
        if let Some(start) = allocator.take_warm(count, align) {
            return Some(start);
        }
        let pages = allocator.take_cold(count, 64, align)?;
        allocator.check(TOTAL, &[pages]);
        allocator.committed(pages, count);
        Some(pages.start)
    }

    proptest! {
        #[test]
        fn nothing_overlaps_and_nothing_is_lost(steps in steps()) {
            let mut allocator = Allocator::new(TOTAL);
            let mut live: Vec<(u32, u32)> = Vec::new();
            for step in steps {
                match step {
                    Step::Take { count, align } => {
                        let align = if align { ALIGN } else { 1 };
                        if let Some(start) = take(&mut allocator, count, align) {
                            prop_assert_eq!(start % align, 0);
                            live.push((start, count));
                        }
                    }
                    Step::TakeInVain { count } => {
                        if let Some(pages) = allocator.take_cold(count, 1, 1) {
                            allocator.give_back(pages);
                        }
                    }
                    Step::Free { which } if !live.is_empty() => {
                        let (start, count) = live.swap_remove(which % live.len());
                        prop_assert_eq!(allocator.free(start), Some(Freed::Warm), "{} pages", count);
                        prop_assert_eq!(allocator.free(start), None);
                    }
                    Step::Shrink { which, count } if !live.is_empty() => {
                        let index = which % live.len();
                        let (start, had) = live[index];
                        allocator.shrink(start, count);
                        live[index] = (start, had.min(count));
                        prop_assert_eq!(allocator.size_of(start), Some(had.min(count)));
                    }
                    Step::Trim { retained } => {
                        while let Some(pages) = allocator.take_excess(retained) {
                            allocator.check(TOTAL, &[pages]);
                            allocator.give_back(pages);
                        }
                        prop_assert!(allocator.warm_pages() <= retained);
                    }
                    Step::Withdraw { which } if !live.is_empty() => {
                        let (start, count) = live.swap_remove(which % live.len());
                        let pages = allocator.withdraw(start);
                        prop_assert_eq!(pages, Some(Pages { start, count }));
                        allocator.check(TOTAL, &[Pages { start, count }]);
                        allocator.give_back(Pages { start, count });
                    }
                    Step::Free { .. } | Step::Withdraw { .. } | Step::Shrink { .. } => {}
                }
                allocator.check(TOTAL, &[]);
            }
            for (start, _) in live {
                allocator.free(start);
            }
            while let Some(pages) = allocator.take_excess(0) {
                allocator.give_back(pages);
            }
            allocator.check(TOTAL, &[]);
            prop_assert_eq!(allocator.taken_pages(), 0);
            prop_assert_eq!(allocator.cold.by_start.len(), 1, "everything is one hole again");
        }
    }

    #[test]
    fn what_was_freed_last_is_kept_longest() {
        let mut allocator = Allocator::new(TOTAL);
        let starts: Vec<u32> = (0..5).map(|_| take(&mut allocator, 10, 1).expect("room")).collect();
        // Every second one, so that they do not join.
        for index in [2, 0, 4] {
            allocator.free(starts[index]);
        }
        let warm = allocator.warm_pages();
        assert_eq!(allocator.take_excess(warm - 10), Some(Pages { start: starts[2], count: 10 }));
    }
}
