//! What can be wrong with a submitted graph, in the words of whoever wrote it.
//!
//! A graph comes over a network, so every number in it may be a lie: each is checked before it is used, and
//! [`Limits`] bounds what a small message can make the receiver allocate.

use crate::layer::Grid;
use thiserror::Error;

/// How large a graph may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tasks of all layers together.
    pub tasks: u32,
    /// Inputs of all needed tasks together, each as often as it is read.
    pub inputs: u32,
}

impl Limits {
    /// The most that 32-bit ids can name: `u32::MAX / 2` of each.
    pub const MAX: Limits = Limits { tasks: u32::MAX / 2, inputs: u32::MAX / 2 };
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::MAX
    }
}

/// More axes than this are refused (NumPy's own limit).
pub const MAX_AXES: usize = 64;

/// Why a graph cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GraphError {
    /// Tasks need each other.
    #[error("the graph has a cycle of {length} tasks, each needing the next: {}", cycle_text(names, *length))]
    Cycle {
        /// Printed keys, each needing the next; at most 20.
        names: Vec<String>,
        /// How many tasks the cycle has.
        length: usize,
    },
    /// Two layers have the same token.
    #[error("layer {layer} is in the graph twice")]
    DuplicateLayer {
        /// The layer.
        layer: String,
    },
    /// An explicit layer defines a key twice.
    #[error("task {task} is defined twice in layer {layer}")]
    DuplicateKey {
        /// The task's printed key.
        task: String,
        /// The layer.
        layer: String,
    },
    /// An input's grid is not what the reader says.
    #[error("layer {layer} reads layer {input} as a grid of {said:?} blocks, but it has {actual:?}")]
    InputGrid {
        /// The reader.
        layer: String,
        /// What is read.
        input: String,
        /// The grid that the reader expects.
        said: Grid,
        /// The grid there is.
        actual: Grid,
    },
    /// A grid layer reads a layer that has no grid.
    #[error("layer {layer} reads layer {input} as a grid, but that one is a list of tasks")]
    NotAGrid {
        /// The reader.
        layer: String,
        /// What is read.
        input: String,
    },
    /// An input says how to find blocks for another number of axes than its grid has.
    #[error("layer {layer} gives {axes} axes for its input {input}, whose grid has {grid}")]
    InputAxes {
        /// The reader.
        layer: String,
        /// What is read.
        input: String,
        /// Axes described.
        axes: usize,
        /// Axes of the grid.
        grid: usize,
    },
    /// An input varies along an axis with another number of blocks there than the output has.
    #[error("layer {layer} has {output_blocks} blocks along axis {axis}, but its input {input} has {input_blocks}")]
    BlocksDiffer {
        /// The reader.
        layer: String,
        /// What is read.
        input: String,
        /// The output axis.
        axis: u32,
        /// Blocks of the input along it.
        input_blocks: u32,
        /// Blocks of the output along it.
        output_blocks: u32,
    },
    /// An interval or list of blocks speaks of what is not there.
    #[error("layer {layer} reads elements or blocks along output axis {axis} that its input does not have")]
    BadInterval {
        /// The reader.
        layer: String,
        /// The output axis.
        axis: u32,
    },
    /// Parts that do not make up the grid that they are read as.
    #[error(
        "layer {layer} reads {layers} layers as one grid of {blocks} blocks along axis {axis}, but the {ends} numbers that say where \
         each one ends there do not rise to {blocks}"
    )]
    BadParts {
        /// The reader.
        layer: String,
        /// The axis of the input's grid.
        axis: u32,
        /// Blocks of the input along it.
        blocks: u32,
        /// How many layers are put together.
        layers: usize,
        /// For how many of them it is said where they end.
        ends: usize,
    },
    /// An index is past the end of what it points into.
    #[error("layer {layer} has {what} {index}, but there are only {len}")]
    OutOfRange {
        /// The layer.
        layer: String,
        /// What is counted.
        what: &'static str,
        /// The index.
        index: u64,
        /// How many there are.
        len: u64,
    },
    /// Two lists that describe the same tasks differ in length.
    #[error("layer {layer} has {found} {what} for {expected} tasks")]
    Length {
        /// The layer.
        layer: String,
        /// What is listed.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many tasks there are.
        expected: usize,
    },
    /// List ends that do not ascend, or do not cover the list.
    #[error("layer {layer} has {what} that do not fit their list ends (at list {list})")]
    Lists {
        /// The layer.
        layer: String,
        /// What is listed.
        what: &'static str,
        /// The first list concerned.
        list: usize,
    },
    /// A tree that would not get smaller.
    #[error("layer {layer} combines {split} blocks at a time along axis {axis}; at least 2 are needed")]
    SplitEvery {
        /// The layer.
        layer: String,
        /// The axis.
        axis: u32,
        /// Blocks at a time.
        split: u32,
    },
    /// A tree that names an axis twice.
    #[error("layer {layer} combines axis {axis} twice")]
    AxisTwice {
        /// The layer.
        layer: String,
        /// The axis.
        axis: u32,
    },
    /// A shuffle with a group that makes nothing.
    #[error("group {group} of shuffle {layer} has no outputs; every group needs at least one")]
    EmptyGroup {
        /// The layer.
        layer: String,
        /// The group.
        group: usize,
    },
    /// The groups of a shuffle are not its outputs.
    #[error("the groups of shuffle {layer} have {grouped} outputs together, but it has {outputs}")]
    Groups {
        /// The layer.
        layer: String,
        /// Outputs in all groups.
        grouped: u32,
        /// Outputs there are.
        outputs: u32,
    },
    /// A shuffle that would be cut into too many pieces.
    #[error(
        "shuffle {layer} cuts each of {inputs} blocks into {groups} parts, more pieces than the {limit} inputs that a \
         graph may have; fewer groups of outputs, or larger blocks, would do"
    )]
    TooManyPieces {
        /// The layer.
        layer: String,
        /// Input blocks.
        inputs: u32,
        /// Groups of outputs.
        groups: u32,
        /// The limit.
        limit: u32,
    },
    /// More axes than anything sensible has.
    #[error("layer {layer} has a grid of {axes} axes; at most {MAX_AXES} are possible")]
    TooManyAxes {
        /// The layer.
        layer: String,
        /// Its axes.
        axes: usize,
    },
    /// More tasks than allowed.
    #[error("the graph has more than {limit} tasks (counted up to layer {layer})")]
    TooManyTasks {
        /// The layer that is too many.
        layer: String,
        /// The limit.
        limit: u32,
    },
    /// More inputs than allowed.
    #[error("the graph's tasks have more than {limit} inputs together (counted up to layer {layer})")]
    TooManyInputs {
        /// The layer that is too many.
        layer: String,
        /// The limit.
        limit: u32,
    },
    /// The tables for this many tasks do not fit in memory.
    #[error("there is no memory for the tables of a graph of {tasks} tasks")]
    OutOfMemory {
        /// Tasks of the graph.
        tasks: u32,
    },
}

fn cycle_text(names: &[String], length: usize) -> String {
    let mut text = names.join(" -> ");
    if length > names.len() {
        text.push_str(&format!(" -> ... ({} more)", length - names.len()));
    } else if let Some(first) = names.first() {
        text.push_str(" -> ");
        text.push_str(first);
    }
    text
}
