//! From what a `GraphBuilder` holds to layers and blobs, for one engine, or to layers that are only looked at.

use crate::builder::{Blockwise, Families, GraphBuilder, GridKind, GridLayer, MadeBlock, Parts, Shuffle, Tree};
use crate::calls;
use crate::engine_core::EngineCore;
use crate::errors;
use crate::explain;
use crate::functions::{FunctionInfo, random128};
use crate::future::Future;
use crate::large::warn_of_large_arguments;
use crate::layers::LayersOfNodes;
use crate::lower_nodes::NodeTables;
use crate::names::{block_name, layer_name};
use crate::node::{self, Node};
use crate::pickle::{self, Subject};
use crate::sizes;
use crate::values::{self, CallArgs, Calls};
use kask_graph::{BlockwiseLayer, ExplicitLayer, Graph, Layer, LayerKind, ShuffleLayer, ShuffleStage, TreeReduceLayer};
use kask_types::{Annotations, BlobId, Items, Key, LayerToken, Payload, TaskName};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// A function and template that are not needed to know a tree's shape.
pub struct Lowered {
    combine: BlobId,
    aggregate: BlobId,
    template: Option<Payload>,
}

impl Lowered {
    /// For a tree of which only the shape matters.
    pub const PLACEHOLDER: Lowered = Lowered { combine: BlobId(0), aggregate: BlobId(0), template: None };
}

impl Tree {
    /// The engine's description of the tree.
    pub fn lower(&self, lowered: Lowered) -> TreeReduceLayer {
        TreeReduceLayer {
            combine: lowered.combine,
            aggregate: lowered.aggregate,
            template: lowered.template.unwrap_or_else(Payload::empty),
            input: self.input.clone(),
            input_grid: self.input_grid.clone(),
            split_every: self.split_every.clone(),
        }
    }
}

/// What a graph is lowered for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To be submitted to an engine in which objects stay objects, or not.
    Submission { local: bool },
    /// To be described: functions and arguments are left out.
    Description,
}

/// Collects a graph and its blobs for one engine.
pub struct Lowering<'a> {
    purpose: Purpose,
    blobs: Vec<(BlobId, Payload)>,
    /// By the function's address; the graph's parts keep the functions alive meanwhile.
    known: FxHashMap<usize, BlobId>,
    layers: Vec<Layer>,
    /// Layers that are grids, and there.
    grids: FxHashSet<LayerToken>,
    /// Of what these read.
    families: Families,
    made: MadeBlocks,
    names: FxHashMap<Key, TaskName>,
    wanted: &'a [String],
}

/// The blocks that the tasks of layers make, of the layers that say so.
pub type MadeBlocks = FxHashMap<LayerToken, Arc<[MadeBlock]>>;

/// A graph without what its tasks call.
pub struct Described {
    pub graph: Graph,
    pub made: MadeBlocks,
    /// Keys of the outputs.
    pub wanted: Vec<Key>,
}

/// Submits a graph; the futures of `outputs` (printed keys).
pub fn submit_graph(
    py: Python<'_>,
    core: &Arc<EngineCore>,
    builder: &GraphBuilder,
    outputs: &[String],
) -> PyResult<Vec<Future>> {
    core.check_open(py)?;
    with_parts(builder, |parts| submit_parts(py, core, parts, outputs))
}

/// The graph without what its tasks call, for `outputs`.
pub fn describe_graph(py: Python<'_>, builder: &GraphBuilder, outputs: &[String]) -> PyResult<Described> {
    with_parts(builder, |parts| {
        let mut lowering = Lowering::new(Purpose::Description, outputs);
        let wanted = lowering.parts(py, parts)?;
        let wanted = wanted.into_iter().map(|(key, _)| key).collect();
        Ok(Described { graph: Graph { layers: lowering.layers }, made: lowering.made, wanted })
    })
}

/// The graph without what its tasks call, and how what it reads from elsewhere is called.
pub fn describe_layers(py: Python<'_>, builder: &GraphBuilder) -> PyResult<(Graph, Outside)> {
    with_parts(builder, |parts| {
        let mut lowering = Lowering::new(Purpose::Description, &[]);
        lowering.parts(py, parts)?;
        let names = node::names_of_futures(py, &parts.nodes)?;
        Ok((Graph { layers: lowering.layers }, Outside { families: lowering.families, names }))
    })
}

/// What a graph may read from elsewhere.
pub struct Outside {
    /// Of layers.
    pub families: Families,
    /// Of tasks.
    pub names: FxHashMap<Key, TaskName>,
}

