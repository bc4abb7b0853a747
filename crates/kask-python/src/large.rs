//! A warning for large arguments that travel with their calls.
//!
//! They pass through the scheduler, which keeps them as long as a result that was made of them may have to be made again.
//! One array given to a hundred calls is there a hundred times. Scattered, it goes straight to the workers, once.

use crate::engine_core::EngineCore;
use crate::helpers;
use kask_graph::{Graph, Layer, LayerKind};
use kask_types::{Items, Payload};
use pyo3::intern;
use pyo3::prelude::*;

/// Arguments that are smaller are not counted.
const LARGE_BYTES: u64 = 1 << 20;
/// A submission with so much of larger ones is worth a warning.
const WARN_BYTES: u64 = 32 << 20;

/// Warns, once for each family of tasks, of arguments that had better be scattered.
pub fn warn_of_large_arguments(py: Python<'_>, core: &EngineCore, graph: &Graph) -> PyResult<()> {
    if core.local {
        return Ok(());
    }
    let total: u64 = graph.layers.iter().map(large_bytes).sum();
    if total < WARN_BYTES {
        return Ok(());
    }
    let Some(largest) = graph.layers.iter().max_by_key(|layer| large_bytes(layer)) else { return Ok(()) };
    if !core.is_news(&format!("large arguments of {}", largest.prefix)) {
        return Ok(());
    }
    let text = format!(
        "{} MiB of arguments, as of {:?}, travel with their calls through the scheduler, which keeps them until the \
         results are let go of; client.scatter(data) puts data on workers once, and tasks can load it themselves",
        total >> 20,
        largest.prefix,
    );
    helpers::get(py, intern!(py, "warn"))?.call1((text,)).map(drop)
}

fn large_bytes(layer: &Layer) -> u64 {
    match &layer.kind {
        LayerKind::Map(map) => of_items(&map.items),
        LayerKind::Explicit(explicit) => explicit.items.iter().map(of_payload).sum(),
        LayerKind::Blockwise(blockwise) => blockwise.items.as_ref().map_or(0, of_items),
        LayerKind::TreeReduce(_) | LayerKind::Shuffle(_) => 0,
    }
}

fn of_items(items: &Items) -> u64 {
    match items {
        Items::Packed { data, ends } if data.0.len() as u64 >= LARGE_BYTES => {
            let starts = std::iter::once(&0).chain(ends);
            let sizes = ends.iter().zip(starts).map(|(end, start)| u64::from(end - start));
            sizes.filter(|&size| size >= LARGE_BYTES).sum()
        }
        Items::Each(all) => all.iter().map(of_payload).sum(),
        Items::Packed { .. } | Items::Local { .. } => 0,
    }
}

fn of_payload(payload: &Payload) -> u64 {
    Some(payload.nbytes()).filter(|&size| size >= LARGE_BYTES).unwrap_or(0)
}
