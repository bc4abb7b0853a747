//! Finding and replacing things inside arguments.
//!
//! [`rewrite`] walks lists, tuples, named tuples, dicts, sets, frozensets, slices and dataclass instances, asks a
//! [`Leaf`] about everything else, and rebuilds only the containers in which something changed. [`Inputs`] is the leaf that
//! turns nodes and futures into [`Hole`]s when work is described; [`Filling`] puts results into holes when it runs.

use crate::future::Future;
use crate::node::Node;
use kask_types::Key;
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PySlice, PyString, PyTuple, PyType,
};
use pyo3::{intern, sync::PyOnceLock};
use rustc_hash::FxHashMap;

/// Containers nested deeper than this are taken as opaque objects.
const MAX_DEPTH: usize = 500;

/// Stands in an argument template for the result of input `index`.
#[pyclass(module = "kask._kask", frozen, subclass)]
pub struct Hole {
    #[pyo3(get)]
    pub index: u32,
}

#[pymethods]
impl Hole {
    #[new]
    fn new(index: u32) -> Hole {
        Hole { index }
    }

    fn __repr__(&self) -> String {
        format!("Hole({})", self.index)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, (u32,)) {
        (slf.get_type(), (slf.get().index,))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Hole>().is_ok_and(|other| other.get().index == self.index)
    }

    fn __hash__(&self) -> u64 {
        u64::from(self.index)
    }
}

/// What is done with an object that is no container.
pub trait Leaf {
    /// What takes the object's place; `None` leaves it.
    fn replace<'py>(&mut self, object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>>;
}

/// `object` with its leaves replaced; `None` when nothing was.
pub fn rewrite<'py>(object: &Bound<'py, PyAny>, leaf: &mut impl Leaf) -> PyResult<Option<Bound<'py, PyAny>>> {
    Walk { leaf, path: Vec::new() }.visit(object)
}

/// Whether an object of this type can neither be nor contain a leaf.
#[inline]
fn is_plain(object: &Bound<'_, PyAny>) -> bool {
    object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyString>()
        || object.is_exact_instance_of::<PyFloat>()
        || object.is_none()
        || object.is_exact_instance_of::<PyBool>()
        || object.is_exact_instance_of::<PyBytes>()
}

struct Walk<'a, L> {
    leaf: &'a mut L,
    /// The containers around the object that is visited: one that contains itself is not entered again.
    path: Vec<usize>,
}

