//! The one thread that calls Python on behalf of engine threads.
//!
//! Engine threads leave done-callbacks, wake-ups and objects to be thrown away here and go on; they never wait for the GIL.
//! The thread starts at the first use, works its queue off in batches under one attachment, and ends when the
//! interpreter does. Nothing here blocks, not even at interpreter exit.

use parking_lot::{Condvar, Mutex};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long objects thrown away by engine threads may wait for company.
const GARBAGE_DELAY: Duration = Duration::from_millis(20);

/// How long the exit waits for callbacks that are running.
const EXIT_PATIENCE: Duration = Duration::from_secs(5);

/// Something to be done with Python.
pub type Callback = Box<dyn FnOnce(Python<'_>) + Send>;

#[derive(Default)]
struct Queue {
    callbacks: Vec<Callback>,
    buffers: Vec<PyUntypedBuffer>,
    /// The process whose thread serves this queue: a fork has none.
    served_by: Option<u32>,
    /// Nothing is served any more: the interpreter ends.
    finished: bool,
}

static QUEUE: Mutex<Option<Queue>> = Mutex::new(None);
static WORK: Condvar = Condvar::new();
static ENDED: Condvar = Condvar::new();
static GRAVEYARD: Mutex<Vec<Box<dyn Send>>> = Mutex::new(Vec::new());
static GARBAGE: AtomicBool = AtomicBool::new(false);

/// Calls `callback` soon, in order.
pub fn push(callback: Callback) {
    let mut queue = QUEUE.lock();
    let queue = queue.get_or_insert_default();
    queue.callbacks.push(callback);
    serve(queue);
    WORK.notify_one();
}

/// Releases a buffer soon: to do so takes the GIL.
pub fn release(buffer: PyUntypedBuffer) {
    let mut queue = QUEUE.lock();
    let queue = queue.get_or_insert_default();
    queue.buffers.push(buffer);
    note_garbage(queue);
}

/// Gives up Python objects soon, on a thread that holds the GIL and no lock of the engine.
pub fn bury(objects: Box<dyn Send>) {
    GRAVEYARD.lock().push(objects);
    if !GARBAGE.load(Ordering::Relaxed) {
        note_garbage(QUEUE.lock().get_or_insert_default());
    }
}

/// Gives up what was buried; for threads that hold the GIL anyway, and none of the engine's locks.
pub fn clean(_: Python<'_>) {
    if GARBAGE.load(Ordering::Relaxed) {
        let objects = std::mem::take(&mut *GRAVEYARD.lock());
        drop(objects);
    }
}

fn note_garbage(queue: &mut Queue) {
    if !GARBAGE.swap(true, Ordering::Relaxed) {
        serve(queue);
        WORK.notify_one();
    }
}

/// Lets the thread end after what is queued, and waits for that; for the interpreter's exit. Call it without the GIL.
pub fn finish() {
    let mut queue = QUEUE.lock();
    let Some(state) = queue.as_mut() else { return };
    state.finished = true;
    let here = Some(std::process::id());
    WORK.notify_all();
    while queue.as_ref().is_some_and(|queue| queue.served_by == here) {
        // A callback of the user's may take for ever; the exit does not.
        if ENDED.wait_for(&mut queue, EXIT_PATIENCE).timed_out() {
            return;
        }
    }
}

fn serve(queue: &mut Queue) {
    let process = std::process::id();
    if queue.served_by != Some(process) && !queue.finished {
        let thread = std::thread::Builder::new().name("kask-callbacks".into()).spawn(run);
        // Without a thread the work waits for the next try; there is nobody here to be told.
        queue.served_by = thread.is_ok().then_some(process);
    }
}

fn run() {
    while let Some((callbacks, garbage)) = next() {
        if callbacks.is_empty() && garbage {
            std::thread::sleep(GARBAGE_DELAY);
        }
        GARBAGE.store(false, Ordering::Relaxed);
        let buffers = match QUEUE.lock().as_mut() {
            Some(queue) => std::mem::take(&mut queue.buffers),
            None => Vec::new(),
        };
        let mut work = Some((callbacks, buffers));
        let attached = Python::try_attach(|py| {
            let (callbacks, buffers) = work.take().expect("the closure runs once");
            let objects = std::mem::take(&mut *GRAVEYARD.lock());
            drop(objects);
            for buffer in buffers {
                buffer.release(py);
            }
            for callback in callbacks {
                callback(py);
            }
        });
        if attached.is_none() {
            // The interpreter is gone. Dropping these would want it back.
            std::mem::forget(work);
            break;
        }
    }
    if let Some(queue) = QUEUE.lock().as_mut() {
        queue.served_by = None;
    }
    ENDED.notify_all();
}

/// Waits for work: callbacks, and whether there is garbage. `None` when the thread shall end.
fn next() -> Option<(Vec<Callback>, bool)> {
    let mut queue = QUEUE.lock();
    loop {
        let garbage = GARBAGE.load(Ordering::Relaxed);
        let callbacks = queue.as_mut().map(|queue| std::mem::take(&mut queue.callbacks)).unwrap_or_default();
        if garbage || !callbacks.is_empty() {
            return Some((callbacks, garbage));
        }
        if queue.as_ref().is_some_and(|queue| queue.finished) {
            return None;
        }
        WORK.wait(&mut queue);
    }
}
