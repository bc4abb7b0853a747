//! What a task may ask about itself: its key, its worker, an engine connected to its scheduler; leaving its runner.

use crate::engine::Engine;
use crate::engine_core::EngineCore;
use crate::home::Home;
use crate::{errors, helpers, interrupt};
use kask_executor::runtime::{CurrentJob, current_job};
use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::cell::RefCell;
use std::sync::Arc;

thread_local! {
    static HOME: RefCell<Option<Arc<Home>>> = const { RefCell::new(None) };
}

/// Says whose tasks the calling thread runs; gives back what held before.
pub fn set_home(home: Option<Arc<Home>>) -> Option<Arc<Home>> {
    HOME.replace(home)
}

/// The task that a coroutine belongs to, kept in its context.
#[pyclass(module = "kask._kask", frozen)]
pub struct CoroutineTask {
    job: CurrentJob,
    home: Arc<Home>,
}

impl CoroutineTask {
    /// For the job and the worker of the calling thread.
    pub fn of_this_thread(home: Arc<Home>) -> Option<CoroutineTask> {
        current_job().map(|job| CoroutineTask { job, home })
    }
}

fn coroutine_task(py: Python<'_>) -> PyResult<Option<Bound<'_, CoroutineTask>>> {
    let task = helpers::get(py, intern!(py, "current_task"))?.call_method0(intern!(py, "get"))?;
    Ok(task.cast_into::<CoroutineTask>().ok())
}

fn job(py: Python<'_>) -> PyResult<Option<CurrentJob>> {
    match current_job() {
        Some(job) => Ok(Some(job)),
        None => Ok(coroutine_task(py)?.map(|task| task.get().job.clone())),
    }
}

/// The task that this thread or coroutine runs, or None.
#[pyfunction]
pub fn current_task(py: Python<'_>) -> PyResult<Option<Bound<'_, PyDict>>> {
    let Some(job) = job(py)? else { return Ok(None) };
    let task = PyDict::new(py);
    task.set_item("key", job.name.to_string())?;
    task.set_item("worker", &*job.worker.name())?;
    task.set_item("address", &*job.worker.address())?;
    task.set_item("local_directory", &*job.worker.local_directory())?;
    Ok(Some(task))
}

/// The engine of the task that this thread or coroutine runs.
pub fn task_core(py: Python<'_>) -> PyResult<Option<Arc<EngineCore>>> {
    let home = match HOME.with_borrow(Clone::clone) {
        Some(home) => Some(home),
        None => coroutine_task(py)?.map(|task| task.get().home.clone()).or_else(Home::of_process),
    };
    match home {
        Some(home) => home.engine(py),
        None => Ok(None),
    }
}

/// Inside a worker: an engine connected to the worker's scheduler.
#[pyfunction]
pub fn task_engine(py: Python<'_>) -> PyResult<Option<Bound<'_, Engine>>> {
    task_core(py)?.map(|core| Engine::wrap(py, &core)).transpose()
}

static DEFAULT_ENGINE: Mutex<Option<Py<PyAny>>> = Mutex::new(None);

/// Sets what gives the default engine of a client process, for futures that come out of a pickle.
#[pyfunction]
pub fn set_default_engine_hook(hook: Py<PyAny>) {
    *DEFAULT_ENGINE.lock() = Some(hook);
}

/// The engine for futures that name none: the task's own, what the hook gives, or that of the process's default client.
pub fn default_core(py: Python<'_>) -> PyResult<Arc<EngineCore>> {
    if let Some(core) = task_core(py)? {
        return Ok(core);
    }
    let hook = DEFAULT_ENGINE.lock().as_ref().map(|hook| hook.clone_ref(py));
    if let Some(hook) = hook {
        let engine = hook.bind(py).call0()?;
        if let Ok(engine) = engine.cast::<Engine>() {
            return Ok(engine.get().core().clone());
        }
    }
    let client = py.import(intern!(py, "kask.engine.current"))?.call_method0(intern!(py, "current_client"))?;
    if !client.is_none() {
        let engine = client.call_method0(intern!(py, "__kask_engine__"))?;
        return Ok(engine.cast::<Engine>()?.get().core().clone());
    }
    let message = "there is no client that the future could belong to";
    Err(errors::new(py, "ClientClosedError", message, Some("make a Client first")))
}

/// The task leaves its runner: another task may have it.
#[pyfunction]
pub fn secede(py: Python<'_>) -> PyResult<()> {
    let job = thread_job(py, "secede")?;
    if !interrupt::set_seceded(true) {
        py.detach(|| job.worker.secede(job.task, job.attempt));
    }
    Ok(())
}

/// The task counts again, once there is room.
#[pyfunction]
pub fn rejoin(py: Python<'_>) -> PyResult<()> {
    let job = thread_job(py, "rejoin")?;
    if interrupt::set_seceded(false) {
        py.detach(|| job.worker.rejoin(job.task, job.attempt));
    }
    Ok(())
}

fn thread_job(py: Python<'_>, what: &str) -> PyResult<CurrentJob> {
    current_job().ok_or_else(|| {
        let message = format!("{what}() can only be called by a task, in the thread that runs it");
        errors::new(py, "ClusterError", &message, None)
    })
}
