//! What a graph would cost, told before it runs: `GraphBuilder.explain`, and the refusal of what can never fit.

use crate::builder::GraphBuilder;
use crate::engine_core::EngineCore;
use crate::lower::{Described, MadeBlocks};
use crate::{errors, interrupt, lower};
use kask_graph::{
    Capacity, Expansion, FamilySummary, Graph, GraphError, Known, LayerKind, Need, ProjectedPeak, TaskBytes, Verdict,
    Wanted, expand, fitting_limit, projected_peak, summarize, task_bytes, usable_bytes,
};
use kask_types::{Annotations, Key};
use kask_wire::{Query, Reply};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use rustc_hash::FxHashMap;
use std::time::Duration;

/// How long the scheduler may take to say what its workers have; after that nothing is refused.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found out about a graph.
struct Explained<'g> {
    graph: &'g Graph,
    expansion: Expansion,
    bytes: Vec<TaskBytes>,
    peak: ProjectedPeak,
}

impl<'g> Explained<'g> {
    fn of(
        graph: &'g Graph,
        wanted: &[Key],
        capacity: &Capacity,
        learned: &FxHashMap<String, u64>,
    ) -> Result<Explained<'g>, GraphError> {
        let expansion = expand(graph, &Wanted::Keys(wanted.to_vec()), &mut |_| Known::No)?;
        let bytes = task_bytes(graph, &expansion, &mut |family| learned.get(family).copied());
        let peak = projected_peak(graph, &expansion, &bytes, capacity);
        Ok(Explained { graph, expansion, bytes, peak })
    }

    fn summary(&self) -> Vec<FamilySummary> {
        summarize(self.graph, &self.expansion, &self.bytes)
    }

    fn family(&self, task: u32) -> &str {
        let (layer, index) = self.expansion.place(task);
        self.graph.layers[layer].prefix_of(index)
    }

    fn name(&self, task: u32) -> String {
        let (layer, index) = self.expansion.place(task);
        self.graph.layers[layer].name(index).to_string()
    }
}

/// What running a graph would take, as plain values.
pub fn explain<'py>(
    py: Python<'py>,
    builder: &GraphBuilder,
    outputs: &[String],
    capacity: &Capacity,
    learned: &FxHashMap<String, u64>,
) -> PyResult<Bound<'py, PyDict>> {
    let Described { graph, made, wanted } = lower::describe_graph(py, builder, outputs)?;
    let (explained, rows) = py
        .detach(|| {
            let explained = Explained::of(&graph, &wanted, capacity, learned)?;
            let rows = explained.summary();
            Ok((explained, rows))
        })
        .map_err(|error: GraphError| errors::graph(py, &error.to_string()))?;
    let peak = &explained.peak;
    let dict = PyDict::new(py);
    let layers = rows.iter().map(|row| (&*row.prefix, row.kind, row.tasks, row.edges, row.result_bytes, row.unknown));
    dict.set_item("layers", PyList::new(py, layers.collect::<Vec<_>>())?)?;
    dict.set_item("peak_bytes", peak.peak_bytes)?;
    dict.set_item("peak_values", peak.peak_values)?;
    dict.set_item("peak_family", peak.peak_task.map(|task| explained.family(task)))?;
    dict.set_item("produced_bytes", peak.produced_bytes)?;
    dict.set_item("unknown", peak.unknown)?;
    dict.set_item("largest", peak.largest.map(|need| describe_need(py, &explained, &made, &need)).transpose()?)?;
    let (verdict, spilled_bytes) = match peak.verdict {
        Verdict::Fits => ("fits", 0),
        Verdict::FitsWithSpilling { spilled_bytes } => ("spills", spilled_bytes),
        Verdict::CannotFit { .. } => ("cannot fit", 0),
    };
    dict.set_item("usable_bytes", usable_bytes(capacity.limit_bytes))?;
    dict.set_item("verdict", verdict)?;
    dict.set_item("spilled_bytes", spilled_bytes)?;
    Ok(dict)
}

fn describe_need<'py>(
    py: Python<'py>,
    explained: &Explained<'_>,
    made: &MadeBlocks,
    need: &Need,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("family", explained.family(need.task))?;
    dict.set_item("task", explained.name(need.task))?;
    dict.set_item("inputs", need.inputs)?;
    dict.set_item("inputs_bytes", need.inputs_bytes)?;
    dict.set_item("own_bytes", need.own_bytes)?;
    let largest = LargestBlock::of(explained, made, need);
    dict.set_item("largest_bytes", largest.bytes)?;
    dict.set_item("largest_family", largest.family)?;
    dict.set_item("largest_shape", largest.shape.map(|shape| PyTuple::new(py, shape)).transpose()?)?;
    dict.set_item("shuffled", need.shuffled)?;
    dict.set_item("fitting_limit", fitting_limit(need.bytes()))?;
    Ok(dict)
}

