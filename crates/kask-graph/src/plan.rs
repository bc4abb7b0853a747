//! A checked graph: where each layer's tasks begin among the local ids, and which layer each input is in.
//!
//! Invariant: everything that an index in the graph points at exists; whoever walks a plan need not check again.
//! Building one costs as much as there are layers, their inputs, and entries in the lists of map layers and
//! explicit layers, but nothing for the tasks of grids.

use crate::error::{GraphError, Limits};
use crate::layer::{
    BlockInput, BlockSource, BlockwiseLayer, Graph, Grid, JoinedGrids, KeyLists, Layer, LayerKind, ShuffleLayer,
};
use crate::tree::TreeShape;
use kask_types::{Key, LayerToken};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// The local ids of a layer's tasks: `start..start + len`, in the layer's own order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSpan {
    /// Local id of the layer's first task.
    pub start: u32,
    /// Number of its tasks.
    pub len: u32,
}

/// Where block 0 of a grid that is read is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Base {
    /// This local id.
    Local(u32),
    /// Not in the graph: task 0 of this layer.
    External(LayerToken),
}

/// Where the blocks of an input of a blockwise layer are.
#[derive(Debug)]
pub(crate) enum Bases<'g> {
    /// Of one layer.
    One(Base),
    /// Of several, with the base of each.
    Joined(&'g JoinedGrids, &'g Grid, Vec<Base>),
}

impl Bases<'_> {
    /// Where the first block of the layer is that a block (a C-order index of the input's grid) belongs to, and its index there.
    pub(crate) fn find(&self, block: u32) -> (Base, u32) {
        match self {
            Bases::One(base) => (*base, block),
            Bases::Joined(joined, grid, bases) => {
                let (part, index) = joined.find(grid, block);
                (bases[part], index)
            }
        }
    }
}

/// How a layer's tasks find their inputs.
#[derive(Debug)]
pub(crate) enum Source<'g> {
    /// By key; the layer's own keys come first.
    Keyed(&'g [Key], &'g KeyLists),
    /// Block by block, with the bases of each of the layer's inputs.
    Blocks(&'g BlockwiseLayer, SmallVec<[Bases<'g>; 4]>),
    /// As a tree.
    Tree(TreeShape, Base),
    /// As a shuffle.
    Shuffle(&'g ShuffleLayer, Base),
}

/// A graph that has passed all checks but those for cycles.
#[derive(Debug)]
pub(crate) struct Plan<'g> {
    pub layers: &'g [Layer],
    pub spans: Vec<LayerSpan>,
    pub sources: Vec<Source<'g>>,
    pub tasks: u32,
}

/// Checks all of a graph but whether it has cycles, and counts its tasks.
///
/// ```
/// # use kask_graph::{validate, Graph};
/// assert_eq!(validate(&Graph::default()), Ok(0));
/// ```
pub fn validate(graph: &Graph) -> Result<u32, GraphError> {
    Plan::new(graph, &Limits::MAX).map(|plan| plan.tasks)
}

