//! Families of tasks: what is known of those that share a prefix.
//!
//! How long a task will take is learned by family. The counts by status are kept as states change, so that a progress
//! bar costs nothing per task. Invariant: the counts of a family add up to its living tasks.

use crate::tasks::State;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Index into the families. Fits 24 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FamilyIx(pub(crate) u32);

/// So many families are told apart; the rest share the last one.
const MOST_FAMILIES: usize = (1 << 24) - 1;

struct Family {
    prefix: Arc<str>,
    mean_ns: Option<f64>,
    mean_bytes: Option<f64>,
    /// Waiting, queued or ready, running, in memory, failed, released.
    counts: [u64; 6],
}

/// All families that were ever seen.
#[derive(Default)]
pub(crate) struct Families {
    families: Vec<Family>,
    by_prefix: FxHashMap<Arc<str>, FamilyIx>,
}

fn column(state: &State) -> Option<usize> {
    match state {
        State::Vacant => None,
        State::Waiting { .. } | State::Scattering | State::Awaited => Some(0),
        State::Queued | State::Parked => Some(1),
        State::Processing { .. } => Some(2),
        State::Memory { .. } => Some(3),
        State::Erred(_) => Some(4),
        State::Released => Some(5),
    }
}

impl Families {
    /// The family with this prefix.
    pub(crate) fn intern(&mut self, prefix: &Arc<str>) -> FamilyIx {
        if let Some(&family) = self.by_prefix.get(prefix) {
            return family;
        }
        if self.families.len() >= MOST_FAMILIES {
            return FamilyIx(MOST_FAMILIES as u32 - 1);
        }
        let family = FamilyIx(self.families.len() as u32);
        self.families.push(Family { prefix: prefix.clone(), mean_ns: None, mean_bytes: None, counts: [0; 6] });
        self.by_prefix.insert(prefix.clone(), family);
        family
    }

    pub(crate) fn prefix(&self, family: FamilyIx) -> &Arc<str> {
        &self.families[family.0 as usize].prefix
    }

    /// What a task of the family is expected to take; `None` before one has run.
    pub(crate) fn expected_us(&self, family: FamilyIx) -> Option<u32> {
        self.families[family.0 as usize].mean_ns.map(|ns| (ns / 1e3) as u32)
    }

    /// How large a result of the family is expected to be; `None` while nothing is known.
    pub(crate) fn expected_bytes(&self, family: FamilyIx) -> Option<u64> {
        self.families[family.0 as usize].mean_bytes.map(|bytes| bytes as u64)
    }

    /// Learns from one that ran.
    pub(crate) fn learn(&mut self, family: FamilyIx, duration_ns: u64, nbytes: u64) {
        let (duration, nbytes) = (duration_ns as f64, nbytes as f64);
        let Family { mean_ns, mean_bytes, .. } = &mut self.families[family.0 as usize];
        *mean_ns = Some(mean_ns.map_or(duration, |mean| mean + (duration - mean) * 0.125));
        *mean_bytes = Some(mean_bytes.map_or(nbytes, |mean| mean + (nbytes - mean) * 0.125));
    }

    /// Says how large the results of a family will be, as long as none is known.
    pub(crate) fn hint_bytes(&mut self, family: FamilyIx, nbytes: u64) {
        let mean = &mut self.families[family.0 as usize].mean_bytes;
        if mean.is_none() && nbytes > 0 {
            *mean = Some(nbytes as f64);
        }
    }

    pub(crate) fn enter(&mut self, family: FamilyIx, state: &State) {
        if let Some(column) = column(state) {
            self.families[family.0 as usize].counts[column] += 1;
        }
    }

    pub(crate) fn change(&mut self, family: FamilyIx, old: &State, new: &State) {
        let (from, to) = (column(old), column(new));
        if from == to {
            return;
        }
        let counts = &mut self.families[family.0 as usize].counts;
        if let Some(from) = from {
            counts[from] -= 1;
        }
        if let Some(to) = to {
            counts[to] += 1;
        }
    }

    /// Families that have living tasks, with their counts.
    pub(crate) fn counts(&self) -> Vec<(Arc<str>, [u64; 6])> {
        let alive = self.families.iter().filter(|family| family.counts.iter().any(|&count| count > 0));
        alive.map(|family| (family.prefix.clone(), family.counts)).collect()
    }

    /// The status counts that `states` would give, for the invariant check.
    pub(crate) fn recount<'a>(&self, states: impl Iterator<Item = (FamilyIx, &'a State)>) -> Vec<(Arc<str>, [u64; 6])> {
        let mut counts = vec![[0; 6]; self.families.len()];
        for (family, state) in states {
            if let Some(column) = column(state) {
                counts[family.0 as usize][column] += 1;
            }
        }
        let all = self.families.iter().zip(counts).filter(|(_, counts)| counts.iter().any(|&count| count > 0));
        all.map(|(family, counts)| (family.prefix.clone(), counts)).collect()
    }
}
