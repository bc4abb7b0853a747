//! How much a graph will hold at once, projected from its order and the sizes of its results before anything runs.
//!
//! [`projected_peak`] plays the run through: so many runners, each task takes as long as any other, the ready task of
//! the lowest rank starts first. That is what the scheduler does but for durations, which nobody knows yet. A result
//! is held from its task's start until its last reader ends, a wanted one until the end; a task that runs holds what
//! its annotations say, and at least its result. Externals are there already and are not counted, and neither is what
//! has an unknown size ([`ProjectedPeak::unknown`] says how much that is).
//!
//! Sizes come from [`task_bytes`]. Everything costs as much as there are tasks and inputs, and the logarithm of the
//! number of ready tasks for each task.

use crate::expand::{Expansion, InputOf, Output};
use crate::grid;
use crate::layer::{Graph, Layer, LayerKind, ShuffleLayer};
use crate::order;
use crate::room::usable_bytes;
use crate::shuffle::Stage;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

/// What is known of a task's size; 0 where nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskBytes {
    /// Its result.
    pub result: u64,
    /// What it needs while it runs beside its inputs, its result included.
    pub memory: u64,
}

impl TaskBytes {
    /// What it holds while it runs.
    fn running(self) -> u64 {
        self.memory.max(self.result)
    }
}

/// What there is to run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Tasks that run at once, of all workers together.
    pub runners: u32,
    /// Number of workers.
    pub workers: u32,
    /// Memory of each; 0 when there is no limit.
    pub limit_bytes: u64,
}

/// What one task needs in the memory of its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Local id of the task.
    pub task: u32,
    /// How many results it reads.
    pub inputs: u32,
    /// Their bytes.
    pub inputs_bytes: u64,
    /// What it holds itself while it runs.
    pub own_bytes: u64,
    /// The largest of its inputs and its result.
    pub largest_bytes: u64,
    /// Local id of the task that makes it: of the task itself if it is its result.
    pub largest_task: u32,
    /// Of a merge, which makes some of the outputs of a shuffle: bytes and number of all of them.
    pub shuffled: Option<(u64, u32)>,
}

impl Need {
    /// All of it.
    pub fn bytes(&self) -> u64 {
        self.inputs_bytes.saturating_add(self.own_bytes)
    }
}

/// Whether a graph fits.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It does.
    Fits,
    /// It does if so many bytes are on disk at the peak.
    FitsWithSpilling {
        /// What is over the workers' memory.
        spilled_bytes: u64,
    },
    /// One task alone is more than a worker can hold.
    CannotFit {
        /// The task's family.
        family: Arc<str>,
        /// What it needs.
        needs_bytes: u64,
        /// What a worker has.
        limit_bytes: u64,
        /// What it has of that for one task: see [`usable_bytes`].
        usable_bytes: u64,
        /// What it could need, as a share of what it needs: chunks of this share of their size would fit.
        share: f64,
    },
}

/// What a run would hold.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectedPeak {
    /// Most bytes held at once.
    pub peak_bytes: u64,
    /// The task whose start brought the peak; none when nothing has a known size.
    pub peak_task: Option<u32>,
    /// Most results held or being made at once, whatever their size.
    pub peak_values: u32,
    /// Bytes of all results together.
    pub produced_bytes: u64,
    /// Needed tasks whose result has no known size.
    pub unknown: u32,
    /// The task that needs most; none when nothing has a known size.
    pub largest: Option<Need>,
    /// Whether it fits.
    pub verdict: Verdict,
}

