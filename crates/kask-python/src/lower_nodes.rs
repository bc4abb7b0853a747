//! From nodes to the lists of an explicit layer.

use crate::calls;
use crate::lower::Lowering;
use crate::node::Node;
use crate::pickle::{self, Subject};
use crate::sizes;
use crate::values::{self, CallArgs, Calls, Object};
use kask_graph::{ExplicitLayer, KeyLists};
use kask_types::{Annotations, Payload, TaskName};
use pyo3::prelude::*;
use rustc_hash::FxHashMap;

/// The lists of an explicit layer, as they grow.
pub struct NodeTables {
    layer: ExplicitLayer,
    /// Arguments as objects, where they may stay objects.
    calls: Vec<CallArgs>,
    /// Payloads, where there is more than the calls above: by place.
    payloads: Vec<Option<Payload>>,
    families: FxHashMap<*const u8, u32>,
    options: FxHashMap<usize, u32>,
}

impl NodeTables {
    /// With room for so many nodes.
    pub fn with_capacity(len: usize) -> NodeTables {
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

    /// Adds a node; its inputs are there already, or come from elsewhere.
    pub fn add(&mut self, lowering: &mut Lowering<'_>, py: Python<'_>, node: &Node) -> PyResult<()> {
        let (function, payload) = match node.function() {
            _ if lowering.is_description() => (None, Some(Payload::empty())),
            Some(function) => (Some(lowering.function(function.bind(py))?), None),
            None if node.input_keys().is_empty() => (None, Some(value_payload(py, node, lowering.is_local())?)),
            None => (Some(lowering.function(&identity_function(py)?)?), None),
        };
        match payload {
            Some(payload) => self.payloads.push(Some(payload)),
            None if lowering.is_local() => {
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

    /// The arguments of all nodes and the rest of the layer.
    pub fn finish(mut self, local: bool) -> (Vec<Payload>, ExplicitLayer) {
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
