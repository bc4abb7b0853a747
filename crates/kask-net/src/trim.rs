//! After a burst, memory that the C library keeps for the next one goes back to the system.
//!
//! What a burst leaves behind among blocks that live on is chance, and grows over hours if nobody returns it.

use crate::{runtime, thread_cache};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long after the end of a burst: another one may follow at once, and want the memory.
const DELAY: Duration = Duration::from_millis(100);

/// Where bursts follow each other without a pause, memory is returned after so many delays all the same.
const MOST_DELAYS: u32 = 10;

static PLANNED: AtomicBool = AtomicBool::new(false);
/// How often tables have asked for it.
static WISHES: AtomicU32 = AtomicU32::new(0);

/// Has the process return unused memory when nothing has asked for that for a moment. To be called when a table shrank from
/// what a burst made of it.
pub fn trim_soon() {
    WISHES.fetch_add(1, Ordering::AcqRel);
    plan();
}

/// How often tables have asked for it.
pub(crate) fn wishes() -> u32 {
    WISHES.load(Ordering::Acquire)
}

/// Has memory returned in a moment.
pub(crate) fn plan() {
    if PLANNED.swap(true, Ordering::AcqRel) {
        return;
    }
    let Ok(network) = runtime::handle() else {
        return PLANNED.store(false, Ordering::Release);
    };
    network.spawn(async {
        for _ in 0..MOST_DELAYS {
            let wishes = wishes();
            tokio::time::sleep(DELAY).await;
            if self::wishes() == wishes {
                break;
            }
        }
        PLANNED.store(false, Ordering::Release);
        let given_back = thread_cache::give_back();
        tokio::task::spawn_blocking(move || {
            // What it freed is kept for the thread that frees until it ends. It does not panic.
            given_back.map(JoinHandle::join);
            trim();
        });
    });
}

/// Has the C library return what it keeps, now. Takes about a millisecond for every ten megabytes that are returned, and as long
/// as it looks through the blocks of one thread, that thread waits when it wants one.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the C library takes its own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
