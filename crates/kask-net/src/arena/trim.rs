//! Giving memory back to the system that was freed and is not needed for reuse.
//!
//! Freeing does not wait for it: a thread does it a little later, if nobody has used the memory again by then. Whoever
//! needs new memory while there is too much of the old gives that back first.

use super::allocator::Pages;
use super::{Arena, memory};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Freed memory beyond the bound has this long to be used again before it is given back.
const TRIM_DELAY: Duration = Duration::from_millis(50);
/// What is given back in one system call.
const PUNCH_BYTES: usize = 16 << 20;

impl Arena {
    pub(super) fn retained_pages(&self) -> u64 {
        self.retained_max.load(Ordering::Relaxed) / self.page as u64
    }

    /// Gives back what is kept beyond the bound. Afterwards it has been given back, whichever thread did it.
    pub(super) fn trim(&self) {
        let _one_at_a_time = self.trimming.lock();
        loop {
            let Some(pages) = self.state.lock().take_excess(self.retained_pages()) else { return };
            let most = (PUNCH_BYTES / self.page) as u32;
            let mut start = pages.start;
            while start < pages.start + pages.count {
                let step = Pages { start, count: most.min(pages.start + pages.count - start) };
                self.give_back(step);
                start += step.count;
            }
        }
    }

    /// Takes the memory of pages that are underway away.
    pub(super) fn give_back(&self, pages: Pages) {
        let (offset, len) = self.bytes_of(pages);
        if let Err(error) = memory::punch(&self.file, offset, len) {
            // The pages would not read as zeros: they are not handed out again.
            tracing::warn!(%error, "memory of the arena could not be given back");
            return;
        }
        self.state.lock().give_back(pages);
    }

    /// Starts the thread that gives memory back, so that whoever frees does not wait for it.
    pub(super) fn start_trimmer(self: &Arc<Self>) {
        let arena = Arc::downgrade(self);
        let spawned = std::thread::Builder::new().name("kask-arena".into()).spawn(move || run_trimmer(&arena));
        match spawned {
            Ok(handle) => {
                if let Err(other) = self.trimmer.set(handle.thread().clone()) {
                    // Two were started at once; one is enough, and this one finds nothing to do.
                    other.unpark();
                }
            }
            Err(error) => {
                tracing::debug!(%error, "no thread to give memory back");
                self.trim();
            }
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if let Some(trimmer) = self.trimmer.get() {
            trimmer.unpark();
        }
    }
}

fn run_trimmer(arena: &Weak<Arena>) {
    loop {
        std::thread::sleep(TRIM_DELAY);
        let Some(arena) = arena.upgrade() else { return };
        arena.trim();
        drop(arena);
        std::thread::park();
    }
}
