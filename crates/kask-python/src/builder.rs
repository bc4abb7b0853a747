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
use crate::view::GraphTasks;
use kask_graph::{BlockInput, BlockLists, BlockSource, Capacity, Grid, InputAxis, JoinedGrids};
use kask_types::{Annotations, LayerToken};
use parking_lot::Mutex;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a block reads: a layer, or several one after another; the grid that is read, and for each of its axes which blocks.
type Input<'py> = (Bound<'py, PyAny>, Vec<u32>, Vec<Bound<'py, PyAny>>);

/// A block that the tasks of a layer make, for people: bytes, elements along each axis, and what makes it.
pub type MadeBlock = (u64, Vec<u64>, String);

/// A layer over a grid of blocks.
pub struct GridLayer {
    pub token: LayerToken,
    pub prefix: Arc<str>,
    pub annotations: Annotations,
    pub kind: GridKind,
}

/// What its tasks are.
pub enum GridKind {
    Blockwise(Blockwise),
    Tree(Tree),
    Shuffle(Shuffle),
}

/// One function over a grid of blocks.
pub struct Blockwise {
    pub func: Py<PyAny>,
    pub template: Py<PyTuple>,
    pub grid: Grid,
    pub inputs: Vec<BlockInput>,
    pub items: Option<Vec<Py<PyAny>>>,
    pub wants_position: bool,
    /// The largest result, and the largest block that is made on the way; nothing where nobody says.
    pub made: Arc<[MadeBlock]>,
}

/// A tree that combines a grid of blocks.
pub struct Tree {
    pub combine: Py<PyAny>,
    pub aggregate: Py<PyAny>,
    pub template: Py<PyTuple>,
    pub input: BlockSource,
    pub input_grid: Grid,
    pub split_every: Vec<(u32, u32)>,
}

/// New blocks made of all blocks of a grid.
pub struct Shuffle {
    /// Split, merge, take: what each calls, and its template.
    pub stages: [(Py<PyAny>, Py<PyTuple>); 3],
    pub input: BlockSource,
    pub input_grid: Grid,
    pub outputs: Grid,
    pub group_ends: Vec<u32>,
    pub wants_position: bool,
}

/// The families of layers, by their tokens.
pub type Families = FxHashMap<LayerToken, Arc<str>>;

/// What a builder holds.
#[derive(Default)]
pub struct Parts {
    pub nodes: Vec<Py<Node>>,
    /// Grids in the order in which they were added. Collections that share work add the same ones; equal tokens are equal work.
    pub layers: Vec<GridLayer>,
    tokens: HashSet<LayerToken>,
    /// Of all layers that these read.
    pub families: Families,
}

impl Parts {
    /// Of these nodes.
    pub fn of(nodes: Vec<Py<Node>>) -> Parts {
        Parts { nodes, ..Parts::default() }
    }

    fn add(&mut self, layer: GridLayer, read: Families) {
        if self.tokens.insert(layer.token) {
            self.layers.push(layer);
            self.families.extend(read);
        }
    }

