//! Grids of several layers read as one: an input that is put together costs as much as it has parts, and no task.
//!
//! Invariant: [`JoinedGrids::find`] may only be asked about a source that passed [`BlockSource::check`].

use crate::blockwise::out_of_range;
use crate::error::GraphError;
use crate::layer::{BlockSource, Grid, JoinedGrids, Layer};

impl BlockSource {
    /// For people.
    pub(crate) fn label(&self) -> String {
        match self {
            BlockSource::Layer(layer) => layer.to_string(),
            BlockSource::Joined(joined) => match &joined.layers[..] {
                [] => "of no layers".to_owned(),
                [first, rest @ ..] => format!("{first} and {} layers after it", rest.len()),
            },
        }
    }

    /// Refuses parts that do not make up the grid.
    pub(crate) fn check(&self, layer: &Layer, grid: &[u32]) -> Result<(), GraphError> {
        let BlockSource::Joined(joined) = self else { return Ok(()) };
        let Some(&blocks) = grid.get(joined.axis as usize) else {
            return Err(out_of_range(layer, "an input put together along axis", joined.axis, grid.len()));
        };
        let is_whole = joined.ends.last().is_some_and(|&end| end == blocks);
        if is_whole && joined.ends.is_sorted() && joined.ends.len() == joined.layers.len() {
            return Ok(());
        }
        Err(GraphError::BadParts {
            layer: layer.label(),
            axis: joined.axis,
            blocks,
            layers: joined.layers.len(),
            ends: joined.ends.len(),
        })
    }
}

impl JoinedGrids {
    /// The grid of a part, when this is the grid of all.
    pub(crate) fn grid_of(&self, part: usize, grid: &Grid) -> Grid {
        let mut own = grid.clone();
        own[self.axis as usize] = self.ends[part] - self.start_of(part);
        own
    }

    fn start_of(&self, part: usize) -> u32 {
        if part == 0 { 0 } else { self.ends[part - 1] }
    }

    /// The part that a block is in (a C-order index of the grid), and its C-order index there.
    pub(crate) fn find(&self, grid: &[u32], block: u32) -> (usize, u32) {
        let axis = self.axis as usize;
        // Products of a grid that has a block fit, since its number of blocks does.
        let inner: u32 = grid[axis + 1..].iter().product();
        let (row, within) = (block / inner, block % inner);
        let (outer, along) = (row / grid[axis], row % grid[axis]);
        let part = self.ends.partition_point(|&end| end <= along);
        let start = self.start_of(part);
        let own = self.ends[part] - start;
        (part, (outer * own + along - start) * inner + within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kask_types::LayerToken;

    #[test]
    fn blocks_are_found_in_their_parts() {
        let layers = [1, 2, 3].map(LayerToken).to_vec();
        let joined = JoinedGrids { axis: 1, layers, ends: vec![2, 2, 5] };
        let grid = Grid::from_slice(&[2, 5, 3]);
        assert_eq!(joined.grid_of(0, &grid).as_slice(), [2, 2, 3]);
        assert_eq!(joined.grid_of(1, &grid).as_slice(), [2, 0, 3]);
        assert_eq!(joined.grid_of(2, &grid).as_slice(), [2, 3, 3]);
        let mut next = [0, 0, 0];
        for block in 0..30 {
            let (part, index) = joined.find(&grid, block);
            assert_eq!(part, if block / 3 % 5 < 2 { 0 } else { 2 });
            assert_eq!(index, next[part], "blocks of a part keep their order");
            next[part] += 1;
        }
        assert_eq!(next, [12, 0, 18]);
    }
}