impl<L: Leaf> Walk<'_, L> {
    fn visit<'py>(&mut self, object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if is_plain(object) {
            return Ok(None);
        }
        let address = object.as_ptr() as usize;
        if self.path.len() >= MAX_DEPTH || self.path.contains(&address) {
            return Ok(None);
        }
        if let Ok(tuple) = object.cast_exact::<PyTuple>() {
            return self.within(address, |walk| walk.tuple(tuple).map(|new| new.map(Bound::into_any)));
        }
        if let Ok(list) = object.cast_exact::<PyList>() {
            return self.within(address, |walk| walk.list(list));
        }
        if let Ok(dict) = object.cast_exact::<PyDict>() {
            return self.within(address, |walk| walk.dict(dict));
        }
        if let Some(new) = self.leaf.replace(object)? {
            return Ok(Some(new));
        }
        if object.is_exact_instance_of::<PySet>() || object.is_exact_instance_of::<PyFrozenSet>() {
            return self.within(address, |walk| walk.set(object));
        }
        self.within(address, |walk| walk.uncommon(object))
    }

    fn within<T>(&mut self, address: usize, visit: impl FnOnce(&mut Self) -> PyResult<T>) -> PyResult<T> {
        self.path.push(address);
        let result = visit(self);
        self.path.pop();
        result
    }

    fn tuple<'py>(&mut self, tuple: &Bound<'py, PyTuple>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let changed = self.each(tuple.iter())?;
        if changed.is_empty() {
            return Ok(None);
        }
        let mut items: Vec<_> = tuple.iter().collect();
        for (index, new) in changed {
            items[index] = new;
        }
        PyTuple::new(tuple.py(), items).map(Some)
    }

    fn list<'py>(&mut self, list: &Bound<'py, PyList>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let changed = self.each(list.iter())?;
        if changed.is_empty() {
            return Ok(None);
        }
        let copy = list.get_slice(0, list.len());
        for (index, new) in changed {
            copy.set_item(index, new)?;
        }
        Ok(Some(copy.into_any()))
    }

    fn dict<'py>(&mut self, dict: &Bound<'py, PyDict>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut changed = false;
        let mut pairs = Vec::with_capacity(dict.len());
        for (key, value) in dict.iter() {
            let (new_key, new_value) = (self.visit(&key)?, self.visit(&value)?);
            changed |= new_key.is_some() || new_value.is_some();
            pairs.push((new_key.unwrap_or(key), new_value.unwrap_or(value)));
        }
        if !changed {
            return Ok(None);
        }
        let copy = PyDict::new(dict.py());
        for (key, value) in pairs {
            copy.set_item(key, value)?;
        }
        Ok(Some(copy.into_any()))
    }

    fn set<'py>(&mut self, set: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut items: Vec<_> = set.try_iter()?.collect::<PyResult<_>>()?;
        let changed = self.each(items.iter().cloned())?;
        if changed.is_empty() {
            return Ok(None);
        }
        for (index, new) in changed {
            items[index] = new;
        }
        set.get_type().call1((PyList::new(set.py(), items)?,)).map(Some)
    }

    /// The items of a sequence that change, with their places.
    fn each<'py>(
        &mut self,
        items: impl Iterator<Item = Bound<'py, PyAny>>,
    ) -> PyResult<Vec<(usize, Bound<'py, PyAny>)>> {
        let mut changed = Vec::new();
        for (index, item) in items.enumerate() {
            if let Some(new) = self.visit(&item)? {
                changed.push((index, new));
            }
        }
        Ok(changed)
    }

    fn uncommon<'py>(&mut self, object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = object.py();
        if let Ok(tuple) = object.cast::<PyTuple>() {
            return match (object.hasattr(intern!(py, "_fields"))?, self.tuple(tuple)?) {
                (true, Some(items)) => object.call_method1(intern!(py, "_make"), (items,)).map(Some),
                (true, None) | (false, _) => Ok(None),
            };
        }
        if let Ok(dict) = object.cast::<PyDict>() {
            return self.dict_subclass(dict);
        }
        if object.is_exact_instance_of::<PySlice>() {
            let ends = ["start", "stop", "step"].map(|name| object.getattr(name));
            let [start, stop, step] = ends;
            let ends = PyTuple::new(py, [start?, stop?, step?])?;
            return match self.tuple(&ends)? {
                Some(ends) => py.get_type::<PySlice>().call1(ends).map(Some),
                None => Ok(None),
            };
        }
        match object.get_type().getattr_opt(intern!(py, "__dataclass_fields__"))? {
            Some(fields) if !object.is_instance_of::<PyType>() => self.dataclass(object, &fields),
            Some(_) | None => Ok(None),
        }
    }

    /// Ordered and default dicts, counters: a copy, in which values are replaced.
    fn dict_subclass<'py>(&mut self, dict: &Bound<'py, PyDict>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut changed = Vec::new();
        for (key, value) in dict.iter() {
            if let Some(new) = self.visit(&value)? {
                changed.push((key, new));
            }
        }
        if changed.is_empty() {
            return Ok(None);
        }
        let copy = shallow_copy(dict.as_any())?;
        for (key, new) in changed {
            copy.set_item(key, new)?;
        }
        Ok(Some(copy))
    }

    fn dataclass<'py>(
        &mut self,
        object: &Bound<'py, PyAny>,
        fields: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut changed = Vec::new();
        for name in fields.cast::<PyDict>()?.keys() {
            let name = name.cast_into::<PyString>()?;
            // A field without a value yet (init=False) has no attribute.
            let Some(value) = object.getattr_opt(&name)? else { continue };
            if let Some(new) = self.visit(&value)? {
                changed.push((name, new));
            }
        }
        if changed.is_empty() {
            return Ok(None);
        }
        let copy = shallow_copy(object)?;
        // Not setattr(): the class may be frozen.
        let set = object.py().get_type::<PyAny>().getattr(intern!(object.py(), "__setattr__"))?;
        for (name, new) in changed {
            set.call1((&copy, name, new))?;
        }
        Ok(Some(copy))
    }
}

