//! From one chunking of an array to another by the cheapest way: at once, in several steps, through a shuffle.
//!
//! A task that makes an output block from the input blocks under it reads those whole. That is the cheapest way while outputs
//! lie along the inputs, and the worst where every output needs a little of every input: then there are as many pieces as there are
//! inputs times outputs, and one task holds all of them at once. A shuffle moves each byte once and has fewer inputs, but
//! still all of the pieces. Where these are small it pays to go through other chunks: neighbours are merged as far as memory allows
//! along the axes whose chunks become longer, the large blocks are cut otherwise, and the results are split.
//!
//! [`plan_rechunk`] asks [`candidates`] for chunkings between the old one and the new one, and finds the cheapest path through any of
//! them, each step direct or a shuffle, whose tasks fit in memory. [`cost`] says what a step takes, [`meet`] counts the pieces along
//! an axis. Nothing here costs as much as there are blocks; an axis costs as much as it has runs of chunks, or, where the cuts of
//! two chunkings do not repeat together, as much as it has chunks.
//!
//! Sources of the idea: `plan_rechunk` of Dask (merges, then splits, bounded by a block size), and Abernathey and others, "Rechunker"
//! (chunks for reading, between, and for writing; more stages between where one is not enough).

mod candidates;
mod cost;
mod meet;

use super::sizes::{ChunkSizes, ChunksError};
use crate::error::Limits;
use candidates::Candidates;
pub use cost::RechunkCost;
use cost::{Step, step_costs};

/// Seconds that finding a better way takes: what could be saved must be more.
const SEARCH_SECONDS: f64 = 1e-3;

/// Blocks that a task may hold whatever the limit is, in units of the largest block before or after: a result, and what lies under it where
/// cuts do not fall together. Who made blocks of this size has room for some.
const BLOCKS_HELD: u64 = 6;

/// How blocks are made of those of the chunks before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RechunkWay {
    /// Each reads the blocks under it.
    Direct,
    /// Those are taken apart, and the parts are put together by so many tasks.
    Shuffle {
        /// Number of groups of outputs, each of which is merged by a task.
        groups: u32,
    },
}

/// From some chunks to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct RechunkStep {
    /// Chunks afterwards.
    pub chunks: Vec<ChunkSizes>,
    /// How they are made.
    pub way: RechunkWay,
    /// What it takes.
    pub cost: RechunkCost,
}

/// Which ways may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RechunkWays {
    /// Any.
    All,
    /// Tasks that read whole blocks: elements may be of any kind.
    Direct,
    /// One shuffle.
    Shuffle,
}

/// What a plan has to keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RechunkTerms {
    /// Bytes of an element.
    pub item_bytes: u64,
    /// Bytes that one task may hold, what it reads and what it makes together.
    pub task_bytes: u64,
    /// Bytes that a worker has for tasks; 0 if that is not known. No more than these may be held for the sake of large blocks.
    pub worker_bytes: u64,
    /// Number of workers; each fetches for itself what its tasks read.
    pub workers: u32,
    /// Bytes of the blocks that are made on the way, at most.
    pub block_bytes: u64,
    /// Which ways may be taken.
    pub ways: RechunkWays,
    /// Where each old and new block is read or made by so many pieces on average, there is one step, and nothing cheaper is looked for.
    pub threshold: Option<f64>,
}

impl RechunkTerms {
    /// Any way for elements of this size, if one task may hold so many bytes.
    pub fn new(item_bytes: u64, task_bytes: u64) -> RechunkTerms {
        let (ways, threshold) = (RechunkWays::All, None);
        RechunkTerms { item_bytes, task_bytes, worker_bytes: 0, workers: 1, block_bytes: task_bytes, ways, threshold }
    }

    /// Bytes that a task may hold where blocks of one size are made of blocks of the other: those of the largest are allowed for.
    pub fn limit(&self, old: &[ChunkSizes], new: &[ChunkSizes]) -> f64 {
        let largest = block_bytes(old, self.item_bytes).max(block_bytes(new, self.item_bytes));
        let for_large = largest * BLOCKS_HELD as f64;
        let there = if self.worker_bytes == 0 { f64::INFINITY } else { self.worker_bytes as f64 };
        (self.task_bytes as f64).max(for_large.min(there))
    }
}

