//! What the worker shell needs of the language its tasks are written in.
//!
//! The shell knows tasks, bytes and threads; a [`Runtime`] knows how to call a function and how to turn an object into
//! bytes. The extension module implements it for Python, the tests of this crate for plain Rust closures.

use kask_graph::{Grid, Slots};
use kask_types::{Attempt, Failure, Payload, TaskId, TaskName};
use std::any::Any;
use std::sync::{Arc, OnceLock};

/// A function or constant that many tasks share, decoded once per worker.
pub struct Blob {
    /// As it came.
    pub payload: Payload,
    /// What the runtime made of it, at first use.
    pub loaded: OnceLock<Result<Box<dyn Any + Send + Sync>, Failure>>,
}

/// A value held by a worker.
#[derive(Clone)]
pub enum Value {
    /// An object of this process, and its encoding where one exists already.
    Object {
        /// A [`Payload::Local`].
        object: Payload,
        /// The same as bytes.
        encoded: Option<Payload>,
    },
    /// Bytes that came from a peer or client, and the object once a task has needed it.
    Encoded {
        /// The bytes.
        payload: Payload,
        /// The object, a [`Payload::Local`] made by [`Runtime::run_jobs`] at first use.
        object: Arc<OnceLock<Payload>>,
        /// Whether the memory is a private copy, so that tasks may write to it.
        writable: bool,
    },
    /// A result that consists of parts, each of which may be asked for alone.
    Parts(Arc<[Payload]>),
}

/// One attempt, with everything at hand.
pub struct Job {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
    /// How its key is printed.
    pub name: TaskName,
    /// What is called; `None` means that `args` is the result.
    pub function: Option<Arc<Blob>>,
    /// The argument template.
    pub args: Payload,
    /// Fills the hole after those of `slots`.
    pub item: Option<Payload>,
    /// Position in the layer's grid.
    pub position: Option<Grid>,
    /// How `inputs` fill the holes.
    pub slots: Slots,
    /// The inputs' values, in order.
    pub inputs: Vec<Value>,
}

/// How a call ended.
pub enum Completion {
    /// With a value.
    Value {
        /// The object, a [`Payload::Local`] (or bytes, when a value task was handed bytes).
        value: Value,
        /// Its size.
        nbytes: u64,
    },
    /// Without one.
    Failed(Failure),
    /// The task asks to be run on another worker.
    Reschedule,
    /// A coroutine was started; its end comes through [`Deferred::finish`].
    Deferred,
}

/// Where a runner gets its jobs and leaves their ends. Neither call blocks.
pub trait Jobs {
    /// The next job, if there is one now. The time until [`Jobs::done`] is the task's duration.
    fn next(&mut self) -> Option<Job>;
    /// The end of the job that `next` gave last.
    fn done(&mut self, completion: Completion);
    /// For a coroutine: what ends the job later, to be taken before `done(Completion::Deferred)`.
    fn defer(&mut self) -> Box<dyn Deferred>;
}

/// The end of a job that outlives its runner's attention.
pub trait Deferred: Send + Sync {
    /// Called once.
    fn finish(&self, completion: Completion);
}

/// The language side of a worker.
pub trait Runtime: Send + Sync + 'static {
    /// Runs jobs until there are none, holding whatever lock the language has all the while.
    /// Must not unwind: a panic of the called code is a [`Completion::Failed`].
    fn run_jobs(&self, jobs: &mut dyn Jobs);
    /// The memory of values that were let go of is wanted: a language that frees late does so soon. When the next job starts,
    /// what was let go of before that job came is free.
    fn reclaim(&self) {}
    /// Turns objects ([`Payload::Local`]) into bytes; called off the network threads.
    fn encode(&self, values: Vec<(TaskId, Payload)>) -> Vec<Result<Payload, Failure>>;
    /// Calls a pickled `(function, args, kwargs)` outside of any task.
    fn call(&self, payload: Payload) -> Result<Payload, Failure>;
    /// Starts a thread that may run the language and executes `body` on it.
    fn spawn(&self, name: String, body: Box<dyn FnOnce() + Send>);
}

thread_local! {
    static CURRENT: std::cell::RefCell<Option<CurrentJob>> = const { std::cell::RefCell::new(None) };
}

/// The attempt that the calling thread is running, with the worker that gave it.
#[derive(Clone)]
pub struct CurrentJob {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
    /// How its key is printed.
    pub name: TaskName,
    /// The worker.
    pub worker: Arc<dyn JobHost>,
}

/// What a running task may ask of its worker.
pub trait JobHost: Send + Sync {
    /// The attempt leaves its runner: another thread takes the runner's place. Idempotent.
    fn secede(&self, task: TaskId, attempt: Attempt);
    /// The attempt counts again; waits until there is room.
    fn rejoin(&self, task: TaskId, attempt: Attempt);
    /// The worker's name.
    fn name(&self) -> Arc<str>;
    /// The worker's address.
    fn address(&self) -> Arc<str>;
    /// Where `local_directory` is.
    fn local_directory(&self) -> Arc<str>;
    /// What its process may use of memory; 0 is no limit.
    fn memory_limit_bytes(&self) -> u64;
}

/// The attempt that the calling thread is running.
pub fn current_job() -> Option<CurrentJob> {
    CURRENT.with_borrow(Clone::clone)
}

/// Says what the calling thread is running; gives back what it was before.
pub fn set_current_job(job: Option<CurrentJob>) -> Option<CurrentJob> {
    CURRENT.replace(job)
}
