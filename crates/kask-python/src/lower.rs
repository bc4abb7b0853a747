//! From what a `GraphBuilder` holds to layers and blobs, for one engine, or to layers that are only looked at.

use crate::builder::{Blockwise, GraphBuilder, MadeBlock, Parts, Shuffle, Tree};
use crate::calls;
use crate::engine_core::EngineCore;
use crate::errors;
use crate::explain;
use crate::functions::{FunctionInfo, random128};
use crate::future::Future;
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
use rustc_hash::FxHashMap;
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
            input: self.input,
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

/// Uses what a builder holds without keeping it locked: functions and arguments may run the user's code.
fn with_parts<T>(builder: &GraphBuilder, work: impl FnOnce(&Parts) -> PyResult<T>) -> PyResult<T> {
    let parts = std::mem::take(&mut *builder.0.lock());
    let result = work(&parts);
    // A builder may be submitted again, to another engine or after an error.
    let mut kept = builder.0.lock();
    let added = std::mem::replace(&mut *kept, parts);
    kept.nodes.extend(added.nodes);
    kept.blockwise.extend(added.blockwise);
    kept.trees.extend(added.trees);
    kept.shuffles.extend(added.shuffles);
    kept.tokens.extend(added.tokens);
    result
}

/// Submits nodes; their futures.
pub fn submit_nodes(py: Python<'_>, core: &Arc<EngineCore>, nodes: Vec<Py<Node>>) -> PyResult<Vec<Future>> {
    core.check_open(py)?;
    let outputs: Vec<String> = nodes.iter().map(|node| node.get().name().to_string()).collect();
    submit_parts(py, core, &Parts { nodes, ..Parts::default() }, &outputs)
}

fn submit_parts(py: Python<'_>, core: &Arc<EngineCore>, parts: &Parts, outputs: &[String]) -> PyResult<Vec<Future>> {
    let mut lowering = Lowering::new(Purpose::Submission { local: core.local }, outputs);
    let wanted = lowering.parts(py, parts)?;
    let keys: Vec<Key> = wanted.iter().map(|(key, _)| *key).collect();
    let (graph, made, blobs) = (Graph { layers: lowering.layers }, lowering.made, lowering.blobs);
    explain::refuse_what_cannot_fit(py, core, &graph, &made, &keys)?;
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
        self.outputs(py, parts)
    }

    /// Lowers layers that are grids; one that several nodes stand for may be there already.
    fn grids(&mut self, py: Python<'_>, parts: &Parts) -> PyResult<()> {
        for layer in &parts.blockwise {
            self.blockwise(py, layer)?;
        }
        for tree in &parts.trees {
            self.tree(py, tree)?;
        }
        for shuffle in &parts.shuffles {
            if !self.layers.iter().any(|layer| layer.token == shuffle.token) {
                self.shuffle(py, shuffle)?;
            }
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

    fn blockwise(&mut self, py: Python<'_>, layer: &Blockwise) -> PyResult<()> {
        let function = self.function(layer.func.bind(py))?;
        let template = self.template(py, &layer.template, &layer.prefix)?;
        let items = layer.items.as_ref().filter(|_| !self.is_description());
        let items = items.map(|items| self.block_items(py, items, &layer.prefix)).transpose()?;
        let kind = BlockwiseLayer {
            function,
            template,
            grid: layer.grid.clone(),
            inputs: layer.inputs.clone(),
            items,
            wants_position: layer.wants_position,
        };
        if !layer.made.is_empty() {
            self.made.insert(layer.token, layer.made.clone());
        }
        self.push(layer.token, &layer.prefix, &layer.annotations, LayerKind::Blockwise(kind));
        Ok(())
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

    fn tree(&mut self, py: Python<'_>, tree: &Tree) -> PyResult<()> {
        let lowered = Lowered {
            combine: self.function(tree.combine.bind(py))?,
            aggregate: self.function(tree.aggregate.bind(py))?,
            template: Some(self.template(py, &tree.template, &tree.prefix)?),
        };
        self.push(tree.token, &tree.prefix, &tree.annotations, LayerKind::TreeReduce(tree.lower(lowered)));
        Ok(())
    }

    fn shuffle(&mut self, py: Python<'_>, shuffle: &Shuffle) -> PyResult<()> {
        let mut stage = |(function, template): &(Py<PyAny>, Py<PyTuple>)| {
            let function = self.function(function.bind(py))?;
            let template = self.template(py, template, &shuffle.prefix)?;
            Ok::<_, PyErr>(ShuffleStage { function, template })
        };
        let [split, merge, take] = &shuffle.stages;
        let kind = ShuffleLayer {
            split: stage(split)?,
            merge: stage(merge)?,
            take: stage(take)?,
            split_prefix: format!("{}-split", shuffle.prefix).into(),
            merge_prefix: format!("{}-merge", shuffle.prefix).into(),
            input: shuffle.input,
            input_grid: shuffle.input_grid.clone(),
            outputs: shuffle.outputs.clone(),
            group_ends: shuffle.group_ends.clone(),
            wants_position: shuffle.wants_position,
        };
        self.push(shuffle.token, &shuffle.prefix, &shuffle.annotations, LayerKind::Shuffle(kind));
        Ok(())
    }

    fn push(&mut self, token: LayerToken, prefix: &Arc<str>, annotations: &Annotations, kind: LayerKind) {
        self.layers.push(Layer { token, prefix: prefix.clone(), annotations: annotations.clone(), kind });
    }

    /// Keys and names of what is wanted.
    fn outputs(&self, py: Python<'_>, parts: &Parts) -> PyResult<Vec<(Key, TaskName)>> {
        let unknown = |printed: &str| errors::graph(py, &format!("there is no task {printed} in the graph"));
        self.wanted
            .iter()
            .map(|printed| match block_name(printed) {
                Some((layer, index)) => parts.block(layer, index).ok_or_else(|| unknown(printed)),
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

impl Parts {
    /// The key and name of a block of one of the layers: of a grid or a shuffle's outputs by its position there, of a
    /// tree by the node's index.
    fn block(&self, layer: &str, index: Vec<u32>) -> Option<(Key, TaskName)> {
        let (prefix, token) = layer_name(layer)?;
        let name = TaskName::Block { prefix: prefix.into(), layer: token, index: index.clone().into() };
        let blockwise = self.blockwise.iter().find(|layer| layer.token == token).map(|layer| &layer.grid);
        let outputs = || self.shuffles.iter().find(|layer| layer.token == token).map(|layer| &layer.outputs);
        if let Some(grid) = blockwise.or_else(outputs) {
            if index.len() != grid.len() || index.iter().zip(grid).any(|(at, blocks)| at >= blocks) {
                return None;
            }
            let flat = index.iter().zip(grid).fold(0u32, |flat, (at, blocks)| flat * blocks + at);
            return Some((Key::block(token, flat), name));
        }
        let tree = self.trees.iter().find(|tree| tree.token == token)?;
        let [at] = index[..] else { return None };
        (at < tree.lower(Lowered::PLACEHOLDER).shape().len()).then(|| (Key::block(token, at), name))
    }
}
