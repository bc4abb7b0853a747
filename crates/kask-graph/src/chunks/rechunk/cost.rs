//! What a step from some chunks to others takes: tasks, inputs, bytes, the memory of one task, and from these seconds.
//!
//! The constants were measured on two shared cores with `x.persist()` of rechunks between arrays that were there already, on
//! the embedded engine and on two worker processes; each is the time of a rechunk that has next to nothing else, divided by how
//! much it has of it. They need not be right, only in proportion.

use super::meet::Meeting;
use super::{RechunkTerms, RechunkWay, RechunkWays, block_bytes, blocks};
use crate::chunks::ChunkSizes;
use crate::error::Limits;
use crate::groups::merge_groups;

/// A task: (20_000,) in blocks of 10 to blocks of 5, each a view. 15 to 20 us embedded, 30 us in processes.
const TASK_SECONDS: f64 = 20e-6;
/// An input of a task and the copy of a piece from it: (30_000,) in blocks of 1 to blocks of 100. 2.7 us embedded, 3.5 us in processes.
const EDGE_SECONDS: f64 = 3e-6;
/// A part that a merge reads: (300, 300) from rows to columns by a shuffle of 300 splits and 256 merges. 7 us.
const PART_SECONDS: f64 = 6e-6;
/// A piece in a part, found and copied twice: (4000, 400) in four blocks to rows by a shuffle, its tasks taken off. 2 to 5 us.
const PIECE_SECONDS: f64 = 2e-6;
/// A byte copied into new memory: (8000, 4000) float64 to blocks of twice the size. 0.3 to 0.5 ns.
const COPY_SECONDS: f64 = 0.4e-9;
/// Neighbours in memory that are copied together, beside their bytes: columns of a row each to blocks of (1677, 10,000). 6 ns.
const RUN_SECONDS: f64 = 6e-9;
/// A byte of a block that is read from elsewhere. From memory that processes share it is next to nothing, from another machine or the disk it is 1 ns.
/// With this number blocks are read whole up to four times as a rule, rather than shuffled.
const READ_SECONDS: f64 = 0.12e-9;
/// A result that does not stay in memory until others have read it, written to the disk and read: (20,000, 20,000) float64 from rows to columns by
/// 6,400 blocks of (250, 250) on a worker of 1 GiB took 80 s longer than by a shuffle, which has 80 results on the way.
const SPILL_SECONDS: f64 = 10e-3;
/// A byte of these: 3.2 GB written and read took 6.5 s.
const SPILLED_BYTE_SECONDS: f64 = 2e-9;
/// Bytes that a piece takes in a part beside its elements: its entry, and what is lost to alignment.
const PIECE_BYTES: f64 = 112.0;

/// What something takes. Counts are no integers, since what nobody would run may have any number of tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RechunkCost {
    /// Time of a worker, estimated.
    pub seconds: f64,
    /// Tasks.
    pub tasks: f64,
    /// Inputs of all of them.
    pub edges: f64,
    /// Bytes of these that are read.
    pub read_bytes: f64,
    /// Bytes that are copied, each as often as it is.
    pub copied_bytes: f64,
    /// Stretches of memory that these lie in.
    pub copied_runs: f64,
    /// Results on the way, which others read later.
    pub kept: f64,
    /// The most that one task holds, what it reads and what it makes together.
    pub peak_bytes: f64,
}

impl RechunkCost {
    /// Whether a graph may have as many tasks and inputs.
    pub(super) fn is_possible(&self) -> bool {
        self.tasks <= f64::from(Limits::MAX.tasks) && self.edges <= f64::from(Limits::MAX.inputs)
    }

    /// With the time of tasks and bytes, beside that of inputs and all else.
    fn in_seconds(self, others: f64) -> RechunkCost {
        let seconds = self.tasks * TASK_SECONDS
            + others
            + self.read_bytes * READ_SECONDS
            + self.copied_bytes * COPY_SECONDS
            + self.copied_runs * RUN_SECONDS;
        RechunkCost { seconds, ..self }
    }
}

/// A step that may be taken.
pub(super) struct Step<'a> {
    /// How old and new chunks meet, for each axis.
    pub meetings: Vec<Meeting>,
    /// Chunks before.
    pub old: &'a [ChunkSizes],
    /// Chunks afterwards.
    pub new: &'a [ChunkSizes],
    /// Whether the results are what is wanted.
    pub is_last: bool,
    /// Whether there is no other, and the results may be views of what they are made of. What is made on the way is given up as soon as it was
    /// read, which a view would prevent.
    pub is_only: bool,
}

impl Step<'_> {
    fn product(&self, of: impl Fn(&Meeting) -> u64) -> f64 {
        self.meetings.iter().map(|meeting| of(meeting) as f64).product()
    }

    /// Stretches of neighbouring elements that pieces consist of: an element is next to another along the last axis, and along the
    /// one before where that is in one piece.
    fn runs(&self) -> f64 {
        let mut is_whole = true;
        let along = self.meetings.iter().zip(self.old).rev().map(|(meeting, sizes)| {
            let runs = if is_whole { meeting.pairs } else { sizes.total() };
            is_whole &= meeting.pairs == 1;
            runs as f64
        });
        along.product()
    }

    /// Bytes of the array.
    fn bytes(&self, item_bytes: f64) -> f64 {
        self.old.iter().map(|sizes| sizes.total() as f64).product::<f64>() * item_bytes
    }

    /// Old and new blocks.
    pub(super) fn blocks_together(&self) -> f64 {
        blocks(self.old) + blocks(self.new)
    }
}

