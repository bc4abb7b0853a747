//! Tree reductions: the shape of the tree, what each node reads, and whether what the layer says can be true.
//!
//! Level 0 reads the input's blocks; each further level reads the one before it; the last level's nodes are the
//! results. There is always a level, so that even a single block is aggregated.
//!
//! Nodes are numbered results first, then level by level from the input on: who knows the grid of the results knows
//! their keys, whatever the tree below them looks like.

use crate::error::GraphError;
use crate::grid::{self, Along, Run};
use crate::layer::{Grid, Layer, TreeReduceLayer};

/// What a node of a tree reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeInput {
    /// This block (C-order index) of the layer's input.
    Block(u32),
    /// This task of the same layer.
    Node(u32),
}

/// The levels of a tree, computed once to be asked about every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeShape {
    /// The input's grid and then that of each level.
    grids: Vec<Grid>,
    /// Index of the first node of each level: the last one's is 0, the others' ascend from the number of results.
    starts: Vec<u32>,
    /// Number of nodes of the last level.
    results: u32,
    /// Number of all nodes.
    len: u32,
    /// How many blocks at a time along each axis.
    splits: Grid,
}

impl TreeReduceLayer {
    /// The grid of each level, from the one that reads the input to the one that gives the results.
    ///
    /// ```
    /// # use kask_graph::TreeReduceLayer;
    /// # use kask_types::{BlobId, LayerToken, Payload};
    /// # use smallvec::smallvec;
    /// let layer = TreeReduceLayer {
    ///     combine: BlobId::of(b"sum"),
    ///     aggregate: BlobId::of(b"sum"),
    ///     template: Payload::empty(),
    ///     input: LayerToken(1).into(),
    ///     input_grid: smallvec![10, 3],
    ///     split_every: vec![(0, 4)],
    /// };
    /// let levels: Vec<Vec<u32>> = layer.levels().iter().map(|grid| grid.to_vec()).collect();
    /// assert_eq!(levels, [[3, 3], [1, 3]]);
    /// assert_eq!((layer.shape().results(), layer.shape().len()), (3, 12));
    /// ```
    pub fn levels(&self) -> Vec<Grid> {
        self.walk(|_| ())
    }

    /// The tree's shape. Sizes beyond `u32::MAX`, which [`crate::expand`] refuses, stay there.
    pub fn shape(&self) -> TreeShape {
        let (len, results) = self.sizes();
        let mut starts = Vec::new();
        let mut next = results;
        let mut grids = self.walk(|grid| {
            starts.push(next);
            next = next.saturating_add(grid::blocks(grid));
        });
        *starts.last_mut().expect("there is always a level") = 0;
        grids.insert(0, self.input_grid.clone());
        TreeShape { grids, starts, results, len, splits: self.splits() }
    }

    /// The number of nodes, and how many of them are results. Does not allocate.
    pub(crate) fn sizes(&self) -> (u32, u32) {
        let splits = self.splits();
        let mut grid = self.input_grid.clone();
        let mut total = 0u32;
        loop {
            let more = next_level(&mut grid, &splits);
            let nodes = grid::blocks(&grid);
            total = total.saturating_add(nodes);
            if !more {
                return (total, nodes);
            }
        }
    }

    /// The grid of the results.
    pub(crate) fn output_grid(&self) -> Grid {
        let splits = self.splits();
        self.input_grid
            .iter()
            .zip(&splits)
            .map(|(&blocks, &split)| if split > 1 { blocks.min(1) } else { blocks })
            .collect()
    }

    fn splits(&self) -> Grid {
        let mut splits = Grid::from_elem(1, self.input_grid.len());
        for &(axis, split) in &self.split_every {
            if let Some(slot) = splits.get_mut(axis as usize) {
                *slot = split.max(2);
            }
        }
        splits
    }

    fn walk(&self, mut each: impl FnMut(&Grid)) -> Vec<Grid> {
        let splits = self.splits();
        let mut grid = self.input_grid.clone();
        let mut levels = Vec::new();
        loop {
            let more = next_level(&mut grid, &splits);
            each(&grid);
            levels.push(grid.clone());
            if !more {
                return levels;
            }
        }
    }

