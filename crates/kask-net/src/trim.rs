//! After a burst, memory that the C library keeps for the next one goes back to the system.
//!
//! What a burst leaves behind among blocks that live on is chance, and grows over hours if nobody returns it.

use crate::runtime;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long after the end of a burst: another one may follow at once, and want the memory.
const DELAY: Duration = Duration::from_millis(100);

static PLANNED: AtomicBool = AtomicBool::new(false);

/// Has the process return unused memory a moment later. To be called when a table shrank from what a burst made of it.
pub fn trim_soon() {
    if PLANNED.swap(true, Ordering::AcqRel) {
        return;
    }
    let Ok(network) = runtime::handle() else {
        return PLANNED.store(false, Ordering::Release);
    };
    network.spawn(async {
        tokio::time::sleep(DELAY).await;
        PLANNED.store(false, Ordering::Release);
        tokio::task::spawn_blocking(trim);
    });
}

fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the C library takes its own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