fn shallow_copy<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static COPY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    COPY.import(object.py(), "copy", "copy")?.call1((object,))
}

/// Collects what a call depends on, leaving holes.
#[derive(Default)]
pub struct Inputs {
    /// Nodes and futures, in the order of their holes.
    pub objects: Vec<Py<PyAny>>,
    /// Their keys.
    pub keys: Vec<Key>,
    holes: FxHashMap<Key, Py<Hole>>,
}

impl Inputs {
    /// The template of positional arguments.
    pub fn args(&mut self, args: &Bound<'_, PyTuple>) -> PyResult<Py<PyTuple>> {
        match rewrite(args.as_any(), self)? {
            Some(template) => Ok(template.cast_into::<PyTuple>()?.unbind()),
            None => Ok(args.clone().unbind()),
        }
    }

    /// The template of keyword arguments; `None` when there are none.
    pub fn kwargs(&mut self, kwargs: &Bound<'_, PyDict>) -> PyResult<Option<Py<PyDict>>> {
        if kwargs.is_empty() {
            return Ok(None);
        }
        match rewrite(kwargs.as_any(), self)? {
            Some(template) => Ok(Some(template.cast_into::<PyDict>()?.unbind())),
            None => Ok(Some(kwargs.clone().unbind())),
        }
    }

    /// The template of one argument; `None` when it has no inputs.
    pub fn single<'py>(&mut self, argument: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if is_plain(argument) { Ok(None) } else { rewrite(argument, self) }
    }

    fn hole<'py>(&mut self, object: &Bound<'py, PyAny>, key: Key) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        if let Some(hole) = self.holes.get(&key) {
            return Ok(hole.bind(py).clone().into_any());
        }
        let index = u32::try_from(self.keys.len()).map_err(|_| PyValueError::new_err("a call has too many inputs"))?;
        let hole = Py::new(py, Hole { index })?;
        self.keys.push(key);
        self.objects.push(object.clone().unbind());
        let object = hole.bind(py).clone().into_any();
        self.holes.insert(key, hole);
        Ok(object)
    }
}

impl Leaf for Inputs {
    fn replace<'py>(&mut self, object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match key_of(object) {
            Some(key) => self.hole(object, key).map(Some),
            None => Ok(None),
        }
    }
}

/// The key of a node or future; `None` for anything else.
pub fn key_of(object: &Bound<'_, PyAny>) -> Option<Key> {
    if let Ok(future) = object.cast::<Future>() {
        return Some(future.get().id());
    }
    object.cast::<Node>().ok().map(|node| node.get().id())
}

/// Puts values into holes.
pub struct Filling<'a, 'py>(pub &'a [Bound<'py, PyAny>]);

impl Leaf for Filling<'_, '_> {
    fn replace<'py>(&mut self, object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Ok(hole) = object.cast::<Hole>() else { return Ok(None) };
        let index = hole.get().index as usize;
        match self.0.get(index) {
            // The values live under the same attachment; the type system only sees two lifetimes.
            Some(value) => Ok(Some(value.clone().unbind().into_bound(object.py()))),
            None => Err(PyIndexError::new_err(format!(
                "the argument template has Hole({index}), but the task has only {} inputs",
                self.0.len()
            ))),
        }
    }
}

/// Finds futures and looks their values up; for templates that are resolved in the client.
pub struct Resolving<'a, 'py> {
    /// Value by key.
    pub values: &'a FxHashMap<Key, Bound<'py, PyAny>>,
}

impl Leaf for Resolving<'_, '_> {
    fn replace<'py>(&mut self, object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let value = key_of(object).and_then(|key| self.values.get(&key));
        Ok(value.map(|value| value.clone().unbind().into_bound(object.py())))
    }
}
