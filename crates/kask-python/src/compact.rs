//! Results that show a little of much memory.
//!
//! A worker lets go of a task's inputs when nobody needs them any more. A slice of one keeps all of its memory, which would be there
//! without anybody's knowledge, and could not be moved to disk. So a result that shows less than half of what it keeps is
//! copied; of what is nested deeper, all that it keeps is counted (see [`sizes::nbytes_without_inputs`]).

use crate::helpers;
use crate::sizes;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};

/// Less than this is not worth a look.
const WORTH_BYTES: u64 = 64 << 10;

/// The result of a task that had inputs, or a copy.
pub fn compact<'py>(result: Bound<'py, PyAny>) -> Bound<'py, PyAny> {
    // Whatever goes wrong, the result is right as it is.
    match copied(&result) {
        Ok(Some(copy)) => copy,
        Ok(None) | Err(_) => result,
    }
}

fn copied<'py>(result: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = result.py();
    if is_builtin(result) {
        return Ok(None);
    }
    if is_array(result)? {
        let Some(owner) = sizes::owner(result)? else { return Ok(None) };
        let shown = result.getattr(intern!(py, "nbytes"))?.extract::<u64>()?;
        let is_little = sizes::whole(&owner)?.is_some_and(|whole| shown < whole / 2 && whole - shown >= WORTH_BYTES);
        return if is_little { result.call_method0(intern!(py, "copy")).map(Some) } else { Ok(None) };
    }
    if is_arrow(result)? {
        let shown = result.getattr(intern!(py, "nbytes"))?.extract::<u64>()?;
        let whole = result.call_method0(intern!(py, "get_total_buffer_size"))?.extract::<u64>()?;
        if shown < whole / 2 && whole - shown >= WORTH_BYTES {
            return helpers::get(py, intern!(py, "arrow_copy"))?.call1((result,)).map(Some);
        }
    }
    Ok(None)
}

/// Most results of small tasks are.
fn is_builtin(object: &Bound<'_, PyAny>) -> bool {
    object.is_none()
        || object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyFloat>()
        || object.is_exact_instance_of::<PyString>()
        || object.is_exact_instance_of::<PyTuple>()
        || object.is_exact_instance_of::<PyList>()
        || object.is_exact_instance_of::<PyDict>()
}

/// Whether it is an array of NumPy, and not of a subclass, which may not be what it seems.
fn is_array(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    static ARRAY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    is_exactly(object, "numpy", "ndarray", &ARRAY)
}

fn is_arrow(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    static TABLE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static BATCH: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    Ok(is_exactly(object, "pyarrow.lib", "Table", &TABLE)? || is_exactly(object, "pyarrow.lib", "RecordBatch", &BATCH)?)
}

/// Whether an object is of a class of a module, which is not imported for this.
fn is_exactly(object: &Bound<'_, PyAny>, module: &str, name: &str, class: &PyOnceLock<Py<PyType>>) -> PyResult<bool> {
    let py = object.py();
    if let Some(class) = class.get(py) {
        return Ok(object.get_type().is(class));
    }
    let found = object.get_type();
    if found.name()? != name || found.module()? != module {
        return Ok(false);
    }
    Ok(object.get_type().is(class.get_or_init(py, || found.unbind())))
}
