//! Knows whether this process is a forked copy of the one that made something.
//!
//! A fork copies only the calling thread: connections, timers and locks of the parent are of no use in the child, and
//! some locks may be held for ever there. What was made before the fork is left alone.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

static FORKS: AtomicU32 = AtomicU32::new(0);
static WATCH: Once = Once::new();

extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Counts the forks between the first process that asked and this one.
pub fn generation() -> u32 {
    WATCH.call_once(|| {
        // SAFETY: the handler only adds to an atomic number, which is allowed in a forked child.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    FORKS.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_another_generation() {
        let here = generation();
        // SAFETY: the child only compares two numbers and ends without running any destructor.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let code = if generation() == here + 1 { 0 } else { 1 };
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: `status` outlives the call, and `child` is a child of this process that nobody else waits for.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0);
        assert_eq!(generation(), here);
    }
}
