//! Chunkings on the way from one to another, and the cheapest path through them.
//!
//! For each of a few sizes of blocks: the old chunks merged along the axes that get longer chunks, as far as the size allows (chunks for
//! *reading*); the new ones merged along the axes that had longer chunks (chunks for *writing*); chunks of sizes between these two in equal
//! ratios; and between any two neighbours the chunks that lie within both, so that one splits into them and merges to the other.

use super::cost::{RechunkCost, Step, step_costs};
use super::meet::{Meeting, meet};
use super::{RechunkStep, RechunkTerms, RechunkWay, block_bytes, blocks};
use crate::chunks::{ChunkSizes, SizeRun, unify};
use crate::error::Limits;
use std::collections::BTreeMap;

/// Blocks are at most as large as may be, and so many times smaller.
const SMALLER: [f64; 3] = [1.0, 4.0, 16.0];
/// Stages between reading and writing, at most.
const MOST_STAGES: u32 = 3;
/// Cuts of an axis of which common chunks are made.
const MOST_CUTS: u32 = 1 << 17;

/// A chunking, by the numbers of the chunks of each axis.
type Place = Vec<usize>;

/// Chunks of one axis, each kind once, and what is known of pairs of them.
#[derive(Default)]
struct Axis {
    kinds: Vec<ChunkSizes>,
    meetings: BTreeMap<(usize, usize), Meeting>,
    /// The number of the chunks that lie within both.
    within: BTreeMap<(usize, usize), Option<usize>>,
}

impl Axis {
    fn number(&mut self, sizes: ChunkSizes) -> usize {
        self.kinds.iter().position(|kind| *kind == sizes).unwrap_or_else(|| {
            self.kinds.push(sizes);
            self.kinds.len() - 1
        })
    }

    fn meeting(&mut self, old: usize, new: usize) -> Meeting {
        *self.meetings.entry((old, new)).or_insert_with(|| meet(&self.kinds[old], &self.kinds[new]))
    }

    /// The coarsest chunks that lie within both; none where there would be very many.
    fn within_both(&mut self, left: usize, right: usize) -> Option<usize> {
        if let Some(&known) = self.within.get(&(left, right)) {
            return known;
        }
        let (one, other) = (&self.kinds[left], &self.kinds[right]);
        let found = if left == right || other.is_single() {
            Some(left)
        } else if one.is_single() {
            Some(right)
        } else if one.blocks().max(other.blocks()) > MOST_CUTS {
            None
        } else {
            unify(&[one.clone(), other.clone()]).ok().map(|sizes| self.number(sizes))
        };
        self.within.insert((left, right), found);
        found
    }
}

/// How the cheapest way to a chunking ends.
#[derive(Clone, Copy)]
struct Arrival {
    from: usize,
    way: RechunkWay,
    cost: RechunkCost,
}

/// Chunkings that a rechunk may go through: the first is the old one, the second the new one.
pub(super) struct Candidates {
    axes: Vec<Axis>,
    places: Vec<Place>,
    chunks: Vec<Vec<ChunkSizes>>,
}

const OLD: usize = 0;
const NEW: usize = 1;

impl Candidates {
    /// For tasks that hold no more than `limit` bytes.
    pub(super) fn new(old: &[ChunkSizes], new: &[ChunkSizes], terms: &RechunkTerms, limit: f64) -> Candidates {
        let axes = std::iter::repeat_with(Axis::default).take(old.len()).collect();
        let mut found = Candidates { axes, places: Vec::new(), chunks: Vec::new() };
        found.add(old);
        found.add(new);
        // Through these each task holds two blocks at most, however many tasks that takes.
        found.add_path(old, new, 0);
        // Who merges holds what it reads and what it makes.
        let most = (terms.block_bytes as f64).min(limit / 2.0) / terms.item_bytes.max(1) as f64;
        for smaller in SMALLER {
            for is_last_first in [false, true] {
                let reading = merged_towards(old, new, most / smaller, is_last_first);
                let writing = merged_towards(new, old, most / smaller, is_last_first);
                for stages in 0..=MOST_STAGES {
                    found.add_path(&reading, &writing, stages);
                }
            }
        }
        found
    }

    /// Chunkings from one for reading to one for writing, with so many between.
    fn add_path(&mut self, reading: &[ChunkSizes], writing: &[ChunkSizes], stages: u32) {
        let mut before = self.add(reading);
        for stage in 1..=stages + 1 {
            let share = f64::from(stage) / f64::from(stages + 1);
            let next = if stage > stages { self.add(writing) } else { self.add(&between(reading, writing, share)) };
            let pairs = before.iter().zip(&next);
            let within = self.axes.iter_mut().zip(pairs).map(|(axis, (&left, &right))| axis.within_both(left, right));
            if let Some(within) = within.collect() {
                self.add_place(within);
            }
            before = next;
        }
    }

    fn add(&mut self, chunks: &[ChunkSizes]) -> Place {
        let place: Place = self.axes.iter_mut().zip(chunks).map(|(axis, sizes)| axis.number(sizes.clone())).collect();
        self.add_place(place.clone());
        place
    }

    fn add_place(&mut self, place: Place) {
        let chunks: Vec<ChunkSizes> = self.axes.iter().zip(&place).map(|(axis, &at)| axis.kinds[at].clone()).collect();
        if !self.places.contains(&place) && blocks(&chunks) <= f64::from(Limits::MAX.tasks) {
            self.places.push(place);
            self.chunks.push(chunks);
        }
    }

