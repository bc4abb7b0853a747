//! `Layers`: what a node calls that is no call itself, but stands for a block of a layer.
//!
//! Nodes name their inputs by key, and a block has a key like any task. So a node whose function is a `Layers`, and whose key is
//! the block's, may be used wherever nodes are; when a graph is lowered, it becomes the layers instead of a task. What the
//! layers read of nodes is in the node's arguments, so that walks over nodes find it.

use crate::builder::GraphBuilder;
use crate::node::Node;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyType;
use rustc_hash::FxHashSet;

/// Stands in a node for layers: `add(builder, options)` adds them.
#[pyclass(module = "kask._kask", frozen)]
pub struct Layers {
    #[pyo3(get)]
    add: Py<PyAny>,
}

#[pymethods]
impl Layers {
    #[new]
    fn new(add: Py<PyAny>) -> Layers {
        Layers { add }
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, (Py<PyAny>,)) {
        (slf.get_type(), (slf.get().add.clone_ref(slf.py()),))
    }
}

/// The layers that nodes stand for, each once.
#[derive(Default)]
pub struct LayersOfNodes {
    seen: FxHashSet<usize>,
    builders: Vec<Py<GraphBuilder>>,
}

impl LayersOfNodes {
    /// Whether the node stands for a block of a layer; its layers are noted if it does.
    pub fn take(&mut self, py: Python<'_>, node: &Node) -> PyResult<bool> {
        let Some(layers) = node.function().and_then(|function| function.bind(py).cast::<Layers>().ok()) else {
            return Ok(false);
        };
        // The nodes of a graph keep their functions alive, so an address is an identity here.
        if self.seen.insert(layers.as_ptr() as usize) {
            let builder = Bound::new(py, GraphBuilder(Mutex::default()))?;
            layers.get().add.call1(py, (&builder, node.run_options()))?;
            self.builders.push(builder.unbind());
        }
        Ok(true)
    }

    /// What the layers were added to.
    pub fn builders(self) -> Vec<Py<GraphBuilder>> {
        self.builders
    }
}
