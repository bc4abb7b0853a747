//! How much of this process's memory others have views of, and how much they may.
//!
//! Memory that is lent stays for as long as its borrower likes, whatever becomes of the value that it was lent for. While
//! this process holds the value anyway, lending costs nothing, but when it lends it cannot know for how long it will. So
//! all that is lent counts towards the bound: a process that may lose any value at any time still never keeps more for
//! others than that.
//!
//! What counts is the memory that a lease keeps: a view of a part of an allocation keeps all of it, and ten views of one
//! keep it once.
//!
//! What this process has given up while it was lent is *kept for others* alone ([`give_up`]): memory that is no value
//! of its holder any more. So are copies that were made in order to be lent, of values that do not lie in the arena.

use crate::arena::Arena;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the allocations begin of which something is lent.
static LENT: Mutex<Ledger> = Mutex::new(Ledger::new());

/// How much may be lent; everything by default.
static MOST: AtomicU64 = AtomicU64::new(u64::MAX);

/// Share of what may be lent that may be copied for that.
const COPIED_SHARE: u64 = 3;

/// How much may be copied in order to be lent; everything by default.
static COPIED_MOST: AtomicU64 = AtomicU64::new(u64::MAX);

/// How much is.
static COPIED: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
struct Ledger {
    allocations: BTreeMap<u64, Allocation>,
    bytes: u64,
    kept_bytes: u64,
}

#[derive(Debug)]
struct Allocation {
    len: u64,
    leases: u64,
    /// What of it is kept for others alone.
    kept: u64,
}

/// For processes with a memory limit: lends no more memory than this, and copies no more than a third of it in order to
/// lend it. What would be too much is streamed, so that the receiver has memory of its own.
pub fn set_lent_max_bytes(bytes: u64) {
    MOST.store(bytes, Ordering::Relaxed);
    COPIED_MOST.store(bytes / COPIED_SHARE, Ordering::Relaxed);
}

/// So much memory there is at the moment for copies that are made in order to lend them; for processes that lend within a
/// bound, since copies come beside everything that they have taken.
pub fn set_room_for_copies(bytes: u64) {
    let most = MOST.load(Ordering::Relaxed);
    if most < u64::MAX {
        let copied = COPIED.load(Ordering::Relaxed);
        COPIED_MOST.store(copied.saturating_add(bytes).min(most / COPIED_SHARE), Ordering::Relaxed);
    }
}

/// A copy of some bytes in the arena, where they can be lent. `None` when there is no room for it, or no memory.
pub(crate) fn copy_to(arena: &Arc<Arena>, bytes: &[u8]) -> Option<Bytes> {
    let counted = CopyCount::new(bytes.len() as u64)?;
    Some(Bytes::from_owner(Copied { bytes: arena.put(&[bytes])?, _counted: counted }))
}

/// Bytes that were copied in order to be lent, in memory that nobody else needs.
struct Copied {
    bytes: Bytes,
    _counted: CopyCount,
}

impl AsRef<[u8]> for Copied {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

struct CopyCount {
    bytes: u64,
}

impl CopyCount {
    fn new(bytes: u64) -> Option<CopyCount> {
        let most = COPIED_MOST.load(Ordering::Relaxed);
        let add = |copied: u64| copied.checked_add(bytes).filter(|copied| *copied <= most);
        COPIED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok().map(|_| CopyCount { bytes })
    }
}

impl Drop for CopyCount {
    fn drop(&mut self) {
        COPIED.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// This process is about to let go of some bytes. If they are lent, their memory is kept for others from now on, until the
/// last lease of it ends.
pub fn give_up(bytes: &[u8]) {
    if let Some((offset, _)) = Arena::global().and_then(|arena| arena.allocation_of(bytes)) {
        LENT.lock().give_up(offset, bytes.len() as u64);
    }
}

/// Memory of this process that is kept for others alone.
pub fn kept_bytes() -> u64 {
    LENT.lock().kept_bytes + COPIED.load(Ordering::Relaxed)
}

/// A lease of something in the allocation that begins at `offset`, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    offset: u64,
}

impl Lease {
    /// Counts a lease in; `None` when that would be too much.
    pub(crate) fn new(offset: u64, len: u64) -> Option<Lease> {
        let is_counted = LENT.lock().add(offset, len, MOST.load(Ordering::Relaxed));
        // Made only then: dropping one takes the lock, and counts it out.
        is_counted.then(|| Lease { offset })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        LENT.lock().remove(self.offset);
    }
}

impl Ledger {
    const fn new() -> Ledger {
        Ledger { allocations: BTreeMap::new(), bytes: 0, kept_bytes: 0 }
    }

    fn add(&mut self, offset: u64, len: u64, most: u64) -> bool {
        if let Some(allocation) = self.allocations.get_mut(&offset) {
            allocation.leases += 1;
            return true;
        }
        let is_room = self.bytes.saturating_add(len) <= most;
        if is_room {
            self.bytes += len;
            self.allocations.insert(offset, Allocation { len, leases: 1, kept: 0 });
        }
        is_room
    }

    fn remove(&mut self, offset: u64) {
        let Some(allocation) = self.allocations.get_mut(&offset) else { return };
        allocation.leases -= 1;
        if allocation.leases == 0 {
            self.bytes -= allocation.len;
            self.kept_bytes -= allocation.kept;
            self.allocations.remove(&offset);
        }
    }

    fn give_up(&mut self, offset: u64, bytes: u64) {
        let Some(allocation) = self.allocations.get_mut(&offset) else { return };
        let more = bytes.min(allocation.len - allocation.kept);
        allocation.kept += more;
        self.kept_bytes += more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_counts_once_and_until_its_last_lease_ends() {
        let mut ledger = Ledger::new();
        assert!(ledger.add(0, 60, 100) && ledger.add(0, 60, 100));
        assert!(!ledger.add(60, 41, 100), "too much");
        assert!(ledger.add(60, 40, 100));
        assert!(ledger.add(0, 60, 100), "it is lent anyway");
        (0..2).for_each(|_| ledger.remove(0));
        assert_eq!(ledger.bytes, 100);
        ledger.remove(0);
        assert_eq!(ledger.bytes, 40);
        assert!(ledger.add(101, 60, 100));
        [60, 101].into_iter().for_each(|offset| ledger.remove(offset));
        assert!(ledger.bytes == 0 && ledger.allocations.is_empty());
    }

    #[test]
    fn what_is_given_up_while_it_is_lent_is_kept_until_its_last_lease_ends() {
        let mut ledger = Ledger::new();
        ledger.give_up(0, 60);
        assert_eq!(ledger.kept_bytes, 0, "nobody else has it");
        assert!(ledger.add(0, 60, 100) && ledger.add(0, 60, 100) && ledger.add(60, 40, 100));
        ledger.give_up(0, 50);
        ledger.give_up(0, 50);
        assert_eq!(ledger.kept_bytes, 60, "no more than there is");
        [0, 60].into_iter().for_each(|offset| ledger.remove(offset));
        assert_eq!(ledger.kept_bytes, 60);
        ledger.remove(0);
        assert_eq!(ledger.kept_bytes, 0);
    }
}
