//! From calls to layers: `Engine.submit` and `Engine.map`.
//!
//! A map is one layer: its function and constant keyword arguments are one blob, its items one holder of objects (or one
//! packed buffer of small pickles), its futures are made here in one pass. What happens per item is a hash of the argument, a
//! look for futures inside it, and one Python object.

use crate::calls::Packer;
use crate::engine_core::EngineCore;
use crate::functions::{FunctionInfo, random128, words};
use crate::future::Future;
use crate::large::warn_of_large_arguments;
use crate::names::task_name;
use crate::options::{Options, annotations};
use crate::scan::Inputs;
use crate::tokenize::{CallKeys, Tokenizer};
use crate::values::{self, CallArgs, Calls, Singles};
use crate::{errors, sizes};
use kask_graph::{Graph, KeyLists, Layer, LayerKind, MapLayer};
use kask_types::{Annotations, BlobId, Items, Key, LayerToken, Payload, TaskName};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PyTuple};
use std::sync::Arc;

/// Maps of more items than this are sent in parts where workers can begin with the first part meanwhile.
const REMOTE_BATCH: usize = 8192;

/// How the keys of a map's tasks are made.
pub enum MapKeys {
    /// Out of the function's name, the function and the arguments.
    Derived,
    /// The same, under another family name.
    Family(String),
    /// By the user, one for each.
    Given(Vec<String>),
}

/// One call.
pub struct Submission<'a, 'py> {
    pub func: &'a Bound<'py, PyAny>,
    pub args: &'a Bound<'py, PyTuple>,
    pub kwargs: &'a Bound<'py, PyDict>,
    pub key: Option<&'a str>,
    pub pure: bool,
    pub options: Option<&'a Bound<'py, Options>>,
}

/// Submits one call.
pub fn submit(core: &Arc<EngineCore>, call: &Submission<'_, '_>) -> PyResult<Future> {
    let py = call.func.py();
    core.check_open(py)?;
    let info = FunctionInfo::of(call.func)?;
    let (key, name) = match call.key {
        Some(key) => task_name(key, &crate::names::family_of(key).into()),
        None => {
            let key = if call.pure { pure_key(&info, call)? } else { Key(random128()) };
            (key, TaskName::Hashed { prefix: info.prefix.clone(), key })
        }
    };
    let mut inputs = Inputs::default();
    let template = CallArgs { args: inputs.args(call.args)?, kwargs: inputs.kwargs(call.kwargs)? };
    let items = if core.local {
        values::items(Calls(vec![template]), 1)
    } else {
        Items::Each(vec![crate::calls::encode(py, &template, &name.to_string())?])
    };
    let (prefix, names) = match &name {
        TaskName::Custom(custom) => (info.prefix.clone(), vec![custom.clone()]),
        TaskName::Hashed { prefix, .. } | TaskName::Block { prefix, .. } => (prefix.clone(), Vec::new()),
    };
    let (function, blob) = info.blob(call.func, core.local)?;
    let ends = if inputs.keys.is_empty() { Vec::new() } else { vec![sizes::count(py, inputs.keys.len())?] };
    let map = MapLayer { function, items, keys: vec![key], names, inputs: KeyLists { keys: inputs.keys, ends } };
    let graph = one_layer(prefix, annotations(call.options), map);
    warn_of_large_arguments(py, core, &graph)?;
    // The GIL is kept: a runner that wants it would make this thread wait a whole switch interval to get it back.
    core.client.submit(graph, vec![key], vec![(function, blob)]);
    Ok(core.future(key, name))
}

fn pure_key(info: &FunctionInfo, call: &Submission<'_, '_>) -> PyResult<Key> {
    let token = info.token(call.func)?;
    let mut tokenizer = Tokenizer::standard(call.func.py())?;
    CallKeys::new(&mut tokenizer, token, call.kwargs)?.many(&mut tokenizer, call.args)
}

fn one_layer(prefix: Arc<str>, annotations: Annotations, map: MapLayer) -> Graph {
    let token = LayerToken(random128());
    Graph { layers: vec![Layer { token, prefix, annotations, kind: LayerKind::Map(map) }] }
}

/// Many calls of one function.
pub struct Mapping<'a, 'py> {
    pub func: &'a Bound<'py, PyAny>,
    pub iterables: &'a [Bound<'py, PyAny>],
    pub kwargs: &'a Bound<'py, PyDict>,
    pub keys: MapKeys,
    pub pure: bool,
    pub options: Option<&'a Bound<'py, Options>>,
    pub batch_size: Option<usize>,
}

