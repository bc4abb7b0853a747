//! What a client submits: layers, not tasks.
//!
//! A layer is a named, indexed family of tasks. Submitting costs as much as there are layers; the scheduler
//! expands them (see `expand`). A task's *argument template* is an opaque payload in which the
//! language binding leaves numbered holes; the layer kind says which tasks' results fill them.

use crate::chunks::Interval;
use kask_types::{Annotations, BlobId, Items, Key, LayerToken, Payload};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;

/// Any number of layers, in any order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Graph {
    /// The layers; a token occurs once.
    pub layers: Vec<Layer>,
}

/// Which tasks of a graph a client wants.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Wanted {
    /// These.
    Keys(Vec<Key>),
    /// All tasks of the map layers, explicit layers and blockwise layers, and the results of the others.
    All,
}

/// A named family of tasks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Layer {
    /// Equal for equal work.
    pub token: LayerToken,
    /// The family's name: durations are learned by it, and it begins the printed keys.
    pub prefix: Arc<str>,
    /// How its tasks are run.
    pub annotations: Annotations,
    /// What its tasks are.
    pub kind: LayerKind,
}

/// The kinds of layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum LayerKind {
    /// One function over items that the user handed in.
    Map(MapLayer),
    /// Any tasks.
    Explicit(ExplicitLayer),
    /// One function over a grid of blocks.
    Blockwise(BlockwiseLayer),
    /// A tree that combines a grid of blocks along some axes.
    TreeReduce(TreeReduceLayer),
    /// New blocks that each are made of all blocks of a grid.
    Shuffle(ShuffleLayer),
}

/// One function over items that the user handed in; each task has a key of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MapLayer {
    /// The function.
    pub function: BlobId,
    /// One argument template each.
    pub items: Items,
    /// One key each.
    pub keys: Vec<Key>,
    /// One printed name each, where the user chose them; empty otherwise.
    pub names: Vec<Arc<str>>,
    /// What fills each item's holes.
    pub inputs: KeyLists,
}

/// Any tasks, each with its own function, arguments and inputs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ExplicitLayer {
    /// What each task calls; `None` means that the task's argument payload is its result.
    pub functions: Vec<Option<BlobId>>,
    /// One argument template each.
    pub items: Vec<Payload>,
    /// One key each.
    pub keys: Vec<Key>,
    /// Printed name of each; `None` prints `prefix-key` with the family below.
    pub names: Vec<Option<Arc<str>>>,
    /// Family name of each, as an index into `prefixes`.
    pub families: Vec<u32>,
    /// The families' names.
    pub prefixes: Vec<Arc<str>>,
    /// Annotations of each, as an index into `annotation_sets`; empty if all have the layer's.
    pub annotations: Vec<u32>,
    /// Annotations that differ from the layer's.
    pub annotation_sets: Vec<Annotations>,
    /// What fills each task's holes.
    pub inputs: KeyLists,
}

/// A list of keys for each of a sequence of tasks: hole `i` of a task is filled by its `i`-th key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLists {
    /// All keys, list after list.
    pub keys: Vec<Key>,
    /// Where each list ends; empty when every list is.
    pub ends: Vec<u32>,
}

impl KeyLists {
    /// List `index`; empty when there is none.
    pub fn get(&self, index: usize) -> &[Key] {
        let Some(&end) = self.ends.get(index) else {
            return &[];
        };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        self.keys.get(start as usize..end as usize).unwrap_or(&[])
    }
}

/// A grid of tasks: number of blocks along each axis. No axis means one task.
pub type Grid = SmallVec<[u32; 4]>;

/// One function over a grid of blocks. Task keys are [`Key::block`] of the token and the block's C-order index.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BlockwiseLayer {
    /// The function.
    pub function: BlobId,
    /// The argument template, the same for all blocks. Hole `i` is filled from `inputs[i]`.
    pub template: Payload,
    /// Number of output blocks along each axis.
    pub grid: Grid,
    /// How block `i` finds its inputs.
    pub inputs: Vec<BlockInput>,
    /// Something more for each block, in C order: fills the hole after those of `inputs`.
    pub items: Option<Items>,
    /// Whether the block's grid position is handed to the call.
    pub wants_position: bool,
}

/// How a block finds one of its inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockInput {
    /// Where the blocks are that are read.
    pub source: BlockSource,
    /// The grid of them: that of a layer's results, or of as many blocks, as they are numbered in C order.
    pub grid: Grid,
    /// Per axis of that grid, which blocks are read. An axis of one block is broadcast under `Out`.
    pub axes: SmallVec<[InputAxis; 4]>,
}

/// Where the blocks of a grid are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlockSource {
    /// They are the results of this layer: anything that has a grid. Their keys are [`Key::block`] of it.
    Layer(LayerToken),
    /// They are the results of several layers, whose grids lie one after another along an axis.
    Joined(Arc<JoinedGrids>),
}

impl From<LayerToken> for BlockSource {
    fn from(layer: LayerToken) -> BlockSource {
        BlockSource::Layer(layer)
    }
}