/// What a step takes one way and the other.
pub(super) struct Costs {
    /// Where each new block reads the old ones under it.
    pub direct: RechunkCost,
    /// Where these are taken apart, if that may be.
    pub shuffle: Option<(RechunkWay, RechunkCost)>,
    /// Seconds that any way takes that leads from these chunks to those.
    pub least: f64,
}

/// What a step takes, where one task should hold no more than `limit` bytes.
pub(super) fn step_costs(step: &Step<'_>, terms: &RechunkTerms, limit: f64) -> Costs {
    let (direct, least) = direct_and_least(step, terms, limit);
    let is_possible = blocks(step.old).max(blocks(step.new)) <= f64::from(Limits::MAX.tasks);
    let may_shuffle = terms.ways != RechunkWays::Direct && is_possible;
    Costs { direct, least, shuffle: may_shuffle.then(|| shuffle(step, terms, limit)) }
}

/// What it takes where each new block reads the old ones under it, and the seconds of that or any other way.
fn direct_and_least(step: &Step<'_>, terms: &RechunkTerms, limit: f64) -> (RechunkCost, f64) {
    let item = terms.item_bytes as f64;
    let (total, pieces) = (step.bytes(item), step.product(|meeting| meeting.pairs));
    let (inputs, outputs) = (blocks(step.old), blocks(step.new));
    let are_views = step.product(|meeting| meeting.most_met) <= 1.0;
    let (copied_bytes, copied_runs) = if are_views && step.is_only { (0.0, 0.0) } else { (total, step.runs()) };
    // Each worker fetches a block once if there is room for all of them. A task that needs only one runs where that is.
    let read = step.product(|meeting| meeting.read) * item;
    let fetched = if total <= limit { read.min(total * f64::from(terms.workers.max(1))) } else { read };
    let read_bytes = if are_views { 0.0 } else { fetched };
    let direct = RechunkCost {
        seconds: 0.0,
        tasks: outputs,
        edges: pieces,
        read_bytes,
        copied_bytes,
        copied_runs,
        kept: if step.is_last { 0.0 } else { outputs },
        peak_bytes: step.product(|meeting| meeting.most_read) * item + block_bytes(step.new, terms.item_bytes),
    };
    let least_edges = inputs.max(outputs).min(pieces);
    let least = RechunkCost { edges: least_edges, read_bytes: read_bytes.min(total), copied_runs: 0.0, ..direct };
    let seconds = |cost: RechunkCost, edges: f64| cost.in_seconds(edges * EDGE_SECONDS + spilling(&cost, total, terms));
    (seconds(direct, pieces), seconds(least, least_edges).seconds)
}

/// What it takes where the old blocks are taken apart and the parts put together.
fn shuffle(step: &Step<'_>, terms: &RechunkTerms, limit: f64) -> (RechunkWay, RechunkCost) {
    let (total, pieces) = (step.bytes(terms.item_bytes as f64), step.product(|meeting| meeting.pairs));
    let (inputs, outputs) = (blocks(step.old), blocks(step.new));
    let (old_block, new_block) = (block_bytes(step.old, terms.item_bytes), block_bytes(step.new, terms.item_bytes));
    let groups = groups(outputs, new_block, limit);
    let parts = inputs * f64::from(groups);
    let in_group = (outputs / f64::from(groups)).ceil();
    let split = 2.0 * old_block + step.product(|meeting| meeting.most_parts) * PIECE_BYTES;
    let merge = in_group * (2.0 * new_block + step.product(|meeting| meeting.most_met) * PIECE_BYTES);
    let cost = RechunkCost {
        seconds: 0.0,
        tasks: inputs + f64::from(groups) + outputs,
        edges: inputs + parts + outputs,
        read_bytes: total + pieces * PIECE_BYTES,
        copied_bytes: 2.0 * total + pieces * PIECE_BYTES,
        copied_runs: 2.0 * step.runs(),
        kept: if step.is_last { inputs } else { inputs + outputs },
        peak_bytes: split.max(merge),
    };
    let of_edges = (inputs + outputs) * EDGE_SECONDS + parts * PART_SECONDS + pieces * PIECE_SECONDS;
    (RechunkWay::Shuffle { groups }, cost.in_seconds(of_edges + spilling(&cost, total, terms)))
}

/// Seconds that results on the way cost if they go to the disk: where workers cannot hold the array twice.
fn spilling(cost: &RechunkCost, total: f64, terms: &RechunkTerms) -> f64 {
    let memory = terms.worker_bytes as f64 * f64::from(terms.workers.max(1));
    if cost.kept == 0.0 || memory == 0.0 || 2.0 * total <= memory {
        return 0.0;
    }
    cost.kept * SPILL_SECONDS + total * SPILLED_BYTE_SECONDS
}

/// Into how many groups a shuffle merges so many outputs of this size: as many as it would be otherwise, and more where a merge, which holds
/// the parts of its group and what it makes of them, would not fit.
fn groups(outputs: f64, block_bytes: f64, limit: f64) -> u32 {
    let outputs = outputs as u32;
    let together = (limit / (2.0 * block_bytes.max(1.0))).floor().clamp(1.0, f64::from(outputs.max(1))) as u32;
    merge_groups(outputs).max(outputs.div_ceil(together)).min(outputs)
}
