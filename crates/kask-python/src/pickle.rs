//! Objects to bytes and back: pickle protocol 5 with large buffers out of band.
//!
//! [`dumps`] tries the quick ways first: Rust for small plain values, the C pickler for most, cloudpickle (by value) for
//! lambdas, closures and whatever belongs to `__main__`, which is another module in every process. When nothing helps, the
//! error names what cannot be pickled and where it sits (see [`crate::blame`]).

use crate::tokenize::content_hash;
use crate::{blame, buffers, fast, parts, values};
use bytes::Bytes;
use kask_types::payload::SEGMENT_MIN_BYTES;
use kask_types::payload::Segment;
use kask_types::{BlobId, Payload};
use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList};

static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static MODULES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static DUMPS_POLARS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static CLOUD_DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Takes the buffers that shall not be inside the pickle; small ones stay inside.
#[pyclass(module = "kask._kask", frozen)]
struct BufferCollector(Mutex<Vec<Bytes>>);

#[pymethods]
impl BufferCollector {
    /// Called by the pickler; true keeps the buffer inside the pickle.
    fn __call__(&self, buffer: &Bound<'_, PyAny>) -> PyResult<bool> {
        // Fails for memory that is not contiguous, which pickle then copies.
        let Ok(raw) = buffer.call_method0(intern!(buffer.py(), "raw")) else { return Ok(true) };
        if raw.len()? < SEGMENT_MIN_BYTES {
            return Ok(true);
        }
        let bytes = buffers::from_buffer(&raw)?;
        self.0.lock().push(bytes);
        Ok(false)
    }
}

/// What is pickled, for the error if it cannot be.
pub struct Subject<'a> {
    /// Such as `the result of task f-1`; begins the sentence.
    pub what: &'a str,
    /// Where it begins, such as `args[1]`.
    pub path: &'a str,
}

/// `object` as bytes; the error names the culprit.
pub fn dumps(object: &Bound<'_, PyAny>, subject: &Subject<'_>) -> PyResult<Payload> {
    let mut small = Vec::new();
    if fast::encode(object, &mut small) {
        return Ok(Payload::from_bytes(small));
    }
    match by_reference(object) {
        Ok(payload) if !mentions_main(&payload) => Ok(payload),
        Ok(_) | Err(_) => by_value(object).map_err(|error| blame::explain(object, subject, error)),
    }
}

/// A function (with what its calls share) as bytes: by reference where its module can be imported, else by value.
pub fn dumps_function(object: &Bound<'_, PyAny>, subject: &Subject<'_>) -> PyResult<Payload> {
    by_value(object).map_err(|error| blame::explain(object, subject, error))
}

/// Whether an object can be pickled at all; its error if not.
pub fn try_dumps(object: &Bound<'_, PyAny>) -> PyResult<()> {
    match by_reference(object) {
        Ok(_) => Ok(()),
        Err(_) => by_value(object).map(drop),
    }
}

fn by_reference(object: &Bound<'_, PyAny>) -> PyResult<Payload> {
    let py = object.py();
    let modules = MODULES.import(py, "sys", "modules")?;
    // Where polars is not loaded, there is nothing of it to pickle.
    let dumps = match modules.contains(intern!(py, "polars"))? {
        true => DUMPS_POLARS.import(py, "kask.pickles", "dumps")?,
        false => DUMPS.import(py, "pickle", "dumps")?,
    };
    pickled(dumps, object)
}

/// `object` as bytes, what belongs to no importable module by value.
pub fn by_value(object: &Bound<'_, PyAny>) -> PyResult<Payload> {
    pickled(CLOUD_DUMPS.import(object.py(), "cloudpickle", "dumps")?, object)
}

fn pickled(dumps: &Bound<'_, PyAny>, object: &Bound<'_, PyAny>) -> PyResult<Payload> {
    let py = object.py();
    let collector = Bound::new(py, BufferCollector(Mutex::default()))?;
    let options = PyDict::new(py);
    options.set_item(intern!(py, "protocol"), 5)?;
    options.set_item(intern!(py, "buffer_callback"), &collector)?;
    let head = dumps.call((object,), Some(&options))?.cast_into::<PyBytes>()?;
    let buffers = std::mem::take(&mut *collector.get().0.lock()).into_iter().map(Segment).collect();
    Ok(Payload::Bytes { head: Segment(buffers::from_bytes(&head)), buffers })
}

/// Whether a pickle may refer to the main module, which is not the same one where it is read.
fn mentions_main(payload: &Payload) -> bool {
    const NAME: &[u8] = b"__main__";
    let Payload::Bytes { head, .. } = payload else { return false };
    let mut rest = &head.0[..];
    while let Some(at) = rest.iter().position(|byte| *byte == b'_') {
        rest = &rest[at..];
        if rest.starts_with(NAME) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// The object that a payload is. Its buffers are read-only.
pub fn loads<'py>(py: Python<'py>, payload: &Payload) -> PyResult<Bound<'py, PyAny>> {
    loads_with(py, payload, buffers::view)
}

/// The object that a payload is, whose memory belongs to nobody else: its buffers may be written to.
pub fn loads_writable<'py>(py: Python<'py>, payload: &Payload) -> PyResult<Bound<'py, PyAny>> {
    loads_with(py, payload, buffers::writable_view)
}

fn loads_with<'py>(
    py: Python<'py>,
    payload: &Payload,
    view: fn(Python<'py>, &Bytes) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (head, buffers) = match payload {
        Payload::Bytes { head, buffers } => (&head.0, buffers),
        Payload::Local(local) => return local_object(py, local),
    };
    if let Some(value) = fast::decode(py, head) {
        return Ok(value);
    }
    if let Some(memory) = parts::memory_of(py, payload) {
        return memory;
    }
    if let Some(all) = parts::all_of(payload) {
        return Ok(Bound::new(py, all)?.into_any());
    }
    let loads = LOADS.import(py, "pickle", "loads")?;
    let head = buffers::view(py, head)?;
    if buffers.is_empty() {
        return loads.call1((head,));
    }
    let list = PyList::empty(py);
    for buffer in buffers {
        list.append(view(py, &buffer.0)?)?;
    }
    let options = PyDict::new(py);
    options.set_item(intern!(py, "buffers"), list)?;
    loads.call((head,), Some(&options))
}

fn local_object<'py>(py: Python<'py>, local: &kask_types::Local) -> PyResult<Bound<'py, PyAny>> {
    if let Some(object) = values::holding::<values::Object>(local) {
        return Ok(object.0.bind(py).clone());
    }
    if let Some(object) = values::holding::<values::NamedObject>(local) {
        return Ok(object.object.bind(py).clone());
    }
    if let Some(items) = values::holding::<values::Singles>(local) {
        let item = items.0.get(local.index as usize).expect("the engine numbers items within their holder");
        return Ok(item.bind(py).clone());
    }
    Err(pyo3::exceptions::PySystemError::new_err("an internal object was taken for a value"))
}

/// Names a blob by all of its bytes.
pub fn blob_id(payload: &Payload) -> BlobId {
    match payload {
        Payload::Bytes { head, buffers } if buffers.is_empty() => BlobId::of(&head.0),
        Payload::Bytes { head, buffers } => {
            let mut hasher = blake3::Hasher::new();
            for part in std::iter::once(head).chain(buffers) {
                hasher.update(&(part.0.len() as u64).to_le_bytes());
                hasher.update(&content_hash(&part.0).to_le_bytes());
            }
            BlobId::of(hasher.finalize().as_bytes())
        }
        Payload::Local(_) => BlobId::of(&[]),
    }
}
