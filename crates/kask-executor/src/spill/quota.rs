//! How much may be spilled.
//!
//! Room is reserved before anything is written and given back when less was needed or nothing came of it, so that threads that
//! write at the same time never exceed the quota together.

use super::error::{FullCause, SpillError};
use super::os::Directory;
use std::sync::atomic::{AtomicU64, Ordering};

/// The largest reserve that is kept unless the user says otherwise.
const DEFAULT_RESERVE_MAX: u64 = 10 << 30;

/// What is left free of a disk unless the user says otherwise.
pub(super) fn default_reserve(disk_bytes: u64) -> u64 {
    (disk_bytes / 20).min(DEFAULT_RESERVE_MAX)
}

/// What is used of a quota.
pub(super) struct Usage {
    max_bytes: u64,
    reserve_bytes: u64,
    used: AtomicU64,
    /// Reserved by writes under way: not all of it is missing on the disk yet.
    under_way: AtomicU64,
}

impl Usage {
    pub(super) fn new(max_bytes: u64, reserve_bytes: u64) -> Usage {
        Usage { max_bytes, reserve_bytes, used: AtomicU64::new(0), under_way: AtomicU64::new(0) }
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether so much of the quota or of the disk is used that room counts more than time.
    pub(super) fn is_tight(&self, directory: &Directory) -> bool {
        self.used() > self.max_bytes / 5 * 4
            || directory.free_bytes().is_ok_and(|free| free / 5 < self.reserve_bytes / 4)
    }

    pub(super) fn reserve(&self, directory: &Directory, bytes: u64) -> Result<Reserved<'_>, SpillError> {
        let full = |cause| SpillError::DiskFull {
            path: directory.path().to_owned(),
            needed_bytes: bytes,
            used_bytes: self.used(),
            cause,
        };
        let max_bytes = self.max_bytes;
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= max_bytes);
        if self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_err() {
            return Err(full(FullCause::Quota { max_bytes }));
        }
        let others = self.under_way.fetch_add(bytes, Ordering::AcqRel);
        let reserved = Reserved { usage: self, bytes };
        let free_bytes = directory.free_bytes()?;
        let reserve_bytes = self.reserve_bytes;
        if free_bytes < bytes.saturating_add(others).saturating_add(reserve_bytes) {
            drop(reserved);
            return Err(full(FullCause::Reserve { free_bytes, reserve_bytes }));
        }
        Ok(reserved)
    }

    /// Counts what is on disk without asking whether it may be.
    pub(super) fn add(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Something has been removed from the disk.
    pub(super) fn release(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::AcqRel);
        debug_assert!(before >= bytes, "more was released than had been counted");
    }
}

/// Room for something that is being written. Given back when dropped.
pub(super) struct Reserved<'a> {
    usage: &'a Usage,
    bytes: u64,
}

impl Reserved<'_> {
    /// It has been written and takes `bytes`.
    pub(super) fn keep(self, bytes: u64) {
        self.usage.add(bytes);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.usage.release(self.bytes);
        self.usage.under_way.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}
