//! `GraphTasks`: the tasks of a graph, to be looked at by `visualize` and `x.dask`.
//!
//! Which tasks there are and what they read is `kask_graph`'s to say ([`View`]). Here they get names, and calls of
//! `kask.delayed`, which are all in one layer, are told apart by their families: what is shown as a layer is a *group*.

use crate::builder::GraphBuilder;
use crate::errors;
use crate::future::Future;
use crate::lower::{self, Outside};
use crate::names::{block_name, family_of, layer_name, task_name};
use kask_graph::{Graph, LayerKind, Read, View};
use kask_types::{Key, TaskName};
use parking_lot::Mutex;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Printed key, family, printed keys of inputs.
type Shown = (String, String, Vec<String>);

/// What is shown as a layer.
struct Group {
    name: String,
    family: Arc<str>,
    /// The layer that its tasks are in.
    layer: usize,
    /// Their places there, if they are not all.
    members: Option<Vec<u32>>,
}

/// The groups that a layer's tasks are in.
enum Grouped {
    /// All in this one.
    Together(usize),
    /// Task by task.
    Apart(Vec<u32>),
}

/// A graph that is looked at.
struct Looked {
    view: View,
    outside: Outside,
    groups: Vec<Group>,
    /// By layer.
    grouped: Vec<Grouped>,
    wanted: Vec<Read>,
}

/// The tasks of a graph.
#[pyclass(module = "kask._kask", frozen)]
pub struct GraphTasks(Mutex<Looked>);

impl GraphTasks {
    /// Those of a builder.
    pub fn of(py: Python<'_>, builder: &GraphBuilder, outputs: &[Bound<'_, PyAny>]) -> PyResult<GraphTasks> {
        let (graph, outside) = lower::describe_layers(py, builder)?;
        let mut looked = Looked::new(graph, outside).map_err(|error| errors::graph(py, &error.to_string()))?;
        for output in outputs {
            if let Ok(future) = output.cast::<Future>() {
                let (key, name) = (future.get().id(), future.get().name().clone());
                looked.outside.names.insert(key, name);
                looked.wanted.push(Read::Key(key));
            } else {
                let printed: String = output.extract()?;
                let wanted = looked.output(&printed);
                let missing = || errors::graph(py, &format!("there is no task {printed} in the graph"));
                looked.wanted.push(wanted.ok_or_else(missing)?);
            }
        }
        Ok(GraphTasks(Mutex::new(looked)))
    }
}

#[pymethods]
impl GraphTasks {
    /// Of each layer: name, kind, family, shape, number of tasks.
    fn layers(&self) -> Vec<(String, &'static str, String, Vec<u32>, u32)> {
        let looked = self.0.lock();
        let about = |group: &Group| {
            let (shape, count) = looked.shape(group);
            let kind = looked.view.layers()[group.layer].kind_name();
            (group.name.clone(), kind, group.family.to_string(), shape, count)
        };
        looked.groups.iter().map(about).collect()
    }

    /// The numbers of the layers that a layer reads.
    fn reads(&self, layer: usize) -> PyResult<Vec<usize>> {
        let mut looked = self.0.lock();
        looked.check(layer)?;
        Ok(looked.reads(layer))
    }

    /// The printed keys of up to `count` tasks of a layer, from number `start` on.
    fn keys(&self, layer: usize, start: u32, count: u32) -> PyResult<Vec<String>> {
        let looked = self.0.lock();
        let group = looked.check(layer)?;
        let end = start.saturating_add(count).min(looked.shape(group).1);
        Ok((start..end).map(|index| looked.name(Read::Task(looked.id(group, index))).to_string()).collect())
    }

    /// A task of a layer: printed key, family, printed keys of its inputs.
    fn task(&self, layer: usize, index: u32) -> PyResult<Shown> {
        let mut looked = self.0.lock();
        let group = looked.check(layer)?;
        if index >= looked.shape(group).1 {
            return Err(PyIndexError::new_err(format!("layer {} has no task {index}", group.name)));
        }
        let id = looked.id(group, index);
        Ok(looked.show(Read::Task(id)))
    }

    /// The number of the layer that has a printed key, and the task as `task` tells it.
    fn find(&self, key: &str) -> Option<(usize, Shown)> {
        let mut looked = self.0.lock();
        let id = looked.find(key)?;
        Some((looked.group_of(id), looked.show(Read::Task(id))))
    }

    /// The tasks that run for the outputs, as `task` tells them, inputs before what reads them; none if they are more than `limit`.
    fn needed(&self, py: Python<'_>, limit: usize) -> Option<Vec<Shown>> {
        py.detach(|| {
            let mut looked = self.0.lock();
            let looked = &mut *looked;
            let needed = looked.view.needed(&looked.wanted, limit)?;
            Some(needed.into_iter().map(|read| looked.show(read)).collect())
        })
    }
}

impl Looked {
    fn new(graph: Graph, outside: Outside) -> Result<Looked, kask_graph::GraphError> {
        let view = View::new(graph)?;
        let (mut groups, mut grouped) = (Vec::new(), Vec::new());
        let mut by_family: FxHashMap<Arc<str>, usize> = FxHashMap::default();
        for (number, layer) in view.layers().iter().enumerate() {
            let LayerKind::Explicit(_) = &layer.kind else {
                grouped.push(Grouped::Together(groups.len()));
                let name = format!("{}-{}", layer.prefix, layer.token);
                groups.push(Group { name, family: layer.prefix.clone(), layer: number, members: None });
                continue;
            };
            let mut apart = Vec::with_capacity(layer.len() as usize);
            by_family.clear();
            for index in 0..layer.len() {
                let family = layer.prefix_of(index);
                let group = *by_family.entry(family.clone()).or_insert_with(|| {
                    let members = Some(Vec::new());
                    groups.push(Group { name: family.to_string(), family: family.clone(), layer: number, members });
                    groups.len() - 1
                });
                groups[group].members.get_or_insert_default().push(index);
                apart.push(group as u32);
            }
            grouped.push(Grouped::Apart(apart));
        }
        Ok(Looked { view, outside, groups, grouped, wanted: Vec::new() })
    }