    /// Adds all of another's.
    pub fn append(&mut self, other: Parts) {
        self.nodes.extend(other.nodes);
        self.families.extend(other.families);
        let tokens = &mut self.tokens;
        self.layers.extend(other.layers.into_iter().filter(|layer| tokens.insert(layer.token)));
    }
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
        let mut read = Families::default();
        let inputs = inputs
            .into_iter()
            .map(|(layers, grid, axes)| {
                let axes = axes.iter().map(axis).collect::<PyResult<SmallVec<[InputAxis; 4]>>>()?;
                Ok(BlockInput { source: source(&layers, &mut read)?, grid: grid.into(), axes })
            })
            .collect::<PyResult<Vec<_>>>()?;
        let made = made.into();
        let kind = Blockwise { func, template, grid: grid.into(), inputs, items, wants_position, made };
        self.add(name, GridKind::Blockwise(kind), read, options)
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
        input: &Bound<'_, PyAny>,
        input_grid: Vec<u32>,
        split_every: &Bound<'_, PyDict>,
        options: Option<&Bound<'_, Options>>,
    ) -> PyResult<()> {
        let mut read = Families::default();
        let mut splits = Vec::with_capacity(split_every.len());
        for (axis, split) in split_every.iter() {
            splits.push((axis.extract()?, split.extract()?));
        }
        splits.sort_unstable();
        let kind = Tree {
            combine,
            aggregate,
            template,
            input: source(input, &mut read)?,
            input_grid: input_grid.into(),
            split_every: splits,
        };
        self.add(name, GridKind::Tree(kind), read, options)
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
        input: &Bound<'_, PyAny>,
        input_grid: Vec<u32>,
        outputs: Vec<u32>,
        groups: &Bound<'_, PyAny>,
        wants_position: bool,
        options: Option<&Bound<'_, Options>>,
    ) -> PyResult<()> {
        let mut read = Families::default();
        let outputs: Grid = outputs.into();
        let group_ends = group_ends(groups, blocks(&outputs))?;
        let kind = Shuffle {
            stages: [(split, split_template), (merge, merge_template), (take, take_template)],
            input: source(input, &mut read)?,
            input_grid: input_grid.into(),
            outputs,
            group_ends,
            wants_position,
        };
        self.add(name, GridKind::Shuffle(kind), read, options)
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

    /// The tasks that the layers have, to be looked at; `outputs` are printed keys, or futures of what is there already.
    fn tasks(&self, py: Python<'_>, outputs: Vec<Bound<'_, PyAny>>) -> PyResult<GraphTasks> {
        GraphTasks::of(py, self, &outputs)
    }

    /// How many tasks the layers have together.
    fn ntasks(&self, py: Python<'_>) -> PyResult<u64> {
        let (nodes, mut tasks) = {
            let parts = self.0.lock();
            let nodes: Vec<Py<Node>> = parts.nodes.iter().map(|node| node.clone_ref(py)).collect();
            (nodes, parts.layers.iter().map(|layer| layer.kind.tasks()).sum::<u64>())
        };
        tasks += node::collect(py, &nodes)?.len() as u64;
        Ok(tasks)
    }
}

impl GraphBuilder {
    fn add(&self, name: &str, kind: GridKind, read: Families, options: Option<&Bound<'_, Options>>) -> PyResult<()> {
        let (prefix, token) = layer_of(name)?;
        let layer = GridLayer { token, prefix: prefix.into(), annotations: annotations(options), kind };
        self.0.lock().add(layer, read);
        Ok(())
    }
}

impl GridKind {
    fn tasks(&self) -> u64 {
        match self {
            GridKind::Blockwise(layer) => blocks(&layer.grid),
            GridKind::Tree(tree) => tree.lower(Lowered::PLACEHOLDER).shape().len().into(),
            GridKind::Shuffle(shuffle) => {
                blocks(&shuffle.outputs) + shuffle.group_ends.len() as u64 + blocks(&shuffle.input_grid)
            }
        }
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

fn layer_of(name: &str) -> PyResult<(&str, LayerToken)> {
    layer_name(name)
        .ok_or_else(|| PyValueError::new_err(format!("a layer's name is prefix-<32 hex digits>, not {name:?}")))
}

/// The token of a layer that is read, whose family is noted.
fn layer_read(name: &str, read: &mut Families) -> PyResult<LayerToken> {
    let (prefix, token) = layer_of(name)?;
    read.entry(token).or_insert_with(|| prefix.into());
    Ok(token)
}

/// The name of a layer, or an axis along which the grids of several lie one after another, their names and where each one ends.
fn source(layers: &Bound<'_, PyAny>, read: &mut Families) -> PyResult<BlockSource> {
    if let Ok(name) = layers.cast::<PyString>() {
        return Ok(BlockSource::Layer(layer_read(&name.to_cow()?, read)?));
    }
    let (axis, names, ends): (u32, Vec<String>, Vec<u32>) = layers.extract().map_err(|_| {
        let message = format!("an input is the name of a layer, or (axis, names, ends) of several, not {layers:?}");
        PyTypeError::new_err(message)
    })?;
    let layers = names.iter().map(|name| layer_read(name, read)).collect::<PyResult<_>>()?;
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
