//! How many bytes an object holds, roughly and quickly.

use crate::errors;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple};

/// How many items of a container are looked at to guess what all of them hold.
const SAMPLE: usize = 16;
/// How deep.
const MAX_DEPTH: usize = 4;

/// Bytes that `object` holds. Never raises: an object that cannot say counts as small.
pub fn nbytes(object: &Bound<'_, PyAny>) -> u64 {
    size(object, 0)
}

fn size(object: &Bound<'_, PyAny>, depth: usize) -> u64 {
    if object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyFloat>()
        || object.is_exact_instance_of::<PyBool>()
        || object.is_none()
    {
        return 32;
    }
    if let Ok(text) = object.cast_exact::<PyString>() {
        return 49 + text.len().unwrap_or(0) as u64;
    }
    if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        return 33 + bytes.as_bytes().len() as u64;
    }
    if let Ok(list) = object.cast_exact::<PyList>() {
        return container(list.len(), list.iter(), depth);
    }
    if let Ok(tuple) = object.cast_exact::<PyTuple>() {
        return container(tuple.len(), tuple.iter(), depth);
    }
    if let Ok(dict) = object.cast_exact::<PyDict>() {
        return container(dict.len(), dict.iter().map(|(_, value)| value), depth) + 64 * dict.len() as u64;
    }
    if object.is_exact_instance_of::<PySet>() || object.is_exact_instance_of::<PyFrozenSet>() {
        let len = object.len().unwrap_or(0);
        let items = object.try_iter().into_iter().flatten().flatten();
        return container(len, items, depth);
    }
    other(object).unwrap_or(64)
}

fn container<'py>(len: usize, items: impl Iterator<Item = Bound<'py, PyAny>>, depth: usize) -> u64 {
    let own = 64 + 8 * len as u64;
    if depth >= MAX_DEPTH || len == 0 {
        return own;
    }
    let (mut seen, mut bytes) = (0u64, 0u64);
    for item in items.take(SAMPLE) {
        seen += 1;
        bytes += size(&item, depth + 1);
    }
    own + bytes * len as u64 / seen.max(1)
}

/// Arrays, frames, buffers, and whatever else says how large it is.
fn other(object: &Bound<'_, PyAny>) -> Option<u64> {
    let py = object.py();
    if let Ok(Some(nbytes)) = object.getattr_opt(intern!(py, "nbytes"))
        && let Ok(nbytes) = nbytes.extract::<u64>()
    {
        return Some(nbytes + 128);
    }
    if let Ok(Some(usage)) = object.getattr_opt(intern!(py, "memory_usage")) {
        return frame(&usage);
    }
    if let Ok(export) = PyUntypedBuffer::get(object) {
        return Some(export.len_bytes() as u64 + 64);
    }
    static SIZE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    SIZE.import(py, "sys", "getsizeof").ok()?.call1((object, 64)).ok()?.extract().ok()
}

/// A pandas object. Text columns count what their references cost: to look into them would cost more than to guess.
fn frame(usage: &Bound<'_, PyAny>) -> Option<u64> {
    let usage = usage.call0().ok()?;
    if let Ok(bytes) = usage.extract::<u64>() {
        return Some(bytes + 512);
    }
    usage.call_method0("sum").ok()?.extract::<u64>().ok().map(|bytes| bytes + 1024)
}

/// The size of a Python object, as the engine counts it.
#[pyfunction]
pub fn sizeof(object: &Bound<'_, PyAny>) -> u64 {
    nbytes(object)
}

/// Refuses a number of items that the engine cannot count.
pub fn count(py: Python<'_>, len: usize) -> PyResult<u32> {
    u32::try_from(len).map_err(|_| errors::graph(py, "a graph has at most 4,294,967,295 tasks"))
}
