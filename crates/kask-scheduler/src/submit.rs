//! New work: from layers to tasks in the table.
//!
//! A submission is checked whole before anything changes, so a refusal leaves nothing behind. Tasks are entered in the
//! order of their ranks, which makes neighbours in the order neighbours in the table; adjacency is written once, both
//! ways. The cost per task does not depend on how many there are.

use crate::batch::{Batch, Lists, Span, Style};
use crate::blobs::blobs_of;
use crate::classes::shared_resources;
use crate::clients::ClientIx;
use crate::families::FamilyIx;
use crate::scheduler::Scheduler;
use crate::tasks::{BatchIx, Flag, Slot};
use kask_graph::{Expansion, Graph, Known, Layer, LayerKind, LayerSpan, Output, Stage, Wanted, expand_within};
use kask_types::{Annotations, Key};
use kask_wire::SchedulerToClient;
use smallvec::SmallVec;
use std::sync::Arc;

/// So many keys are named in a refusal's text.
const NAMED: usize = 10;
/// So many outputs of a graph that makes no sense are told of the refusal.
const MOST_REFUSED: usize = 1_000_000;

/// Why a submission is refused.
struct Refusal {
    keys: Vec<Key>,
    reason: String,
}

impl Scheduler {
    pub(crate) fn submit(&mut self, client: ClientIx, graph: Graph, wanted: &Wanted) {
        match self.expand_submission(client, &graph, wanted) {
            Ok(expansion) => self.admit(client, graph, &expansion),
            Err(Refusal { keys, reason }) => {
                let message = SchedulerToClient::Refused { keys, reason: reason.into() };
                self.out.tell_client(self.clients[client].id, message);
            }
        }
    }

    fn expand_submission(&self, client: ClientIx, graph: &Graph, wanted: &Wanted) -> Result<Expansion, Refusal> {
        let refuse = |reason: String| Refusal { keys: self.new_outputs(client, graph, wanted), reason };
        for layer in &graph.layers {
            if let Some(blob) = blobs_of(layer).iter().find(|blob| !self.blobs.contains_key(blob)) {
                let name = &layer.prefix;
                return Err(refuse(format!("layer {name} calls function {blob}, which this scheduler was not sent")));
            }
        }
        let mut known = |key: Key| if self.tasks.find(key).is_some() { Known::Alive } else { Known::No };
        let expanded = expand_within(graph, wanted, &mut known, &self.config.limits);
        let expansion = expanded.map_err(|error| refuse(error.to_string()))?;
        let wanted_keys = expansion.outputs.iter().filter_map(|output| match output {
            Output::External(key) => Some(*key),
            Output::Local(_) => None,
        });
        let unknown = |key: &Key| self.tasks.find(*key).is_none();
        let mut lacking: Vec<Key> = expansion.externals.iter().copied().chain(wanted_keys).filter(unknown).collect();
        if !lacking.is_empty() {
            lacking.sort_unstable();
            lacking.dedup();
            let named: Vec<String> = lacking.iter().take(NAMED).map(Key::to_string).collect();
            let more = if lacking.len() > NAMED { ", ..." } else { "" };
            return Err(refuse(format!(
                "the graph needs {} keys that neither it nor the scheduler has: {}{more}; they may have been cancelled \
                 or released before",
                lacking.len(),
                named.join(", ")
            )));
        }
        Ok(expansion)
    }

    /// Wanted keys that the client does not want already: nobody else will tell it of them.
    fn new_outputs(&self, client: ClientIx, graph: &Graph, wanted: &Wanted) -> Vec<Key> {
        let wants = &self.clients[client].wants;
        let is_new = |key: &Key| self.tasks.find(*key).is_none_or(|slot| !wants.contains(slot));
        match wanted {
            Wanted::Keys(keys) => keys.iter().copied().filter(is_new).collect(),
            Wanted::All => {
                let layers = graph.layers.iter();
                let keys = layers.flat_map(|layer| (0..layer.len()).map(|index| layer.key_of(index)));
                keys.filter(is_new).take(MOST_REFUSED).collect()
            }
        }
    }

