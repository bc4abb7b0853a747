//! Chunk sizes along one axis, run-length encoded.
//!
//! Invariants: there is at least one run, no run is empty, neighbouring runs differ in size (so that equal sizes have one
//! encoding), and neither the sum of the sizes nor the number of chunks overflows.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// So many chunks of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SizeRun {
    /// Elements of each chunk.
    pub size: u64,
    /// How many chunks.
    pub count: u32,
}

/// A run and what lies before it.
#[derive(Clone, Copy, Debug)]
struct Placed {
    run: SizeRun,
    /// Chunks before it.
    block: u32,
    /// Elements before it.
    start: u64,
}

/// How an axis is cut into chunks: one chunk at least, some of which may be empty.
///
/// ```
/// # use kask_graph::chunks::ChunkSizes;
/// let sizes = ChunkSizes::new([4, 4, 2]).unwrap();
/// assert_eq!((sizes.blocks(), sizes.total()), (3, 10));
/// assert_eq!((sizes.size(2), sizes.start(2), sizes.block_at(7)), (2, 8, 1));
/// assert_eq!(sizes, ChunkSizes::uniform(10, 4).unwrap());
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Vec<SizeRun>", into = "Vec<SizeRun>")]
pub struct ChunkSizes {
    runs: Arc<[Placed]>,
    blocks: u32,
    total: u64,
}

/// What is wrong with chunk sizes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunksError {
    /// No chunk.
    #[error("an axis has at least one chunk; give the size of one")]
    NoChunks,
    /// More than there are numbers for.
    #[error("an axis has more than 2^63 elements")]
    TooLong,
    /// More chunks than there are numbers for.
    #[error("an axis has more than 2^32 chunks; use larger ones")]
    TooManyChunks,
    /// Sizes that do not add up.
    #[error("the chunk sizes along axis {axis} add up to {sum}, but the axis has {len} elements")]
    WrongSum {
        /// Which axis.
        axis: usize,
        /// What they add up to.
        sum: u64,
        /// What they should.
        len: u64,
    },
    /// A specification for another number of axes.
    #[error("chunks are given for {given} axes, but the array has {axes}")]
    WrongAxes {
        /// How many were given.
        given: usize,
        /// How many there are.
        axes: usize,
    },
    /// Zero where that cuts nothing.
    #[error("a chunk size of 0 along axis {axis}, which has {len} elements; give 1 or more, or -1 for one chunk")]
    ZeroSize {
        /// Which axis.
        axis: usize,
        /// Its length.
        len: u64,
    },
    /// Arrays of other lengths.
    #[error("axes of {left} and {right} elements cannot be cut alike")]
    LengthsDiffer {
        /// One length.
        left: u64,
        /// The other.
        right: u64,
    },
    /// Chunks of another number.
    #[error("there are {left} chunks along one axis and {right} along another that should have as many")]
    BlocksDiffer {
        /// One number.
        left: u32,
        /// The other.
        right: u32,
    },
    /// More taken off than there is.
    #[error("a chunk of {size} elements is shorter than the {taken} that shall be taken off it")]
    TooShort {
        /// Elements of the chunk.
        size: u64,
        /// What shall be taken off.
        taken: u64,
    },
    /// Shapes of another number of elements.
    #[error("an array of {from} elements cannot have a shape of {to} elements")]
    CannotReshape {
        /// Elements there are.
        from: u128,
        /// Elements there should be.
        to: u128,
    },
}

impl ChunkSizes {
    /// These sizes.
    ///
    /// # Errors
    /// When there are none, or too many, or they are too large.
    pub fn new(sizes: impl IntoIterator<Item = u64>) -> Result<ChunkSizes, ChunksError> {
        ChunkSizes::from_runs(sizes.into_iter().map(|size| SizeRun { size, count: 1 }))
    }