impl<'g> Plan<'g> {
    pub(crate) fn new(graph: &'g Graph, limits: &Limits) -> Result<Plan<'g>, GraphError> {
        let limits =
            Limits { tasks: limits.tasks.min(Limits::MAX.tasks), inputs: limits.inputs.min(Limits::MAX.inputs) };
        let mut spans = Vec::with_capacity(graph.layers.len());
        let mut by_token = FxHashMap::default();
        let mut tasks = 0u32;
        for (number, layer) in graph.layers.iter().enumerate() {
            if by_token.insert(layer.token, number).is_some() {
                return Err(GraphError::DuplicateLayer { layer: layer.label() });
            }
            let len = check_layer(layer, &limits)?;
            spans.push(LayerSpan { start: tasks, len });
            tasks = tasks
                .checked_add(len)
                .filter(|&tasks| tasks <= limits.tasks)
                .ok_or_else(|| GraphError::TooManyTasks { layer: layer.label(), limit: limits.tasks })?;
        }
        let links = Links { layers: &graph.layers, spans: &spans, by_token };
        let sources = graph.layers.iter().map(|layer| links.source(layer)).collect::<Result<_, _>>()?;
        Ok(Plan { layers: &graph.layers, spans, sources, tasks })
    }

    /// The layer of a task and the task's place in it.
    pub(crate) fn place(&self, id: u32) -> (usize, u32) {
        place(&self.spans, id)
    }

    pub(crate) fn key_of(&self, id: u32) -> Key {
        let (layer, index) = self.place(id);
        self.layers[layer].key_of(index)
    }

    pub(crate) fn name_of(&self, id: u32) -> String {
        let (layer, index) = self.place(id);
        self.layers[layer].name(index).to_string()
    }
}

/// The layer of local id `id`, which is in one of the spans, and its place there.
pub(crate) fn place(spans: &[LayerSpan], id: u32) -> (usize, u32) {
    // Layers without tasks begin where the next one does, so the last that begins in time is the right one.
    let layer = spans.partition_point(|span| span.start <= id) - 1;
    (layer, id - spans[layer].start)
}

fn check_layer(layer: &Layer, limits: &Limits) -> Result<u32, GraphError> {
    let listed = |len: usize| {
        let len = u32::try_from(len).ok();
        len.ok_or_else(|| GraphError::TooManyTasks { layer: layer.label(), limit: limits.tasks })
    };
    match &layer.kind {
        LayerKind::Map(map) => listed(map.check(layer, limits.inputs)?),
        LayerKind::Explicit(explicit) => listed(explicit.check(layer, limits.inputs)?),
        LayerKind::Blockwise(blockwise) => blockwise.check(layer, limits.tasks, limits.inputs),
        LayerKind::TreeReduce(tree) => tree.check(layer, limits.tasks, limits.inputs),
        LayerKind::Shuffle(shuffle) => shuffle.check(layer, limits.tasks, limits.inputs),
    }
}

struct Links<'a, 'g> {
    layers: &'g [Layer],
    spans: &'a [LayerSpan],
    by_token: FxHashMap<LayerToken, usize>,
}

impl<'g> Links<'_, 'g> {
    fn source(&self, layer: &'g Layer) -> Result<Source<'g>, GraphError> {
        Ok(match &layer.kind {
            LayerKind::Map(map) => Source::Keyed(&map.keys, &map.inputs),
            LayerKind::Explicit(explicit) => Source::Keyed(&explicit.keys, &explicit.inputs),
            LayerKind::Blockwise(blockwise) => {
                let bases = |input| self.bases(layer, input);
                Source::Blocks(blockwise, blockwise.inputs.iter().map(bases).collect::<Result<_, _>>()?)
            }
            LayerKind::TreeReduce(tree) => Source::Tree(tree.shape(), self.base(layer, tree.input, &tree.input_grid)?),
            LayerKind::Shuffle(shuffle) => {
                Source::Shuffle(shuffle, self.base(layer, shuffle.input, &shuffle.input_grid)?)
            }
        })
    }

    fn bases(&self, reader: &Layer, input: &'g BlockInput) -> Result<Bases<'g>, GraphError> {
        match &input.source {
            BlockSource::Layer(token) => Ok(Bases::One(self.base(reader, *token, &input.grid)?)),
            BlockSource::Joined(joined) => {
                let base =
                    |(part, token): (usize, &LayerToken)| self.base(reader, *token, &joined.grid_of(part, &input.grid));
                let bases = joined.layers.iter().enumerate().map(base).collect::<Result<_, _>>()?;
                Ok(Bases::Joined(joined, &input.grid, bases))
            }
        }
    }

    /// Finds what `reader` reads as a grid of `said` blocks. Blocks are numbered in C order, so that any grid of as many will do: axes
    /// of one block may come and go, and axes may be merged and split.
    fn base(&self, reader: &Layer, input: LayerToken, said: &Grid) -> Result<Base, GraphError> {
        let Some(&number) = self.by_token.get(&input) else {
            return Ok(Base::External(input));
        };
        let read = &self.layers[number];
        let actual = match &read.kind {
            LayerKind::Blockwise(blockwise) => blockwise.grid.clone(),
            LayerKind::TreeReduce(tree) => tree.output_grid(),
            LayerKind::Shuffle(shuffle) => shuffle.outputs.clone(),
            LayerKind::Map(_) | LayerKind::Explicit(_) => {
                return Err(GraphError::NotAGrid { layer: reader.label(), input: read.label() });
            }
        };
        if crate::grid::blocks(&actual) != crate::grid::blocks(said) {
            let said = said.clone();
            return Err(GraphError::InputGrid { layer: reader.label(), input: read.label(), said, actual });
        }
        // Every kind numbers its results first.
        Ok(Base::Local(self.spans[number].start))
    }
}
