//! Which elements of an input the blocks of an output need, along one axis.

use super::sizes::ChunkSizes;
use crate::grid::Run;
use serde::{Deserialize, Serialize};

/// Output element `i` is input element `start + step * i`; each output block needs the blocks that hold its elements, and `before`
/// and `after` elements more on either side, as far as there are any.
///
/// A slice has a start and a step, a rechunk has neither (`0` and `1`), an overlap has elements before and after.
///
/// An output block without elements needs no blocks. But where the input has no elements at all, every output block reads its first block,
/// which is empty too: whoever reads blocks of an empty axis gets one, as from any other axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// How the input is cut.
    pub input: ChunkSizes,
    /// How the output is cut.
    pub output: ChunkSizes,
    /// The input element that is output element 0.
    pub start: u64,
    /// From one element to the next; not 0.
    pub step: i64,
    /// Input elements that are needed besides, to the left.
    pub before: u64,
    /// Input elements that are needed besides, to the right.
    pub after: u64,
}

/// What an output block takes from one input block: `len` elements from `start` of the input block on, every `step`-th, which are
/// the output's from `at` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The input block.
    pub block: u32,
    /// In the input block.
    pub start: u64,
    /// From one element to the next.
    pub step: i64,
    /// How many.
    pub len: u64,
    /// In what the output block is made of.
    pub at: u64,
}

impl Interval {
    /// Whether every element that is spoken of exists.
    pub(crate) fn is_valid(&self) -> bool {
        let Some(steps) = self.output.total().checked_sub(1) else { return self.step != 0 };
        let last = i128::from(self.start) + i128::from(self.step) * i128::from(steps);
        let is_inside = |at: i128| (0..i128::from(self.input.total())).contains(&at);
        self.step != 0 && is_inside(self.start.into()) && is_inside(last)
    }

    /// The lowest input element that an output block needs, and how many from there on; of a block without elements, none.
    fn span(&self, block: u32) -> (u64, u64) {
        let len = self.output.size(block);
        if len == 0 {
            return (0, 0);
        }
        let at = |i: u64| self.start.wrapping_add_signed((i as i64).wrapping_mul(self.step));
        let (first, last) = (at(self.output.start(block)), at(self.output.start(block) + len - 1));
        let low = first.min(last).saturating_sub(self.before);
        let high = first.max(last).saturating_add(self.after).min(self.input.total() - 1);
        (low, high - low + 1)
    }

    /// The input blocks that an output block needs.
    pub(crate) fn run(&self, block: u32) -> Run {
        let (low, len) = self.span(block);
        if len == 0 {
            let is_empty = self.input.total() == 0 && self.input.blocks() > 0;
            return Run { start: 0, len: is_empty.into() };
        }
        let start = self.input.block_at(low);
        Run { start, len: self.input.block_at(low + len - 1) - start + 1 }
    }

    /// The most input blocks that any output block needs.
    pub(crate) fn most_blocks(&self) -> u64 {
        // Each run of equal sizes is as good as its longest stretch; asking every block would cost as much as there are.
        let reach = self.output.largest().saturating_sub(1).saturating_mul(self.step.unsigned_abs());
        let reach = reach.saturating_add(self.before).saturating_add(self.after);
        let smallest = self.input.runs().map(|run| run.size).filter(|&size| size > 0).min().unwrap_or(1);
        let empty = self.input.runs().filter(|run| run.size == 0).map(|run| u64::from(run.count)).sum::<u64>();
        (reach / smallest).saturating_add(2).saturating_add(empty).min(self.input.blocks().into())
    }

    /// How many elements an output block is made of, those before and after included.
    pub fn len(&self, block: u32) -> u64 {
        if self.before == 0 && self.after == 0 { self.output.size(block) } else { self.span(block).1 }
    }

    /// How many elements of these are there before the block's own.
    pub fn margin(&self, block: u32) -> u64 {
        let first = self.start + self.output.start(block);
        if self.output.size(block) == 0 { 0 } else { first.min(self.before) }
    }

    /// What an output block takes from each of the input blocks that it reads, in the order of the input blocks. A block that is
    /// read for nothing (it is empty) has a piece without elements.
    ///
    /// Elements before and after are for steps of 1 only.
    pub fn pieces(&self, block: u32) -> Vec<Piece> {
        let run = self.run(block);
        let (low, len) = self.span(block);
        let own = self.output.size(block);
        (run.start..run.start + run.len)
            .map(|input| {
                let (from, size) = (self.input.start(input), self.input.size(input));
                let (to, nothing) = (from + size, Piece { block: input, start: 0, step: 1, len: 0, at: 0 });
                if size == 0 {
                    return nothing;
                }
                if self.step == 1 {
                    let (start, end) = (from.max(low), to.min(low + len));
                    return Piece { block: input, start: start - from, step: 1, len: end - start, at: start - low };
                }
                let step = self.step.unsigned_abs();
                let first = self.start.wrapping_add_signed((self.output.start(block) as i64).wrapping_mul(self.step));
                // Counted in the direction of the steps: how far the input block's near and far ends are from the first.
                let (near, far) = if self.step > 0 {
                    (from.saturating_sub(first), to - 1 - first.min(to - 1))
                } else {
                    (first.saturating_sub(to - 1), first - from.min(first))
                };
                let is_ahead = if self.step > 0 { first < to } else { first >= from };
                let at = near.div_ceil(step);
                let end = if is_ahead { (far / step + 1).min(own) } else { 0 };
                if at >= end {
                    return nothing;
                }
                let element = first.wrapping_add_signed((at as i64).wrapping_mul(self.step));
                Piece { block: input, start: element - from, step: self.step, len: end - at, at }
            })
            .collect()
    }
}
