//! Python exceptions to [`Failure`]s and back.
//!
//! Inside one process the exception object itself travels, with its traceback. To other processes it travels as plain
//! data: the pickled exception and those it is chained to, and the frames of each traceback, out of which the receiver
//! builds real traceback objects. What cannot be pickled or unpickled arrives as `kask.exceptions.RemoteError`.

use crate::helpers;
use crate::pickle::{self, Subject};
use crate::values::{self, RaisedObject};
use kask_client::WaitError;
use kask_types::{Certificate, DeathCause, Failure, Payload, RaisedError};
use pyo3::exceptions::{PyOSError, PyTimeoutError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes, PyCFunction, PyDict, PyTraceback, PyTuple, PyType};
use std::sync::Arc;

/// A class of `kask.exceptions`.
fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyType>> {
    Ok(py.import(intern!(py, "kask.exceptions"))?.getattr(name)?.cast_into()?)
}

/// An exception of `kask.exceptions` with a message and perhaps a hint.
pub fn new(py: Python<'_>, name: &str, message: &str, hint: Option<&str>) -> PyErr {
    let build = || {
        let options = PyDict::new(py);
        if let Some(hint) = hint {
            options.set_item("hint", hint)?;
        }
        class(py, name)?.call((message,), Some(&options))
    };
    build().map_or_else(|error| error, PyErr::from_value)
}

/// A `SerializationError`, caused by `cause`.
pub fn serialization(py: Python<'_>, message: &str, hint: &str, cause: Option<PyErr>) -> PyErr {
    let error = new(py, "SerializationError", message, Some(hint));
    error.set_cause(py, cause);
    error
}

/// Why a wait ended, as an exception.
pub fn from_wait(py: Python<'_>, problem: &WaitError) -> PyErr {
    match problem {
        WaitError::TimedOut => PyTimeoutError::new_err("not done within the time limit"),
        WaitError::NoWorker(reason) => PyTimeoutError::new_err(reason.clone()),
        WaitError::Interrupted => pyo3::exceptions::PyKeyboardInterrupt::new_err(()),
        WaitError::Closed(reason) => new(py, "ClientClosedError", reason, None),
        WaitError::Refused(reason) => new(py, "ClusterError", reason, None),
    }
}

/// A graph that cannot be run as it is described.
pub fn graph(py: Python<'_>, message: &str) -> PyErr {
    new(py, "GraphError", message, None)
}

/// A task that takes more than a worker has.
pub fn out_of_memory(py: Python<'_>, message: &str) -> PyErr {
    new(py, "OutOfMemoryError", message, None)
}

/// A connection that was not made.
pub fn connection(message: &str) -> PyErr {
    PyOSError::new_err(message.to_owned())
}

/// Where something was raised.
pub struct Origin<'a> {
    /// The printed key of the task.
    pub task: &'a str,
    /// The worker, for people.
    pub worker: &'a str,
    /// Whether the exception may stay an object.
    pub local: bool,
}

/// What a task raised.
pub fn raised(py: Python<'_>, error: PyErr, origin: &Origin<'_>) -> Failure {
    let object = error.value(py).clone().into_any();
    // Older interpreters keep it apart from the exception until somebody catches that.
    let _ = object.setattr(intern!(py, "__traceback__"), error.traceback(py));
    let text = |name| {
        helpers::get(py, name).and_then(|format| format.call1((&object,))?.extract::<String>()).unwrap_or_default()
    };
    let exception = if origin.local {
        let traceback = error.traceback(py).map_or_else(|| py.None(), |traceback| traceback.into_any().unbind());
        Some(values::holder(RaisedObject { exception: object.clone().unbind(), traceback }))
    } else {
        encode(py, &object).ok()
    };
    Failure::Raised(Arc::new(RaisedError {
        task: origin.task.into(),
        type_name: error.get_type(py).qualname().map(|name| name.to_string()).unwrap_or_default(),
        message: text(intern!(py, "text_of")),
        traceback: text(intern!(py, "format_exception")),
        worker: origin.worker.to_owned(),
        exception,
    }))
}

fn encode(py: Python<'_>, object: &Bound<'_, PyAny>) -> PyResult<Payload> {
    // A pickle inside the pickle, so that one exception that cannot be read does not take the others with it.
    let dumps =
        PyCFunction::new_closure(py, None, None, |args: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
            let one = args.get_item(0)?;
            match pickle::dumps(&one, &Subject { what: "the exception", path: "" })? {
                Payload::Bytes { head, buffers } if buffers.is_empty() => Ok(PyBytes::new(args.py(), &head.0).unbind()),
                Payload::Bytes { .. } | Payload::Local(_) => {
                    let in_band = args.py().import("cloudpickle")?.call_method1("dumps", (one,))?;
                    Ok::<_, PyErr>(in_band.cast_into::<PyBytes>()?.unbind())
                }
            }
        })?;
    let entries = helpers::get(py, intern!(py, "encode_exception"))?.call1((object, dumps))?;
    pickle::dumps(&entries, &Subject { what: "the exception", path: "" })
}

