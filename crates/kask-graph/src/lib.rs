//! Layers of tasks: what a client submits, and how the scheduler makes tasks of it.
//!
//! Start with [`layer`] for what is submitted, then [`expand`](expand()) for what becomes of it. `order` decides
//! which task runs first, `call` says what one task runs.

mod adjacency;
mod bits;
mod blockwise;
mod call;
mod error;
mod expand;
mod grid;
mod held;
mod index;
mod keyed;
pub mod layer;
mod order;
mod plan;
mod tree;

pub use adjacency::Csr;
pub use bits::BitSet;
pub use call::Call;
pub use error::{GraphError, Limits, MAX_AXES};
pub use expand::{Expansion, InputOf, Known, Output, expand, expand_within};
pub use held::peak_held;
pub use layer::{
    BlockInput, BlockwiseLayer, ExplicitLayer, Graph, Grid, InputAxis, KeyLists, Layer, LayerKind, MapLayer, Slot,
    Slots, TreeReduceLayer, Wanted,
};
pub use plan::{LayerSpan, validate};
pub use tree::{TreeInput, TreeShape};
