//! Tasks that are coroutines: all of a process run on one event loop, in a thread of its own.
//!
//! A runner that gets an awaitable starts it there and goes on; the loop ends the job when the coroutine ends.

use crate::buffers;
use crate::current::CoroutineTask;
use crate::future::Future;
use crate::helpers;
use crate::home::Home;
use kask_executor::runtime::{Completion, Deferred};
use kask_types::Failure;
use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use std::sync::Arc;

/// Makes the end of a job out of the end of its coroutine.
pub type Ender = Box<dyn Fn(Python<'_>, PyResult<Bound<'_, PyAny>>) -> Completion + Send + Sync>;

/// Whether a result is to be awaited. A future that a task returns is its result.
pub fn is_awaitable(object: &Bound<'_, PyAny>) -> bool {
    buffers::is_awaitable_type(object) && !object.is_instance_of::<Future>()
}

/// Starts an awaitable; `deferred` hears of its end.
pub fn start(
    py: Python<'_>,
    awaitable: &Bound<'_, PyAny>,
    ender: Ender,
    home: Arc<Home>,
    deferred: Box<dyn Deferred>,
) -> PyResult<()> {
    let job = CoroutineTask::of_this_thread(home).map(|task| Bound::new(py, task)).transpose()?;
    let end = CoroutineEnd { ender, deferred: Mutex::new(Some(deferred)) };
    let end = Bound::new(py, end)?;
    let started = helpers::get(py, intern!(py, "start_coroutine"))?.call1((awaitable, job, &end));
    if started.is_err() {
        // The job ends with the error instead.
        end.get().deferred.lock().take();
    }
    started.map(drop)
}

/// Called by the event loop with the ended `asyncio.Task`.
#[pyclass(module = "kask._kask", frozen)]
struct CoroutineEnd {
    ender: Ender,
    deferred: Mutex<Option<Box<dyn Deferred>>>,
}

#[pymethods]
impl CoroutineEnd {
    fn __call__(&self, task: &Bound<'_, PyAny>) {
        let py = task.py();
        let deferred = self.deferred.lock().take();
        if let Some(deferred) = deferred {
            let completion = (self.ender)(py, task.call_method0(intern!(py, "result")));
            py.detach(|| deferred.finish(completion));
        }
    }
}

impl Drop for CoroutineEnd {
    fn drop(&mut self) {
        // The loop went away without ending the coroutine.
        if let Some(deferred) = self.deferred.get_mut().take() {
            let reason = "the event loop of the worker was closed".into();
            deferred.finish(Completion::Failed(Failure::Cancelled { reason }));
        }
    }
}