    /// Enters an expanded submission.
    fn admit(&mut self, client: ClientIx, graph: Graph, expansion: &Expansion) {
        let sequence = expansion.sequence();
        let externals: Vec<Slot> =
            expansion.externals.iter().map(|&key| self.tasks.find(key).expect("unknown keys were refused")).collect();
        let new = if sequence.is_empty() { Vec::new() } else { self.enter(graph, expansion, sequence, &externals) };
        let mut wanted = Vec::new();
        for output in &expansion.outputs {
            let slot = match output {
                Output::Local(id) => new[expansion.order[*id as usize] as usize],
                Output::External(key) => self.tasks.find(*key).expect("unknown keys were refused"),
            };
            self.want(client, slot);
            wanted.push(slot);
        }
        self.counters.submitted += new.len() as u64;
        let mut stack = new;
        stack.reverse();
        self.enroll(stack);
        self.demand(&wanted);
        self.settle();
    }

    /// Makes the batch and its tasks, all set to wait; gives their slots by rank.
    fn enter(&mut self, graph: Graph, expansion: &Expansion, sequence: Vec<u32>, externals: &[Slot]) -> Vec<Slot> {
        self.graphs += 1;
        let spans = self.make_spans(graph, &expansion.layers, &sequence);
        let batch = Batch {
            graph: self.graphs,
            spans,
            locals: sequence,
            slots: Vec::new(),
            inputs: Lists::default(),
            dependents: Lists::default(),
            alive: 0,
            ready: SmallVec::new(),
        };
        let ix = self.tasks.add_batch(batch);
        let slots = self.enter_tasks(ix);
        let (inputs, dependents) = self.connect(expansion, ix, &slots, externals);
        let batch = self.tasks.batch_mut(ix);
        batch.alive = slots.len() as u32;
        batch.slots = slots.clone();
        batch.inputs = inputs;
        batch.dependents = dependents;
        slots
    }

    /// A span for each layer that has needed tasks.
    fn make_spans(&mut self, graph: Graph, layers: &[LayerSpan], sequence: &[u32]) -> Vec<Span> {
        let mut alive = vec![0u32; layers.len()];
        match layers {
            [_] => alive[0] = sequence.len() as u32,
            _ => {
                for &local in sequence {
                    // Empty layers share their start with the next one; the last of those that fit is not empty.
                    alive[layers.partition_point(|span| span.start <= local) - 1] += 1;
                }
            }
        }
        let mut spans = Vec::new();
        for ((layer, place), alive) in graph.layers.into_iter().zip(layers).zip(alive) {
            if alive == 0 {
                continue;
            }
            let blobs = blobs_of(&layer);
            for blob in &blobs {
                self.blobs.get_mut(blob).expect("unknown blobs were refused").layers += 1;
            }
            let styles = self.make_styles(&layer);
            let (start, len) = (place.start, place.len);
            spans.push(Span { start, len, alive, layer: Some(Box::new(layer)), blobs, styles });
        }
        spans
    }

    fn make_styles(&mut self, layer: &Layer) -> SmallVec<[Style; 1]> {
        let sets: &[Annotations] = match &layer.kind {
            LayerKind::Explicit(explicit) => &explicit.annotation_sets,
            LayerKind::Map(_) | LayerKind::Blockwise(_) | LayerKind::TreeReduce(_) | LayerKind::Shuffle(_) => &[],
        };
        let all = std::iter::once(&layer.annotations).chain(sets);
        let make = |annotations: &Annotations| Style {
            class: self.classes.intern(&annotations.workers, &annotations.resources, &self.workers),
            user: annotations.priority.saturating_neg(),
            retries: annotations.retries,
            resources: shared_resources(&annotations.resources),
            memory_bytes: annotations.memory_bytes,
        };
        all.map(make).collect()
    }

