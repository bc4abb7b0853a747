//! Arithmetic on grids of blocks: sizes, positions, and runs through a box of blocks, all in C order.
//!
//! Nothing here allocates for grids of up to four axes.

use crate::error::{GraphError, MAX_AXES};
use crate::layer::{Grid, Layer};
use smallvec::SmallVec;

/// Where a box of blocks begins along an axis, and how many blocks it has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub start: u32,
    pub len: u32,
}

/// Some blocks along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Along<'a> {
    /// Neighbours.
    Run(Run),
    /// These.
    Listed(&'a [u32]),
}

impl Along<'_> {
    pub(crate) fn len(&self) -> u32 {
        match self {
            Along::Run(run) => run.len,
            Along::Listed(blocks) => blocks.len() as u32,
        }
    }

    fn at(&self, place: u32) -> u32 {
        match self {
            Along::Run(run) => run.start + place,
            Along::Listed(blocks) => blocks[place as usize],
        }
    }
}

/// Some blocks along each axis.
pub(crate) type Box<'a> = SmallVec<[Along<'a>; 4]>;

/// Number of blocks; `None` when it is more than `limit`.
pub(crate) fn blocks_within(grid: &[u32], limit: u32) -> Option<u32> {
    // An axis without blocks makes the product 0 whatever the other axes say.
    if grid.contains(&0) {
        return Some(0);
    }
    let product = grid.iter().try_fold(1u32, |product, &blocks| product.checked_mul(blocks))?;
    (product <= limit).then_some(product)
}

/// Number of blocks, at most `u32::MAX`.
pub(crate) fn blocks(grid: &[u32]) -> u32 {
    blocks_within(grid, u32::MAX).unwrap_or(u32::MAX)
}

/// Refuses grids with too many axes or blocks.
pub(crate) fn check(layer: &Layer, grid: &[u32], limit: u32) -> Result<u32, GraphError> {
    if grid.len() > MAX_AXES {
        return Err(GraphError::TooManyAxes { layer: layer.label(), axes: grid.len() });
    }
    blocks_within(grid, limit).ok_or_else(|| GraphError::TooManyTasks { layer: layer.label(), limit })
}

/// The position of block `index`. The grid has no axis without blocks, or there would be no such block.
pub fn position(grid: &[u32], index: u32) -> Grid {
    let mut rest = index;
    let mut position = Grid::from_elem(0, grid.len());
    for (axis, &blocks) in grid.iter().enumerate().rev() {
        position[axis] = rest % blocks.max(1);
        rest /= blocks.max(1);
    }
    position
}

/// The index of the block at a position, if there is one.
pub(crate) fn index(grid: &[u32], position: &[u32]) -> Option<u32> {
    let is_inside = grid.len() == position.len() && position.iter().zip(grid).all(|(at, blocks)| at < blocks);
    is_inside.then(|| position.iter().zip(grid).fold(0, |index, (at, blocks)| index * blocks + at))
}

/// How many blocks a box has.
pub(crate) fn box_len(axes: &[Along<'_>]) -> u64 {
    axes.iter().fold(1, |product: u64, along| product.saturating_mul(u64::from(along.len())))
}

/// Calls `visit` with the index in `grid` of each block of the box, in C order of the places in the box.
pub(crate) fn each_block(grid: &[u32], axes: &[Along<'_>], visit: &mut impl FnMut(u32)) {
    let Some((last, outer)) = axes.split_last() else {
        return visit(0);
    };
    if axes.iter().any(|along| along.len() == 0) {
        return;
    }
    let mut at: SmallVec<[u32; 4]> = SmallVec::from_elem(0, outer.len());
    loop {
        let row = outer.iter().zip(&at).zip(grid).fold(0, |row, ((along, at), blocks)| row * blocks + along.at(*at));
        let first = row * grid[outer.len()];
        match last {
            Along::Run(run) => (first + run.start..first + run.start + run.len).for_each(&mut *visit),
            Along::Listed(blocks) => blocks.iter().for_each(|block| visit(first + block)),
        }
        let Some(axis) = (0..outer.len()).rev().find(|&axis| at[axis] + 1 < outer[axis].len()) else {
            return;
        };
        at[axis] += 1;
        at[axis + 1..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_boxes_are_in_c_order() {
        let grid = [2, 3, 4];
        assert_eq!(position(&grid, 0).as_slice(), [0, 0, 0]);
        assert_eq!(position(&grid, 17).as_slice(), [1, 1, 1]);
        assert_eq!(position(&[], 0).as_slice(), [0u32; 0]);
        assert_eq!((index(&grid, &[1, 1, 1]), index(&grid, &[1, 3, 1]), index(&grid, &[1, 1])), (Some(17), None, None));
        assert_eq!(index(&[], &[]), Some(0));
        let mut seen = Vec::new();
        let run = |start, len| Along::Run(Run { start, len });
        each_block(&grid, &[run(1, 1), run(0, 2), run(2, 2)], &mut |block| seen.push(block));
        assert_eq!(seen, [14, 15, 18, 19]);
        seen.clear();
        each_block(&grid, &[run(1, 1), Along::Listed(&[2, 0]), Along::Listed(&[3, 3])], &mut |block| seen.push(block));
        assert_eq!(seen, [23, 23, 15, 15]);
        assert_eq!(box_len(&[run(1, 1), run(0, 2), run(2, 2)]), 4);
        seen.clear();
        each_block(&[], &[], &mut |block| seen.push(block));
        assert_eq!(seen, [0]);
    }

    #[test]
    fn sizes_do_not_overflow() {
        assert_eq!(blocks_within(&[1 << 16, 1 << 16], u32::MAX), None);
        assert_eq!(blocks_within(&[1 << 16, 1 << 16, 0], 10), Some(0));
        assert_eq!(blocks_within(&[10], 9), None);
        assert_eq!(blocks_within(&[], 9), Some(1));
    }
}
