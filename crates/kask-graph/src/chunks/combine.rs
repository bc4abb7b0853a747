//! Chunk sizes made of other chunk sizes, block by block: longer, shorter, coarser, in another order, several axes as one.
//!
//! Everything works on runs of equal sizes where what comes out has runs.

use super::interval::Interval;
use super::sizes::{ChunkSizes, ChunksError, SizeRun};

const ONE: u32 = 1;

impl ChunkSizes {
    /// Every chunk `factor` times as long.
    ///
    /// # Errors
    /// When that is too long.
    pub fn scaled(&self, factor: u64) -> Result<ChunkSizes, ChunksError> {
        let longer = |run: SizeRun| {
            let size = run.size.checked_mul(factor).ok_or(ChunksError::TooLong)?;
            Ok(SizeRun { size, ..run })
        };
        ChunkSizes::from_runs(self.runs().map(longer).collect::<Result<Vec<_>, _>>()?)
    }

    /// How many groups of `size` neighbours end in each chunk; groups begin at the first element, what does not fill one is left out.
    ///
    /// ```
    /// # use kask_graph::chunks::ChunkSizes;
    /// let sizes = ChunkSizes::new([4, 4, 3]).unwrap();
    /// assert_eq!(sizes.coarsened(3).iter().collect::<Vec<_>>(), [1, 1, 1]);
    /// ```
    ///
    /// # Panics
    /// When `size` is 0.
    pub fn coarsened(&self, size: u64) -> ChunkSizes {
        let mut runs = Vec::new();
        let mut start = 0;
        for run in self.runs() {
            let end = start + run.size * u64::from(run.count);
            if run.size.is_multiple_of(size) {
                runs.push(SizeRun { size: run.size / size, count: run.count });
            } else {
                let ends = |block: u64| (start + block * run.size) / size;
                let groups = |block: u32| ends(u64::from(block) + 1) - ends(block.into());
                runs.extend((0..run.count).map(|block| SizeRun { size: groups(block), count: ONE }));
            }
            start = end;
        }
        ChunkSizes::from_runs(runs).expect("as many chunks, none of them longer")
    }

    /// The first chunk longer by `before` elements, the last by `after`.
    ///
    /// # Errors
    /// When that is too long.
    pub fn grown(&self, before: u64, after: u64) -> Result<ChunkSizes, ChunksError> {
        let mut runs: Vec<SizeRun> = self.runs().collect();
        let longer = |size: u64, more: u64| size.checked_add(more).ok_or(ChunksError::TooLong);
        let first = SizeRun { size: longer(runs[0].size, before)?, count: ONE };
        runs[0].count -= 1;
        runs.insert(0, first);
        let at = runs.iter().rposition(|run| run.count > 0).expect("there is a chunk");
        let last = SizeRun { size: longer(runs[at].size, after)?, count: ONE };
        runs[at].count -= 1;
        runs.insert(at + 1, last);
        ChunkSizes::from_runs(runs)
    }

    /// Each chunk with as many elements more as the chunk with its number has in each of the others.
    ///
    /// # Errors
    /// When there are not as many chunks, or that is too long.
    pub fn plus(&self, others: &[&ChunkSizes]) -> Result<ChunkSizes, ChunksError> {
        self.zipped(others, |own, other| own.checked_add(other).ok_or(ChunksError::TooLong))
    }

    /// Each chunk without as many elements as the chunk with its number has in each of the others.
    ///
    /// # Errors
    /// When there are not as many chunks, or one has not so many elements.
    pub fn minus(&self, others: &[&ChunkSizes]) -> Result<ChunkSizes, ChunksError> {
        let shorter = |size: u64, taken: u64| size.checked_sub(taken).ok_or(ChunksError::TooShort { size, taken });
        self.zipped(others, shorter)
    }

    fn zipped(
        &self,
        others: &[&ChunkSizes],
        each: impl Fn(u64, u64) -> Result<u64, ChunksError>,
    ) -> Result<ChunkSizes, ChunksError> {
        if let Some(other) = others.iter().find(|other| other.blocks() != self.blocks()) {
            return Err(ChunksError::BlocksDiffer { left: self.blocks(), right: other.blocks() });
        }
        let mut runs = Vec::new();
        let mut at = 0;
        while at < self.blocks() {
            let (mut size, mut end) = self.run_at(at);
            for other in others {
                let (more, other_end) = other.run_at(at);
                (size, end) = (each(size, more)?, end.min(other_end));
            }
            runs.push(SizeRun { size, count: end - at });
            at = end;
        }
        ChunkSizes::from_runs(runs)
    }

    /// The chunks with these numbers, in this order.
    ///
    /// # Errors
    /// When there are none, or too many.
    ///
    /// # Panics
    /// When there is no such chunk.
    pub fn picked(&self, blocks: impl IntoIterator<Item = u32>) -> Result<ChunkSizes, ChunksError> {
        let one = |block: u32| {
            assert!(block < self.blocks(), "chunk {block} of {}", self.blocks());
            self.size(block)
        };
        ChunkSizes::new(blocks.into_iter().map(one))
    }