    fn enter_tasks(&mut self, ix: BatchIx) -> Vec<Slot> {
        let batch = self.tasks.batches[ix.0 as usize].take().expect("just added");
        let families = self.intern_families(&batch.spans);
        for (span, families) in batch.spans.iter().zip(&families) {
            let layer = span.layer.as_ref().expect("just made");
            self.tasks.families.hint_bytes(families[0], layer.annotations.result_bytes);
        }
        let count = batch.locals.len();
        self.tasks.reserve(count);
        let mut slots = Vec::with_capacity(count);
        for row in 0..count as u32 {
            let (at, index) = batch.local(row);
            let layer = batch.spans[at].layer.as_ref().expect("just made");
            let family = match (&families[at][..], &layer.kind) {
                (several @ [_, _, ..], LayerKind::Explicit(explicit)) => {
                    let family = explicit.families.get(index as usize).map_or(0, |&family| family as usize + 1);
                    several.get(family).copied().unwrap_or(several[0])
                }
                (several @ [_, _, ..], LayerKind::Shuffle(shuffle)) => match shuffle.stage(index) {
                    Some(Stage::Merge { .. }) => several[1],
                    Some(Stage::Split { .. }) => several[2],
                    Some(Stage::Take { .. }) | None => several[0],
                },
                (one, _) => one[0],
            };
            let slot = self.tasks.insert(layer.key_of(index), ix, row, family);
            if let LayerKind::Shuffle(shuffle) = &layer.kind {
                match shuffle.stage(index) {
                    Some(Stage::Merge { .. }) => self.tasks[slot].set(Flag::ReadsPart, true),
                    Some(Stage::Take { .. }) => self.tasks[slot].set(Flag::Checkpoint, true),
                    Some(Stage::Split { .. }) | None => {}
                }
            }
            slots.push(slot);
        }
        self.tasks.batches[ix.0 as usize] = Some(batch);
        slots
    }

    /// For each span its own family, then those of an explicit layer's prefixes or of a shuffle's merges and splits.
    fn intern_families(&mut self, spans: &[Span]) -> Vec<SmallVec<[FamilyIx; 1]>> {
        let of_span = |span: &Span| {
            let layer = span.layer.as_ref().expect("just made");
            let more: SmallVec<[&Arc<str>; 2]> = match &layer.kind {
                LayerKind::Explicit(explicit) => explicit.prefixes.iter().collect(),
                LayerKind::Shuffle(shuffle) => [&shuffle.merge_prefix, &shuffle.split_prefix].into_iter().collect(),
                LayerKind::Map(_) | LayerKind::Blockwise(_) | LayerKind::TreeReduce(_) => SmallVec::new(),
            };
            let all = std::iter::once(&layer.prefix).chain(more);
            all.map(|prefix| self.tasks.families.intern(prefix)).collect()
        };
        spans.iter().map(of_span).collect()
    }

    /// Inputs and dependents of every new task, and the counts that follow from them.
    fn connect(&mut self, expansion: &Expansion, ix: BatchIx, slots: &[Slot], externals: &[Slot]) -> (Lists, Lists) {
        let tasks = expansion.tasks();
        let batch = self.tasks.batches[ix.0 as usize].take().expect("just added");
        let mut inputs = Lists::with_capacity(slots.len(), expansion.inputs.total());
        let mut readers = vec![0; slots.len()];
        for (row, &local) in batch.locals.iter().enumerate() {
            let ids = expansion.inputs.row(local);
            for &id in ids {
                match id.checked_sub(tasks) {
                    None => readers[expansion.order[id as usize] as usize] += 1,
                    Some(external) => {
                        let external = externals[external as usize];
                        self.tasks[external].dependents += 1;
                        self.tasks.add_far_dependent(external, slots[row]);
                    }
                }
            }
            inputs.push_row(ids.iter().map(|&id| match id.checked_sub(tasks) {
                None => slots[expansion.order[id as usize] as usize],
                Some(external) => externals[external as usize],
            }));
        }
        for (&slot, &count) in slots.iter().zip(&readers) {
            self.tasks[slot].dependents = count;
        }
        let mut dependents = Lists::with_counts(readers);
        for (row, &local) in batch.locals.iter().enumerate() {
            for &id in expansion.inputs.row(local) {
                if id < tasks {
                    dependents.put(expansion.order[id as usize], slots[row]);
                }
            }
        }
        self.tasks.batches[ix.0 as usize] = Some(batch);
        (inputs, dependents.done())
    }
}
