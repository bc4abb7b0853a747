//! From what a `GraphBuilder` holds to layers and blobs, for one engine.

use crate::builder::{Blockwise, GraphBuilder, Parts, Tree};
use crate::calls;
use crate::engine_core::EngineCore;
use crate::errors;
use crate::functions::{FunctionInfo, random128};
use crate::future::Future;
use crate::names::{block_name, layer_name};
use crate::node::{self, Node};
use crate::pickle::{self, Subject};
use crate::sizes;
use crate::values::{self, CallArgs, Calls, Object};
use kask_graph::{BlockwiseLayer, ExplicitLayer, Graph, KeyLists, Layer, LayerKind, TreeReduceLayer};
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
            input_offset: self.input_offset,
            split_every: self.split_every.clone(),
        }
    }
}

/// Collects a graph and its blobs for one engine.
struct Lowering<'a> {
    local: bool,
    blobs: Vec<(BlobId, Payload)>,
    /// By the function's address; the graph's parts keep the functions alive meanwhile.
    known: FxHashMap<usize, BlobId>,
    layers: Vec<Layer>,
    names: FxHashMap<Key, TaskName>,
    wanted: &'a [String],
}

/// Submits a graph; the futures of `outputs` (printed keys).
pub fn submit_graph(
    py: Python<'_>,
    core: &Arc<EngineCore>,
    builder: &GraphBuilder,
    outputs: &[String],
) -> PyResult<Vec<Future>> {
    core.check_open(py)?;
    let parts = std::mem::take(&mut *builder.0.lock());
    let result = submit_parts(py, core, &parts, outputs);
    // A builder may be submitted again, to another engine or after an error.
    let mut kept = builder.0.lock();
    let added = std::mem::replace(&mut *kept, parts);
    kept.nodes.extend(added.nodes);
    kept.blockwise.extend(added.blockwise);
    kept.trees.extend(added.trees);
    result
}

/// Submits nodes; their futures.
pub fn submit_nodes(py: Python<'_>, core: &Arc<EngineCore>, nodes: Vec<Py<Node>>) -> PyResult<Vec<Future>> {
    core.check_open(py)?;
    let outputs: Vec<String> = nodes.iter().map(|node| node.get().name().to_string()).collect();
    submit_parts(py, core, &Parts { nodes, ..Parts::default() }, &outputs)
}

fn submit_parts(py: Python<'_>, core: &Arc<EngineCore>, parts: &Parts, outputs: &[String]) -> PyResult<Vec<Future>> {
    let mut lowering = Lowering {
        local: core.local,
        blobs: Vec::new(),
        known: FxHashMap::default(),
        layers: Vec::new(),
        names: FxHashMap::default(),
        wanted: outputs,
    };
    lowering.nodes(py, &parts.nodes)?;
    for layer in &parts.blockwise {
        lowering.blockwise(py, layer)?;
    }
    for tree in &parts.trees {
        lowering.tree(py, tree)?;
    }
    let wanted = lowering.outputs(py, parts)?;
    let keys: Vec<Key> = wanted.iter().map(|(key, _)| *key).collect();
    let (graph, blobs) = (Graph { layers: lowering.layers }, lowering.blobs);
    py.detach(|| core.client.submit(graph, keys, blobs));
    Ok(wanted.into_iter().map(|(key, name)| core.future(key, name)).collect())
}

