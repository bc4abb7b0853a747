//! A graph in a few lines: for each family of a layer how many tasks are needed, what they read and how large they are.

use crate::expand::Expansion;
use crate::layer::{Graph, Layer, LayerKind};
use crate::peak::TaskBytes;
use crate::shuffle::Stage;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The needed tasks of one family in one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilySummary {
    /// The family's name.
    pub prefix: Arc<str>,
    /// What kind of layer it is in: see [`Layer::kind_name`].
    pub kind: &'static str,
    /// Number of needed tasks.
    pub tasks: u32,
    /// What these read, each input as often as it is read.
    pub edges: u64,
    /// All their results together, as far as sizes are known.
    pub result_bytes: u64,
    /// Tasks whose result has no known size.
    pub unknown: u32,
}

/// The families of a graph in the order in which their first tasks run. `bytes` is by local id.
///
/// ```
/// # use kask_graph::*;
/// let expansion = expand(&Graph::default(), &Wanted::All, &mut |_| Known::No).unwrap();
/// assert!(summarize(&Graph::default(), &expansion, &[]).is_empty());
/// ```
pub fn summarize(graph: &Graph, expansion: &Expansion, bytes: &[TaskBytes]) -> Vec<FamilySummary> {
    let mut found: Vec<(u32, FamilySummary)> = Vec::new();
    for (layer, span) in graph.layers.iter().zip(&expansion.layers) {
        // Families of the layer, by their number, as places in `found`.
        let mut places: FxHashMap<u32, usize> = FxHashMap::default();
        for index in (0..span.len).filter(|index| expansion.needed.contains(span.start + index)) {
            let (id, family) = (span.start + index, family_of(layer, index));
            let rank = expansion.order[id as usize];
            let place = *places.entry(family).or_insert_with(|| {
                let (prefix, kind) = (layer.prefix_of(index).clone(), layer.kind_name());
                let empty = FamilySummary { prefix, kind, tasks: 0, edges: 0, result_bytes: 0, unknown: 0 };
                found.push((rank, empty));
                found.len() - 1
            });
            let (first, summary) = &mut found[place];
            let result = bytes[id as usize].result;
            *first = rank.min(*first);
            summary.tasks += 1;
            summary.edges += expansion.inputs.row(id).len() as u64;
            summary.result_bytes = summary.result_bytes.saturating_add(result);
            summary.unknown += u32::from(result == 0);
        }
    }
    found.sort_by_key(|(first, _)| *first);
    found.into_iter().map(|(_, summary)| summary).collect()
}

/// A number for the family of a task, different from those of the layer's other families.
fn family_of(layer: &Layer, index: u32) -> u32 {
    match &layer.kind {
        LayerKind::Map(_) | LayerKind::Blockwise(_) | LayerKind::TreeReduce(_) => 0,
        LayerKind::Explicit(explicit) => explicit.families.get(index as usize).copied().unwrap_or(0),
        LayerKind::Shuffle(shuffle) => match shuffle.stage(index) {
            Some(Stage::Take { .. }) | None => 0,
            Some(Stage::Merge { .. }) => 1,
            Some(Stage::Split { .. }) => 2,
        },
    }
}

impl Layer {
    /// What kind of layer it is: `"map"`, `"tasks"`, `"blockwise"`, `"tree"` or `"shuffle"`.
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            LayerKind::Map(_) => "map",
            LayerKind::Explicit(_) => "tasks",
            LayerKind::Blockwise(_) => "blockwise",
            LayerKind::TreeReduce(_) => "tree",
            LayerKind::Shuffle(_) => "shuffle",
        }
    }
}