    /// Runs of sizes, which need not be merged.
    ///
    /// # Errors
    /// As [`ChunkSizes::new`].
    pub fn from_runs(runs: impl IntoIterator<Item = SizeRun>) -> Result<ChunkSizes, ChunksError> {
        let mut placed: Vec<Placed> = Vec::new();
        let (mut blocks, mut total) = (0u32, 0u64);
        for run in runs.into_iter().filter(|run| run.count > 0) {
            let elements = run.size.checked_mul(run.count.into()).ok_or(ChunksError::TooLong)?;
            match placed.last_mut().filter(|last| last.run.size == run.size) {
                Some(last) => {
                    last.run.count = last.run.count.checked_add(run.count).ok_or(ChunksError::TooManyChunks)?
                }
                None => placed.push(Placed { run, block: blocks, start: total }),
            }
            blocks = blocks.checked_add(run.count).ok_or(ChunksError::TooManyChunks)?;
            total = total.checked_add(elements).filter(|&t| i64::try_from(t).is_ok()).ok_or(ChunksError::TooLong)?;
        }
        if placed.is_empty() {
            return Err(ChunksError::NoChunks);
        }
        Ok(ChunkSizes { runs: placed.into(), blocks, total })
    }

    /// One chunk.
    ///
    /// # Panics
    /// When it has more than 2^63 elements, which no array has.
    pub fn single(len: u64) -> ChunkSizes {
        ChunkSizes::new([len]).expect("an axis of an array has fewer than 2^63 elements")
    }

    /// Chunks of `size`, the last of which may be smaller. An empty axis has one empty chunk.
    ///
    /// # Errors
    /// When there would be too many.
    pub fn uniform(len: u64, size: u64) -> Result<ChunkSizes, ChunksError> {
        if size == 0 || len <= size {
            return ChunkSizes::new([len]);
        }
        let count = u32::try_from(len / size).map_err(|_| ChunksError::TooManyChunks)?;
        let rest = SizeRun { size: len % size, count: u32::from(!len.is_multiple_of(size)) };
        ChunkSizes::from_runs([SizeRun { size, count }, rest])
    }

