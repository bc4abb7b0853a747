//! Data-parallel kernels on Arrow tables and on the raw buffers of arrays. They know neither tasks nor Python.
//!
//! A shuffle of tables runs in two steps. [`assign`] says to which output each row of a table goes, by [hash](hash) of some
//! columns, by [range](PartitionBy::Range) or by a column that says so; [`split`] then moves the rows into *parts*, one
//! per [group of outputs](Grouping), each a single buffer of bytes that can travel. [`merge`] reads the same part of many
//! splits and makes one table of each output. A shuffle of array blocks (rechunk) cuts strided [blocks](Block) with [`split_block`]
//! and puts others together with [`assemble_block`].
//!
//! Chains of elementwise operations on blocks, with a reduction at the end, run in one pass: [fused].
//!
//! Results are deterministic: they depend on the tables, their order and the parameters, never on the machine, the
//! number of threads or chance. Everything here checks what it reads, and runs on the calling thread. It is safe Rust, but for memory seen
//! as numbers and calls of loops for the processor at hand in `fused/`.
//!
//! Where to start: `split.rs` and `merge.rs`; `part.rs` is the format between them.

#[cfg(target_endian = "big")]
compile_error!("parts hold Arrow buffers as they lie in memory, which is little-endian everywhere Kask runs");

mod blocks;
mod column;
mod compact;
mod dictionary;
mod error;
pub mod fused;
mod gather;
mod grouping;
pub mod hash;
mod merge;
mod node;
mod part;
mod partition;
mod range;
mod rechunk;
mod reconcile;
mod scatter;
mod split;
mod table;
mod words;

pub use blocks::{Block, BlockMut, c_strides, copy_box};
pub use error::KernelError;
pub use grouping::Grouping;
pub use merge::{Merged, merge};
pub use partition::{PartitionBy, SortKey, assign};
pub use rechunk::{BlockSplit, Chunks, assemble_block, block_note, split_block};
pub use split::{PART_ALIGNMENT, SplitPlan, split};
pub use table::Table;

/// The Arrow types of this crate's interface, so that its users need not name the versions again.
pub mod arrow {
    pub use arrow_array as array;
    pub use arrow_schema as schema;
}
