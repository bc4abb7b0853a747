//! From one chunking of an array to another: at once, or through a shuffle.
//!
//! A task that makes an output block from the input blocks under it reads those whole. That is the cheapest way while outputs
//! lie along the inputs, and the worst where every output needs a little of every input: then all inputs have to be held at
//! once, and between processes all of them are moved to every output. The number that tells is how many bytes are read for
//! each byte that is wanted.

use super::sizes::{ChunkSizes, ChunksError};

/// Bytes read for each byte wanted up to which blocks are read whole.
const DIRECT_READS: f64 = 4.0;

/// How to get to the next chunking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RechunkStep {
    /// The chunks are the same.
    Nothing,
    /// Each output block reads the input blocks under it.
    Direct,
    /// Each input block is taken apart, and the parts are put together.
    Shuffle,
}

/// How to get from chunks `old` to chunks `new` of an array of `item_bytes` an element, where `limit_bytes` may be held at once
/// without a thought.
///
/// ```
/// # use kask_graph::chunks::{ChunkSizes, RechunkStep, plan_rechunk};
/// let (fine, whole) = (ChunkSizes::uniform(10_000, 100).unwrap(), ChunkSizes::single(10_000));
/// let (rows, columns) = ([fine.clone(), whole.clone()], [whole, fine.clone()]);
/// assert_eq!(plan_rechunk(&rows, &columns, 8, 1 << 27), Ok(RechunkStep::Shuffle));
/// let coarser = ChunkSizes::uniform(10_000, 250).unwrap();
/// assert_eq!(plan_rechunk(&[fine], &[coarser], 8, 1), Ok(RechunkStep::Direct));
/// ```
///
/// # Errors
/// When they are not chunks of the same array.
pub fn plan_rechunk(
    old: &[ChunkSizes],
    new: &[ChunkSizes],
    item_bytes: u64,
    limit_bytes: u64,
) -> Result<RechunkStep, ChunksError> {
    if old.len() != new.len() {
        return Err(ChunksError::WrongAxes { given: new.len(), axes: old.len() });
    }
    for (old, new) in old.iter().zip(new) {
        if old.total() != new.total() {
            return Err(ChunksError::LengthsDiffer { left: old.total(), right: new.total() });
        }
    }
    if old == new {
        return Ok(RechunkStep::Nothing);
    }
    let bytes = old.iter().map(|sizes| sizes.total() as f64).product::<f64>() * item_bytes as f64;
    let reads: f64 = old.iter().zip(new).map(|(old, new)| reads(old, new)).product();
    let is_small = bytes <= limit_bytes as f64;
    Ok(if is_small || reads <= DIRECT_READS { RechunkStep::Direct } else { RechunkStep::Shuffle })
}

/// Elements of the old chunks under each new one, in all, for each element there is.
fn reads(old: &ChunkSizes, new: &ChunkSizes) -> f64 {
    if old.total() == 0 || old.is_single() && new.is_single() {
        return 1.0;
    }
    let mut read = 0u128;
    let mut start = 0;
    for size in new.iter().filter(|&size| size > 0) {
        let (first, last) = (old.block_at(start), old.block_at(start + size - 1));
        read += u128::from(old.start(last) + old.size(last) - old.start(first));
        start += size;
    }
    read as f64 / old.total() as f64
}
