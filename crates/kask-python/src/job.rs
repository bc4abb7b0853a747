//! One call: its arguments, with results in their holes, and the function.

use crate::values::{self, Function};
use crate::{calls, numpy_memory, pickle, scan};
use kask_executor::runtime::{Job, Value};
use kask_graph::{Slot, Slots};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

/// Calls a function with a job's arguments.
pub fn call<'py>(py: Python<'py>, function: &Function, job: &Job) -> PyResult<Bound<'py, PyAny>> {
    let func = function.func.bind(py);
    let shared = function.kwargs.as_ref().map(|kwargs| kwargs.bind(py));
    let unreadable = |error| calls::unreadable(py, &job.name.to_string(), error);
    let mut arguments = calls::load(py, &job.args).map_err(unreadable)?;
    // A hole that is filled with a list is filled with an empty one, too.
    let has_lists = !matches!(job.slots, Slots::Each);
    if has_lists || !job.inputs.is_empty() || job.item.is_some() || job.position.is_some() {
        let holes = holes(py, job).map_err(unreadable)?;
        arguments = fill(arguments, &holes)?;
    }
    // Reading the function and its arguments may have imported NumPy.
    numpy_memory::prepare(py);
    match (arguments, shared) {
        (calls::Arguments::Single(argument), None) => func.call1((argument,)),
        (calls::Arguments::Single(argument), Some(shared)) => func.call((argument,), Some(shared)),
        (calls::Arguments::Many(args, None), None) => func.call1(args),
        (calls::Arguments::Many(args, Some(kwargs)), None) => func.call(args, Some(&kwargs)),
        (calls::Arguments::Many(args, None), Some(shared)) => func.call(args, Some(shared)),
        (calls::Arguments::Many(args, Some(kwargs)), Some(shared)) => {
            let all = shared.copy()?;
            all.update(kwargs.as_mapping())?;
            func.call(args, Some(&all))
        }
    }
}

fn fill<'py>(arguments: calls::Arguments<'py>, holes: &[Bound<'py, PyAny>]) -> PyResult<calls::Arguments<'py>> {
    let mut filling = scan::Filling(holes);
    Ok(match arguments {
        calls::Arguments::Single(argument) => {
            let filled = scan::rewrite(&argument, &mut filling)?;
            calls::Arguments::Single(filled.unwrap_or(argument))
        }
        calls::Arguments::Many(args, kwargs) => {
            let args = match scan::rewrite(args.as_any(), &mut filling)? {
                Some(filled) => filled.cast_into::<PyTuple>()?,
                None => args,
            };
            let kwargs = match kwargs {
                None => None,
                Some(kwargs) => Some(match scan::rewrite(kwargs.as_any(), &mut filling)? {
                    Some(filled) => filled.cast_into::<PyDict>()?,
                    None => kwargs,
                }),
            };
            calls::Arguments::Many(args, kwargs)
        }
    })
}

/// What goes into each hole: inputs, then the block's item, then its position.
fn holes<'py>(py: Python<'py>, job: &Job) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let mut inputs = job.inputs.iter().map(|input| object_of(py, input));
    let mut holes = Vec::with_capacity(job.inputs.len() + 2);
    match &job.slots {
        Slots::Each => {
            for input in inputs {
                holes.push(input?);
            }
        }
        Slots::OneList => holes.push(PyList::new(py, inputs.collect::<PyResult<Vec<_>>>()?)?.into_any()),
        Slots::Mixed(slots) => {
            for slot in slots.iter() {
                match slot {
                    Slot::One => holes.extend(inputs.next().transpose()?),
                    Slot::List(len) => {
                        let some = inputs.by_ref().take(*len as usize).collect::<PyResult<Vec<_>>>()?;
                        holes.push(PyList::new(py, some)?.into_any());
                    }
                }
            }
        }
    }
    if let Some(item) = &job.item {
        holes.push(pickle::loads(py, item)?);
    }
    if let Some(position) = &job.position {
        holes.push(PyTuple::new(py, position.iter())?.into_any());
    }
    Ok(holes)
}

/// An input as an object, decoded at its first use in this worker.
fn object_of<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Object { object, .. } => pickle::loads(py, object),
        Value::Encoded { payload, object, writable } => {
            if let Some(object) = object.get() {
                return pickle::loads(py, object);
            }
            let decoded = if *writable { pickle::loads_writable(py, payload)? } else { pickle::loads(py, payload)? };
            // Two tasks may decode at once; the later one uses what the earlier one kept.
            let kept = object.get_or_init(|| values::local(decoded.unbind()));
            pickle::loads(py, kept)
        }
        Value::Parts(parts) => pickle::loads(py, &Value::joined(parts)),
    }
}