/// The sizes of a graph's tasks by local id: what their annotations say, or else what `learned` knows of their family.
///
/// The annotations of a shuffle speak of its outputs. A merge is as large as the outputs of its group, and the splits
/// together are as large as all outputs.
pub fn task_bytes(
    graph: &Graph,
    expansion: &Expansion,
    learned: &mut dyn FnMut(&str) -> Option<u64>,
) -> Vec<TaskBytes> {
    let mut all = vec![TaskBytes::default(); expansion.tasks() as usize];
    for (layer, span) in graph.layers.iter().zip(&expansion.layers) {
        let of_layer = &mut all[span.start as usize..(span.start + span.len) as usize];
        match &layer.kind {
            LayerKind::Map(_) | LayerKind::Blockwise(_) | LayerKind::TreeReduce(_) => {
                of_layer.fill(annotated(layer, 0, learned));
            }
            LayerKind::Explicit(explicit) => {
                // Neighbours mostly have the same family and annotations: asked once.
                let mut last = None;
                for (index, bytes) in of_layer.iter_mut().enumerate() {
                    let same = (explicit.families.get(index), explicit.annotations.get(index));
                    if last.is_none_or(|(of, _)| of != same) {
                        last = Some((same, annotated(layer, index as u32, learned)));
                    }
                    *bytes = last.expect("just made").1;
                }
            }
            LayerKind::Shuffle(shuffle) => {
                let take = annotated(layer, 0, learned);
                let learned = [&shuffle.merge_prefix, &shuffle.split_prefix].map(|prefix| learned(prefix).unwrap_or(0));
                for (index, bytes) in (0..).zip(of_layer) {
                    *bytes = shuffle_bytes(shuffle, index, take, learned);
                }
            }
        }
    }
    all
}

/// The size of a shuffle's task by those of the outputs, or by what was learned of merges and splits.
fn shuffle_bytes(
    shuffle: &ShuffleLayer,
    index: u32,
    take: TaskBytes,
    [merge_bytes, split_bytes]: [u64; 2],
) -> TaskBytes {
    let (outputs, inputs) = (grid::blocks(&shuffle.outputs), grid::blocks(&shuffle.input_grid));
    let result = match shuffle.stage(index) {
        Some(Stage::Merge { .. }) if take.result == 0 => merge_bytes,
        Some(Stage::Split { .. }) if take.result == 0 => split_bytes,
        Some(Stage::Merge { group }) => take.result.saturating_mul(shuffle.outputs_of(group).len() as u64),
        Some(Stage::Split { .. }) => take.result.saturating_mul(outputs.into()) / u64::from(inputs.max(1)),
        Some(Stage::Take { .. }) | None => take.result,
    };
    TaskBytes { result, ..take }
}

fn annotated(layer: &Layer, index: u32, learned: &mut dyn FnMut(&str) -> Option<u64>) -> TaskBytes {
    if layer.is_empty() {
        return TaskBytes::default();
    }
    let said = layer.annotations_of(index);
    let result = if said.result_bytes > 0 { said.result_bytes } else { learned(layer.prefix_of(index)).unwrap_or(0) };
    TaskBytes { result, memory: said.memory_bytes }
}

/// Plays a run through in its order and says how much it holds.
///
/// ```
/// # use kask_graph::*;
/// # use kask_types::{Annotations, BlobId, LayerToken, Payload};
/// # use smallvec::smallvec;
/// // Four blocks of 10 MB, summed two at a time; the sums take 1 MB.
/// let annotations = |result_bytes| Annotations { result_bytes, ..Annotations::default() };
/// let blocks = BlockwiseLayer {
///     function: BlobId::of(b"load"),
///     template: Payload::empty(),
///     grid: smallvec![4],
///     inputs: vec![],
///     items: None,
///     wants_position: true,
/// };
/// let sums = TreeReduceLayer {
///     combine: BlobId::of(b"sum"),
///     aggregate: BlobId::of(b"sum"),
///     template: Payload::empty(),
///     input: LayerToken(1).into(),
///     input_grid: smallvec![4],
///     split_every: vec![(0, 2)],
/// };
/// let layer = |token, prefix: &str, bytes, kind| {
///     Layer { token: LayerToken(token), prefix: prefix.into(), annotations: annotations(bytes), kind }
/// };
/// let graph = Graph {
///     layers: vec![
///         layer(1, "load", 10_000_000, LayerKind::Blockwise(blocks)),
///         layer(2, "sum", 1_000_000, LayerKind::TreeReduce(sums)),
///     ],
/// };
/// let wanted = Wanted::Keys(vec![graph.layers[1].key_of(0)]);
/// let expansion = expand(&graph, &wanted, &mut |_| Known::No).unwrap();
/// let bytes = task_bytes(&graph, &expansion, &mut |_| None);
/// let capacity = Capacity { runners: 1, workers: 1, limit_bytes: 50_000_000 };
/// let projected = projected_peak(&graph, &expansion, &bytes, &capacity);
/// // Two blocks, their sum, and the sum of the other two.
/// assert_eq!((projected.peak_bytes, projected.verdict), (22_000_000, Verdict::Fits));
/// assert_eq!(projected.produced_bytes, 43_000_000);
/// ```
pub fn projected_peak(graph: &Graph, expansion: &Expansion, bytes: &[TaskBytes], capacity: &Capacity) -> ProjectedPeak {
    let mut run = Run::new(expansion, bytes);
    run.play(capacity.runners.max(1) as usize);
    let mut peak = run.peak;
    peak.largest = largest_need(graph, expansion, bytes);
    peak.verdict = verdict(graph, expansion, &peak, capacity);
    peak
}

