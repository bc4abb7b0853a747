//! Python as the language of a worker: how jobs are run, values are encoded, threads are started.
//!
//! A runner attaches once and runs jobs until there are none, so small tasks share one hand-over of the GIL; between jobs it
//! lets others in after `PATIENCE`, because calls of C functions never do. Everything a task can raise, `SystemExit`
//! included, ends the task and nothing else.

use crate::compact::compact;
use crate::errors::{self, Origin};
use crate::home::Home;
use crate::job::call;
use crate::parts::Parts;
use crate::pickle::{self, Subject};
use crate::values::{self, Function, Held, NamedObject};
use crate::{callbacks, connect, coroutine, current, fast, functions, helpers, interrupt, numpy_memory, sizes};
use kask_executor::runtime::{Blob, Completion, Job, Jobs, Runtime, Value, current_job};
use kask_types::{Failure, Payload, RaisedError, TaskId, TaskName};
use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::OnceLockExt;
use pyo3::types::{PyDict, PyTuple};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a runner keeps the GIL over calls that never let go of it.
const PATIENCE: Duration = Duration::from_millis(5);
/// A pickle of this size (without its buffers) is kept with the object for the next one who asks for it.
const KEPT_HEAD_BYTES: usize = 64 << 10;
/// How many jobs run between looks at the clock.
const LOOK_AT_CLOCK: u32 = 32;

/// Python as the language of a worker.
pub struct PythonRuntime {
    /// Whether scheduler, clients and worker share this process, so that objects may stay objects.
    local: bool,
    home: Arc<Home>,
}

impl PythonRuntime {
    /// For the workers of one engine or process.
    pub fn new(local: bool, home: Arc<Home>) -> Arc<PythonRuntime> {
        Arc::new(PythonRuntime { local, home })
    }

    fn run_attached(&self, py: Python<'_>, jobs: &mut dyn Jobs) {
        let outer = current::set_home(Some(self.home.clone()));
        let outer_seceded = interrupt::set_seceded(false);
        if !self.local {
            numpy_memory::serve_thread();
        }
        let (mut since, mut count) = (Instant::now(), 0);
        while let Some(job) = jobs.next() {
            // It may have been admitted to the room of what was let go of just now.
            callbacks::clean(py);
            let completion = self.run(py, job, jobs);
            if interrupt::set_seceded(false)
                && let Some(job) = current_job()
            {
                py.detach(|| job.worker.rejoin(job.task, job.attempt));
            }
            jobs.done(completion);
            count += 1;
            if count % LOOK_AT_CLOCK == 0 && since.elapsed() > PATIENCE {
                py.detach(|| ());
                since = Instant::now();
            }
        }
        callbacks::clean(py);
        interrupt::set_seceded(outer_seceded);
        current::set_home(outer);
    }

    fn run(&self, py: Python<'_>, job: Job, jobs: &mut dyn Jobs) -> Completion {
        let name = job.name.clone();
        let ended = catch_unwind(AssertUnwindSafe(|| self.execute(py, job, jobs)));
        match ended {
            Ok(Ok(completion)) => completion,
            Ok(Err(Ending::Failure(failure))) => Completion::Failed(failure),
            Ok(Err(Ending::Raised(error))) => self.raised(py, error, &name.to_string()),
            Err(_) => {
                let message = "a Rust extension module panicked; its message is in the worker's output";
                Completion::Failed(plain_failure(&name.to_string(), "PanicException", message))
            }
        }
    }

    /// How an exception ends a job.
    fn raised(&self, py: Python<'_>, error: PyErr, task: &str) -> Completion {
        if is_reschedule(py, &error) {
            return Completion::Reschedule;
        }
        let worker = current_job().map(|job| job.worker.name().to_string()).unwrap_or_default();
        Completion::Failed(errors::raised(py, error, &Origin { task, worker: &worker, local: self.local }))
    }

    fn execute(&self, py: Python<'_>, job: Job, jobs: &mut dyn Jobs) -> Result<Completion, Ending> {
        let Some(blob) = &job.function else { return Ok(self.value_task(py, job.args)) };
        let result = match &blob.payload {
            Payload::Local(local) if values::holding::<Function>(local).is_some() => {
                let function = values::holding::<Function>(local).expect("it was seen to be a function");
                call(py, function, &job)?
            }
            Payload::Local(_) | Payload::Bytes { .. } => call(py, self.function(py, blob, &job)?, &job)?,
        };
        if coroutine::is_awaitable(&result) {
            let deferred = jobs.defer();
            let ender = self.ender(job.name.clone(), !job.inputs.is_empty());
            coroutine::start(py, &result, ender, self.home.clone(), deferred)?;
            return Ok(Completion::Deferred);
        }
        let has_inputs = !job.inputs.is_empty();
        Ok(self.completion(result, &job.name, has_inputs))
    }