/// Submits one call for each item.
pub fn map<'py>(core: &Arc<EngineCore>, mapping: &Mapping<'_, 'py>) -> PyResult<Bound<'py, PyList>> {
    let py = mapping.func.py();
    core.check_open(py)?;
    if mapping.batch_size == Some(0) {
        return Err(PyValueError::new_err("batch_size= must be at least 1"));
    }
    let mut run = MapRun::new(core, mapping)?;
    let batch = mapping.batch_size.unwrap_or(if core.local { u32::MAX as usize } else { REMOTE_BATCH });
    let mut rows = Rows::new(mapping.iterables)?;
    let futures = PyList::empty(py);
    loop {
        let part = run.batch(&mut rows, batch)?;
        let last = part.is_empty();
        if !last {
            run.send(part, &futures)?;
        }
        if last || rows.exhausted {
            break;
        }
    }
    if run.is_used_once {
        py.detach(|| core.client.unpin(run.function));
    }
    if let MapKeys::Given(keys) = &mapping.keys
        && keys.len() != futures.len()
    {
        let message = format!("map() was given {} keys for {} items", keys.len(), futures.len());
        return Err(PyValueError::new_err(message));
    }
    Ok(futures)
}

/// The arguments of successive calls.
struct Rows<'py> {
    iterators: Vec<Bound<'py, PyIterator>>,
    exhausted: bool,
}

impl<'py> Rows<'py> {
    fn new(iterables: &[Bound<'py, PyAny>]) -> PyResult<Rows<'py>> {
        let iterators = iterables.iter().map(|iterable| iterable.try_iter()).collect::<PyResult<Vec<_>>>()?;
        if iterators.is_empty() {
            return Err(PyTypeError::new_err("map() needs at least one iterable"));
        }
        Ok(Rows { iterators, exhausted: false })
    }

    /// The next row of several iterables; ends with the shortest.
    fn row(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let mut row = Vec::with_capacity(self.iterators.len());
        for iterator in &mut self.iterators {
            match iterator.next() {
                Some(item) => row.push(item?),
                None => {
                    self.exhausted = true;
                    return Ok(None);
                }
            }
        }
        PyTuple::new(py, row).map(Some)
    }

    /// The next item of the only iterable.
    fn item(&mut self) -> PyResult<Option<Bound<'py, PyAny>>> {
        let item = self.iterators[0].next().transpose()?;
        self.exhausted = item.is_none();
        Ok(item)
    }
}

/// Some of a map's calls.
#[derive(Default)]
struct Part {
    singles: Vec<Py<PyAny>>,
    calls: Vec<CallArgs>,
    keys: Vec<Key>,
    inputs: KeyLists,
}

impl Part {
    fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Notes the inputs of call `index`; lists begin with the first call that has any.
    fn note_inputs(&mut self, py: Python<'_>, index: usize, keys: Vec<Key>) -> PyResult<()> {
        if keys.is_empty() && self.inputs.ends.is_empty() {
            return Ok(());
        }
        self.inputs.ends.resize(index, 0);
        self.inputs.keys.extend(keys);
        self.inputs.ends.push(sizes::count(py, self.inputs.keys.len())?);
        Ok(())
    }
}

struct MapRun<'a, 'py> {
    core: &'a Arc<EngineCore>,
    mapping: &'a Mapping<'a, 'py>,
    prefix: Arc<str>,
    function: BlobId,
    blob: Payload,
    /// Whether no other map can use the same blob.
    is_used_once: bool,
    tokenizer: Tokenizer<'py>,
    keys: Option<CallKeys>,
    /// Calls whose keyword arguments have futures in them carry them each.
    kwargs_apart: bool,
    random: (LayerToken, u32),
    sent: usize,
}

impl<'a, 'py> MapRun<'a, 'py> {
    fn new(core: &'a Arc<EngineCore>, mapping: &'a Mapping<'a, 'py>) -> PyResult<MapRun<'a, 'py>> {
        let py = mapping.func.py();
        let info = FunctionInfo::of(mapping.func)?;
        let mut tokenizer = Tokenizer::standard(py)?;
        let keys = match &mapping.keys {
            MapKeys::Given(_) => None,
            MapKeys::Derived | MapKeys::Family(_) if mapping.pure => {
                let token = info.token(mapping.func)?;
                Some(CallKeys::new(&mut tokenizer, token, mapping.kwargs)?)
            }
            MapKeys::Derived | MapKeys::Family(_) => None,
        };
        let mut inputs = Inputs::default();
        inputs.kwargs(mapping.kwargs)?;
        let kwargs_apart = !inputs.keys.is_empty();
        let shared = if kwargs_apart { &PyDict::new(py) } else { mapping.kwargs };
        let (function, blob) = info.blob_with(mapping.func, shared, core.local)?;
        let prefix = match &mapping.keys {
            MapKeys::Family(family) => words(family).into(),
            MapKeys::Derived | MapKeys::Given(_) => info.prefix.clone(),
        };
        let random = (LayerToken(random128()), 0);
        let is_used_once = core.local && !shared.is_empty();
        Ok(MapRun {
            core,
            mapping,
            prefix,
            function,
            blob,
            is_used_once,
            tokenizer,
            keys,
            kwargs_apart,
            random,
            sent: 0,
        })
    }

