//! The one thread that calls Python on behalf of engine threads.
//!
//! Engine threads leave done-callbacks, wake-ups and objects to be thrown away here and go on; they never wait for the GIL.
//! The thread starts at the first use, works its queue off in batches under one attachment, and ends when the
//! interpreter does. Nothing here blocks, not even at interpreter exit.
//!
//! The queue waits on the standard library's locks, as the runners' does, because children may be forked while the thread
//! sleeps.

use kask_net::thread_cache::ThreadCache;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
    /// Garbage is not to wait for company.
    in_a_hurry: bool,
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

fn queue() -> MutexGuard<'static, Option<Queue>> {
    // Nothing here panics half-way through a change.
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn graveyard() -> MutexGuard<'static, Vec<Box<dyn Send>>> {
    GRAVEYARD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `callback` soon, in order.
pub fn push(callback: Callback) {
    let mut queue = queue();
    let queue = queue.get_or_insert_default();
    queue.callbacks.push(callback);
    serve(queue);
    WORK.notify_one();
}

/// Releases a buffer soon: to do so takes the GIL.
pub fn release(buffer: PyUntypedBuffer) {
    let mut queue = queue();
    let queue = queue.get_or_insert_default();
    queue.buffers.push(buffer);
    note_garbage(queue);
}

/// Gives up Python objects soon, on a thread that holds the GIL and no lock of the engine.
pub fn bury(objects: Box<dyn Send>) {
    graveyard().push(objects);
    if !GARBAGE.load(Ordering::Relaxed) {
        note_garbage(queue().get_or_insert_default());
    }
}

/// Gives up what was thrown away, all of it; for threads that hold the GIL anyway, and none of the engine's locks.
///
/// Gives back how much that was.
pub fn clean(py: Python<'_>) -> usize {
    let mut count = 0;
    // What is given up may throw away more. Looking comes first: nearly always there is nothing, and setting takes longer.
    while GARBAGE.load(Ordering::Relaxed) && GARBAGE.swap(false, Ordering::Relaxed) {
        let objects = std::mem::take(&mut *graveyard());
        count += objects.len();
        drop(objects);
        let buffers = queue().as_mut().map(|queue| std::mem::take(&mut queue.buffers));
        for buffer in buffers.unwrap_or_default() {
            buffer.release(py);
        }
    }
    count
}

/// What was thrown away is to be given up at once, as soon as the GIL can be had: its memory is wanted.
pub fn hurry() {
    if GARBAGE.load(Ordering::Relaxed)
        && let Some(queue) = queue().as_mut()
    {
        queue.in_a_hurry = true;
        WORK.notify_one();
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
    let mut queue = queue();
    let Some(state) = queue.as_mut() else { return };
    state.finished = true;
    let here = Some(std::process::id());
    WORK.notify_all();
    while queue.as_ref().is_some_and(|queue| queue.served_by == here) {
        // A callback of the user's may take for ever; the exit does not.
        let (waiting, timeout) = ENDED.wait_timeout(queue, EXIT_PATIENCE).unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            return;
        }
        queue = waiting;
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
    let mut cache = ThreadCache::default();
    while let Some(callbacks) = next(&mut cache) {
        if callbacks.is_empty() && !GARBAGE.load(Ordering::Relaxed) {
            // Somebody else has cleaned up.
            continue;
        }
        let mut callbacks = Some(callbacks);
        let attached = Python::try_attach(|py| {
            cache.used(clean(py));
            for callback in callbacks.take().expect("the closure runs once") {
                callback(py);
            }
        });
        if attached.is_none() {
            // The interpreter is gone. Dropping these would want it back.
            std::mem::forget(callbacks);
            break;
        }
    }
    if let Some(queue) = queue().as_mut() {
        queue.served_by = None;
    }
    ENDED.notify_all();
}

/// Waits for work, and gives out the callbacks: none when there is only garbage. `None` when the thread shall end.
fn next(cache: &mut ThreadCache) -> Option<Vec<Callback>> {
    let mut queue = queue();
    let mut garbage_is_due = None;
    loop {
        let callbacks = queue.as_mut().map(|queue| std::mem::take(&mut queue.callbacks)).unwrap_or_default();
        let in_a_hurry = queue.as_mut().is_some_and(|queue| std::mem::take(&mut queue.in_a_hurry) || queue.finished);
        let has_garbage = GARBAGE.load(Ordering::Relaxed);
        let is_due = garbage_is_due.is_some_and(|due| due <= Instant::now());
        if !callbacks.is_empty() || (has_garbage && (in_a_hurry || is_due)) {
            return Some(callbacks);
        }
        if queue.as_ref().is_some_and(|queue| queue.finished) {
            return None;
        }
        if has_garbage {
            let due = *garbage_is_due.get_or_insert_with(|| Instant::now() + GARBAGE_DELAY);
            let left = due.saturating_duration_since(Instant::now());
            (queue, _) = WORK.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner);
        } else {
            garbage_is_due = None;
            match cache.quiet() {
                None => queue = WORK.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(quiet) => {
                    let (waiting, waited) = WORK.wait_timeout(queue, quiet).unwrap_or_else(PoisonError::into_inner);
                    queue = waiting;
                    if waited.timed_out() {
                        drop(queue);
                        cache.give_back();
                        queue = self::queue();
                    }
                }
            }
        }
    }
}