impl Lowering<'_> {
    fn function(&mut self, function: &Bound<'_, PyAny>) -> PyResult<BlobId> {
        let address = function.as_ptr() as usize;
        if let Some(id) = self.known.get(&address) {
            return Ok(*id);
        }
        let (id, payload) = FunctionInfo::of(function)?.blob(function, self.local)?;
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
        for node in &order {
            tables.add(self, py, node.get())?;
        }
        for node in roots {
            self.names.insert(node.get().id(), node.get().name().clone());
        }
        let (items, layer) = tables.finish(self.local);
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
        let call = CallArgs { args: template.clone_ref(py), kwargs: None };
        if self.local { Ok(values::holder(Calls(vec![call]))) } else { calls::encode(py, &call, name) }
    }

    fn blockwise(&mut self, py: Python<'_>, layer: &Blockwise) -> PyResult<()> {
        let function = self.function(layer.func.bind(py))?;
        let template = self.template(py, &layer.template, &layer.prefix)?;
        let items = layer.items.as_ref().map(|items| self.block_items(py, items, &layer.prefix)).transpose()?;
        let kind = BlockwiseLayer {
            function,
            template,
            grid: layer.grid.clone(),
            inputs: layer.inputs.clone(),
            items,
            wants_position: layer.wants_position,
        };
        self.push(layer.token, &layer.prefix, &layer.annotations, LayerKind::Blockwise(kind));
        Ok(())
    }

    fn block_items(&self, py: Python<'_>, items: &[Py<PyAny>], prefix: &str) -> PyResult<Items> {
        if self.local {
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
    /// The key and name of a block of one of the layers.
    fn block(&self, layer: &str, index: Vec<u32>) -> Option<(Key, TaskName)> {
        let (prefix, token) = layer_name(layer)?;
        let name = TaskName::Block { prefix: prefix.into(), layer: token, index: index.clone().into() };
        if let Some(layer) = self.blockwise.iter().find(|layer| layer.token == token) {
            if index.len() != layer.grid.len() || index.iter().zip(&layer.grid).any(|(at, blocks)| at >= blocks) {
                return None;
            }
            let flat = index.iter().zip(&layer.grid).fold(0u32, |flat, (at, blocks)| flat * blocks + at);
            return Some((Key::block(token, flat), name));
        }
        let tree = self.trees.iter().find(|tree| tree.token == token)?;
        let [at] = index[..] else { return None };
        (at < tree.lower(Lowered::PLACEHOLDER).shape().len()).then(|| (Key::block(token, at), name))
    }
}

/// The lists of an explicit layer, as they grow.
struct NodeTables {
    layer: ExplicitLayer,
    /// Arguments as objects, where they may stay objects.
    calls: Vec<CallArgs>,
    /// Payloads, where there is more than the calls above: by place.
    payloads: Vec<Option<Payload>>,
    families: FxHashMap<*const u8, u32>,
    options: FxHashMap<usize, u32>,
}

impl NodeTables {
    fn with_capacity(len: usize) -> NodeTables {
        let mut layer = ExplicitLayer::default();
        layer.functions.reserve(len);
        layer.keys.reserve(len);
        layer.names.reserve(len);
        layer.families.reserve(len);
        NodeTables {
            layer,
            calls: Vec::new(),
            payloads: Vec::with_capacity(len),
            families: FxHashMap::default(),
            options: FxHashMap::default(),
        }
    }

    fn add(&mut self, lowering: &mut Lowering<'_>, py: Python<'_>, node: &Node) -> PyResult<()> {
        let (function, payload) = match node.function() {
            Some(function) => (Some(lowering.function(function.bind(py))?), None),
            None if node.input_keys().is_empty() => (None, Some(value_payload(py, node, lowering.local)?)),
            None => (Some(lowering.function(&identity_function(py)?)?), None),
        };
        match payload {
            Some(payload) => self.payloads.push(Some(payload)),
            None if lowering.local => {
                self.calls.push(node.template(py));
                self.payloads.push(None);
            }
            None => self.payloads.push(Some(calls::encode(py, &node.template(py), &node.name().to_string())?)),
        }
        let layer = &mut self.layer;
        layer.functions.push(function);
        layer.keys.push(node.id());
        layer.names.push(match node.name() {
            TaskName::Custom(name) => Some(name.clone()),
            TaskName::Hashed { .. } | TaskName::Block { .. } => None,
        });
        let prefixes = &mut layer.prefixes;
        let family = self.families.entry(node.family_name().as_ptr()).or_insert_with(|| {
            prefixes.push(node.family_name().clone());
            prefixes.len() as u32 - 1
        });
        layer.families.push(*family);
        layer.inputs.keys.extend_from_slice(node.input_keys());
        layer.inputs.ends.push(sizes::count(py, layer.inputs.keys.len())?);
        self.annotate(node)
    }

    fn annotate(&mut self, node: &Node) -> PyResult<()> {
        let layer = &mut self.layer;
        if layer.annotation_sets.is_empty() {
            let Some(_) = node.run_options() else { return Ok(()) };
            // The first that differs: those before it have the set that says nothing.
            layer.annotation_sets.push(Annotations::default());
            layer.annotations.resize(layer.keys.len() - 1, 0);
        }
        let set = match node.run_options() {
            None => 0,
            Some(options) => *self.options.entry(options.as_ptr() as usize).or_insert_with(|| {
                layer.annotation_sets.push(Annotations::clone(&options.get().annotations));
                layer.annotation_sets.len() as u32 - 1
            }),
        };
        layer.annotations.push(set);
        Ok(())
    }

    fn finish(mut self, local: bool) -> (Vec<Payload>, ExplicitLayer) {
        if self.layer.inputs.keys.is_empty() {
            self.layer.inputs = KeyLists::default();
        }
        if !local {
            return (self.payloads.into_iter().flatten().collect(), self.layer);
        }
        let holder = values::holder(Calls(self.calls));
        let mut next = 0;
        let payloads = self.payloads.into_iter().map(|payload| match (payload, &holder) {
            (Some(payload), _) => payload,
            (None, Payload::Local(calls)) => {
                let mut call = calls.clone();
                call.index = next;
                next += 1;
                Payload::Local(call)
            }
            (None, Payload::Bytes { .. }) => Payload::empty(),
        });
        (payloads.collect(), self.layer)
    }
}

fn value_payload(py: Python<'_>, node: &Node, local: bool) -> PyResult<Payload> {
    let value = node.template(py).args.bind(py).get_item(0)?;
    if local {
        return Ok(values::holder(Object(value.unbind())));
    }
    let what = format!("the value {}", node.name());
    pickle::dumps(&value, &Subject { what: &what, path: "" })
}

/// What a value with results of other tasks inside it calls.
#[pyfunction(name = "_identity")]
pub fn identity(value: Py<PyAny>) -> Py<PyAny> {
    value
}

fn identity_function(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static IDENTITY: pyo3::sync::PyOnceLock<Py<PyAny>> = pyo3::sync::PyOnceLock::new();
    Ok(IDENTITY.import(py, "kask._kask", "_identity")?.clone())
}