/// Uses what a builder holds without keeping it locked: functions and arguments may run the user's code.
fn with_parts<T>(builder: &GraphBuilder, work: impl FnOnce(&Parts) -> PyResult<T>) -> PyResult<T> {
    let parts = std::mem::take(&mut *builder.0.lock());
    let result = work(&parts);
    // A builder may be submitted again, to another engine or after an error.
    let mut kept = builder.0.lock();
    let added = std::mem::replace(&mut *kept, parts);
    kept.append(added);
    result
}

/// Submits nodes; their futures.
pub fn submit_nodes(py: Python<'_>, core: &Arc<EngineCore>, nodes: Vec<Py<Node>>) -> PyResult<Vec<Future>> {
    core.check_open(py)?;
    let outputs: Vec<String> = nodes.iter().map(|node| node.get().name().to_string()).collect();
    submit_parts(py, core, &Parts::of(nodes), &outputs)
}

fn submit_parts(py: Python<'_>, core: &Arc<EngineCore>, parts: &Parts, outputs: &[String]) -> PyResult<Vec<Future>> {
    let mut lowering = Lowering::new(Purpose::Submission { local: core.local }, outputs);
    let wanted = lowering.parts(py, parts)?;
    let keys: Vec<Key> = wanted.iter().map(|(key, _)| *key).collect();
    let (graph, made, blobs) = (Graph { layers: lowering.layers }, lowering.made, lowering.blobs);
    explain::refuse_what_cannot_fit(py, core, &graph, &made, &keys)?;
    warn_of_large_arguments(py, core, &graph)?;
    py.detach(|| core.client.submit(graph, keys, blobs));
    Ok(wanted.into_iter().map(|(key, name)| core.future(key, name)).collect())
}