    /// The first piece of `unit` places that two chunks have elements in, when element `i` has place `start + step * i`.
    ///
    /// ```
    /// # use kask_graph::chunks::ChunkSizes;
    /// let sizes = ChunkSizes::new([4, 4, 2]).unwrap();
    /// assert_eq!(sizes.first_shared(4, 0, 1), None);
    /// assert_eq!(sizes.first_shared(5, 0, 1), Some(0)); // elements 3 and 4
    /// ```
    ///
    /// # Panics
    /// When `unit` is 0.
    pub fn first_shared(&self, unit: u64, start: u64, step: u64) -> Option<u64> {
        let place = |element: u64| (u128::from(start) + u128::from(step) * u128::from(element)) / u128::from(unit);
        let shared = self.cuts().map(|cut| (place(cut - 1), place(cut))).find(|(before, after)| before == after);
        shared.map(|(piece, _)| u64::try_from(piece).unwrap_or(u64::MAX))
    }

    /// For each chunk whether any of `len` elements is in it, from `start` on every `step`-th.
    ///
    /// ```
    /// # use kask_graph::chunks::ChunkSizes;
    /// let sizes = ChunkSizes::new([2, 2, 0, 2]).unwrap();
    /// assert_eq!(sizes.touched(3, 1, 2).collect::<Vec<_>>(), [false, true, false, true]);
    /// ```
    ///
    /// # Panics
    /// When `step` is 0.
    pub fn touched(&self, start: u64, step: u64, len: u64) -> impl Iterator<Item = bool> + '_ {
        // Elements taken before a place.
        let taken = move |place: u64| place.saturating_sub(start).div_ceil(step).min(len);
        (0..self.blocks()).map(move |block| {
            let first = self.start(block);
            taken(first + self.size(block)) > taken(first)
        })
    }
}

/// The blocks of several axes as the chunks of one: as many as there are, in C order, each as long as it has elements. No axis at all
/// is one block of one element.
///
/// ```
/// # use kask_graph::chunks::{ChunkSizes, flat};
/// let axes = [ChunkSizes::new([2, 1]).unwrap(), ChunkSizes::new([3, 3, 1]).unwrap()];
/// assert_eq!(flat(&axes).unwrap().iter().collect::<Vec<_>>(), [6, 6, 2, 3, 3, 1]);
/// ```
///
/// # Errors
/// When there are too many, or they are too long.
pub fn flat(axes: &[ChunkSizes]) -> Result<ChunkSizes, ChunksError> {
    axes.iter().rev().try_fold(ChunkSizes::single(1), |inner, axis| {
        let mut runs = Vec::new();
        for run in axis.runs() {
            let scaled = inner.scaled(run.size)?;
            match scaled.runs().collect::<Vec<_>>()[..] {
                [one] => {
                    let count = one.count.checked_mul(run.count).ok_or(ChunksError::TooManyChunks)?;
                    runs.push(SizeRun { count, ..one });
                }
                ref many => {
                    if (many.len() as u64).saturating_mul(run.count.into()) > u32::MAX.into() {
                        return Err(ChunksError::TooManyChunks);
                    }
                    (0..run.count).for_each(|_| runs.extend_from_slice(many));
                }
            }
        }
        ChunkSizes::from_runs(runs)
    })
}

impl Interval {
    /// For each output block how many elements more there are before and after its own; for steps of 1.
    pub fn margins(&self) -> (ChunkSizes, ChunkSizes) {
        let (mut fronts, mut backs) = (Vec::new(), Vec::new());
        // Elements of the input before a run of output blocks.
        let mut first = self.start;
        for SizeRun { size, count } in self.output.runs() {
            if size == 0 {
                fronts.push(SizeRun { size: 0, count });
                backs.push(SizeRun { size: 0, count });
                continue;
            }
            let whole = |blocks: u64| u32::try_from(blocks).unwrap_or(u32::MAX).min(count);
            // Blocks from this one on have enough elements before them, blocks up to that one enough after them.
            let full_from = whole(self.before.saturating_sub(first).div_ceil(size));
            let after = self.input.total().saturating_sub(first);
            let full_to = whole(after.saturating_sub(self.after) / size);
            let front = |block: u32| (first + u64::from(block) * size).min(self.before);
            let back = |block: u32| after.saturating_sub((u64::from(block) + 1) * size).min(self.after);
            fronts.extend((0..full_from).map(|block| SizeRun { size: front(block), count: ONE }));
            fronts.push(SizeRun { size: self.before, count: count - full_from });
            backs.push(SizeRun { size: self.after, count: full_to });
            backs.extend((full_to..count).map(|block| SizeRun { size: back(block), count: ONE }));
            first += u64::from(count) * size;
        }
        let sizes = |runs: Vec<SizeRun>| ChunkSizes::from_runs(runs).expect("no margin is longer than the input");
        (sizes(fronts), sizes(backs))
    }
}