/// An exception and the traceback with which it is raised each time.
pub struct Raisable {
    exception: Py<PyAny>,
    traceback: Py<PyAny>,
}

impl Raisable {
    fn new(exception: Bound<'_, PyAny>, traceback: Bound<'_, PyAny>) -> Raisable {
        Raisable { exception: exception.unbind(), traceback: traceback.unbind() }
    }

    /// The exception, with its traceback as it came.
    pub fn exception<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        let exception = self.exception.bind(py);
        // Fails only for an exception class that overrides the attribute; then it stays as it is.
        let _ = exception.setattr(intern!(py, "__traceback__"), self.traceback.bind(py));
        exception.clone()
    }

    /// To be raised: a copy, so that the frames that it passes through are not kept by who keeps the exception, which the future does that one
    /// of these frames may have.
    pub fn error(&self, py: Python<'_>) -> PyErr {
        let exception = self.exception(py);
        let copied = helpers::get(py, intern!(py, "to_raise")).and_then(|copy| copy.call1((&exception,)));
        PyErr::from_value(copied.unwrap_or(exception))
    }

    /// The traceback object, or `None`.
    pub fn traceback<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.traceback.bind(py).clone()
    }

    /// Another handle on the same.
    pub fn clone_ref(&self, py: Python<'_>) -> Raisable {
        Raisable { exception: self.exception.clone_ref(py), traceback: self.traceback.clone_ref(py) }
    }
}

impl From<(Python<'_>, PyErr)> for Raisable {
    fn from((py, error): (Python<'_>, PyErr)) -> Raisable {
        let traceback = error.traceback(py).map_or_else(|| py.None().into_bound(py), Bound::<PyTraceback>::into_any);
        Raisable::new(error.value(py).clone().into_any(), traceback)
    }
}

/// A failure as what the caller of `result()` gets.
pub fn raisable(py: Python<'_>, failure: &Failure) -> Raisable {
    match failure {
        Failure::Raised(raised) => decode(py, raised).unwrap_or_else(|problem| Raisable::from((py, problem))),
        Failure::KilledWorker { task, deaths: certificates } => {
            let deaths: Vec<String> = certificates.iter().map(ToString::to_string).collect();
            let error = class(py, "KilledWorker").and_then(|class| {
                let hint = [("hint", memory_hint(certificates))].into_py_dict(py)?;
                class.call((&**task, deaths), Some(&hint))
            });
            Raisable::from((py, error.map_or_else(|error| error, PyErr::from_value)))
        }
        Failure::Cancelled { reason } => Raisable::from((py, new(py, "CancelledError", reason, None))),
        Failure::Lost { .. } => Raisable::from((py, new(py, "FutureLostError", &failure.to_string(), None))),
        Failure::OutOfMemory { .. } => Raisable::from((py, new(py, "OutOfMemoryError", &failure.to_string(), None))),
        Failure::Unrunnable { reason } => Raisable::from((py, unrunnable(py, reason))),
    }
}

/// What to do about a task whose workers ran out of memory under it; none when that is not what ended any of them.
fn memory_hint(deaths: &[Certificate]) -> Option<String> {
    let of_memory = || deaths.iter().filter(|death| death.cause == DeathCause::OutOfMemory);
    of_memory().next()?;
    let limit = match of_memory().filter_map(|death| death.peak_memory_bytes).max() {
        Some(bytes) => format!("well above {:.0} MiB", bytes as f64 / f64::from(1 << 20)),
        None => "that is larger".to_owned(),
    };
    Some(format!("make the chunks that the task reads and makes smaller, or give workers a memory_limit {limit}"))
}

fn unrunnable(py: Python<'_>, reason: &str) -> PyErr {
    new(py, "GraphError", reason, None)
}

fn decode(py: Python<'_>, raised: &RaisedError) -> PyResult<Raisable> {
    let payload = match &raised.exception {
        None => return remote_error(py, raised),
        Some(Payload::Local(local)) => {
            return match values::holding::<RaisedObject>(local) {
                Some(object) => {
                    let (exception, traceback) = (object.exception.bind(py).clone(), object.traceback.bind(py).clone());
                    Ok(Raisable::new(exception, traceback))
                }
                None => remote_error(py, raised),
            };
        }
        Some(payload) => payload,
    };
    let Ok(entries) = pickle::loads(py, payload) else { return remote_error(py, raised) };
    let loads = py.import(intern!(py, "pickle"))?.getattr(intern!(py, "loads"))?;
    let pair = helpers::get(py, intern!(py, "decode_exception"))?.call1((entries, loads, &raised.traceback))?;
    let (exception, traceback) = pair.extract()?;
    Ok(Raisable::new(exception, traceback))
}

fn remote_error(py: Python<'_>, raised: &RaisedError) -> PyResult<Raisable> {
    let arguments = (&raised.type_name, &raised.message, &raised.traceback);
    let error = class(py, "RemoteError")?.call1(arguments)?;
    Ok(Raisable::from((py, PyErr::from_value(error))))
}
