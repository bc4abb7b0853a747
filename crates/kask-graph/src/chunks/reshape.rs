//! How an array must be cut so that each of its blocks can be reshaped by itself.
//!
//! Axes are compared from the left: the shortest groups of old and new axes with the same number of elements belong together.
//! Within a group the elements lie in one line (C order). Blocks are stretches of that line when one axis, the *pivot*, is
//! cut in any way, all axes before it are cut into single elements, and all after it are whole. Since blocks are
//! numbered in C order too, such blocks keep their numbers.

use super::sizes::{ChunkSizes, ChunksError, SizeRun};

/// The way from one shape to another. Each step is a rechunk or changes every block by itself; steps that change nothing are left
/// out by whoever follows the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReshapePlan {
    /// The old shape, cut so that its blocks are stretches.
    pub before: Vec<ChunkSizes>,
    /// The stretches, group by group.
    pub merged: Vec<ChunkSizes>,
    /// The stretches that the new blocks are.
    pub split: Vec<ChunkSizes>,
    /// The new shape.
    pub after: Vec<ChunkSizes>,
}

/// The way from an array cut into `old` to the shape `new`, in blocks of about as many elements as before, and of at most
/// `most_elements` where that is possible.
///
/// ```
/// # use kask_graph::chunks::{ChunkSizes, plan_reshape};
/// let old = [ChunkSizes::uniform(6, 2).unwrap(), ChunkSizes::uniform(10, 5).unwrap()];
/// let plan = plan_reshape(&old, &[60], 1_000).unwrap();
/// assert_eq!(plan.before, [ChunkSizes::uniform(6, 2).unwrap(), ChunkSizes::single(10)]);
/// assert_eq!(plan.after, [ChunkSizes::uniform(60, 20).unwrap()]);
/// ```
///
/// # Errors
/// When the shapes differ in their numbers of elements.
pub fn plan_reshape(old: &[ChunkSizes], new: &[u64], most_elements: u64) -> Result<ReshapePlan, ChunksError> {
    let shape: Vec<u64> = old.iter().map(ChunkSizes::total).collect();
    let count = |shape: &[u64]| shape.iter().fold(1u128, |product, &len| product.saturating_mul(len.into()));
    let (from, to) = (count(&shape), count(new));
    if from != to {
        return Err(ChunksError::CannotReshape { from, to });
    }
    if from == 0 {
        return Ok(nothing_to_reshape(&shape, new));
    }
    let mut plan = ReshapePlan { before: vec![], merged: vec![], split: vec![], after: vec![] };
    // What a block has along the axes of other groups leaves this much for one group.
    let others = |from: usize, to: usize| -> u64 {
        let outside = old.iter().enumerate().filter(|(axis, _)| !(from..to).contains(axis));
        outside.fold(1u64, |product, (_, sizes)| product.saturating_mul(sizes.largest().max(1)))
    };
    for Group { old: (a, b), new: (c, d) } in groups(&shape, new) {
        let room = (most_elements / others(a, b).max(1)).max(1);
        let (olds, news) = (&old[a..b], &new[c..d]);
        if let ([one], [_]) = (olds, news) {
            for list in [&mut plan.before, &mut plan.merged, &mut plan.split, &mut plan.after] {
                list.push(one.clone());
            }
            continue;
        }
        let before = stretches_of(olds, room)?;
        let merged = line_of(&before)?;
        let after = if news.len() <= 1 { vec![merged.clone(); news.len()] } else { cut_line(&merged, news, room)? };
        let split = if news.len() <= 1 { merged.clone() } else { line_of(&after)? };
        // A line that is only split can be cut as the new blocks want it at once.
        let is_line = olds.len() == 1;
        plan.before.extend(if is_line { vec![split.clone()] } else { before });
        plan.merged.push(if is_line { split.clone() } else { merged });
        plan.split.push(split);
        plan.after.extend(after);
    }
    Ok(plan)
}

fn nothing_to_reshape(old: &[u64], new: &[u64]) -> ReshapePlan {
    let whole = |shape: &[u64]| shape.iter().map(|&len| ChunkSizes::single(len)).collect::<Vec<_>>();
    ReshapePlan {
        before: whole(old),
        merged: vec![ChunkSizes::single(0)],
        split: vec![ChunkSizes::single(0)],
        after: whole(new),
    }
}

/// Old and new axes with the same elements.
struct Group {
    old: (usize, usize),
    new: (usize, usize),
}

