//! The one network thread of a process, started at first use.
//!
//! All connections and timers of a process live on it. A forked child has lost its parent's thread and gets
//! a new one.

use crate::fork;
use parking_lot::Mutex;
use std::io;
use tokio::runtime::{Builder, Handle};

struct Running {
    generation: u32,
    handle: Handle,
}

static RUNNING: Mutex<Option<Running>> = Mutex::new(None);

/// The handle of this process's network thread.
///
/// # Errors
/// When the operating system gives no thread or no event queue.
pub fn handle() -> io::Result<Handle> {
    let generation = fork::generation();
    let mut running = RUNNING.lock();
    if let Some(running) = running.as_ref().filter(|running| running.generation == generation) {
        return Ok(running.handle.clone());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("kask-net".into())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    *running = Some(Running { generation, handle: handle.clone() });
    Ok(handle)
}
