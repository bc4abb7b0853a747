//! Layers of tasks: what a client submits, and how the scheduler makes tasks of it.
//!
//! Start with [`layer`].

pub mod layer;

pub use layer::{
    BlockInput, BlockwiseLayer, ExplicitLayer, Graph, Grid, InputAxis, KeyLists, Layer, LayerKind, MapLayer, Slot,
    Slots, TreeReduceLayer, Wanted,
};