    /// The function of a blob, unpickled at its first use in this worker.
    fn function<'a>(&self, py: Python<'_>, blob: &'a Blob, job: &Job) -> Result<&'a Function, Ending> {
        let loaded = blob.loaded.get_or_init_py_attached(py, || match functions::load(py, &blob.payload) {
            Ok(function) => Ok(Box::new(Held::new(function)) as Box<dyn std::any::Any + Send + Sync>),
            Err(error) => {
                let task = job.name.to_string();
                let worker = current_job().map(|job| job.worker.name().to_string()).unwrap_or_default();
                let message =
                    format!("the function of task {task} cannot be unpickled on worker {worker}: {}", error.value(py));
                let hint = "are the modules it needs installed there?";
                let error = errors::serialization(py, &message, hint, Some(error));
                let origin = Origin { task: &task, worker: &worker, local: self.local };
                Err(errors::raised(py, error, &origin))
            }
        });
        match loaded {
            Ok(function) => {
                let held: &Held<Function> = function.downcast_ref().expect("blobs are loaded by this function alone");
                Ok(held.get())
            }
            Err(failure) => Err(Ending::Failure(failure.clone())),
        }
    }

    /// A task without a function: its argument is its result.
    fn value_task(&self, py: Python<'_>, args: Payload) -> Completion {
        match args {
            Payload::Local(_) => {
                let nbytes = pickle::loads(py, &args).map_or(0, |object| sizes::nbytes(&object));
                Completion::Value { value: Value::Object { object: args, encoded: None }, nbytes }
            }
            Payload::Bytes { .. } => {
                let nbytes = args.nbytes();
                Completion::Value {
                    value: Value::Encoded { payload: args, object: Arc::default(), writable: false },
                    nbytes,
                }
            }
        }
    }

    /// A result as the worker keeps it. Small plain ones are encoded at once, which is cheaper than doing it later.
    fn completion(&self, result: Bound<'_, PyAny>, name: &TaskName, has_inputs: bool) -> Completion {
        if let Ok(parts) = result.cast_exact::<Parts>() {
            let (nbytes, parts) = (parts.get().nbytes(), parts.get().shared());
            return Completion::Value { value: Value::Parts(parts), nbytes };
        }
        let result = if has_inputs { compact(result) } else { result };
        let nbytes = if has_inputs { sizes::nbytes_without_inputs(&result) } else { sizes::nbytes(&result) };
        let mut small = Vec::new();
        let encoded = (!self.local && fast::encode(&result, &mut small)).then(|| Payload::from_bytes(small));
        let object = if self.local || encoded.is_some() {
            values::local(result.unbind())
        } else {
            values::holder(NamedObject::new(result.unbind(), name.clone()))
        };
        Completion::Value { value: Value::Object { object, encoded }, nbytes }
    }

    /// Turns the end of a coroutine into the end of its job.
    fn ender(&self, name: TaskName, has_inputs: bool) -> coroutine::Ender {
        let runtime = PythonRuntime { local: self.local, home: self.home.clone() };
        Box::new(move |py, ended| match ended {
            Ok(result) => runtime.completion(result, &name, has_inputs),
            Err(error) => runtime.raised(py, error, &name.to_string()),
        })
    }
}

/// Why a job has no result.
enum Ending {
    Failure(Failure),
    Raised(PyErr),
}

impl From<PyErr> for Ending {
    fn from(error: PyErr) -> Ending {
        Ending::Raised(error)
    }
}

fn is_reschedule(py: Python<'_>, error: &PyErr) -> bool {
    let class = py.import(intern!(py, "kask.exceptions")).and_then(|module| module.getattr("Reschedule"));
    class.is_ok_and(|class| error.is_instance(py, &class))
}

fn plain_failure(task: &str, type_name: &str, message: &str) -> Failure {
    Failure::Raised(Arc::new(RaisedError {
        task: task.into(),
        type_name: type_name.to_owned(),
        message: message.to_owned(),
        traceback: String::new(),
        worker: String::new(),
        exception: None,
    }))
}