    /// The cheapest path from the old chunks to the new ones whose tasks hold no more than `limit` bytes (Dijkstra's algorithm).
    pub(super) fn cheapest(mut self, terms: &RechunkTerms, limit: f64) -> Option<Vec<RechunkStep>> {
        let mut seconds = vec![f64::INFINITY; self.places.len()];
        let mut arrivals: Vec<Option<Arrival>> = vec![None; self.places.len()];
        let mut is_done = vec![false; self.places.len()];
        seconds[OLD] = 0.0;
        loop {
            let open = (0..self.places.len()).filter(|&place| !is_done[place] && seconds[place].is_finite());
            let here = open.min_by(|&left, &right| seconds[left].total_cmp(&seconds[right]))?;
            if here == NEW {
                return Some(self.path(&arrivals));
            }
            is_done[here] = true;
            for next in (0..self.places.len()).rev() {
                if is_done[next] {
                    continue;
                }
                let Some((way, cost)) = self.step(here, next, terms, limit) else { continue };
                if seconds[here] + cost.seconds < seconds[next] {
                    seconds[next] = seconds[here] + cost.seconds;
                    arrivals[next] = Some(Arrival { from: here, way, cost });
                }
            }
        }
    }

    /// The cheaper way from some chunks to others, if one is possible within the limit.
    fn step(&mut self, from: usize, to: usize, terms: &RechunkTerms, limit: f64) -> Option<(RechunkWay, RechunkCost)> {
        let (before, after) = (&self.places[from], &self.places[to]);
        // Either way some task holds the largest block of both, or twice the larger one.
        let largest =
            block_bytes(&self.chunks[from], terms.item_bytes) + block_bytes(&self.chunks[to], terms.item_bytes);
        if largest > limit {
            return None;
        }
        let meetings = self.axes.iter_mut().zip(before.iter().zip(after)).map(|(axis, (&a, &b))| axis.meeting(a, b));
        let meetings = meetings.collect();
        let step = Step {
            meetings,
            old: &self.chunks[from],
            new: &self.chunks[to],
            is_last: to == NEW,
            is_only: from == OLD && to == NEW,
        };
        let costs = step_costs(&step, terms, limit);
        let ways = [Some((RechunkWay::Direct, costs.direct)), costs.shuffle];
        ways.into_iter()
            .flatten()
            .filter(|(_, cost)| cost.is_possible() && cost.peak_bytes <= limit)
            .min_by(|(_, left), (_, right)| left.seconds.total_cmp(&right.seconds))
    }

    fn path(&self, arrivals: &[Option<Arrival>]) -> Vec<RechunkStep> {
        let mut steps = Vec::new();
        let mut at = NEW;
        while at != OLD {
            let Arrival { from, way, cost } = arrivals[at].expect("each place that was reached was reached from one");
            steps.push(RechunkStep { chunks: self.chunks[at].clone(), way, cost });
            at = from;
        }
        steps.reverse();
        steps
    }
}

/// Chunks merged along the axes that other chunks are longer on, to blocks of `most` elements. The axes take their turns by how
/// much longer those are.
fn merged_towards(chunks: &[ChunkSizes], others: &[ChunkSizes], most: f64, is_last_first: bool) -> Vec<ChunkSizes> {
    let mut merged = chunks.to_vec();
    let ratio = |axis: usize| others[axis].largest() as f64 / chunks[axis].largest().max(1) as f64;
    let mut longer: Vec<usize> = (0..chunks.len()).filter(|&axis| ratio(axis) > 1.0).collect();
    longer.sort_by(|&left, &right| ratio(left).total_cmp(&ratio(right)));
    if is_last_first {
        longer.reverse();
    }
    let mut elements: f64 = chunks.iter().map(|sizes| sizes.largest() as f64).product();
    for axis in longer {
        let own = chunks[axis].largest() as f64;
        let room = most / (elements / own);
        merged[axis] = if room >= others[axis].largest() as f64 {
            others[axis].clone()
        } else if room >= 2.0 * own {
            merged_to(&chunks[axis], room as u64)
        } else {
            continue;
        };
        elements *= merged[axis].largest() as f64 / own;
    }
    merged
}

/// Chunks of neighbours as long as they stay within `most` elements.
fn merged_to(sizes: &ChunkSizes, most: u64) -> ChunkSizes {
    let mut runs: Vec<SizeRun> = Vec::new();
    let mut open = 0;
    for SizeRun { size, mut count } in sizes.runs() {
        while count > 0 {
            let room = most.saturating_sub(open).checked_div(size);
            let fit = room.map_or(count, |room| u32::try_from(room).unwrap_or(u32::MAX));
            if fit == 0 && open > 0 {
                runs.push(SizeRun { size: open, count: 1 });
                open = 0;
            } else if open == 0 && size > 0 && count > fit {
                // Many alike.
                let each = fit.max(1);
                runs.push(SizeRun { size: size * u64::from(each), count: count / each });
                count %= each;
            } else {
                let taken = fit.min(count);
                open += size * u64::from(taken);
                count -= taken;
            }
        }
    }
    if open > 0 {
        runs.push(SizeRun { size: open, count: 1 });
    }
    ChunkSizes::from_runs(runs).unwrap_or_else(|_| sizes.clone())
}

/// Chunks that are a share of the way from some to others, in equal ratios. Their cuts are some of those that the finer ones have.
fn between(from: &[ChunkSizes], to: &[ChunkSizes], share: f64) -> Vec<ChunkSizes> {
    let along = from.iter().zip(to).map(|(from, to)| {
        let (start, end) = (from.largest().max(1) as f64, to.largest().max(1) as f64);
        let finer = if start < end { from } else { to };
        merged_to(finer, (start.powf(1.0 - share) * end.powf(share)).round() as u64)
    });
    along.collect()
}
