//! `Parts`: a result whose parts may be asked for one by one, as those of a shuffle are.
//!
//! A part is bytes to the engine: a payload of one buffer, whose pickle says "the buffer itself". So a part alone is a value
//! like any other and arrives as a read-only memoryview. All parts together travel as `Value::joined` lays them out.

use crate::buffers::{self, BytesView};
use bytes::Bytes;
use kask_executor::runtime::Value;
use kask_types::Payload;
use kask_types::payload::Segment;
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyMemoryView, PyTuple};
use std::sync::Arc;

/// Protocol 5, NEXT_BUFFER, STOP.
const THE_BUFFER: &[u8] = b"\x80\x05\x97.";
/// Smaller parts are copied rather than kept where they are.
const COPY_BYTES: usize = 2048;

/// A result that consists of parts.
#[pyclass(module = "kask._kask", frozen, sequence)]
pub struct Parts(Arc<[Payload]>);

#[pymethods]
impl Parts {
    #[new]
    fn new(payloads: &Bound<'_, PyAny>) -> PyResult<Parts> {
        let mut parts = Vec::with_capacity(payloads.len().unwrap_or_default());
        for (index, part) in payloads.try_iter()?.enumerate() {
            let part = part?;
            let bytes = buffers::from_buffer(&part).map_err(|error| {
                let class = part.get_type().qualname().map(|name| name.to_string()).unwrap_or_default();
                let reason = error.value(part.py());
                PyTypeError::new_err(format!("part {index} must be contiguous memory, got {class}: {reason}"))
            })?;
            parts.push(if bytes.len() < COPY_BYTES { Bytes::copy_from_slice(&bytes) } else { bytes });
        }
        Ok(Parts::of(parts))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyAny>> {
        let place = if index < 0 { index + self.0.len().cast_signed() } else { index };
        let part = usize::try_from(place).ok().and_then(|place| self.0.get(place));
        let Some(part) = part else {
            return Err(PyIndexError::new_err(format!("part {index} of {}", self.0.len())));
        };
        memory_of(py, part).unwrap_or_else(|| Err(PyIndexError::new_err("a part without memory")))
    }

    /// Bytes of all parts.
    #[getter]
    pub fn nbytes(&self) -> u64 {
        self.0.iter().map(nbytes).sum()
    }

    fn __repr__(&self) -> String {
        format!("Parts({} parts, {} bytes)", self.0.len(), self.nbytes())
    }

    fn __reduce_ex__<'py>(&self, py: Python<'py>, protocol: i32) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let buffer = match protocol {
            ..5 => py.import(intern!(py, "builtins"))?.getattr(intern!(py, "bytes"))?,
            5.. => py.import(intern!(py, "pickle"))?.getattr(intern!(py, "PickleBuffer"))?,
        };
        let parts = self.0.iter().filter_map(|part| memory_of(py, part));
        let parts = parts.map(|part| buffer.call1((part?,))).collect::<PyResult<Vec<_>>>()?;
        let restore = py.import(intern!(py, "kask._kask"))?.getattr(intern!(py, "_restore_parts"))?;
        Ok((restore, PyTuple::new(py, parts)?))
    }
}

impl Parts {
    /// A result of these parts.
    pub fn of(parts: Vec<Bytes>) -> Parts {
        let payload =
            |part| Payload::Bytes { head: Segment(Bytes::from_static(THE_BUFFER)), buffers: vec![Segment(part)] };
        Parts(parts.into_iter().map(payload).collect())
    }

    /// The parts, as the engine holds them.
    pub fn shared(&self) -> Arc<[Payload]> {
        self.0.clone()
    }
}

/// Makes parts out of a pickle.
#[pyfunction(name = "_restore_parts")]
#[pyo3(signature = (*parts))]
pub fn restore_parts(parts: &Bound<'_, PyTuple>) -> PyResult<Parts> {
    Parts::new(parts.as_any())
}

/// What the parts weigh together.
pub fn nbytes(part: &Payload) -> u64 {
    buffer_of(part).map_or(0, |bytes| bytes.len() as u64)
}

fn buffer_of(part: &Payload) -> Option<&Bytes> {
    match part {
        Payload::Bytes { head, buffers } if *head.0 == *THE_BUFFER => match &buffers[..] {
            [buffer] => Some(&buffer.0),
            _ => None,
        },
        Payload::Bytes { .. } | Payload::Local(_) => None,
    }
}

/// A payload that is a single part, as memory; `None` for all others.
pub fn memory_of<'py>(py: Python<'py>, part: &Payload) -> Option<PyResult<Bound<'py, PyAny>>> {
    let bytes = buffer_of(part)?.clone();
    let view = Bound::new(py, BytesView::read_only(bytes));
    Some(view.and_then(|view| PyMemoryView::from(view.as_any())).map(Bound::into_any))
}

/// A payload that is all parts of a value; `None` for all others.
pub fn all_of(payload: &Payload) -> Option<Parts> {
    Value::separated(payload).map(Parts)
}
