//! A graph to be looked at: its tasks one by one, and what each reads.
//!
//! What a task reads is asked of the same [`crate::plan`] that a graph is expanded by, but only when somebody wants to
//! know. So looking costs as much as is looked at, whatever the size of the graph.

use crate::error::{GraphError, Limits};
use crate::grid;
use crate::index::KeyIndex;
use crate::layer::{BlockSource, Graph, Grid, Layer, LayerKind};
use crate::plan::{LayerSpan, Plan, Read};
use kask_types::{Key, LayerToken};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::{SmallVec, smallvec};
use std::borrow::Cow;

/// For each task that is looked for, so many may wait to be looked at.
const MOST_WAITING: usize = 50;

/// A graph whose tasks can be asked about.
pub struct View {
    plan: Plan<'static>,
    index: KeyIndex,
    by_token: FxHashMap<LayerToken, usize>,
    /// Grids that are read of layers that are not in the graph.
    outside: FxHashMap<LayerToken, Grid>,
}

impl View {
    /// Checks a graph, all but whether it has cycles, and makes it ready to be looked at.
    ///
    /// ```
    /// # use kask_graph::{Graph, KeyLists, Layer, LayerKind, MapLayer, Read, View};
    /// # use kask_types::{Annotations, BlobId, Items, Key, LayerToken, Payload};
    /// // Task 1 (key 8) reads task 0 (key 7) and something else.
    /// let map = MapLayer {
    ///     function: BlobId::of(b"inc"),
    ///     items: Items::Each(vec![Payload::empty(); 2]),
    ///     keys: vec![Key(7), Key(8)],
    ///     names: Vec::new(),
    ///     inputs: KeyLists { keys: vec![Key(7), Key(1)], ends: vec![0, 2] },
    /// };
    /// let layer = Layer {
    ///     token: LayerToken(1),
    ///     prefix: "inc".into(),
    ///     annotations: Annotations::default(),
    ///     kind: LayerKind::Map(map),
    /// };
    /// let mut view = View::new(Graph { layers: vec![layer] }).unwrap();
    /// assert_eq!(view.inputs_of(1), [Read::Task(0), Read::Key(Key(1))]);
    /// let needed = view.needed(&[Read::Key(Key(8))], 10).unwrap();
    /// assert_eq!(needed, [Read::Task(0), Read::Key(Key(1)), Read::Task(1)]);
    /// assert_eq!(view.needed(&[Read::Task(1)], 2), None);
    /// ```
    pub fn new(graph: Graph) -> Result<View, GraphError> {
        let plan = Plan::of(Cow::Owned(graph.layers), &Limits::MAX)?;
        let index = KeyIndex::new(&plan)?;
        let by_token: FxHashMap<LayerToken, usize> =
            plan.layers.iter().enumerate().map(|(number, layer)| (layer.token, number)).collect();
        let mut outside = FxHashMap::default();
        for (token, grid) in plan.layers.iter().flat_map(Layer::grids_read) {
            if !by_token.contains_key(&token) {
                outside.entry(token).or_insert(grid);
            }
        }
        Ok(View { plan, index, by_token, outside })
    }

    /// The graph's layers.
    pub fn layers(&self) -> &[Layer] {
        &self.plan.layers
    }

    /// Local ids of each layer.
    pub fn spans(&self) -> &[LayerSpan] {
        &self.plan.spans
    }

    /// The layer of a task and the task's place in it.
    ///
    /// # Panics
    /// When there is no such task.
    pub fn place(&self, id: u32) -> (usize, u32) {
        assert!(id < self.plan.tasks, "task {id} of {}", self.plan.tasks);
        self.plan.place(id)
    }

    /// The number of the layer that has this token.
    pub fn layer_of(&self, token: LayerToken) -> Option<usize> {
        self.by_token.get(&token).copied()
    }

    /// The position of a block of a layer that is read but not in the graph.
    pub fn position_outside(&self, token: LayerToken, block: u32) -> Option<Grid> {
        let grid = self.outside.get(&token).filter(|grid| block < grid::blocks(grid))?;
        Some(grid::position(grid, block))
    }

    /// The task of a map layer or an explicit layer that has this key.
    pub fn find_listed(&self, key: Key) -> Option<u32> {
        self.index.find_listed(&self.plan, key)
    }

    /// What a task reads, in hole order: tasks of the graph wherever one of them makes it.
    pub fn inputs_of(&mut self, id: u32) -> Vec<Read> {
        let mut inputs = Vec::new();
        self.plan.inputs_of(id, &mut |read| inputs.push(read));
        for read in &mut inputs {
            *read = self.resolved(*read);
        }
        inputs
    }

    /// Whatever makes the same: a task that is listed under the key of a block makes that block.
    pub fn resolved(&mut self, read: Read) -> Read {
        let found = match read {
            Read::Key(key) => self.index.find(&self.plan, key),
            Read::Task(_) | Read::Block(..) => self.index.find_listed(&self.plan, self.key_of(read)),
        };
        found.map_or(read, Read::Task)
    }

    /// The key of what is read.
    pub fn key_of(&self, read: Read) -> Key {
        match read {
            Read::Task(id) => self.plan.key_of(id),
            Read::Block(layer, block) => Key::block(layer, block),
            Read::Key(key) => key,
        }
    }

    /// The tasks that run for what is wanted, and what these read from elsewhere: inputs before what reads them, each once.
    /// `None` if they are more than `limit`.
    pub fn needed(&mut self, wanted: &[Read], limit: usize) -> Option<Vec<Read>> {
        let (mut found, mut begun) = (Vec::new(), FxHashSet::default());
        // What is to be found, and whether what it reads is found already; last first.
        let mut waiting: Vec<(Read, bool)> = wanted.iter().rev().map(|&read| (read, false)).collect();
        while let Some((read, is_ready)) = waiting.pop() {
            if is_ready {
                found.push(read);
                continue;
            }
            let read = self.resolved(read);
            if !begun.insert(self.key_of(read)) {
                continue;
            }
            if begun.len() > limit {
                return None;
            }
            waiting.push((read, true));
            if let Read::Task(id) = read {
                waiting.extend(self.inputs_of(id).into_iter().rev().map(|input| (input, false)));
            }
            if waiting.len() > limit.saturating_mul(MOST_WAITING) {
                return None;
            }
        }
        Some(found)
    }
}

impl Layer {
    /// The layers whose grids it reads, and these grids.
    pub fn grids_read(&self) -> Vec<(LayerToken, Grid)> {
        match &self.kind {
            LayerKind::Map(_) | LayerKind::Explicit(_) => Vec::new(),
            LayerKind::Blockwise(blockwise) => {
                blockwise.inputs.iter().flat_map(|input| input.source.parts(&input.grid)).collect()
            }
            LayerKind::TreeReduce(tree) => tree.input.parts(&tree.input_grid).into_vec(),
            LayerKind::Shuffle(shuffle) => shuffle.input.parts(&shuffle.input_grid).into_vec(),
        }
    }
}

impl BlockSource {
    /// The layers of a grid, and the grid of each.
    fn parts(&self, grid: &Grid) -> SmallVec<[(LayerToken, Grid); 1]> {
        match self {
            BlockSource::Layer(token) => smallvec![(*token, grid.clone())],
            BlockSource::Joined(joined) => {
                joined.layers.iter().enumerate().map(|(part, &token)| (token, joined.grid_of(part, grid))).collect()
            }
        }
    }
}
