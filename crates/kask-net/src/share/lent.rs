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
//! of its holder any more.

use crate::arena::Arena;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the allocations begin of which something is lent.
static LENT: Mutex<Ledger> = Mutex::new(Ledger::new());

/// How much may be lent; everything by default.
static MOST: AtomicU64 = AtomicU64::new(u64::MAX);

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

/// For processes with a memory limit: lends no more memory than this, and copies nothing in order to lend it. What does
/// not lie in the arena already, and what would be too much, is streamed, so that the receiver has memory of its own.
pub fn set_lent_max_bytes(bytes: u64) {
    MOST.store(bytes, Ordering::Relaxed);
}

/// Whether values may be copied in order to be lent.
pub(crate) fn may_copy() -> bool {
    MOST.load(Ordering::Relaxed) == u64::MAX
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
    LENT.lock().kept_bytes
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
