//! Cuts that several arrays agree on.

use super::sizes::{ChunkSizes, ChunksError};

/// The coarsest chunks that each of the given ones can be cut into: with a cut wherever one of them has one. Chunks that are
/// all equal stay as they are.
///
/// ```
/// # use kask_graph::chunks::{ChunkSizes, unify};
/// let (a, b) = (ChunkSizes::new([6, 4]).unwrap(), ChunkSizes::new([5, 5]).unwrap());
/// assert_eq!(unify(&[a, b]).unwrap().iter().collect::<Vec<_>>(), [5, 1, 4]);
/// ```
///
/// # Errors
/// When the arrays differ in length, or there is none.
pub fn unify(all: &[ChunkSizes]) -> Result<ChunkSizes, ChunksError> {
    let (first, others) = all.split_first().ok_or(ChunksError::NoChunks)?;
    if let Some(other) = others.iter().find(|other| other.total() != first.total()) {
        return Err(ChunksError::LengthsDiffer { left: first.total(), right: other.total() });
    }
    if others.iter().all(|other| other == first) {
        return Ok(first.clone());
    }
    let mut cuts: Vec<u64> = all.iter().flat_map(ChunkSizes::cuts).collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts.push(first.total());
    let mut before = 0;
    ChunkSizes::new(cuts.into_iter().map(|cut| cut - std::mem::replace(&mut before, cut)))
}
