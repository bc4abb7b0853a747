//! `GraphBuilder`: layers that are submitted together (see [`crate::lower`] for how they become the engine's).
//!
//! What Python adds is kept as it is until the graph is submitted, because only the engine that it is submitted to knows
//! whether objects have to become bytes.

use crate::chunks::{Interval, Lists};
use crate::explain;
use crate::lower::Lowered;
use crate::names::layer_name;
use crate::node::{self, Node};
use crate::options::{Options, annotations};
use kask_graph::{BlockInput, BlockLists, BlockSource, Capacity, Grid, InputAxis, JoinedGrids};
use kask_types::{Annotations, LayerToken};
use parking_lot::Mutex;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use smallvec::SmallVec;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a block reads: a layer, or several one after another; the grid that is read, and for each of its axes which blocks.
type Input<'py> = (Bound<'py, PyAny>, Vec<u32>, Vec<Bound<'py, PyAny>>);

/// A block that the tasks of a layer make, for people: bytes, elements along each axis, and what makes it.
pub type MadeBlock = (u64, Vec<u64>, String);

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
    /// The largest result, and the largest block that is made on the way; nothing where nobody says.
    pub made: Arc<[MadeBlock]>,
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
    pub annotations: Annotations,
}

/// New blocks made of all blocks of a grid.
pub struct Shuffle {
    pub token: LayerToken,
    pub prefix: Arc<str>,
    /// Split, merge, take: what each calls, and its template.
    pub stages: [(Py<PyAny>, Py<PyTuple>); 3],
    pub input: LayerToken,
    pub input_grid: Grid,
    pub outputs: Grid,
    pub group_ends: Vec<u32>,
    pub wants_position: bool,
    pub annotations: Annotations,
}

/// What a builder holds.
#[derive(Default)]
pub struct Parts {
    pub nodes: Vec<Py<Node>>,
    pub blockwise: Vec<Blockwise>,
    pub trees: Vec<Tree>,
    pub shuffles: Vec<Shuffle>,
    /// Layers that are there. Collections that share work add the same ones; equal tokens are equal work.
    pub tokens: HashSet<LayerToken>,
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
    #[pyo3(signature = (name, func, template, grid, inputs, items = None, wants_position = false, options = None, made = vec![]))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn add_blockwise(
        &self,
        name: &str,
        func: Py<PyAny>,
        template: Py<PyTuple>,
        grid: Vec<u32>,
        inputs: Vec<Input<'_>>,
        items: Option<Vec<Py<PyAny>>>,
        wants_position: bool,
        options: Option<&Bound<'_, Options>>,
        made: Vec<MadeBlock>,
    ) -> PyResult<()> {
        let (prefix, token) = layer_of(name)?;
        let inputs = inputs
            .into_iter()
            .map(|(layers, grid, axes)| {
                let axes = axes.iter().map(axis).collect::<PyResult<SmallVec<[InputAxis; 4]>>>()?;
                Ok(BlockInput { source: source(&layers)?, grid: grid.into(), axes })
            })
            .collect::<PyResult<Vec<_>>>()?;
        let (grid, annotations, made) = (grid.into(), annotations(options), made.into());
        let layer = Blockwise { token, prefix, func, template, grid, inputs, items, wants_position, annotations, made };
        let mut parts = self.0.lock();
        if parts.tokens.insert(token) {
            parts.blockwise.push(layer);
        }
        Ok(())
    }

    /// Adds a tree that combines a grid of blocks.
    #[pyo3(signature = (name, combine, aggregate, template, input, input_grid, split_every, options = None))]
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
        options: Option<&Bound<'_, Options>>,
    ) -> PyResult<()> {
        let (prefix, token) = layer_of(name)?;
        let mut splits = Vec::with_capacity(split_every.len());
        for (axis, split) in split_every.iter() {
            splits.push((axis.extract()?, split.extract()?));
        }
        splits.sort_unstable();
        let tree = Tree {
            token,
            prefix,
            combine,
            aggregate,
            template,
            input: layer_of(input)?.1,
            input_grid: input_grid.into(),
            split_every: splits,
            annotations: annotations(options),
        };
        let mut parts = self.0.lock();
        if parts.tokens.insert(token) {
            parts.trees.push(tree);
        }
        Ok(())
    }

    /// Adds new blocks, each made of all blocks of a grid.
    #[pyo3(signature = (
        name, split, merge, take, split_template, merge_template, take_template, input, input_grid, outputs, groups,
        wants_position = false, options = None
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn add_shuffle(
        &self,
        name: &str,
        split: Py<PyAny>,
        merge: Py<PyAny>,
        take: Py<PyAny>,
        split_template: Py<PyTuple>,
        merge_template: Py<PyTuple>,
        take_template: Py<PyTuple>,
        input: &str,
        input_grid: Vec<u32>,
        outputs: Vec<u32>,
        groups: &Bound<'_, PyAny>,
        wants_position: bool,
        options: Option<&Bound<'_, Options>>,
    ) -> PyResult<()> {
        let (prefix, token) = layer_of(name)?;
        let outputs: Grid = outputs.into();
        let group_ends = group_ends(groups, blocks(&outputs))?;
        let shuffle = Shuffle {
            token,
            prefix,
            stages: [(split, split_template), (merge, merge_template), (take, take_template)],
            input: layer_of(input)?.1,
            input_grid: input_grid.into(),
            outputs,
            group_ends,
            wants_position,
            annotations: annotations(options),
        };
        let mut parts = self.0.lock();
        if parts.tokens.insert(token) {
            parts.shuffles.push(shuffle);
        }
        Ok(())
    }

    /// What running the graph for `outputs` would take.
    #[pyo3(signature = (outputs, runners, workers, limit_bytes, learned = None))]
    fn explain<'py>(
        &self,
        py: Python<'py>,
        outputs: Vec<String>,
        runners: u32,
        workers: u32,
        limit_bytes: u64,
        learned: Option<HashMap<String, u64>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let capacity = Capacity { runners, workers, limit_bytes };
        let learned = learned.into_iter().flatten().collect();
        explain::explain(py, self, &outputs, &capacity, &learned)
    }

    /// How many tasks the layers have together.
    fn ntasks(&self, py: Python<'_>) -> PyResult<u64> {
        let (nodes, mut tasks) = {
            let parts = self.0.lock();
            let nodes: Vec<Py<Node>> = parts.nodes.iter().map(|node| node.clone_ref(py)).collect();
            let blocks = parts.blockwise.iter().map(|layer| blocks(&layer.grid)).sum::<u64>();
            let trees = parts.trees.iter().map(|tree| u64::from(tree.lower(Lowered::PLACEHOLDER).shape().len()));
            let shuffles = parts.shuffles.iter().map(Shuffle::tasks).sum::<u64>();
            (nodes, blocks + trees.sum::<u64>() + shuffles)
        };
        tasks += node::collect(py, &nodes)?.len() as u64;
        Ok(tasks)
    }
}

