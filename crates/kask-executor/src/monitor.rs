//! Tells a worker with a memory limit what its process takes.
//!
//! What counts is what its supervisor counts, its own memory and its arena, and besides the values that its workers
//! have mapped from disk or from other processes: those take none of its own memory, but are among the values that the
//! worker sets against what it is told here.
//! A worker is also told the most that its process may take, which is less when others take much of the memory that all share
//! (see `judge`): limits that are too large together, or a client that holds much, cost speed and not processes.
//! Several workers may live in one process: each is told what its own values take, and an equal share of what no worker's
//! values take.
//!
//! What tasks free does not all go back to the system: the C library keeps blocks of up to 32 MB for those that come
//! (its *dynamic mmap threshold*), many megabytes for each thread. As long as that leaves less than the worker's share for values, it is
//! returned at every look: values would have to go to disk for memory that nobody uses.

use crate::host::WorkerHost;
use crate::judge;
use crate::memory_limits::MemoryLimits;
use crate::procfs::own_memory_bytes;
use crate::store::mapped_bytes;
use kask_net::reactor::drive;
use kask_net::share::{kept_bytes, set_room_for_copies};
use kask_net::thread_cache::ThreadCache;
use kask_net::trim::trim;
use kask_worker::Event;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tracing::warn;

/// How often memory is looked at.
const PERIOD: Duration = Duration::from_millis(100);

/// Values are copied in order to be lent as long as a process takes less than so much, in thousandths of its limit.
const COPYING_MILLI: u64 = 750;

/// When less than this is returned by the C library, it has little to return.
const WORTH_BYTES: u64 = 4 << 20;
/// It is asked again after so many looks at the latest.
const MOST_REST: u32 = 63;

/// What each worker's values take of this process's memory.
static WORKERS: Mutex<Vec<Weak<AtomicU64>>> = Mutex::new(Vec::new());

/// What one worker's values take.
pub(crate) struct Managed(Arc<AtomicU64>);

impl Managed {
    /// Counts a worker in.
    pub(crate) fn new() -> Managed {
        let bytes = Arc::new(AtomicU64::new(0));
        let mut workers = WORKERS.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|worker| worker.strong_count() > 0);
        workers.push(Arc::downgrade(&bytes));
        Managed(bytes)
    }

    pub(crate) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// This worker's share of what the process takes.
    fn share_of(&self, process_bytes: u64) -> u64 {
        let workers = WORKERS.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<u64> =
            workers.iter().filter_map(Weak::upgrade).map(|bytes| bytes.load(Ordering::Relaxed)).collect();
        share(process_bytes, self.bytes(), &all)
    }
}

fn share(process_bytes: u64, mine: u64, all: &[u64]) -> u64 {
    let unmanaged = process_bytes.saturating_sub(all.iter().sum());
    match all.len() as u64 {
        0 | 1 => process_bytes,
        workers => mine.min(process_bytes) + unmanaged / workers,
    }
}

fn room_for_copies(limit_bytes: u64, most_bytes: u64, own_bytes: u64) -> u64 {
    (limit_bytes / 1000 * COPYING_MILLI).min(most_bytes).saturating_sub(own_bytes)
}

/// Decides when to have the C library return what it keeps.
#[derive(Debug, Default)]
struct Returns {
    /// So many looks pass before the next time.
    rest: u32,
    /// So many passed before the last time.
    rested: u32,
}

impl Returns {
    /// Whether it is time, when what is no value takes more than it may.
    fn are_due(&mut self, is_too_much: bool) -> bool {
        if !is_too_much {
            *self = Returns::default();
            return false;
        }
        let is_due = self.rest == 0;
        self.rest = self.rest.saturating_sub(1);
        is_due
    }

    /// When little came of it, the next time is twice as far away.
    fn brought(&mut self, bytes: u64) {
        self.rested = if bytes >= WORTH_BYTES { 0 } else { (2 * self.rested + 1).min(MOST_REST) };
        self.rest = self.rested;
    }
}

/// Watches until the worker has ended.
pub(crate) fn start(host: &Arc<WorkerHost>) {
    let watched = Arc::downgrade(host);
    let body = move || {
        let limits = MemoryLimits::of_this_process();
        let mut cache = ThreadCache::default();
        let mut returns = Returns::default();
        while let Some(host) = watched.upgrade().filter(|host| !host.is_closed()) {
            let share_of = |own_bytes| host.managed.share_of(own_bytes + mapped_bytes());
            let mut own_bytes = own_memory_bytes();
            let mut process_bytes = share_of(own_bytes);
            let unmanaged = process_bytes.saturating_sub(host.managed.bytes());
            if returns.are_due(unmanaged > host.room_beside_values()) {
                trim();
                let before = std::mem::replace(&mut own_bytes, own_memory_bytes());
                returns.brought(before.saturating_sub(own_bytes));
                process_bytes = share_of(own_bytes);
            }
            let all = limits.fullest();
            let most_bytes =
                |own_bytes| all.map_or(u64::MAX, |(used, limit)| judge::most_bytes(own_bytes, used, limit));
            set_room_for_copies(room_for_copies(host.memory_limit_bytes(), most_bytes(own_bytes), own_bytes));
            host.post(Event::Lent { kept_bytes: kept_bytes() });
            host.post(Event::Memory { process_bytes, most_bytes: most_bytes(process_bytes) });
            drive(host);
            cache.give_back_after_burst();
            std::thread::sleep(PERIOD);
        }
    };
    if let Err(error) = std::thread::Builder::new().name(format!("kask-{}-memory", host.name())).spawn(body) {
        warn!(%error, "the worker's memory is not watched");
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_REST, Returns, WORTH_BYTES, share};

    #[test]
    fn a_worker_alone_answers_for_all_of_the_process() {
        assert_eq!(share(100, 60, &[60]), 100);
    }

    #[test]
    fn workers_share_what_is_no_value() {
        assert_eq!(share(100, 60, &[60, 20]), 70);
        assert_eq!(share(100, 20, &[60, 20]), 30);
        // Values that are shared between them are counted twice.
        assert_eq!(share(100, 80, &[80, 80]), 80);
    }

    #[test]
    fn memory_is_returned_at_every_look_while_much_comes_of_it_and_ever_more_seldom_when_not() {
        let mut returns = Returns::default();
        let mut looks_until_due = |brought: u64| {
            returns.brought(brought);
            (0..1000).take_while(|_| !returns.are_due(true)).count()
        };
        assert_eq!([0; 7].map(&mut looks_until_due), [1, 3, 7, 15, 31, 63, MOST_REST as usize]);
        assert_eq!([WORTH_BYTES; 2].map(&mut looks_until_due), [0, 0]);
        assert_eq!(looks_until_due(WORTH_BYTES - 1), 1);
        returns.brought(0);
        assert!(!returns.are_due(false), "nobody needs it");
        assert!(returns.are_due(true), "and then somebody does");
    }
}