    /// Number of chunks.
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Number of elements.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The runs of equal sizes, in order.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = SizeRun> + '_ {
        self.runs.iter().map(|placed| placed.run)
    }

    /// All sizes, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.runs().flat_map(|run| std::iter::repeat_n(run.size, run.count as usize))
    }

    /// The largest size.
    pub fn largest(&self) -> u64 {
        self.runs().map(|run| run.size).max().unwrap_or(0)
    }

    /// Whether all elements are in one chunk.
    pub fn is_single(&self) -> bool {
        self.blocks == 1
    }

    fn run_of(&self, block: u32) -> &Placed {
        &self.runs[self.runs.partition_point(|placed| placed.block <= block) - 1]
    }

    /// The size of a chunk, and the first chunk after it that is in another run.
    pub(crate) fn run_at(&self, block: u32) -> (u64, u32) {
        let placed = self.run_of(block);
        (placed.run.size, placed.block + placed.run.count)
    }

    /// Elements of a chunk.
    pub fn size(&self, block: u32) -> u64 {
        self.run_of(block).run.size
    }

    /// Elements before a chunk; for the number of chunks, all of them.
    pub fn start(&self, block: u32) -> u64 {
        let placed = self.run_of(block);
        (placed.start + u64::from(block - placed.block) * placed.run.size).min(self.total)
    }

    /// The chunk that an element is in.
    ///
    /// # Panics
    /// When there is no such element.
    pub fn block_at(&self, element: u64) -> u32 {
        assert!(element < self.total, "element {element} of {}", self.total);
        let placed = &self.runs[self.runs.partition_point(|placed| placed.start <= element) - 1];
        // Runs of empty chunks begin where the next run does, so the last that begins in time has elements.
        placed.block + ((element - placed.start) / placed.run.size) as u32
    }

    /// The elements before which there is a cut, but for the first and the end; each once.
    pub(crate) fn cuts(&self) -> impl Iterator<Item = u64> + '_ {
        let mut before = 0;
        (1..self.blocks).map(|block| self.start(block)).filter(move |&at| {
            let is_new = at > before && at < self.total;
            before = at;
            is_new
        })
    }

    /// What is left of the chunks when `len` elements are taken, from `start` on every `step`-th (backwards if negative).
    /// Chunks of which nothing is taken are gone; when nothing is taken at all, there is one empty chunk.
    ///
    /// ```
    /// # use kask_graph::chunks::ChunkSizes;
    /// let sizes = ChunkSizes::new([4, 4, 2]).unwrap();
    /// assert_eq!(sizes.slice(3, 2, 3).iter().collect::<Vec<_>>(), [1, 2]); // elements 3 | 5, 7
    /// assert_eq!(sizes.slice(9, -1, 10).iter().collect::<Vec<_>>(), [2, 4, 4]);
    /// ```
    ///
    /// # Panics
    /// When an element is taken that is not there.
    pub fn slice(&self, start: u64, step: i64, len: u64) -> ChunkSizes {
        if len == 0 {
            return ChunkSizes::single(0);
        }
        if step == 1 {
            return self.cut_out(start, len);
        }
        let mut sizes = Vec::new();
        let (mut at, mut left) = (start, len);
        while left > 0 {
            let block = self.block_at(at);
            let (first, size) = (self.start(block), self.size(block));
            let room = if step > 0 { first + size - 1 - at } else { at - first };
            let taken = (room / step.unsigned_abs() + 1).min(left);
            sizes.push(taken);
            left -= taken;
            at = at.wrapping_add_signed((taken as i64).wrapping_mul(step));
        }
        ChunkSizes::new(sizes).expect("a slice is not longer than what it is of")
    }

    /// The chunks of `start..start + len`, which is not empty.
    fn cut_out(&self, start: u64, len: u64) -> ChunkSizes {
        let end = start + len;
        let (first, last) = (self.block_at(start), self.block_at(end - 1));
        if first == last {
            return ChunkSizes::single(len);
        }
        let inner = |placed: &Placed| {
            let from = placed.block.max(first + 1);
            let to = (placed.block + placed.run.count).min(last);
            SizeRun { size: placed.run.size, count: if placed.run.size > 0 { to.saturating_sub(from) } else { 0 } }
        };
        let head = SizeRun { size: self.start(first) + self.size(first) - start, count: 1 };
        let tail = SizeRun { size: end - self.start(last), count: 1 };
        let runs = std::iter::once(head).chain(self.runs.iter().map(inner)).chain([tail]);
        ChunkSizes::from_runs(runs).expect("a slice is not longer than what it is of")
    }

    /// These chunks and then those.
    ///
    /// # Errors
    /// When that is too much.
    pub fn concat<'a>(parts: impl IntoIterator<Item = &'a ChunkSizes>) -> Result<ChunkSizes, ChunksError> {
        ChunkSizes::from_runs(parts.into_iter().flat_map(|part| part.runs().collect::<Vec<_>>()))
    }
}

impl TryFrom<Vec<SizeRun>> for ChunkSizes {
    type Error = ChunksError;

    fn try_from(runs: Vec<SizeRun>) -> Result<ChunkSizes, ChunksError> {
        ChunkSizes::from_runs(runs)
    }
}

impl From<ChunkSizes> for Vec<SizeRun> {
    fn from(sizes: ChunkSizes) -> Vec<SizeRun> {
        sizes.runs().collect()
    }
}

impl PartialEq for ChunkSizes {
    fn eq(&self, other: &ChunkSizes) -> bool {
        Arc::ptr_eq(&self.runs, &other.runs) || self.runs().eq(other.runs())
    }
}

impl Eq for ChunkSizes {}

impl Hash for ChunkSizes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.runs().for_each(|run| run.hash(state));
    }
}

impl fmt::Debug for ChunkSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.runs().map(|run| (run.size, run.count))).finish()
    }
}
