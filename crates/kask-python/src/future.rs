//! `Future`: a counted reference to a task's result.
//!
//! Each object holds one reference at its client and gives it back once: at [`Future::release`] or when it is dropped,
//! on any thread, without waiting. A future that is pickled names its key and its scheduler; where it is unpickled it
//! belongs to the task's own engine, or to the default one of a client process.

use crate::current;
use crate::engine::Engine;
use crate::engine_core::{EngineCore, KnownFailure, value};
use crate::errors::Raisable;
use crate::values::Held;
use crate::{callbacks, helpers, interrupt};
use kask_client::Status;
use kask_types::{Failure, Incarnation, Key, TaskName};
use parking_lot::Mutex;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyType};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A result that is being computed.
#[pyclass(module = "kask.distributed", frozen, subclass, weakref)]
pub struct Future {
    core: Arc<EngineCore>,
    key: Key,
    name: TaskName,
    held: AtomicBool,
    failure: Mutex<Option<KnownFailure>>,
}

impl Drop for Future {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Future {
    /// A future of a key that the client has retained for it.
    pub fn held(core: Arc<EngineCore>, key: Key, name: TaskName) -> Future {
        Future { core, key, name, held: AtomicBool::new(true), failure: Mutex::new(None) }
    }

    /// A further future of a key that the scheduler may know.
    pub fn wanted(core: Arc<EngineCore>, key: Key, name: TaskName) -> Future {
        core.client.want(&[key]);
        Future::held(core, key, name)
    }

    /// Its key.
    pub fn id(&self) -> Key {
        self.key
    }

    /// How its key is printed.
    pub fn name(&self) -> &TaskName {
        &self.name
    }

    /// Its engine.
    pub fn core(&self) -> &Arc<EngineCore> {
        &self.core
    }

    /// How it stands.
    pub fn standing(&self) -> Status {
        self.core.client.status(self.key)
    }

    fn give_back(&self) {
        if self.held.swap(false, Ordering::AcqRel) {
            self.core.client.release(&[self.key]);
        }
    }

    /// What its failure raises, the same object each time.
    pub fn raisable(&self, py: Python<'_>, failure: &Failure) -> Raisable {
        if let Some(known) = &*self.failure.lock()
            && known.is(failure)
        {
            return known.raisable().clone_ref(py);
        }
        // Not under the lock: decoding runs Python code.
        let known = KnownFailure::new(py, failure);
        let raisable = known.raisable().clone_ref(py);
        *self.failure.lock() = Some(known);
        raisable
    }

    fn wait_for_end(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<()> {
        if self.standing().is_done() {
            return Ok(());
        }
        let keys = [self.key];
        self.core.wait(py, |interrupted| self.core.client.wait(&keys, true, timeout, interrupted))
    }

    /// How it failed, after its end.
    fn ended_failure(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<Option<Raisable>> {
        self.wait_for_end(py, timeout)?;
        match self.standing() {
            Status::Failed(failure) => Ok(Some(self.raisable(py, &failure))),
            Status::Unknown => {
                let failure = Failure::Cancelled { reason: format!("the future of {} was released", self.name).into() };
                Ok(Some(self.raisable(py, &failure)))
            }
            Status::Pending | Status::InMemory { .. } => Ok(None),
        }
    }

    fn result_now<'py>(&self, py: Python<'py>, timeout: Option<Duration>) -> PyResult<Bound<'py, PyAny>> {
        match self.core.fetch(py, self.key, timeout)? {
            Ok(payload) => value(py, &payload, &self.name),
            Err(failure) => Err(self.raisable(py, &failure).error(py)),
        }
    }
}

/// Which of a future's outcomes is asked for.
#[derive(Clone, Copy)]
enum Outcome {
    Result,
    Exception,
    Traceback,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Outcome::Result => "result",
            Outcome::Exception => "exception",
            Outcome::Traceback => "traceback",
        }
    }

    fn now<'py>(self, future: &Bound<'py, Future>, timeout: Option<Duration>) -> PyResult<Bound<'py, PyAny>> {
        let py = future.py();
        let future = future.get();
        match self {
            Outcome::Result => future.result_now(py, timeout),
            Outcome::Exception => Ok(match future.ended_failure(py, timeout)? {
                Some(failure) => failure.exception(py),
                None => py.None().into_bound(py),
            }),
            Outcome::Traceback => Ok(match future.ended_failure(py, timeout)? {
                Some(failure) => failure.traceback(py),
                None => py.None().into_bound(py),
            }),
        }
    }

    fn get<'py>(self, future: &Bound<'py, Future>, timeout: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        if future.get().core.is_asynchronous(future.py()) {
            return self.awaitable(future, timeout);
        }
        self.now(future, interrupt::duration(timeout)?)
    }

    fn awaitable<'py>(
        self,
        future: &Bound<'py, Future>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = future.py();
        let seconds = interrupt::duration(timeout)?.map(|timeout| timeout.as_secs_f64());
        let fetches = !future.get().core.local && matches!(self, Outcome::Result);
        helpers::get(py, intern!(py, "awaited"))?.call1((future, self.name(), seconds, fetches))
    }
}

