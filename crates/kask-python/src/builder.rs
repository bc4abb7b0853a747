//! `GraphBuilder`: layers that are submitted together (see [`crate::lower`] for how they become the engine's).
//!
//! What Python adds is kept as it is until the graph is submitted, because only the engine that it is submitted to knows
//! whether objects have to become bytes.

use crate::lower::Lowered;
use crate::names::layer_name;
use crate::node::{self, Node};
use crate::options::{Options, annotations};
use kask_graph::{BlockInput, Grid, InputAxis};
use kask_types::{Annotations, LayerToken};
use parking_lot::Mutex;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use smallvec::SmallVec;
use std::sync::Arc;

/// One function over a grid of blocks.
pub struct Blockwise {
    pub token: LayerToken,
    pub prefix: Arc<str>,
    pub func: Py<PyAny>,
    pub template: Py<PyTuple>,
    pub grid: Grid,
    pub inputs: Vec<BlockInput>,
    pub items: Option<Vec<Py<PyAny>>>,
    pub wants_position: bool,
    pub annotations: Annotations,
}

/// A tree that combines a grid of blocks.
pub struct Tree {
    pub token: LayerToken,
    pub prefix: Arc<str>,
    pub combine: Py<PyAny>,
    pub aggregate: Py<PyAny>,
    pub template: Py<PyTuple>,
    pub input: LayerToken,
    pub input_grid: Grid,
    pub split_every: Vec<(u32, u32)>,
    pub input_offset: u32,
    pub annotations: Annotations,
}

/// What a builder holds.
#[derive(Default)]
pub struct Parts {
    pub nodes: Vec<Py<Node>>,
    pub blockwise: Vec<Blockwise>,
    pub trees: Vec<Tree>,
}

/// Layers to be submitted together.
#[pyclass(module = "kask._kask", frozen)]
pub struct GraphBuilder(pub Mutex<Parts>);

#[pymethods]
impl GraphBuilder {
    #[new]
    fn new() -> GraphBuilder {
        GraphBuilder(Mutex::default())
    }

    /// Adds nodes and everything below them.
    fn add_nodes(&self, nodes: Vec<Py<Node>>) {
        self.0.lock().nodes.extend(nodes);
    }

    /// Adds one function over a grid of blocks.
    #[pyo3(signature = (name, func, template, grid, inputs, items = None, wants_position = false, options = None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn add_blockwise(
        &self,
        name: &str,
        func: Py<PyAny>,
        template: Py<PyTuple>,
        grid: Vec<u32>,
        inputs: Vec<(String, Vec<u32>, Vec<Bound<'_, PyAny>>)>,
        items: Option<Vec<Py<PyAny>>>,
        wants_position: bool,
        options: Option<&Bound<'_, Options>>,
    ) -> PyResult<()> {
        let (prefix, token) = layer_of(name)?;
        let inputs = inputs
            .into_iter()
            .map(|(layer, grid, axes)| {
                let axes = axes.iter().map(axis).collect::<PyResult<SmallVec<[InputAxis; 4]>>>()?;
                Ok(BlockInput { layer: layer_of(&layer)?.1, grid: grid.into(), axes })
            })
            .collect::<PyResult<Vec<_>>>()?;
        let (grid, annotations) = (grid.into(), annotations(options));
        let layer = Blockwise { token, prefix, func, template, grid, inputs, items, wants_position, annotations };
        self.0.lock().blockwise.push(layer);
        Ok(())
    }

    /// Adds a tree that combines a grid of blocks.
    #[pyo3(signature = (name, combine, aggregate, template, input, input_grid, split_every, input_offset = 0, options = None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn add_tree_reduce(
        &self,
        name: &str,
        combine: Py<PyAny>,
        aggregate: Py<PyAny>,
        template: Py<PyTuple>,
        input: &str,
        input_grid: Vec<u32>,
        split_every: &Bound<'_, PyDict>,
        input_offset: u32,
        options: Option<&Bound<'_, Options>>,
    ) -> PyResult<()> {
        let (prefix, token) = layer_of(name)?;
        let mut splits = Vec::with_capacity(split_every.len());
        for (axis, split) in split_every.iter() {
            splits.push((axis.extract()?, split.extract()?));
        }
        splits.sort_unstable();
        self.0.lock().trees.push(Tree {
            token,
            prefix,
            combine,
            aggregate,
            template,
            input: layer_of(input)?.1,
            input_grid: input_grid.into(),
            split_every: splits,
            input_offset,
            annotations: annotations(options),
        });
        Ok(())
    }

    /// How many tasks the layers have together.
    fn ntasks(&self, py: Python<'_>) -> PyResult<u64> {
        let (nodes, mut tasks) = {
            let parts = self.0.lock();
            let nodes: Vec<Py<Node>> = parts.nodes.iter().map(|node| node.clone_ref(py)).collect();
            let blocks = parts.blockwise.iter().map(|layer| blocks(&layer.grid)).sum::<u64>();
            let trees = parts.trees.iter().map(|tree| u64::from(tree.lower(Lowered::PLACEHOLDER).shape().len()));
            (nodes, blocks + trees.sum::<u64>())
        };
        tasks += node::collect(py, &nodes)?.len() as u64;
        Ok(tasks)
    }
}

fn blocks(grid: &Grid) -> u64 {
    grid.iter().map(|blocks| u64::from(*blocks)).product()
}

fn layer_of(name: &str) -> PyResult<(Arc<str>, LayerToken)> {
    let (prefix, token) = layer_name(name)
        .ok_or_else(|| PyValueError::new_err(format!("a layer's name is prefix-<32 hex digits>, not {name:?}")))?;
    Ok((prefix.into(), token))
}

fn axis(axis: &Bound<'_, PyAny>) -> PyResult<InputAxis> {
    if let Ok(output) = axis.extract::<u32>() {
        return Ok(InputAxis::Out(output));
    }
    if let Ok(word) = axis.cast::<PyString>() {
        return match word.to_cow()?.as_ref() {
            "all" => Ok(InputAxis::All),
            other => Err(PyValueError::new_err(format!("an input axis cannot be {other:?}"))),
        };
    }
    if let Ok((word, block)) = axis.extract::<(String, u32)>()
        && word == "fixed"
    {
        return Ok(InputAxis::Fixed(block));
    }
    if let Ok((word, axis, before, after)) = axis.extract::<(String, u32, u32, u32)>()
        && word == "window"
    {
        return Ok(InputAxis::Window { axis, before, after });
    }
    let message = "an input axis is a number, \"all\", (\"fixed\", i) or (\"window\", axis, before, after)";
    Err(PyTypeError::new_err(message))
}
