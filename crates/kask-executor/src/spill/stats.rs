//! What a spill folder has done so far, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What a spill folder holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpillStats {
    /// Bytes on disk now.
    pub bytes: u64,
    /// Values on disk now.
    pub values: u64,
    /// Files on disk now, without the ledger.
    pub files: u64,
    /// Bytes written to disk so far.
    pub written_bytes: u64,
    /// Bytes of values before they were compressed.
    pub raw_bytes: u64,
    /// Bytes read back so far.
    pub read_bytes: u64,
    /// Time spent writing, over all threads.
    pub write_ns: u64,
    /// Time spent reading back, over all threads.
    pub read_ns: u64,
    /// Writes that were refused because the disk or the quota was full.
    pub full: u64,
    /// Values that were found damaged.
    pub damaged: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) files: AtomicU64,
    pub(super) written_bytes: AtomicU64,
    pub(super) raw_bytes: AtomicU64,
    pub(super) read_bytes: AtomicU64,
    pub(super) write_ns: AtomicU64,
    pub(super) read_ns: AtomicU64,
    pub(super) full: AtomicU64,
    pub(super) damaged: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    pub(super) fn add_elapsed(counter: &AtomicU64, since: Instant) {
        Self::add(counter, since.elapsed().as_nanos() as u64);
    }

    /// All but what the quota and the ledger know.
    pub(super) fn snapshot(&self) -> SpillStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SpillStats {
            bytes: 0,
            values: 0,
            files: read(&self.files),
            written_bytes: read(&self.written_bytes),
            raw_bytes: read(&self.raw_bytes),
            read_bytes: read(&self.read_bytes),
            write_ns: read(&self.write_ns),
            read_ns: read(&self.read_ns),
            full: read(&self.full),
            damaged: read(&self.damaged),
        }
    }
}
