//! The arguments of calls as payloads.
//!
//! As bytes, the arguments of a call are the pickle of `(args, kwargs or None)`. The only argument of a map's call that is a
//! small plain value is that value's own pickle: no such value is a tuple, so the two cannot be mistaken for each other.

use crate::pickle::{self, Subject};
use crate::values::{CallArgs, Calls, Singles, holding};
use crate::{blame, errors, fast};
use bytes::Bytes;
use kask_types::payload::Segment;
use kask_types::{Items, Payload};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// The arguments of one call, ready to be used or to have holes filled.
pub enum Arguments<'py> {
    /// The only one.
    Single(Bound<'py, PyAny>),
    /// Any number.
    Many(Bound<'py, PyTuple>, Option<Bound<'py, PyDict>>),
}

/// Reads what the functions below wrote.
pub fn load<'py>(py: Python<'py>, payload: &Payload) -> PyResult<Arguments<'py>> {
    if let Payload::Local(local) = payload {
        if let Some(items) = holding::<Singles>(local)
            && let Some(item) = items.0.get(local.index as usize)
        {
            return Ok(Arguments::Single(item.bind(py).clone()));
        }
        if let Some(calls) = holding::<Calls>(local)
            && let Some(call) = calls.0.get(local.index as usize)
        {
            let kwargs = call.kwargs.as_ref().map(|kwargs| kwargs.bind(py).clone());
            return Ok(Arguments::Many(call.args.bind(py).clone(), kwargs));
        }
    }
    let object = pickle::loads(py, payload)?;
    let Ok(pair) = object.cast_exact::<PyTuple>() else { return Ok(Arguments::Single(object)) };
    let (args, kwargs): (Bound<'_, PyTuple>, Option<Bound<'_, PyDict>>) = pair.extract()?;
    Ok(Arguments::Many(args, kwargs))
}

/// The arguments of one call as bytes. `task` is for the error.
pub fn encode(py: Python<'_>, call: &CallArgs, task: &str) -> PyResult<Payload> {
    let pair = (call.args.bind(py), call.kwargs.as_ref().map(|kwargs| kwargs.bind(py))).into_pyobject(py)?;
    let subject = Subject { what: "the arguments", path: "" };
    pickle::dumps(pair.as_any(), &subject).map_err(|error| culprit(py, call, task).unwrap_or(error))
}

/// The error of the first argument that cannot be pickled.
fn culprit(py: Python<'_>, call: &CallArgs, task: &str) -> Option<PyErr> {
    let explain = |argument: Bound<'_, PyAny>, path: String| {
        let error = pickle::try_dumps(&argument).err()?;
        let what = format!("an argument of task {task}");
        Some(blame::explain(&argument, &Subject { what: &what, path: &path }, error))
    };
    for (index, argument) in call.args.bind(py).iter().enumerate() {
        if let Some(error) = explain(argument, format!("args[{index}]")) {
            return Some(error);
        }
    }
    for (name, argument) in call.kwargs.as_ref()?.bind(py).iter() {
        if let Some(error) = explain(argument, format!("kwargs[{name:?}]")) {
            return Some(error);
        }
    }
    None
}

/// Collects the encoded arguments of a map, packed for as long as none has buffers of its own.
#[derive(Default)]
pub struct Packer {
    data: Vec<u8>,
    ends: Vec<u32>,
    each: Vec<Payload>,
}

impl Packer {
    /// Room for this many.
    pub fn with_capacity(len: usize) -> Packer {
        Packer { data: Vec::with_capacity(len * 8), ends: Vec::with_capacity(len), each: Vec::new() }
    }

    /// Adds the only argument of a call.
    pub fn single(&mut self, py: Python<'_>, item: &Py<PyAny>, task: impl FnOnce() -> String) -> PyResult<()> {
        if self.each.is_empty()
            && self.data.len() < u32::MAX as usize / 2
            && fast::encode(item.bind(py), &mut self.data)
        {
            self.ends.push(self.data.len() as u32);
            return Ok(());
        }
        let args = PyTuple::new(py, [item])?.unbind();
        self.call(py, &CallArgs { args, kwargs: None }, task)
    }

    /// Adds the arguments of a call.
    pub fn call(&mut self, py: Python<'_>, call: &CallArgs, task: impl FnOnce() -> String) -> PyResult<()> {
        let payload = match encode(py, call, "") {
            Ok(payload) => payload,
            // The name is only made where it is needed.
            Err(error) => return Err(culprit(py, call, &task()).unwrap_or(error)),
        };
        self.push(payload);
        Ok(())
    }

    fn push(&mut self, payload: Payload) {
        match &payload {
            Payload::Bytes { head, buffers }
                if self.each.is_empty()
                    && buffers.is_empty()
                    && self.data.len() + head.0.len() < u32::MAX as usize / 2 =>
            {
                self.data.extend_from_slice(&head.0);
                self.ends.push(self.data.len() as u32);
            }
            Payload::Bytes { .. } | Payload::Local(_) => {
                if !self.ends.is_empty() {
                    let packed = std::mem::take(self).finish();
                    self.each = (0..packed.len()).filter_map(|index| packed.get(index)).collect();
                }
                self.each.push(payload);
            }
        }
    }

    /// All of them.
    pub fn finish(self) -> Items {
        if self.each.is_empty() {
            Items::Packed { data: Segment(Bytes::from(self.data)), ends: self.ends }
        } else {
            Items::Each(self.each)
        }
    }
}

/// Refuses to go on with a broken template, in words.
pub fn unreadable(py: Python<'_>, task: &str, error: PyErr) -> PyErr {
    let message = format!("the arguments of task {task} cannot be unpickled on the worker: {}", error.value(py));
    let hint = "are the same packages installed there, in the same versions?";
    errors::serialization(py, &message, hint, Some(error))
}
