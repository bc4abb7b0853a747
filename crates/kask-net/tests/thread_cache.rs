//! What is kept for a thread goes back. A process of its own, since what is measured is the whole process's.

#![cfg(target_env = "gnu")]

use kask_net::thread_cache::ThreadCache;
use std::time::{Duration, Instant};

/// Bytes of small blocks that are in use, or kept for some thread.
fn taken_bytes() -> usize {
    // SAFETY: the C library takes its own locks.
    unsafe { libc::mallinfo2() }.uordblks
}

#[test]
fn what_is_kept_for_a_thread_goes_back() {
    let mut cache = ThreadCache::default();
    assert!(cache.quiet().is_none());
    cache.used(100_000);
    assert!(cache.quiet().is_some());
    let before = taken_bytes();
    let sizes = (24..=1032).step_by(16);
    let blocks: Vec<Vec<u8>> = sizes.flat_map(|bytes| (0..7).map(move |_| Vec::with_capacity(bytes))).collect();
    drop(blocks);
    let kept = taken_bytes();
    assert!(kept > before + 200_000, "{} bytes are kept for this thread", kept - before);
    cache.give_back();
    assert!(cache.quiet().is_none());
    // Another thread frees them, in its own time.
    let patience = Instant::now() + Duration::from_secs(10);
    while taken_bytes() > before + 50_000 {
        assert!(Instant::now() < patience, "{} bytes more than before", taken_bytes() - before);
        std::thread::yield_now();
    }
}
