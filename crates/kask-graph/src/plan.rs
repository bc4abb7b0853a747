//! A checked graph: where each layer's tasks begin among the local ids, and which layer each input is in.
//!
//! Start with [`Plan::inputs_of`], the one place that says what a task reads: [`crate::expand`] asks it to run a graph,
//! [`crate::View`] to show one.
//!
//! Invariant: everything that an index in the graph points at exists; whoever walks a plan need not check again.
//! Building one costs as much as there are layers, their inputs, and entries in the lists of map layers and
//! explicit layers, but nothing for the tasks of grids.

use crate::error::{GraphError, Limits};
use crate::layer::{BlockSource, Graph, Grid, JoinedGrids, Layer, LayerKind};
use crate::shuffle::ShuffleInput;
use crate::tree::{TreeInput, TreeShape};
use kask_types::{Key, LayerToken};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::sync::Arc;

/// The local ids of a layer's tasks: `start..start + len`, in the layer's own order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSpan {
    /// Local id of the layer's first task.
    pub start: u32,
    /// Number of its tasks.
    pub len: u32,
}

/// What a task reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// This task of the graph, by its local id.
    Task(u32),
    /// A block of a layer that is not in the graph, by its index in C order.
    Block(LayerToken, u32),
    /// Whatever has this key.
    Key(Key),
}

/// Where block 0 of a grid that is read is.
#[derive(Clone, Copy, Debug)]
enum Base {
    /// This local id.
    Local(u32),
    /// Not in the graph: task 0 of this layer.
    External(LayerToken),
}

impl Base {
    fn block(self, index: u32) -> Read {
        match self {
            Base::Local(first) => Read::Task(first + index),
            Base::External(layer) => Read::Block(layer, index),
        }
    }
}

/// Where the blocks of a grid that is read are.
#[derive(Debug)]
enum Bases {
    /// Of one layer.
    One(Base),
    /// Of several, with the base of each.
    Joined(Arc<JoinedGrids>, Grid, Vec<Base>),
}

impl Bases {
    /// What a block (a C-order index of the grid) is.
    fn block(&self, block: u32) -> Read {
        match self {
            Bases::One(base) => base.block(block),
            Bases::Joined(joined, grid, bases) => {
                let (part, index) = joined.find(grid, block);
                bases[part].block(index)
            }
        }
    }
}

/// What has to be known of a layer to find what its tasks read, beside the layer.
#[derive(Debug, Default)]
struct Source {
    /// Of each grid that it reads.
    grids: SmallVec<[Bases; 2]>,
    /// Of a tree.
    shape: Option<TreeShape>,
}

impl Source {
    /// The shape of a layer that is a tree.
    fn tree(&self) -> &TreeShape {
        self.shape.as_ref().expect("every tree has its shape")
    }
}

/// A graph that has passed all checks but those for cycles.
#[derive(Debug)]
pub(crate) struct Plan<'g> {
    pub layers: Cow<'g, [Layer]>,
    pub spans: Vec<LayerSpan>,
    sources: Vec<Source>,
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
        Plan::of(Cow::Borrowed(&graph.layers), limits)
    }

    pub(crate) fn of(layers: Cow<'g, [Layer]>, limits: &Limits) -> Result<Plan<'g>, GraphError> {
        let limits =
            Limits { tasks: limits.tasks.min(Limits::MAX.tasks), inputs: limits.inputs.min(Limits::MAX.inputs) };
        let mut spans = Vec::with_capacity(layers.len());
        let mut by_token = FxHashMap::default();
        let mut tasks = 0u32;
        for (number, layer) in layers.iter().enumerate() {
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
        let links = Links { layers: &layers, spans: &spans, by_token };
        let sources = layers.iter().map(|layer| links.source(layer)).collect::<Result<_, _>>()?;
        Ok(Plan { layers, spans, sources, tasks })
    }

    /// Calls `visit` with what a task reads, in hole order.
    pub(crate) fn inputs_of(&self, id: u32, visit: &mut impl FnMut(Read)) {
        let (number, index) = self.place(id);
        let source = &self.sources[number];
        let own = |task: u32| Read::Task(self.spans[number].start + task);
        match &self.layers[number].kind {
            LayerKind::Map(map) => map.inputs.get(index as usize).iter().for_each(|&key| visit(Read::Key(key))),
            LayerKind::Explicit(explicit) => {
                explicit.inputs.get(index as usize).iter().for_each(|&key| visit(Read::Key(key)));
            }
            LayerKind::Blockwise(blockwise) => {
                blockwise.inputs_of(index, &mut |input, block| visit(source.grids[input].block(block)));
            }
            LayerKind::TreeReduce(_) => source.tree().inputs_of(index, &mut |input| match input {
                TreeInput::Block(block) => visit(source.grids[0].block(block)),
                TreeInput::Node(node) => visit(own(node)),
            }),
            LayerKind::Shuffle(shuffle) => shuffle.inputs_of(index, &mut |input| match input {
                ShuffleInput::Block(block) => visit(source.grids[0].block(block)),
                ShuffleInput::Task(task) => visit(own(task)),
            }),
        }
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

struct Links<'a> {
    layers: &'a [Layer],
    spans: &'a [LayerSpan],
    by_token: FxHashMap<LayerToken, usize>,
}

impl Links<'_> {
    fn source(&self, layer: &Layer) -> Result<Source, GraphError> {
        let mut source = Source::default();
        match &layer.kind {
            LayerKind::Map(_) | LayerKind::Explicit(_) => {}
            LayerKind::Blockwise(blockwise) => {
                for input in &blockwise.inputs {
                    source.grids.push(self.bases(layer, &input.source, &input.grid)?);
                }
            }
            LayerKind::TreeReduce(tree) => {
                source.grids.push(self.bases(layer, &tree.input, &tree.input_grid)?);
                source.shape = Some(tree.shape());
            }
            LayerKind::Shuffle(shuffle) => {
                source.grids.push(self.bases(layer, &shuffle.input, &shuffle.input_grid)?);
            }
        }
        Ok(source)
    }

    fn bases(&self, reader: &Layer, source: &BlockSource, grid: &Grid) -> Result<Bases, GraphError> {
        match source {
            BlockSource::Layer(token) => Ok(Bases::One(self.base(reader, *token, grid)?)),
            BlockSource::Joined(joined) => {
                let base = |(part, token): (usize, &LayerToken)| self.base(reader, *token, &joined.grid_of(part, grid));
                let bases = joined.layers.iter().enumerate().map(base).collect::<Result<_, _>>()?;
                Ok(Bases::Joined(joined.clone(), grid.clone(), bases))
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
