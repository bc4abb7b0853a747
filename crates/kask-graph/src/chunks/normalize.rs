//! From what users write to chunk sizes.

use super::sizes::{ChunkSizes, ChunksError};

/// What is asked for along one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AxisSpec {
    /// Whatever keeps blocks within the limit.
    Auto,
    /// One chunk.
    Whole,
    /// Chunks of this size, the last of which may be smaller.
    Size(u64),
    /// These.
    Sizes(ChunkSizes),
}

/// Chunk sizes for an array.
///
/// Axes that are `Auto` share what the limit leaves them: as equal lengths as can be, whole axes where those are shorter. Where the
/// array is cut already (`previous`), their chunks are multiples or parts of those, so that little has to move.
///
/// ```
/// # use kask_graph::chunks::{AxisSpec, normalize};
/// // 1,000 numbers of 8 bytes fit.
/// let chunks = normalize(&[100, 1_000], &[AxisSpec::Auto, AxisSpec::Whole], 8, 8_000, None).unwrap();
/// assert_eq!((chunks[0].blocks(), chunks[1].blocks()), (100, 1));
/// let chunks = normalize(&[1_000, 1_000], &[AxisSpec::Auto, AxisSpec::Auto], 8, 80_000, None).unwrap();
/// assert_eq!((chunks[0].largest(), chunks[1].largest()), (100, 100));
/// ```
///
/// # Errors
/// When the specification does not fit the shape.
pub fn normalize(
    shape: &[u64],
    specs: &[AxisSpec],
    item_bytes: u64,
    limit_bytes: u64,
    previous: Option<&[ChunkSizes]>,
) -> Result<Vec<ChunkSizes>, ChunksError> {
    if specs.len() != shape.len() {
        return Err(ChunksError::WrongAxes { given: specs.len(), axes: shape.len() });
    }
    let mut chunks: Vec<Option<ChunkSizes>> = Vec::with_capacity(shape.len());
    for (axis, (&len, spec)) in shape.iter().zip(specs).enumerate() {
        chunks.push(match spec {
            AxisSpec::Auto => None,
            AxisSpec::Whole => Some(ChunkSizes::single(len)),
            AxisSpec::Size(0) if len > 0 => return Err(ChunksError::ZeroSize { axis, len }),
            AxisSpec::Size(size) => Some(ChunkSizes::uniform(len, *size)?),
            AxisSpec::Sizes(sizes) if sizes.total() != len => {
                return Err(ChunksError::WrongSum { axis, sum: sizes.total(), len });
            }
            AxisSpec::Sizes(sizes) => Some(sizes.clone()),
        });
    }
    let fixed = chunks.iter().flatten().map(|sizes| sizes.largest().max(1) as f64).product::<f64>();
    let room = (limit_bytes as f64 / item_bytes.max(1) as f64 / fixed).max(1.0);
    let before = |axis: usize| previous.and_then(|previous| previous.get(axis)).map(ChunkSizes::largest);
    let auto: Vec<usize> = (0..shape.len()).filter(|&axis| chunks[axis].is_none()).collect();
    for (axis, size) in auto_sizes(shape, auto, room, before) {
        chunks[axis] = Some(ChunkSizes::uniform(shape[axis], size)?);
    }
    Ok(chunks.into_iter().flatten().collect())
}

/// A size for each of the axes, so that their product is at most `room`.
fn auto_sizes(
    shape: &[u64],
    mut axes: Vec<usize>,
    mut room: f64,
    before: impl Fn(usize) -> Option<u64>,
) -> Vec<(usize, u64)> {
    let mut sizes = Vec::with_capacity(axes.len());
    axes.sort_by_key(|&axis| shape[axis]);
    let mut left = axes.len();
    for axis in axes {
        // Shorter axes come first, and leave to the longer ones what they do not need.
        let share = room.powf(1.0 / left as f64);
        // A power that is a whole number but for rounding is one.
        let share = if (share.round() - share).abs() < 1e-9 * share { share.round() } else { share };
        let size = aligned((share as u64).max(1), shape[axis], before(axis));
        sizes.push((axis, size));
        room = (room / size.max(1) as f64).max(1.0);
        left -= 1;
    }
    sizes
}

/// About this size, as a multiple or part of what was before.
fn aligned(size: u64, len: u64, before: Option<u64>) -> u64 {
    match before {
        _ if size >= len => len,
        Some(before) if before > 0 && before <= size => size / before * before,
        Some(before) if before > size => before.div_ceil(before.div_ceil(size)),
        Some(_) | None => size,
    }
}
