//! Arithmetic on chunk sizes: how arrays are cut into blocks, and what becomes of the cuts.
//!
//! Start with [`ChunkSizes`], one axis of an array. Everything here costs as much as there are *runs* of equal sizes, or, where a
//! result has no runs, as there are chunks; nothing costs as much as there are blocks.
//!
//! * [`normalize`] makes chunk sizes of what users write: `"auto"`, a byte target, one size for all, lists.
//! * [`unify`] finds the cuts that several arrays agree on; `slice` (a method) what is left of cuts after slicing.
//! * [`flat`] makes one axis of several; `scaled`, `coarsened`, `plus` and others (methods) change sizes block by block.
//! * [`Interval`] says which blocks of an input an output block needs, along one axis.
//! * [`plan_rechunk`] goes from one chunking to another in the steps that take least, none of which takes too much memory.
//! * [`plan_reshape`] says how an array must be cut so that each block can be reshaped by itself.

mod combine;
mod interval;
mod normalize;
mod rechunk;
mod reshape;
mod sizes;
mod unify;

pub use combine::flat;
pub use interval::{Interval, Piece};
pub use normalize::{AxisSpec, normalize};
pub use rechunk::{RechunkCost, RechunkStep, RechunkTerms, RechunkWay, RechunkWays, direct_cost, plan_rechunk};
pub use reshape::{ReshapePlan, plan_reshape};
pub use sizes::{ChunkSizes, ChunksError, SizeRun};
pub use unify::unify;