/// Name, key, scheduler's address and engine of a future, as they travel in a pickle.
type Pickled = (String, String, String, String);

#[pymethods]
impl Future {
    #[new]
    #[pyo3(signature = (key, client = None))]
    fn new(py: Python<'_>, key: &str, client: Option<&Bound<'_, PyAny>>) -> PyResult<Future> {
        let core = match client.filter(|client| !client.is_none()) {
            Some(client) => core_of(client)?,
            None => current::default_core(py)?,
        };
        core.check_open(py)?;
        let (key, name) = crate::names::task_name(key, &crate::names::family_of(key).into());
        Ok(Future::wanted(core, key, name))
    }

    /// The printed key.
    #[getter]
    fn key(&self) -> String {
        self.name.to_string()
    }

    /// The `kask.distributed.Client`, or None.
    #[getter]
    fn client(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.core.owner(py)
    }

    #[getter]
    fn engine<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Engine>> {
        Engine::wrap(py, &self.core)
    }

    /// "pending", "finished", "error", "cancelled" or "lost".
    #[getter]
    fn status(&self) -> &'static str {
        match self.standing() {
            Status::Pending => "pending",
            Status::InMemory { .. } => "finished",
            Status::Unknown => "cancelled",
            Status::Failed(failure) => match &*failure {
                Failure::Cancelled { .. } => "cancelled",
                Failure::Lost { .. } => "lost",
                Failure::Raised(_)
                | Failure::KilledWorker { .. }
                | Failure::OutOfMemory { .. }
                | Failure::Unrunnable { .. } => "error",
            },
        }
    }

    /// The result's type, where it can be told without moving the result.
    #[getter(r#type)]
    fn kind<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyType>>> {
        if !self.core.local || !matches!(self.standing(), Status::InMemory { .. }) {
            return Ok(None);
        }
        Ok(Some(self.result_now(py, Some(Duration::from_secs(1)))?.get_type()))
    }

    /// The result, waiting for it; raises what the task raised.
    #[pyo3(signature = (timeout = None))]
    fn result<'py>(slf: &Bound<'py, Self>, timeout: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        Outcome::Result.get(slf, timeout)
    }

    /// What the task raised, or None.
    #[pyo3(signature = (timeout = None))]
    fn exception<'py>(slf: &Bound<'py, Self>, timeout: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        Outcome::Exception.get(slf, timeout)
    }

    /// The traceback of what the task raised, or None.
    #[pyo3(signature = (timeout = None))]
    fn traceback<'py>(slf: &Bound<'py, Self>, timeout: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        Outcome::Traceback.get(slf, timeout)
    }

    /// One of the three, blocking whatever the client is; for `helpers.py`.
    fn _now<'py>(slf: &Bound<'py, Self>, outcome: &str) -> PyResult<Bound<'py, PyAny>> {
        match outcome {
            "result" => Outcome::Result.now(slf, None),
            "exception" => Outcome::Exception.now(slf, None),
            "traceback" => Outcome::Traceback.now(slf, None),
            other => Err(PyValueError::new_err(format!("a future has no {other}"))),
        }
    }

    fn done(&self) -> bool {
        self.standing().is_done()
    }

    fn cancelled(&self) -> bool {
        match self.standing() {
            Status::Failed(failure) => matches!(&*failure, Failure::Cancelled { .. }),
            Status::Unknown => true,
            Status::Pending | Status::InMemory { .. } => false,
        }
    }

    /// Calls `fn(future)` once when the future has ended, in a thread of the engine.
    fn add_done_callback(slf: &Bound<'_, Self>, r#fn: Bound<'_, PyAny>) -> PyResult<()> {
        if !r#fn.is_callable() {
            return Err(PyTypeError::new_err("add_done_callback() needs something callable"));
        }
        let held = Held::new((slf.clone().unbind(), r#fn.unbind()));
        let later = Box::new(move || {
            callbacks::push(Box::new(move |py| {
                let (future, call) = held.take();
                if let Err(error) = call.call1(py, (&future,)) {
                    error.write_unraisable(py, Some(call.bind(py)));
                }
            }));
        });
        slf.get().core.client.watch(slf.get().key, later);
        Ok(())
    }

    /// Nobody needs this any more.
    #[pyo3(signature = (reason = None, msg = None, force = false))]
    fn cancel<'py>(
        slf: &Bound<'py, Self>,
        reason: Option<&str>,
        msg: Option<&str>,
        force: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, options) = (slf.py(), PyDict::new(slf.py()));
        options.set_item("force", force)?;
        if let Some(owner) = slf.get().core.owner(py) {
            options.set_item("reason", reason)?;
            options.set_item("msg", msg)?;
            return owner.bind(py).call_method("cancel", (PyList::new(py, [slf])?,), Some(&options));
        }
        let words: Vec<&str> = [reason, msg].into_iter().flatten().collect();
        let reason = if words.is_empty() { "cancelled by the client".to_owned() } else { words.join(" ") };
        slf.get().core.cancel(py, vec![slf.get().key], force, &reason)?;
        Ok(py.None().into_bound(py))
    }

    /// Runs a failed task again.
    fn retry<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Some(owner) = slf.get().core.owner(py) {
            return owner.bind(py).call_method1("retry", (PyList::new(py, [slf])?,));
        }
        slf.get().core.retry(py, vec![slf.get().key])?;
        Ok(py.None().into_bound(py))
    }

    /// The result may be thrown away as far as this future is concerned.
    fn release(&self) {
        self.give_back();
    }

    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Outcome::Result.awaitable(slf, None)?.call_method0("__await__")
    }

    fn __repr__(&self) -> String {
        format!("<Future: {}, key: {}>", self.status(), self.name)
    }

    #[classmethod]
    fn __class_getitem__(cls: &Bound<'_, PyType>, _item: &Bound<'_, PyAny>) -> Py<PyType> {
        cls.clone().unbind()
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<(Py<PyAny>, Pickled)> {
        let (py, future) = (slf.py(), slf.get());
        static RESTORE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let restore = RESTORE.import(py, "kask._kask", "_restore_future")?.clone().unbind();
        let engine = future.core.client.incarnation().to_string();
        Ok((restore, (future.name.to_string(), future.key.to_string(), future.core.address.clone(), engine)))
    }
}