impl<'a> Lowering<'a> {
    fn new(purpose: Purpose, wanted: &'a [String]) -> Lowering<'a> {
        Lowering {
            purpose,
            blobs: Vec::new(),
            known: FxHashMap::default(),
            layers: Vec::new(),
            grids: FxHashSet::default(),
            families: Families::default(),
            made: MadeBlocks::default(),
            names: FxHashMap::default(),
            wanted,
        }
    }

    /// Whether functions and arguments are left out.
    pub fn is_description(&self) -> bool {
        self.purpose == Purpose::Description
    }

    /// Whether objects stay objects.
    pub fn is_local(&self) -> bool {
        match self.purpose {
            Purpose::Submission { local } => local,
            Purpose::Description => false,
        }
    }

    /// Lowers everything; keys and names of what is wanted.
    fn parts(&mut self, py: Python<'_>, parts: &Parts) -> PyResult<Vec<(Key, TaskName)>> {
        self.nodes(py, &parts.nodes)?;
        self.grids(py, parts)?;
        self.outputs(py)
    }

    /// Lowers layers that are grids; one that several nodes stand for may be there already.
    fn grids(&mut self, py: Python<'_>, parts: &Parts) -> PyResult<()> {
        if self.is_description() {
            self.families.extend(parts.families.iter().map(|(token, family)| (*token, family.clone())));
        }
        for layer in &parts.layers {
            if !self.grids.insert(layer.token) {
                continue;
            }
            let kind = match &layer.kind {
                GridKind::Blockwise(blockwise) => LayerKind::Blockwise(self.blockwise(py, layer, blockwise)?),
                GridKind::Tree(tree) => LayerKind::TreeReduce(self.tree(py, layer, tree)?),
                GridKind::Shuffle(shuffle) => LayerKind::Shuffle(self.shuffle(py, layer, shuffle)?),
            };
            let (prefix, annotations) = (layer.prefix.clone(), layer.annotations.clone());
            self.layers.push(Layer { token: layer.token, prefix, annotations, kind });
        }
        Ok(())
    }

    /// The blob of a function.
    pub fn function(&mut self, function: &Bound<'_, PyAny>) -> PyResult<BlobId> {
        if self.is_description() {
            return Ok(BlobId(0));
        }
        let address = function.as_ptr() as usize;
        if let Some(id) = self.known.get(&address) {
            return Ok(*id);
        }
        let (id, payload) = FunctionInfo::of(function)?.blob(function, self.is_local())?;
        self.known.insert(address, id);
        self.blobs.push((id, payload));
        Ok(id)
    }

    fn nodes(&mut self, py: Python<'_>, roots: &[Py<Node>]) -> PyResult<()> {
        let order = node::collect(py, roots)?;
        if order.is_empty() {
            return Ok(());
        }
        sizes::count(py, order.len())?;
        let mut tables = NodeTables::with_capacity(order.len());
        let mut layers = LayersOfNodes::default();
        for node in &order {
            if !layers.take(py, node.get())? {
                tables.add(self, py, node.get())?;
            }
        }
        for builder in layers.builders() {
            with_parts(builder.get(), |parts| self.grids(py, parts))?;
        }
        for node in roots {
            self.names.insert(node.get().id(), node.get().name().clone());
        }
        let (items, layer) = tables.finish(self.is_local());
        let layer = ExplicitLayer { items, ..layer };
        self.layers.push(Layer {
            token: LayerToken(random128()),
            prefix: "tasks".into(),
            annotations: Annotations::default(),
            kind: LayerKind::Explicit(layer),
        });
        Ok(())
    }

    fn template(&self, py: Python<'_>, template: &Py<PyTuple>, name: &str) -> PyResult<Payload> {
        if self.is_description() {
            return Ok(Payload::empty());
        }
        let call = CallArgs { args: template.clone_ref(py), kwargs: None };
        if self.is_local() { Ok(values::holder(Calls(vec![call]))) } else { calls::encode(py, &call, name) }
    }

    fn blockwise(&mut self, py: Python<'_>, layer: &GridLayer, blockwise: &Blockwise) -> PyResult<BlockwiseLayer> {
        let function = self.function(blockwise.func.bind(py))?;
        let template = self.template(py, &blockwise.template, &layer.prefix)?;
        let items = blockwise.items.as_ref().filter(|_| !self.is_description());
        let items = items.map(|items| self.block_items(py, items, &layer.prefix)).transpose()?;
        if !blockwise.made.is_empty() {
            self.made.insert(layer.token, blockwise.made.clone());
        }
        let (grid, inputs) = (blockwise.grid.clone(), blockwise.inputs.clone());
        Ok(BlockwiseLayer { function, template, grid, inputs, items, wants_position: blockwise.wants_position })
    }

    fn block_items(&self, py: Python<'_>, items: &[Py<PyAny>], prefix: &str) -> PyResult<Items> {
        if self.is_local() {
            let objects = items.iter().map(|item| item.clone_ref(py)).collect();
            return Ok(values::items(values::Singles(objects), items.len()));
        }
        let what = format!("the item of a task of layer {prefix}");
        let each = items.iter().enumerate().map(|(index, item)| {
            pickle::dumps(item.bind(py), &Subject { what: &what, path: &format!("items[{index}]") })
        });
        each.collect::<PyResult<Vec<_>>>().map(Items::Each)
    }

    fn tree(&mut self, py: Python<'_>, layer: &GridLayer, tree: &Tree) -> PyResult<TreeReduceLayer> {
        Ok(tree.lower(Lowered {
            combine: self.function(tree.combine.bind(py))?,
            aggregate: self.function(tree.aggregate.bind(py))?,
            template: Some(self.template(py, &tree.template, &layer.prefix)?),
        }))
    }

    fn shuffle(&mut self, py: Python<'_>, layer: &GridLayer, shuffle: &Shuffle) -> PyResult<ShuffleLayer> {
        let mut stage = |(function, template): &(Py<PyAny>, Py<PyTuple>)| {
            let function = self.function(function.bind(py))?;
            let template = self.template(py, template, &layer.prefix)?;
            Ok::<_, PyErr>(ShuffleStage { function, template })
        };
        let [split, merge, take] = &shuffle.stages;
        Ok(ShuffleLayer {
            split: stage(split)?,
            merge: stage(merge)?,
            take: stage(take)?,
            split_prefix: format!("{}-split", layer.prefix).into(),
            merge_prefix: format!("{}-merge", layer.prefix).into(),
            input: shuffle.input.clone(),
            input_grid: shuffle.input_grid.clone(),
            outputs: shuffle.outputs.clone(),
            group_ends: shuffle.group_ends.clone(),
            wants_position: shuffle.wants_position,
        })
    }

    /// Keys and names of what is wanted.
    fn outputs(&self, py: Python<'_>) -> PyResult<Vec<(Key, TaskName)>> {
        let by_token: FxHashMap<LayerToken, &Layer> = self.layers.iter().map(|layer| (layer.token, layer)).collect();
        let block = |layer: &str, position: &[u32]| {
            let (prefix, token) = layer_name(layer)?;
            let layer = by_token.get(&token)?;
            let index = layer.index_of(prefix, position)?;
            Some((layer.key_of(index), layer.name(index)))
        };
        self.wanted
            .iter()
            .map(|printed| match block_name(printed) {
                Some((layer, position)) => block(layer, &position)
                    .ok_or_else(|| errors::graph(py, &format!("there is no task {printed} in the graph"))),
                None => {
                    let key = Key::from_name(printed);
                    let name = self.names.get(&key).cloned();
                    let family: Arc<str> = crate::names::family_of(printed).into();
                    Ok((key, name.unwrap_or_else(|| crate::names::task_name(printed, &family).1)))
                }
            })
            .collect()
    }
}
