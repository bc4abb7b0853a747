//! Layers of tasks: what a client submits, and how the scheduler makes tasks of it.
//!
//! Start with [`layer`] for what is submitted, then [`expand`](expand()) for what becomes of it. `order` decides
//! which task runs first, `call` says what one task runs, `peak` how much a run will hold, and `view` shows a graph that does not run.

mod adjacency;
mod bits;
mod blockwise;
mod call;
pub mod chunks;
mod error;
mod expand;
mod grid;
mod groups;
mod held;
mod index;
mod joined;
mod keyed;
pub mod layer;
mod order;
mod peak;
mod plan;
mod room;
mod shuffle;
mod summary;
mod tree;
mod view;

pub use adjacency::Csr;
pub use bits::BitSet;
pub use call::Call;
pub use error::{GraphError, Limits, MAX_AXES};
pub use expand::{Expansion, InputOf, Known, Output, expand, expand_within};
pub use grid::position as block_position;
pub use groups::{fitting_outputs, merge_groups};
pub use held::peak_held;
pub use layer::{
    BlockInput, BlockLists, BlockSource, BlockwiseLayer, ExplicitLayer, Graph, Grid, InputAxis, JoinedGrids, KeyLists,
    Layer, LayerKind, MapLayer, ShuffleLayer, ShuffleStage, Slot, Slots, TreeReduceLayer, Wanted,
};
pub use peak::{Capacity, Need, ProjectedPeak, TaskBytes, Verdict, projected_peak, task_bytes};
pub use plan::{LayerSpan, Read, validate};
pub use room::{PROCESS_MILLI, fitting_limit, usable_bytes};
pub use shuffle::{ShuffleInput, Stage};
pub use summary::{FamilySummary, summarize};
pub use tree::{TreeInput, TreeShape};
pub use view::View;