    /// The number of tasks, after checking all that can be checked without other layers.
    pub(crate) fn check(&self, layer: &Layer, limit_tasks: u32, limit_inputs: u32) -> Result<u32, GraphError> {
        let blocks = grid::check(layer, &self.input_grid, limit_tasks)?;
        self.input.check(layer, &self.input_grid)?;
        let mut seen = 0u64;
        for &(axis, split) in &self.split_every {
            let axes = self.input_grid.len();
            if axis as usize >= axes {
                let (index, len) = (u64::from(axis), axes as u64);
                return Err(GraphError::OutOfRange { layer: layer.label(), what: "a combined axis", index, len });
            }
            if split < 2 {
                return Err(GraphError::SplitEvery { layer: layer.label(), axis, split });
            }
            if seen >> axis & 1 == 1 {
                return Err(GraphError::AxisTwice { layer: layer.label(), axis });
            }
            seen |= 1 << axis;
        }
        // All nodes together read each block and each node below the top once.
        let (tasks, results) = self.sizes();
        if u64::from(blocks) + u64::from(tasks - results) > u64::from(limit_inputs) {
            return Err(GraphError::TooManyInputs { layer: layer.label(), limit: limit_inputs });
        }
        Ok(tasks)
    }
}

/// Turns a level's grid into the next one's; whether there is a further one.
fn next_level(grid: &mut Grid, splits: &[u32]) -> bool {
    let mut more = false;
    for (blocks, &split) in grid.iter_mut().zip(splits) {
        *blocks = blocks.div_ceil(split);
        more |= split > 1 && *blocks > 1;
    }
    more
}

impl TreeShape {
    /// The number of nodes.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether the tree has no nodes, which takes an axis without blocks.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of results: nodes `0..results()`.
    pub fn results(&self) -> u32 {
        self.results
    }

    /// The level that node `index` is on.
    fn level(&self, index: u32) -> usize {
        let last = self.starts.len() - 1;
        if index < self.results { last } else { self.starts[..last].partition_point(|&start| start <= index) - 1 }
    }

    /// Calls `visit` with what node `index` reads, in C order.
    ///
    /// ```
    /// # use kask_graph::{TreeInput, TreeReduceLayer};
    /// # use kask_types::{BlobId, LayerToken, Payload};
    /// # use smallvec::smallvec;
    /// # let layer = TreeReduceLayer {
    /// #     combine: BlobId::of(b"sum"), aggregate: BlobId::of(b"sum"), template: Payload::empty(),
    /// #     input: LayerToken(1).into(), input_grid: smallvec![5], split_every: vec![(0, 2)],
    /// # };
    /// // Five blocks, two at a time: node 0 is the result, nodes 1 to 3 read blocks, 4 and 5 read those.
    /// let mut read = Vec::new();
    /// layer.shape().inputs_of(3, &mut |input| read.push(input));
    /// layer.shape().inputs_of(0, &mut |input| read.push(input));
    /// assert_eq!(read, [TreeInput::Block(4), TreeInput::Node(4), TreeInput::Node(5)]);
    /// ```
    pub fn inputs_of(&self, index: u32, visit: &mut impl FnMut(TreeInput)) {
        if index >= self.len() {
            return;
        }
        let level = self.level(index);
        let below = &self.grids[level];
        let position = grid::position(&self.grids[level + 1], index - self.starts[level]);
        let run = |((&at, &split), &blocks): ((&u32, &u32), &u32)| {
            let start = at * split;
            Along::Run(Run { start, len: split.min(blocks - start) })
        };
        let runs: grid::Box<'_> = position.iter().zip(&self.splits).zip(below).map(run).collect();
        match level.checked_sub(1) {
            None => grid::each_block(below, &runs, &mut |block| visit(TreeInput::Block(block))),
            Some(previous) => {
                let start = self.starts[previous];
                grid::each_block(below, &runs, &mut |node| visit(TreeInput::Node(start + node)));
            }
        }
    }
}