fn verdict(graph: &Graph, expansion: &Expansion, peak: &ProjectedPeak, capacity: &Capacity) -> Verdict {
    let limit_bytes = capacity.limit_bytes;
    if limit_bytes == 0 {
        return Verdict::Fits;
    }
    let usable_bytes = usable_bytes(limit_bytes);
    if let Some(need) = peak.largest
        && need.bytes() > usable_bytes
    {
        let (layer, index) = expansion.place(need.task);
        let family = graph.layers[layer].prefix_of(index).clone();
        let needs_bytes = need.bytes();
        let share = usable_bytes as f64 / needs_bytes as f64;
        return Verdict::CannotFit { family, needs_bytes, limit_bytes, usable_bytes, share };
    }
    let all = usable_bytes.saturating_mul(u64::from(capacity.workers.max(1)));
    match peak.peak_bytes.saturating_sub(all) {
        0 => Verdict::Fits,
        spilled_bytes => Verdict::FitsWithSpilling { spilled_bytes },
    }
}

/// The needed task that takes most of its worker's memory while it runs.
fn largest_need(graph: &Graph, expansion: &Expansion, bytes: &[TaskBytes]) -> Option<Need> {
    let mut largest: Option<Need> = None;
    // The last task that was seen to read each one: repeated inputs are held once.
    let mut seen_by = vec![u32::MAX; bytes.len()];
    for (layer, span) in graph.layers.iter().zip(&expansion.layers) {
        for task in (span.start..span.start + span.len).filter(|&task| expansion.needed.contains(task)) {
            let (part, whole) = part_read(layer, task - span.start);
            let own = bytes[task as usize];
            let (mut inputs, mut inputs_bytes, mut largest_bytes, mut largest_task) = (0, 0u64, own.result, task);
            for input in expansion.inputs_of(task) {
                let InputOf::Local(input) = input else { continue };
                if std::mem::replace(&mut seen_by[input as usize], task) == task {
                    continue;
                }
                let result = bytes[input as usize].result;
                let read = if part == whole { result } else { (u128::from(result) * part).div_ceil(whole) as u64 };
                inputs += 1;
                inputs_bytes = inputs_bytes.saturating_add(read);
                if read > largest_bytes {
                    (largest_bytes, largest_task) = (read, input);
                }
            }
            let own_bytes = own.running();
            let shuffled = merged(layer, task - span.start).map(|(outputs, of)| {
                ((u128::from(own.result) * u128::from(outputs) / u128::from(of.max(1))) as u64, outputs)
            });
            let need = Need { task, inputs, inputs_bytes, own_bytes, largest_bytes, largest_task, shuffled };
            // A merge of one output needs as much as who takes it, and is what can be made smaller.
            let most = largest.map_or(0, |most| most.bytes());
            if need.bytes() > most || (need.bytes() == most && most > 0 && need.shuffled.is_some()) {
                largest = Some(need);
            }
        }
    }
    largest
}

/// How much of each input a task reads, as a fraction: a merge reads its group's part of the splits.
fn part_read(layer: &Layer, index: u32) -> (u128, u128) {
    merged(layer, index).map_or((1, 1), |(outputs, of)| (of.into(), u128::from(outputs).max(1)))
}

/// How many outputs a shuffle has, and how many of them this task merges; none when it is no merge.
fn merged(layer: &Layer, index: u32) -> Option<(u32, u32)> {
    match &layer.kind {
        LayerKind::Map(_) | LayerKind::Explicit(_) | LayerKind::Blockwise(_) | LayerKind::TreeReduce(_) => None,
        LayerKind::Shuffle(shuffle) => match shuffle.stage(index) {
            Some(Stage::Merge { group }) => {
                Some((grid::blocks(&shuffle.outputs), shuffle.outputs_of(group).len() as u32))
            }
            Some(Stage::Take { .. } | Stage::Split { .. }) | None => None,
        },
    }
}

