//! Python objects as payloads: what `Payload::Local` holds when this crate made it.
//!
//! The engine carries a [`Local`] through any of its threads without knowing Python. A holder that is dropped there
//! leaves its references to the interpreter's next attachment, so no engine thread ever waits for the GIL; the callback
//! thread is told, so that large values do not linger until somebody happens to call Python.

use crate::callbacks;
use kask_types::{Items, Local, LocalItems, Payload};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::any::Any;
use std::sync::Arc;

/// One object: a result, a scattered value, a value task.
pub struct Object(pub Py<PyAny>);

/// The arguments of a map: item `i` is the only argument of call `i`.
pub struct Singles(pub Vec<Py<PyAny>>);

/// Positional and keyword arguments of calls.
pub struct Calls(pub Vec<CallArgs>);

/// The arguments of one call, with [`crate::scan::Hole`]s where inputs go.
pub struct CallArgs {
    /// Positional.
    pub args: Py<PyTuple>,
    /// By keyword; none is the common case.
    pub kwargs: Option<Py<PyDict>>,
}

/// A function and the keyword arguments that all its calls share.
pub struct Function {
    /// What is called.
    pub func: Py<PyAny>,
    /// Shared keyword arguments.
    pub kwargs: Option<Py<PyDict>>,
}

/// An exception, and its traceback as it was when it left the task: raising it again must not make it longer.
pub struct RaisedObject {
    /// The exception.
    pub exception: Py<PyAny>,
    /// `exception.__traceback__` at that time, or `None`.
    pub traceback: Py<PyAny>,
}

macro_rules! local_items {
    ($($holder:ty),*) => {$(
        impl LocalItems for $holder {
            fn as_any(&self) -> &(dyn Any + Send + Sync) {
                self
            }
        }

        impl Drop for $holder {
            fn drop(&mut self) {
                callbacks::objects_dropped();
            }
        }
    )*};
}

local_items!(Object, Singles, Calls, Function, RaisedObject);

/// `object` as a payload of this process.
pub fn local(object: Py<PyAny>) -> Payload {
    holder(Object(object))
}

/// A holder's first object as a payload.
pub fn holder(items: impl LocalItems) -> Payload {
    Payload::Local(Local { holder: Arc::new(items), index: 0 })
}

/// All objects of a holder, as the items of a layer.
pub fn items(items: impl LocalItems, len: usize) -> Items {
    let len = u32::try_from(len).expect("a layer has fewer than 2^32 items");
    Items::Local { holder: Local { holder: Arc::new(items), index: 0 }, len }
}

/// What a local payload holds, if it is a `T`.
pub fn holding<T: 'static>(payload: &Local) -> Option<&T> {
    payload.holder.as_any().downcast_ref()
}
