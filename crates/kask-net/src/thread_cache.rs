//! What the C library keeps for each thread goes back to all of them when the thread has nothing to do.
//!
//! The GNU C library keeps a few free blocks of each small size for the thread that freed them, and neither joins them with
//! their neighbours nor returns their pages, whatever `malloc_trim` is told. Those that a thread keeps after a burst lie anywhere in
//! the memory that the burst took, each on a page of its own: some megabytes that grow from burst to burst, the slower the
//! more there are. There is no call that empties the cache of a thread that lives on. So the thread asks for as many
//! blocks as are kept, and another thread, which ends with that, frees them.

use crate::trim;
use std::thread::JoinHandle;
use std::time::Duration;

/// Blocks of more bytes than this are kept for no thread.
const CACHED_MAX_BYTES: usize = 1032;
/// Sizes differ by so much.
const STEP_BYTES: usize = 16;
/// The most bytes that the smallest block has room for.
const SMALLEST_BYTES: usize = 24;
/// So many blocks of one size are kept at most: 16 since glibc 2.42, 7 before.
const CACHED_BLOCKS: usize = 16;
/// After less work than this the cache is left as it is.
const BURST: usize = 256;
/// How long a thread is without work before it gives back: another burst may follow at once, and memory is returned to the
/// system a little later (`trim`).
const QUIET: Duration = Duration::from_millis(40);

/// For a thread that works in bursts: when it should give back what is kept for it.
///
/// ```
/// use kask_net::thread_cache::ThreadCache;
/// use std::sync::mpsc::{RecvTimeoutError, channel};
///
/// let (sender, jobs) = channel();
/// (0..2000).for_each(|job| sender.send(vec![job; 10]).expect("there is a receiver"));
/// drop(sender);
/// let mut cache = ThreadCache::default();
/// loop {
///     let next = match cache.quiet() {
///         None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
///         Some(quiet) => jobs.recv_timeout(quiet),
///     };
///     match next {
///         Ok(job) => cache.used(job.len()),
///         Err(RecvTimeoutError::Timeout) => cache.give_back(),
///         Err(RecvTimeoutError::Disconnected) => break,
///     }
/// }
/// assert!(cache.quiet().is_some());
/// ```
#[derive(Debug, Default)]
pub struct ThreadCache {
    uses: usize,
    /// How often tables had asked for a trim when it was given back last.
    wishes: u32,
}

impl ThreadCache {
    /// The thread has made or freed blocks for so many tasks or values.
    pub fn used(&mut self, times: usize) {
        self.uses = self.uses.saturating_add(times);
    }

    /// How long to wait for work before giving back; nothing when there was no burst, and the thread may wait for ever.
    pub fn quiet(&self) -> Option<Duration> {
        (self.uses >= BURST).then_some(QUIET)
    }

    /// Gives back what is kept for the calling thread. If tables shrank meanwhile, memory may have been returned without that: it
    /// is returned once more.
    pub fn give_back(&mut self) {
        let wishes = trim::wishes();
        drop(give_back());
        if self.wishes != wishes {
            trim::plan();
        }
        *self = ThreadCache { uses: 0, wishes };
    }

    /// The same if tables shrank since the last time; for a thread that wakes by the clock and does what there is to do.
    pub fn give_back_after_burst(&mut self) {
        if self.wishes != trim::wishes() {
            self.give_back();
        }
    }
}

/// Gives back what is kept for the calling thread, when the thread that is returned has ended.
pub(crate) fn give_back() -> Option<JoinHandle<()>> {
    if cfg!(not(target_env = "gnu")) {
        return None;
    }
    let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(CACHED_BLOCKS * CACHED_MAX_BYTES.div_ceil(STEP_BYTES));
    for bytes in (SMALLEST_BYTES..=CACHED_MAX_BYTES).step_by(STEP_BYTES) {
        blocks.extend((0..CACHED_BLOCKS).map(|_| Vec::with_capacity(bytes)));
    }
    // Without a thread they are freed here, and the cache is as it was.
    std::thread::Builder::new().name("kask-free".into()).spawn(move || drop(blocks)).ok()
}