    fn batch(&mut self, rows: &mut Rows<'py>, limit: usize) -> PyResult<Part> {
        let py = self.mapping.func.py();
        let mut part = Part::default();
        let plain = rows.iterators.len() == 1 && !self.kwargs_apart;
        while part.keys.len() < limit && !rows.exhausted {
            if plain {
                let Some(item) = rows.item()? else { break };
                self.add_single(&mut part, item)?;
            } else {
                let Some(row) = rows.row(py)? else { break };
                self.add_call(&mut part, &row)?;
            }
        }
        Ok(part)
    }

    fn add_single(&mut self, part: &mut Part, item: Bound<'py, PyAny>) -> PyResult<()> {
        let key = match &self.keys {
            Some(keys) => keys.single(&mut self.tokenizer, &item)?,
            None => self.other_key(part.keys.len())?,
        };
        let mut inputs = Inputs::default();
        let template = inputs.single(&item)?;
        part.note_inputs(item.py(), part.keys.len(), inputs.keys)?;
        part.singles.push(template.unwrap_or(item).unbind());
        part.keys.push(key);
        Ok(())
    }

    fn add_call(&mut self, part: &mut Part, row: &Bound<'py, PyTuple>) -> PyResult<()> {
        let key = match &self.keys {
            Some(keys) => keys.many(&mut self.tokenizer, row)?,
            None => self.other_key(part.keys.len())?,
        };
        let mut inputs = Inputs::default();
        let args = inputs.args(row)?;
        let kwargs = if self.kwargs_apart { inputs.kwargs(self.mapping.kwargs)? } else { None };
        part.note_inputs(row.py(), part.keys.len(), inputs.keys)?;
        part.calls.push(CallArgs { args, kwargs });
        part.keys.push(key);
        Ok(())
    }

    /// A key that does not depend on the arguments: the user's, or a random one.
    fn other_key(&mut self, index: usize) -> PyResult<Key> {
        if let MapKeys::Given(keys) = &self.mapping.keys {
            let given = keys.get(self.sent + index).ok_or_else(|| {
                PyValueError::new_err(format!("map() was given {} keys for more items than that", keys.len()))
            })?;
            return Ok(Key::from_name(given));
        }
        self.random.1 = self.random.1.wrapping_add(1);
        Ok(Key::block(self.random.0, self.random.1))
    }

    fn names(&self, len: usize) -> Vec<Arc<str>> {
        match &self.mapping.keys {
            MapKeys::Given(keys) => keys[self.sent..self.sent + len].iter().map(|key| key.as_str().into()).collect(),
            MapKeys::Derived | MapKeys::Family(_) => Vec::new(),
        }
    }

    fn send(&mut self, part: Part, futures: &Bound<'py, PyList>) -> PyResult<()> {
        let py = futures.py();
        let len = part.keys.len();
        let names = self.names(len);
        let name_of = |index: usize| match names.get(index) {
            Some(name) => TaskName::Custom(name.clone()),
            None => TaskName::Hashed { prefix: self.prefix.clone(), key: part.keys[index] },
        };
        let items = self.items(py, part.singles, part.calls, &name_of)?;
        let outputs = part.keys.clone();
        let map = MapLayer {
            function: self.function,
            items,
            keys: part.keys.clone(),
            names: names.clone(),
            inputs: part.inputs,
        };
        let graph = one_layer(self.prefix.clone(), annotations(self.mapping.options), map);
        warn_of_large_arguments(py, self.core, &graph)?;
        let (client, blobs) = (&self.core.client, vec![(self.function, self.blob.clone())]);
        py.detach(|| client.submit(graph, outputs, blobs));
        for index in 0..len {
            futures.append(Bound::new(py, self.core.future(part.keys[index], name_of(index)))?)?;
        }
        self.sent += len;
        Ok(())
    }

    fn items(
        &self,
        py: Python<'py>,
        singles: Vec<Py<PyAny>>,
        calls: Vec<CallArgs>,
        name_of: &dyn Fn(usize) -> TaskName,
    ) -> PyResult<Items> {
        let len = singles.len() + calls.len();
        sizes::count(py, len)?;
        if self.core.local {
            let is_single = calls.is_empty();
            return Ok(if is_single { values::items(Singles(singles), len) } else { values::items(Calls(calls), len) });
        }
        let mut packer = Packer::with_capacity(len);
        for (index, item) in singles.iter().enumerate() {
            packer.single(py, item, || name_of(index).to_string())?;
        }
        for (index, call) in calls.iter().enumerate() {
            packer.call(py, call, || name_of(index).to_string())?;
        }
        Ok(packer.finish())
    }
}

/// Reads the `keys=` of `Engine.map`.
pub fn map_keys(keys: Option<&Bound<'_, PyAny>>) -> PyResult<MapKeys> {
    let Some(keys) = keys.filter(|keys| !keys.is_none()) else { return Ok(MapKeys::Derived) };
    if let Ok(family) = keys.extract::<String>() {
        return Ok(MapKeys::Family(family));
    }
    let given: Vec<String> = keys
        .extract()
        .map_err(|_| errors::new(keys.py(), "GraphError", "keys= must be None, text, or a list of texts", None))?;
    Ok(MapKeys::Given(given))
}
