//! `CompletionQueue`: futures in the order in which they end.
//!
//! Engine threads put ended futures into the queue without the GIL; whoever waits is woken by a condition variable, or, in
//! an event loop, by a callback through the callback thread.

use crate::callbacks;
use crate::engine::Engine;
use crate::future::Future;
use crate::interrupt;
use crate::values::Held;
use kask_client::WaitError;
use parking_lot::{Condvar, Mutex};
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a wait listens for signals.
const POLL: Duration = Duration::from_millis(40);

#[derive(Default)]
struct Ended {
    ready: VecDeque<Py<Future>>,
    /// Added and not taken out yet.
    open: usize,
    notify: Vec<Py<PyAny>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<Ended>,
    changed: Condvar,
}

impl Shared {
    fn ended(&self, future: Py<Future>) {
        let notify = {
            let mut state = self.state.lock();
            state.ready.push_back(future);
            std::mem::take(&mut state.notify)
        };
        self.changed.notify_one();
        notify.into_iter().for_each(call_soon);
    }
}

fn call_soon(callback: Py<PyAny>) {
    callbacks::push(Box::new(move |py| {
        if let Err(error) = callback.call0(py) {
            error.write_unraisable(py, Some(callback.bind(py)));
        }
    }));
}

/// Futures in the order in which they end; each added future comes out once.
#[pyclass(module = "kask._kask", frozen)]
pub struct CompletionQueue {
    shared: Arc<Shared>,
    #[pyo3(get)]
    engine: Py<Engine>,
}

#[pymethods]
impl CompletionQueue {
    #[new]
    fn new(engine: Py<Engine>) -> CompletionQueue {
        CompletionQueue { shared: Arc::default(), engine }
    }

    /// Adds futures, of any engine.
    fn add(&self, futures: &Bound<'_, PyAny>) -> PyResult<()> {
        for future in futures.try_iter()? {
            let future = future?.cast_into::<Future>()?;
            self.shared.state.lock().open += 1;
            let (core, key) = (future.get().core().clone(), future.get().id());
            let (shared, future) = (self.shared.clone(), Held::new(future.unbind()));
            core.client.watch(key, Box::new(move || shared.ended(future.take())));
        }
        Ok(())
    }

    /// How many were added and did not come out yet.
    fn count(&self) -> usize {
        self.shared.state.lock().open
    }

    fn __len__(&self) -> usize {
        self.count()
    }

    /// The next one that ends.
    #[pyo3(signature = (timeout = None))]
    fn pop(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<Future>> {
        if let Some(future) = self.take(1).pop() {
            return Ok(future);
        }
        if self.count() == 0 {
            return Err(PyStopIteration::new_err(()));
        }
        let deadline = interrupt::seconds(timeout)?.and_then(|timeout| Instant::now().checked_add(timeout));
        let core = self.engine.get().core();
        let taken = core.wait(py, |interrupted| {
            // The synchronous engine runs tasks in whoever waits.
            core.client.wait(&[], true, Some(Duration::ZERO), &mut *interrupted)?;
            let mut state = self.shared.state.lock();
            loop {
                if let Some(future) = state.ready.pop_front() {
                    state.open -= 1;
                    return Ok(Some(future));
                }
                if state.open == 0 {
                    return Ok(None);
                }
                let now = Instant::now();
                let step = match deadline {
                    Some(deadline) if deadline <= now => return Err(WaitError::TimedOut),
                    Some(deadline) => POLL.min(deadline - now),
                    None => POLL,
                };
                if self.shared.changed.wait_for(&mut state, step).timed_out()
                    && parking_lot::MutexGuard::unlocked(&mut state, &mut *interrupted)
                {
                    return Err(WaitError::Interrupted);
                }
            }
        })?;
        // Another thread took the last one.
        taken.ok_or_else(|| PyStopIteration::new_err(()))
    }

    /// Those that have ended, without waiting.
    #[pyo3(signature = (limit = None))]
    fn pop_ready(&self, limit: Option<usize>) -> Vec<Py<Future>> {
        self.take(limit.unwrap_or(usize::MAX))
    }

    /// Calls `callback` once, from some thread, when something is ready; soon if it is.
    fn notify(&self, callback: Py<PyAny>) {
        let mut state = self.shared.state.lock();
        if state.ready.is_empty() {
            state.notify.push(callback);
        } else {
            drop(state);
            call_soon(callback);
        }
    }
}

impl CompletionQueue {
    fn take(&self, limit: usize) -> Vec<Py<Future>> {
        let mut state = self.shared.state.lock();
        let n = limit.min(state.ready.len());
        state.open -= n;
        state.ready.drain(..n).collect()
    }
}