/// The largest of what a task reads, makes on the way and results in: what has to be smaller when it does not fit.
struct LargestBlock<'a> {
    bytes: u64,
    family: &'a str,
    shape: Option<&'a [u64]>,
}

impl<'a> LargestBlock<'a> {
    fn of(explained: &'a Explained<'_>, made: &'a MadeBlocks, need: &Need) -> LargestBlock<'a> {
        let of_task = |task: u32| {
            let (layer, _) = explained.expansion.place(task);
            made.get(&explained.graph.layers[layer].token).map_or(&[][..], |blocks| blocks)
        };
        let mut largest =
            LargestBlock { bytes: need.largest_bytes, family: explained.family(need.largest_task), shape: None };
        // What a layer says first is its result, which others read; what it makes on the way is known only here.
        let read = of_task(need.largest_task).first().filter(|(bytes, ..)| *bytes == need.largest_bytes);
        let least = need.largest_bytes.saturating_add((need.largest_task != need.task).into());
        let own = of_task(need.task).last().filter(|(bytes, ..)| *bytes >= least);
        if let Some((bytes, shape, family)) = own.or(read) {
            largest = LargestBlock { bytes: *bytes, family, shape: Some(shape) };
        }
        largest
    }
}

/// An `OutOfMemoryError` when the graph says how large its results are and one task is more than any worker has.
///
/// Costs nothing where no sizes are annotated.
pub fn refuse_what_cannot_fit(
    py: Python<'_>,
    core: &EngineCore,
    graph: &Graph,
    made: &MadeBlocks,
    wanted: &[Key],
) -> PyResult<()> {
    if !says_sizes(graph) {
        return Ok(());
    }
    let Some(capacity) = capacity_of(py, core)?.filter(|capacity| capacity.limit_bytes > 0) else {
        return Ok(());
    };
    // A graph that is broken is refused by the scheduler, in its words.
    let Ok(explained) = py.detach(|| Explained::of(graph, wanted, &capacity, &FxHashMap::default())) else {
        return Ok(());
    };
    match (&explained.peak.verdict, explained.peak.largest) {
        (Verdict::CannotFit { limit_bytes, usable_bytes, .. }, Some(need)) => {
            let python = py.import("kask.explain")?.getattr("cannot_fit")?;
            let described = describe_need(py, &explained, made, &need)?;
            let (message, hint): (String, String) = python.call1((described, limit_bytes, usable_bytes))?.extract()?;
            Err(errors::new(py, "OutOfMemoryError", &message, Some(&hint)))
        }
        _ => Ok(()),
    }
}

fn says_sizes(graph: &Graph) -> bool {
    let says = |said: &Annotations| said.result_bytes > 0 || said.memory_bytes > 0;
    graph.layers.iter().any(|layer| {
        says(&layer.annotations)
            || match &layer.kind {
                LayerKind::Explicit(explicit) => explicit.annotation_sets.iter().any(says),
                LayerKind::Map(_) | LayerKind::Blockwise(_) | LayerKind::TreeReduce(_) | LayerKind::Shuffle(_) => false,
            }
    })
}

/// What the engine's workers have together; none when there are none, or nobody answers.
pub fn capacity_of(py: Python<'_>, core: &EngineCore) -> PyResult<Option<Capacity>> {
    let answer = interrupt::wait(py, |interrupted| core.client.ask(Query::Info, Some(PATIENCE), interrupted));
    let info = match answer {
        Ok(Reply::Info(info)) => info,
        Ok(_) => return Ok(None),
        Err(error) if error.is_instance_of::<PyKeyboardInterrupt>(py) => return Err(error),
        Err(_) => return Ok(None),
    };
    let limits = || info.workers.iter().map(|worker| worker.info.memory_limit_bytes);
    // A worker without a limit takes what no other can.
    let limit_bytes = if limits().any(|limit| limit == 0) { 0 } else { limits().max().unwrap_or(0) };
    let runners = info.workers.iter().map(|worker| worker.info.nthreads).sum();
    let workers = info.workers.len() as u32;
    Ok((workers > 0).then_some(Capacity { runners, workers, limit_bytes }))
}