    fn check(&self, group: usize) -> PyResult<&Group> {
        self.groups.get(group).ok_or_else(|| PyIndexError::new_err(format!("the graph has no layer {group}")))
    }

    /// The grid by whose positions a group's first tasks are called, and how many tasks it has.
    fn shape(&self, group: &Group) -> (Vec<u32>, u32) {
        if let Some(members) = &group.members {
            return (vec![members.len() as u32], members.len() as u32);
        }
        let layer = &self.view.layers()[group.layer];
        let shape = match &layer.kind {
            LayerKind::Map(_) | LayerKind::Explicit(_) | LayerKind::TreeReduce(_) => vec![layer.len()],
            LayerKind::Blockwise(blockwise) => blockwise.grid.to_vec(),
            LayerKind::Shuffle(shuffle) => shuffle.outputs.to_vec(),
        };
        (shape, layer.len())
    }

    /// A task of a group, which has one of this number.
    fn id(&self, group: &Group, index: u32) -> u32 {
        let index = group.members.as_ref().map_or(index, |members| members[index as usize]);
        self.view.spans()[group.layer].start + index
    }

    fn group_of(&self, id: u32) -> usize {
        let (layer, index) = self.view.place(id);
        match &self.grouped[layer] {
            Grouped::Together(group) => *group,
            Grouped::Apart(groups) => groups[index as usize] as usize,
        }
    }

    /// The groups that a group reads; of a grid that is made by several tasks of other groups, that of the first.
    fn reads(&mut self, group: usize) -> Vec<usize> {
        let Group { layer, members, .. } = &self.groups[group];
        let (layer, start) = (*layer, self.view.spans()[*layer].start);
        let mut found = Vec::new();
        if let Some(members) = members {
            let ids: Vec<u32> = members.iter().map(|index| start + index).collect();
            for id in ids {
                for read in self.view.inputs_of(id) {
                    found.extend(self.maker(read));
                }
            }
        } else {
            for (token, _) in self.view.layers()[layer].grids_read() {
                match self.view.layer_of(token).map(|layer| &self.grouped[layer]) {
                    Some(Grouped::Together(group)) => found.push(*group),
                    Some(Grouped::Apart(_)) | None => {
                        let first = self.view.resolved(Read::Block(token, 0));
                        found.extend(self.maker(first));
                    }
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found.retain(|&other| other != group);
        found
    }

    /// The group that makes what is read.
    fn maker(&self, read: Read) -> Option<usize> {
        match read {
            Read::Task(id) => Some(self.group_of(id)),
            Read::Block(..) | Read::Key(_) => None,
        }
    }

    fn name(&self, read: Read) -> TaskName {
        if let Read::Task(id) = read {
            let (layer, index) = self.view.place(id);
            return self.view.layers()[layer].name(index);
        }
        let key = self.view.key_of(read);
        let known = self.outside.names.get(&key).cloned();
        known.or_else(|| self.block_outside(read)).unwrap_or_else(|| TaskName::Hashed { prefix: "task".into(), key })
    }

    /// The name of a block of a layer that is not in the graph.
    fn block_outside(&self, read: Read) -> Option<TaskName> {
        let Read::Block(layer, block) = read else { return None };
        let prefix = self.outside.families.get(&layer)?.clone();
        Some(TaskName::Block { prefix, layer, index: self.view.position_outside(layer, block)? })
    }

    fn show(&mut self, read: Read) -> Shown {
        let inputs = match read {
            Read::Task(id) => self.view.inputs_of(id),
            Read::Block(..) | Read::Key(_) => Vec::new(),
        };
        let family = match (read, self.name(read)) {
            (Read::Task(id), _) => {
                let (layer, index) = self.view.place(id);
                self.view.layers()[layer].prefix_of(index).to_string()
            }
            (_, TaskName::Hashed { prefix, .. } | TaskName::Block { prefix, .. }) => prefix.to_string(),
            (_, TaskName::Custom(name)) => family_of(&name).to_owned(),
        };
        let inputs = inputs.into_iter().map(|input| self.name(input).to_string()).collect();
        (self.name(read).to_string(), family, inputs)
    }

    /// The task of the graph that is called so.
    fn find(&self, printed: &str) -> Option<u32> {
        let id = match block_name(printed) {
            Some((layer, position)) => self.block(layer, &position)?,
            None => self.view.find_listed(Key::from_name(printed))?,
        };
        (self.name(Read::Task(id)).to_string() == printed).then_some(id)
    }

    /// The task of a layer at a position.
    fn block(&self, layer: &str, position: &[u32]) -> Option<u32> {
        let (prefix, token) = layer_name(layer)?;
        let number = self.view.layer_of(token)?;
        Some(self.view.spans()[number].start + self.view.layers()[number].index_of(prefix, position)?)
    }

    /// What an output is: a task of the graph, or something that is there already.
    fn output(&mut self, printed: &str) -> Option<Read> {
        if let Some((layer, position)) = block_name(printed) {
            return self.block(layer, &position).map(Read::Task);
        }
        let (key, name) = task_name(printed, &family_of(printed).into());
        self.outside.names.insert(key, name);
        Some(Read::Key(key))
    }
}