/// A result as bytes.
fn encode(py: Python<'_>, payload: &Payload) -> Result<Payload, Failure> {
    let named = match payload {
        Payload::Local(local) => values::holding::<NamedObject>(local),
        Payload::Bytes { .. } => None,
    };
    if let Some(encoded) = named.and_then(|named| named.encoded.get()) {
        return Ok(encoded.clone());
    }
    let task = named.map(|named| named.name.to_string());
    let what = task.as_ref().map_or_else(|| "a value".to_owned(), |task| format!("the result of task {task}"));
    let subject = Subject { what: &what, path: "result" };
    let encoded = pickle::loads(py, payload).and_then(|object| pickle::dumps(&object, &subject));
    let origin = Origin { task: task.as_deref().unwrap_or_default(), worker: "", local: false };
    let encoded = encoded.map_err(|error| errors::raised(py, error, &origin))?;
    if let (Some(named), Payload::Bytes { head, .. }) = (named, &encoded)
        && head.0.len() <= KEPT_HEAD_BYTES
    {
        return Ok(named.encoded.get_or_init(|| encoded).clone());
    }
    Ok(encoded)
}

impl Runtime for PythonRuntime {
    fn run_jobs(&self, jobs: &mut dyn Jobs) {
        if Python::try_attach(|py| self.run_attached(py, jobs)).is_none() {
            while jobs.next().is_some() {
                let reason = "the Python interpreter of the worker is ending".into();
                jobs.done(Completion::Failed(Failure::Cancelled { reason }));
            }
        }
    }

    fn reclaim(&self) {
        callbacks::hurry();
    }

    fn encode(&self, values: Vec<(TaskId, Payload)>) -> Vec<Result<Payload, Failure>> {
        let count = values.len();
        let encoded = Python::try_attach(|py| values.iter().map(|(_, payload)| encode(py, payload)).collect());
        let ending = || Err(Failure::Cancelled { reason: "the Python interpreter of the worker is ending".into() });
        encoded.unwrap_or_else(|| (0..count).map(|_| ending()).collect())
    }

    fn call(&self, payload: Payload) -> Result<Payload, Failure> {
        let attached = Python::try_attach(|py| {
            let outer = current::set_home(Some(self.home.clone()));
            let result = self.call_attached(py, &payload);
            current::set_home(outer);
            let origin = Origin { task: "", worker: "", local: self.local };
            result.map_err(|error| errors::raised(py, error, &origin))
        });
        attached.unwrap_or_else(|| {
            Err(Failure::Cancelled { reason: "the Python interpreter of the worker is ending".into() })
        })
    }

    fn spawn(&self, name: String, body: Box<dyn FnOnce() + Send>) {
        // Whoever asks may be a network thread, which must not wait for the GIL; so a thread does that waits.
        let starting = connect::Starting::begin();
        let starter = move || {
            let _starting = starting;
            let body = ThreadBody(Mutex::new(Some(body)));
            let started = Python::try_attach(|py| connect::start_thread(py, &name, body));
            if let Some(Err(error)) = started {
                tracing::error!(%error, "a thread for tasks cannot be started");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("kask-start".into()).spawn(starter) {
            tracing::error!(%error, "a thread for tasks cannot be started");
        }
    }
}

impl PythonRuntime {
    fn call_attached(&self, py: Python<'_>, payload: &Payload) -> PyResult<Payload> {
        let (func, args, kwargs): (Bound<'_, PyAny>, Bound<'_, PyTuple>, Bound<'_, PyDict>) =
            pickle::loads(py, payload)?.extract()?;
        let mut result = func.call(args, Some(&kwargs))?;
        if coroutine::is_awaitable(&result) {
            result = helpers::get(py, intern!(py, "run_coroutine"))?.call1((result,))?;
        }
        if matches!(payload, Payload::Local(_)) {
            return Ok(values::local(result.unbind()));
        }
        pickle::dumps(&result, &Subject { what: "the result", path: "" })
    }
}

/// What a thread runs, once.
#[pyclass(module = "kask._kask", frozen)]
pub struct ThreadBody(Mutex<Option<Box<dyn FnOnce() + Send>>>);

#[pymethods]
impl ThreadBody {
    fn __call__(&self, py: Python<'_>) {
        let body = self.0.lock().take();
        if let Some(body) = body {
            py.detach(body);
        }
    }
}