/// The engine of a `kask.distributed.Client`, or of an `Engine` itself.
fn core_of(client: &Bound<'_, PyAny>) -> PyResult<Arc<EngineCore>> {
    if let Ok(engine) = client.cast::<Engine>() {
        return Ok(engine.get().core().clone());
    }
    let engine = client.call_method0(intern!(client.py(), "__kask_engine__"))?;
    Ok(engine.cast::<Engine>()?.get().core().clone())
}

/// Makes a future out of a pickle.
#[pyfunction(name = "_restore_future")]
pub fn restore_future(py: Python<'_>, name: &str, key: &str, address: &str, engine: &str) -> PyResult<Future> {
    let number = |digits: &str| {
        u128::from_str_radix(digits, 16).map_err(|_| PyValueError::new_err(format!("{digits:?} is not 32 hex digits")))
    };
    let (key, engine) = (Key(number(key)?), Incarnation(number(engine)?));
    let core = match EngineCore::find(engine).filter(|core| !core.is_closed()) {
        Some(core) => core,
        None => current::default_core(py).inspect_err(|error| {
            let note = format!("while unpickling the future {name} of the scheduler at {address}");
            // Without the note it is still the right error.
            let _ = error.add_note(py, note);
        })?,
    };
    let family: Arc<str> = crate::names::family_of(name).into();
    let (_, name) = crate::names::task_name(name, &family);
    Ok(Future::wanted(core, key, name))
}