impl Shuffle {
    fn tasks(&self) -> u64 {
        blocks(&self.outputs) + self.group_ends.len() as u64 + blocks(&self.input_grid)
    }
}

fn blocks(grid: &Grid) -> u64 {
    grid.iter().fold(1, |product, &blocks| product.saturating_mul(blocks.into()))
}

/// Where each group ends: so many groups as equal as can be, the larger ones first; or groups of these sizes.
fn group_ends(groups: &Bound<'_, PyAny>, outputs: u64) -> PyResult<Vec<u32>> {
    let Ok(count) = groups.extract::<u32>() else {
        let sizes: Vec<u32> = groups.extract().map_err(|_| {
            let message = format!("groups is a number of groups, or the number of outputs of each, not {groups:?}");
            PyTypeError::new_err(message)
        })?;
        // Whether they are the outputs is checked with the rest of the graph.
        let mut end = 0u32;
        return Ok(sizes
            .into_iter()
            .map(|size| {
                end = end.saturating_add(size);
                end
            })
            .collect());
    };
    if u64::from(count) > outputs || (count == 0 && outputs > 0) {
        return Err(PyValueError::new_err(format!("{outputs} outputs cannot be in {count} groups: no group is empty")));
    }
    let (size, larger) = (outputs / u64::from(count.max(1)), outputs % u64::from(count.max(1)));
    let end = |group: u64| u32::try_from(group * size + group.min(larger)).unwrap_or(u32::MAX);
    Ok((1..=u64::from(count)).map(end).collect())
}

fn layer_of(name: &str) -> PyResult<(Arc<str>, LayerToken)> {
    let (prefix, token) = layer_name(name)
        .ok_or_else(|| PyValueError::new_err(format!("a layer's name is prefix-<32 hex digits>, not {name:?}")))?;
    Ok((prefix.into(), token))
}

/// The name of a layer, or an axis along which the grids of several lie one after another, their names and where each one ends.
fn source(layers: &Bound<'_, PyAny>) -> PyResult<BlockSource> {
    if let Ok(name) = layers.cast::<PyString>() {
        return Ok(BlockSource::Layer(layer_of(&name.to_cow()?)?.1));
    }
    let (axis, names, ends): (u32, Vec<String>, Vec<u32>) = layers.extract().map_err(|_| {
        let message = format!("an input is the name of a layer, or (axis, names, ends) of several, not {layers:?}");
        PyTypeError::new_err(message)
    })?;
    let layers = names.iter().map(|name| Ok(layer_of(name)?.1)).collect::<PyResult<_>>()?;
    Ok(BlockSource::Joined(Arc::new(JoinedGrids { axis, layers, ends })))
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
    if let Ok((word, axis, interval)) = axis.extract::<(String, u32, Interval)>()
        && word == "interval"
    {
        return Ok(InputAxis::Interval { axis, interval: interval.0 });
    }
    if let Ok((word, axis, lists)) = axis.extract::<(String, u32, Lists)>()
        && word == "listed"
    {
        return Ok(InputAxis::Listed { axis, lists: lists.0 });
    }
    if let Ok((word, axis, blocks, ends)) = axis.extract::<(String, u32, Vec<u32>, Vec<u32>)>()
        && word == "listed"
    {
        return Ok(InputAxis::Listed { axis, lists: Arc::new(BlockLists { blocks, ends }) });
    }
    let message = "an input axis is a number, \"all\", (\"fixed\", i), (\"window\", axis, before, after), \
                   (\"interval\", axis, Interval) (\"listed\", axis, blocks, ends) or (\"listed\", axis, BlockLists)";
    Err(PyTypeError::new_err(message))
}