fn groups(old: &[u64], new: &[u64]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let (mut a, mut c) = (0, 0);
    while a < old.len() || c < new.len() {
        let (mut b, mut d) = (a, c);
        let (mut left, mut right) = (1u128, 1u128);
        let take = |product: &mut u128, shape: &[u64], at: &mut usize| {
            *product *= u128::from(shape[*at]);
            *at += 1;
        };
        if b < old.len() {
            take(&mut left, old, &mut b);
        }
        if d < new.len() {
            take(&mut right, new, &mut d);
        }
        while left != right {
            if left < right { take(&mut left, old, &mut b) } else { take(&mut right, new, &mut d) }
        }
        // An axis of one element that has no partner belongs to the group before it.
        match groups.last_mut() {
            Some(last) if b == a || d == c => (last.old.1, last.new.1) = (b, d),
            Some(_) | None => groups.push(Group { old: (a, b), new: (c, d) }),
        }
        (a, c) = (b, d);
    }
    groups
}

/// The axes of a group cut so that blocks are stretches of at most `room` elements, if possible, and no larger than they are now
/// unless the cuts ask for it.
fn stretches_of(olds: &[ChunkSizes], room: u64) -> Result<Vec<ChunkSizes>, ChunksError> {
    let shape: Vec<u64> = olds.iter().map(ChunkSizes::total).collect();
    if shape.is_empty() {
        return Ok(Vec::new());
    }
    let pivot = pivot_of(&shape, room);
    let after: u64 = shape[pivot + 1..].iter().product();
    let mut cut = Vec::with_capacity(shape.len());
    for (axis, (sizes, &len)) in olds.iter().zip(&shape).enumerate() {
        cut.push(match axis.cmp(&pivot) {
            std::cmp::Ordering::Less => ChunkSizes::uniform(len, 1)?,
            std::cmp::Ordering::Equal if sizes.largest().saturating_mul(after) <= room.max(after) => sizes.clone(),
            std::cmp::Ordering::Equal => ChunkSizes::uniform(len, (room / after.max(1)).clamp(1, len.max(1)))?,
            std::cmp::Ordering::Greater => ChunkSizes::single(len),
        });
    }
    Ok(cut)
}

/// The first axis after which everything can be whole.
fn pivot_of(shape: &[u64], room: u64) -> usize {
    let mut after = 1u64;
    for axis in (1..shape.len()).rev() {
        let with = after.saturating_mul(shape[axis]);
        if with > room {
            return axis;
        }
        after = with;
    }
    0
}

/// The stretches that blocks are, in order.
fn line_of(cut: &[ChunkSizes]) -> Result<ChunkSizes, ChunksError> {
    let whole = |sizes: &ChunkSizes| sizes.is_single();
    // The last axis that is cut is the pivot.
    let pivot = cut.iter().rposition(|sizes| !whole(sizes)).unwrap_or(0);
    let Some(at_pivot) = cut.get(pivot) else { return Ok(ChunkSizes::single(1)) };
    let after: u64 = cut[pivot + 1..].iter().map(ChunkSizes::total).product();
    let repeats: u64 = cut[..pivot].iter().map(ChunkSizes::total).product();
    let runs: Vec<SizeRun> = at_pivot.runs().map(|run| SizeRun { size: run.size * after, count: run.count }).collect();
    if let [run] = runs[..] {
        let count = u64::from(run.count) * repeats;
        return ChunkSizes::from_runs([SizeRun {
            count: count.try_into().map_err(|_| ChunksError::TooManyChunks)?,
            ..run
        }]);
    }
    if repeats.saturating_mul(runs.len() as u64) > u64::from(u32::MAX) {
        return Err(ChunksError::TooManyChunks);
    }
    ChunkSizes::from_runs((0..repeats).flat_map(|_| runs.iter().copied()))
}

/// New axes cut so that blocks are stretches about as long as those of the line.
fn cut_line(line: &ChunkSizes, news: &[u64], room: u64) -> Result<Vec<ChunkSizes>, ChunksError> {
    let wanted = line.largest().clamp(1, room.max(1));
    let pivot = pivot_of(news, wanted);
    let after: u64 = news[pivot + 1..].iter().product();
    let cut = |(axis, &len): (usize, &u64)| match axis.cmp(&pivot) {
        std::cmp::Ordering::Less => ChunkSizes::uniform(len, 1),
        std::cmp::Ordering::Equal => pivot_sizes(line, len, after, wanted, pivot == 0),
        std::cmp::Ordering::Greater => Ok(ChunkSizes::single(len)),
    };
    news.iter().enumerate().map(cut).collect()
}

/// The pivot's chunks: as the line is cut, where that is possible.
fn pivot_sizes(
    line: &ChunkSizes,
    len: u64,
    after: u64,
    wanted: u64,
    is_first: bool,
) -> Result<ChunkSizes, ChunksError> {
    if is_first && line.runs().all(|run| run.size.is_multiple_of(after.max(1))) {
        return ChunkSizes::from_runs(line.runs().map(|run| SizeRun { size: run.size / after.max(1), ..run }));
    }
    ChunkSizes::uniform(len, (wanted / after.max(1)).clamp(1, len.max(1)))
}