/// Grids of several layers, which are alike but for one axis, one after another along that axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinedGrids {
    /// The axis.
    pub axis: u32,
    /// The layers in order; one may occur several times.
    pub layers: Vec<LayerToken>,
    /// For each of them, where its blocks end along the axis.
    pub ends: Vec<u32>,
}

/// Which blocks along one axis of an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputAxis {
    /// The block with the output's position on this output axis (block 0 if the input has only one there).
    Out(u32),
    /// That block and its neighbours, as far as there are any: `before` to the left, `after` to the right.
    Window {
        /// The output axis.
        axis: u32,
        /// Neighbours to the left.
        before: u32,
        /// Neighbours to the right.
        after: u32,
    },
    /// Always this block.
    Fixed(u32),
    /// All blocks of the axis (a contraction): the hole is filled with a list.
    All,
    /// Those that hold the elements that the output block needs (a slice, a rechunk, an overlap): the hole is filled with a list.
    Interval {
        /// The output axis.
        axis: u32,
        /// Which elements those are.
        interval: Arc<Interval>,
    },
    /// Those that are listed for the output's position: the hole is filled with a list.
    Listed {
        /// The output axis.
        axis: u32,
        /// The blocks for each position.
        lists: Arc<BlockLists>,
    },
}

/// Blocks for each position along an axis, in the order in which they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockLists {
    /// All blocks, list after list.
    pub blocks: Vec<u32>,
    /// Where each list ends.
    pub ends: Vec<u32>,
}

impl BlockLists {
    /// The list for a position; empty when there is none.
    pub fn get(&self, position: u32) -> &[u32] {
        let position = position as usize;
        let Some(&end) = self.ends.get(position) else {
            return &[];
        };
        let start = if position == 0 { 0 } else { self.ends[position - 1] };
        self.blocks.get(start as usize..end as usize).unwrap_or(&[])
    }

    /// The length of the longest list.
    pub(crate) fn longest(&self) -> u64 {
        let mut start = 0;
        let lengths = self.ends.iter().map(|&end| end.saturating_sub(std::mem::replace(&mut start, end)));
        lengths.max().unwrap_or(0).into()
    }
}

/// A tree that combines blocks along `axes`, `split_every` at a time.
///
/// The layer's tasks are all nodes of the tree: first the `product(output grid)` results in C order, then the inner
/// levels from the one next to the input on. Printed and hashed by their index in the layer, so that any layer can
/// read the results as blocks, be the tree in its graph or not. A node's hole 0 is filled with the list of its
/// inputs in C order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TreeReduceLayer {
    /// Combines partial results.
    pub combine: BlobId,
    /// Makes the result out of the last level's inputs.
    pub aggregate: BlobId,
    /// Argument template of both.
    pub template: Payload,
    /// Where the blocks are that are read.
    pub input: BlockSource,
    /// The grid of them.
    pub input_grid: Grid,
    /// Which axes are combined, and how many blocks at a time (at least 2) along each.
    pub split_every: Vec<(u32, u32)>,
}

/// Makes new blocks out of all blocks of a grid (a shuffle of tables, a rechunk of arrays), in three families.
///
/// Outputs are made in *groups*, so that there are not as many pieces as inputs times outputs. *Split* `i` takes
/// input block `i` apart into one part for each group. *Merge* `g` reads part `g` of every split: hole 0 is their
/// list in C order of the input blocks. *Take* `j` makes output `j` out of the merge of its group, which fills hole 0.
///
/// The layer's tasks are the takes (the results, in C order), then the merges, then the splits. All are keyed by
/// their index in the layer; the takes and the splits are printed by their position in `outputs` and `input_grid`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShuffleLayer {
    /// What takes an input block apart. Its result consists of parts, one for each group.
    pub split: ShuffleStage,
    /// What puts the parts of a group together. Its position is the number of the group.
    pub merge: ShuffleStage,
    /// What makes an output out of its group. Its position is the output's number within the group.
    pub take: ShuffleStage,
    /// The family of the splits; that of the takes is the layer's.
    pub split_prefix: Arc<str>,
    /// The family of the merges.
    pub merge_prefix: Arc<str>,
    /// Where the blocks are that are read.
    pub input: BlockSource,
    /// The grid of them.
    pub input_grid: Grid,
    /// The grid of the outputs.
    pub outputs: Grid,
    /// Where each group of outputs ends, in C order; no group is empty.
    pub group_ends: Vec<u32>,
    /// Whether a block's position in `input_grid` is handed to its split.
    pub wants_position: bool,
}

/// What one family of a shuffle calls. Hole 0 is filled with its input or inputs, hole 1 with its position.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShuffleStage {
    /// The function.
    pub function: BlobId,
    /// The argument template.
    pub template: Payload,
}

/// How a task's inputs fill its holes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slots {
    /// Hole `i` is input `i`.
    Each,
    /// Hole 0 is the list of all inputs.
    OneList,
    /// Hole by hole.
    Mixed(Arc<[Slot]>),
}

/// How one hole is filled, taking inputs in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slot {
    /// By the next input.
    One,
    /// By a list of the next so many inputs.
    List(u32),
}