/// A run that is played through.
struct Run<'a> {
    expansion: &'a Expansion,
    bytes: &'a [TaskBytes],
    reader_starts: Vec<u32>,
    readers: Vec<u32>,
    /// Distinct inputs of each task that have not ended.
    missing: Vec<u32>,
    /// Distinct readers of each task that have not ended; one more for wanted ones.
    readers_left: Vec<u32>,
    /// The last reader that each task was given up by: tells repeated inputs apart.
    seen_by: Vec<u32>,
    held_bytes: u64,
    held_values: u32,
    peak: ProjectedPeak,
}

impl<'a> Run<'a> {
    fn new(expansion: &'a Expansion, bytes: &'a [TaskBytes]) -> Run<'a> {
        let (reader_starts, readers, missing) = order::reverse(&expansion.inputs, &expansion.needed);
        let mut readers_left: Vec<u32> = reader_starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for output in &expansion.outputs {
            if let Output::Local(id) = *output {
                readers_left[id as usize] += 1;
            }
        }
        let sizes = || expansion.needed.iter().map(|id| bytes[id as usize]);
        let peak = ProjectedPeak {
            peak_bytes: 0,
            peak_task: None,
            peak_values: 0,
            produced_bytes: sizes().fold(0, |sum, of| sum.saturating_add(of.result)),
            unknown: sizes().filter(|of| of.result == 0).count() as u32,
            largest: None,
            verdict: Verdict::Fits,
        };
        let seen_by = vec![u32::MAX; readers_left.len()];
        let (held_bytes, held_values) = (0, 0);
        Run { expansion, bytes, reader_starts, readers, missing, readers_left, seen_by, held_bytes, held_values, peak }
    }

    fn play(&mut self, runners: usize) {
        let order = &self.expansion.order;
        let task_of = self.expansion.sequence();
        let roots = self.expansion.needed.iter().filter(|&id| self.missing[id as usize] == 0);
        let mut ready: BinaryHeap<Reverse<u32>> = roots.map(|id| Reverse(order[id as usize])).collect();
        let mut running = VecDeque::with_capacity(runners.min(task_of.len()));
        loop {
            while running.len() < runners
                && let Some(Reverse(rank)) = ready.pop()
            {
                let task = task_of[rank as usize];
                running.push_back(task);
                self.start(task);
            }
            // All tasks take the same time, so they end in the order in which they began.
            let Some(task) = running.pop_front() else { return };
            self.end(task);
            let (start, end) = (self.reader_starts[task as usize], self.reader_starts[task as usize + 1]);
            for at in start..end {
                let reader = self.readers[at as usize];
                self.missing[reader as usize] -= 1;
                if self.missing[reader as usize] == 0 {
                    ready.push(Reverse(order[reader as usize]));
                }
            }
        }
    }

    fn start(&mut self, task: u32) {
        self.held_bytes = self.held_bytes.saturating_add(self.bytes[task as usize].running());
        self.held_values += 1;
        self.peak.peak_values = self.peak.peak_values.max(self.held_values);
        if self.held_bytes > self.peak.peak_bytes {
            self.peak.peak_bytes = self.held_bytes;
            self.peak.peak_task = Some(task);
        }
    }

    fn end(&mut self, task: u32) {
        let own = self.bytes[task as usize];
        self.held_bytes = self.held_bytes.saturating_sub(own.running() - own.result);
        if self.readers_left[task as usize] == 0 {
            self.give_up(task);
        }
        for input in self.expansion.inputs_of(task) {
            let InputOf::Local(input) = input else { continue };
            if std::mem::replace(&mut self.seen_by[input as usize], task) == task {
                continue;
            }
            self.readers_left[input as usize] -= 1;
            if self.readers_left[input as usize] == 0 {
                self.give_up(input);
            }
        }
    }

    fn give_up(&mut self, task: u32) {
        self.held_bytes = self.held_bytes.saturating_sub(self.bytes[task as usize].result);
        self.held_values -= 1;
    }
}