/// The cheapest way from chunks `old` to chunks `new` of an array: no step if they are equal, otherwise one or more, the last of
/// which makes `new`. No task holds more than it may, unless that cannot be.
///
/// ```
/// # use kask_graph::chunks::{ChunkSizes, RechunkTerms, RechunkWay, plan_rechunk};
/// let (one, whole) = (ChunkSizes::uniform(10_000, 1).unwrap(), ChunkSizes::single(10_000));
/// let (columns, rows) = ([whole.clone(), one.clone()], [one, whole]);
/// let terms = RechunkTerms::new(8, 1 << 27);
/// let plan = plan_rechunk(&columns, &rows, &terms).unwrap();
/// // Columns are merged, the merged ones shuffled, and what comes out is split: 100,000,000 pieces are avoided.
/// assert_eq!(plan.len(), 3);
/// assert!(matches!(plan[1].way, RechunkWay::Shuffle { .. }));
/// assert!(plan.iter().map(|step| step.cost.edges).sum::<f64>() < 30_000.0);
/// assert_eq!(plan[2].chunks, rows);
/// ```
///
/// # Errors
/// When they are not chunks of the same array.
pub fn plan_rechunk(
    old: &[ChunkSizes],
    new: &[ChunkSizes],
    terms: &RechunkTerms,
) -> Result<Vec<RechunkStep>, ChunksError> {
    if old.len() != new.len() {
        return Err(ChunksError::WrongAxes { given: new.len(), axes: old.len() });
    }
    for (old, new) in old.iter().zip(new) {
        if old.total() != new.total() {
            return Err(ChunksError::LengthsDiffer { left: old.total(), right: new.total() });
        }
    }
    if old == new {
        return Ok(Vec::new());
    }
    let once = |way, cost| Ok(vec![RechunkStep { chunks: new.to_vec(), way, cost }]);
    if old.iter().any(|sizes| sizes.total() == 0) {
        return once(RechunkWay::Direct, RechunkCost::default());
    }
    let limit = terms.limit(old, new);
    let only = Step { meetings: meet::all(old, new), old, new, is_last: true, is_only: true };
    let costs = step_costs(&only, terms, limit);
    if terms.ways == RechunkWays::Shuffle {
        let (way, cost) = costs.shuffle.unwrap_or((RechunkWay::Direct, costs.direct));
        return once(way, cost);
    }
    let is_possible = costs.direct.is_possible() && costs.direct.peak_bytes <= limit;
    let are_few = terms.threshold.is_some_and(|threshold| costs.direct.edges <= threshold * only.blocks_together());
    if blocks(old).max(blocks(new)) > f64::from(Limits::MAX.tasks) {
        return once(RechunkWay::Direct, costs.direct);
    }
    if is_possible && (are_few || costs.direct.seconds - costs.least <= SEARCH_SECONDS) {
        return once(RechunkWay::Direct, costs.direct);
    }
    let mut allowed = limit;
    while allowed.is_finite() {
        if let Some(steps) = Candidates::new(old, new, terms, allowed).cheapest(terms, allowed) {
            return Ok(steps);
        }
        // Nothing keeps to the limit. What comes nearest is the best that there is.
        allowed *= 2.0;
    }
    once(RechunkWay::Direct, costs.direct)
}

/// What it takes to make each block of those under it, which is what other ways are measured by.
///
/// # Panics
/// When they are not chunks of the same array.
pub fn direct_cost(old: &[ChunkSizes], new: &[ChunkSizes], terms: &RechunkTerms) -> RechunkCost {
    let step = Step { meetings: meet::all(old, new), old, new, is_last: true, is_only: true };
    step_costs(&step, terms, terms.limit(old, new)).direct
}

/// Bytes of the largest block.
fn block_bytes(chunks: &[ChunkSizes], item_bytes: u64) -> f64 {
    chunks.iter().map(|sizes| sizes.largest() as f64).product::<f64>() * item_bytes as f64
}

/// Number of blocks.
fn blocks(chunks: &[ChunkSizes]) -> f64 {
    chunks.iter().map(|sizes| f64::from(sizes.blocks())).product()
}
