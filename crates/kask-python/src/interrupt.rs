//! Waiting without the GIL, with an ear for Ctrl-C, and without taking a runner's place in a worker.
//!
//! Every blocking call of the module goes through [`wait`] or [`wait_aside`]. The second one is for waits that may depend on
//! other tasks: called inside a task, it lets another task have the runner meanwhile, so nested waits never use up all
//! runners.

use crate::errors;
use kask_client::{Interrupted, WaitError};
use kask_executor::runtime::{CurrentJob, current_job};
use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static IS_MAIN: Cell<Option<bool>> = const { Cell::new(None) };
    static SECEDED: Cell<bool> = const { Cell::new(false) };
}

/// Says whether the task of this thread has left its runner by its own decision; gives back what held before.
pub fn set_seceded(seceded: bool) -> bool {
    SECEDED.replace(seceded)
}

/// Runs `work` without the GIL. A signal handler that raises ends it with that exception.
pub fn wait<T: Send>(py: Python<'_>, work: impl FnOnce(Interrupted<'_>) -> Result<T, WaitError> + Send) -> PyResult<T> {
    let mut raised = None;
    let hears_signals = is_main_thread(py)?;
    let outcome = py.detach(|| {
        work(&mut || {
            if !hears_signals {
                return false;
            }
            match Python::try_attach(|py| py.check_signals()) {
                Some(Ok(())) => false,
                Some(Err(error)) => {
                    raised = Some(error);
                    true
                }
                // The interpreter ends: nobody is left to be told.
                None => true,
            }
        })
    });
    outcome.map_err(|problem| match (problem, raised) {
        (WaitError::Interrupted, Some(raised)) => raised,
        (WaitError::Interrupted, None) => PyKeyboardInterrupt::new_err(()),
        (problem, _) => errors::from_wait(py, &problem),
    })
}

/// As [`wait`]; a task that waits does not keep its runner busy. `drive` runs what another thread has made ready for this
/// one meanwhile (the synchronous engine).
pub fn wait_aside<T: Send>(
    py: Python<'_>,
    drive: Option<&(dyn Fn() + Send + Sync)>,
    work: impl FnOnce(Interrupted<'_>) -> Result<T, WaitError> + Send,
) -> PyResult<T> {
    let aside = if SECEDED.get() { None } else { current_job() };
    wait(py, |interrupted| {
        let _aside = Aside::step(aside);
        match drive {
            None => work(interrupted),
            Some(drive) => work(&mut || {
                drive();
                interrupted()
            }),
        }
    })
}

/// A task that has left its runner for as long as this lives.
struct Aside(Option<CurrentJob>);

impl Aside {
    fn step(job: Option<CurrentJob>) -> Aside {
        if let Some(job) = &job {
            job.worker.secede(job.task, job.attempt);
        }
        Aside(job)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(job) = &self.0 {
            job.worker.rejoin(job.task, job.attempt);
        }
    }
}

/// Signal handlers run in the main thread only.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    if let Some(known) = IS_MAIN.get() {
        return Ok(known);
    }
    let threading = py.import(intern!(py, "threading"))?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    let is_main = threading.call_method0("get_ident")?.eq(main)?;
    IS_MAIN.set(Some(is_main));
    Ok(is_main)
}

/// A time limit given in seconds, where `None` is no limit.
pub fn seconds(timeout: Option<f64>) -> PyResult<Option<Duration>> {
    match timeout {
        None => Ok(None),
        Some(seconds) if seconds.is_nan() => {
            Err(PyValueError::new_err("timeout= must be a number of seconds, not nan"))
        }
        // Beyond what a clock can count there is no limit.
        Some(seconds) if seconds > 1e9 => Ok(None),
        Some(seconds) => Ok(Some(Duration::from_secs_f64(seconds.max(0.0)))),
    }
}

/// A time limit given as seconds, as a text such as `"30s"`, or as `None`.
pub fn duration(timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Duration>> {
    let Some(timeout) = timeout.filter(|timeout| !timeout.is_none()) else { return Ok(None) };
    if let Ok(number) = timeout.extract::<f64>() {
        return seconds(Some(number));
    }
    if let Ok(text) = timeout.extract::<String>() {
        let ms = kask_types::parse_duration_ms(&text).map_err(PyValueError::new_err)?;
        return Ok(Some(Duration::from_millis(ms)));
    }
    // A timedelta.
    seconds(Some(timeout.call_method0("total_seconds")?.extract()?))
}
