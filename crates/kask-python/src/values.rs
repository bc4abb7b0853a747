//! Python objects as payloads: what `Payload::Local` holds when this crate made it.
//!
//! The engine carries a [`Local`] through any of its threads without knowing Python. Objects that are let go of there are
//! [`Held`]: they are given up later, by a thread that holds the GIL and none of the engine's locks.

use crate::callbacks;
use kask_types::{Items, Local, LocalItems, Payload, TaskName};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::any::Any;
use std::sync::{Arc, OnceLock};

/// One object: a result, a scattered value, a value task.
pub struct Object(pub Py<PyAny>);

/// A result that may have to be sent.
pub struct NamedObject {
    /// The result.
    pub object: Py<PyAny>,
    /// Its task, for the error if it cannot be sent.
    pub name: TaskName,
    /// The result as bytes, for the next one who asks. Its buffers are the object's own memory.
    pub encoded: OnceLock<Payload>,
}

impl NamedObject {
    /// A result that nobody has asked for yet.
    pub fn new(object: Py<PyAny>, name: TaskName) -> NamedObject {
        NamedObject { object, name, encoded: OnceLock::new() }
    }
}

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

/// Python objects in the engine's hands.
///
/// The engine may let go of them on any thread and under any lock; their references are handed to
/// [`callbacks::bury`], because giving one up may run the user's code.
pub struct Held<T: Send + Sync + 'static>(Option<T>);

impl<T: Send + Sync + 'static> Held<T> {
    /// Takes objects into the engine's hands.
    pub fn new(objects: T) -> Held<T> {
        Held(Some(objects))
    }

    /// The objects.
    pub fn get(&self) -> &T {
        self.0.as_ref().expect("objects are taken out at the very end alone")
    }

    /// The objects, back from the engine.
    pub fn take(mut self) -> T {
        self.0.take().expect("objects are taken out at the very end alone")
    }
}

impl<T: Send + Sync + 'static> Drop for Held<T> {
    fn drop(&mut self) {
        if let Some(objects) = self.0.take() {
            callbacks::bury(Box::new(objects));
        }
    }
}

impl<T: Send + Sync + 'static> LocalItems for Held<T> {
    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

/// `object` as a payload of this process.
pub fn local(object: Py<PyAny>) -> Payload {
    holder(Object(object))
}

/// A holder's first object as a payload.
pub fn holder(items: impl Send + Sync + 'static) -> Payload {
    Payload::Local(Local { holder: Arc::new(Held::new(items)), index: 0 })
}

/// All objects of a holder, as the items of a layer.
pub fn items(items: impl Send + Sync + 'static, len: usize) -> Items {
    let len = u32::try_from(len).expect("a layer has fewer than 2^32 items");
    Items::Local { holder: Local { holder: Arc::new(Held::new(items)), index: 0 }, len }
}

/// What a local payload holds, if it is a `T`.
pub fn holding<T: Send + Sync + 'static>(payload: &Local) -> Option<&T> {
    payload.holder.as_any().downcast_ref().map(Held::get)
}
