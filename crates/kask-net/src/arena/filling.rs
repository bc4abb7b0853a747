//! A range of an arena that is being filled by what arrives from a peer.
//!
//! Addresses for all of it are set aside at once, memory as it arrives: at most [`STEP_BYTES`] ahead, or as much again
//! as is there. Whoever announces more than they send does not cost more than that.

use super::{Arena, ArenaSlice, memory};
use bytes::buf::UninitSlice;
use bytes::{BufMut, Bytes};
use std::mem::ManuallyDrop;
use std::sync::Arc;

/// Memory that is taken before anything has arrived.
pub(crate) const STEP_BYTES: usize = 4 << 20;

/// A range and how much of it has been filled.
#[derive(Debug)]
pub(crate) struct Filling {
    arena: Arc<Arena>,
    offset: usize,
    len: usize,
    filled: usize,
    /// From the beginning, how much has memory.
    committed: usize,
}

impl Arena {
    /// A range for `len` bytes that will arrive; `None` when there is none.
    pub(crate) fn reserve(self: &Arc<Self>, len: usize) -> Option<Filling> {
        let is_short = len <= STEP_BYTES;
        let range = self.take(len, is_short)?;
        let committed = if is_short || range.is_warm { len } else { 0 };
        Some(Filling { arena: self.clone(), offset: range.offset, len, filled: 0, committed })
    }
}

impl Filling {
    /// Whether everything has arrived.
    pub(crate) fn is_full(&self) -> bool {
        self.filled == self.len
    }

    /// Takes memory for what comes next, if there is none; whether there is some.
    pub(crate) fn make_room(&mut self) -> bool {
        if self.filled < self.committed || self.is_full() {
            return true;
        }
        let step = STEP_BYTES.max(self.filled).next_multiple_of(self.arena.page).min(self.len - self.committed);
        let is_there = memory::commit(&self.arena.file, self.offset + self.committed, step).is_ok();
        if is_there {
            self.committed += step;
        }
        is_there
    }

    /// The bytes, which are freed with the last clone.
    pub(crate) fn freeze(self) -> Bytes {
        assert!(self.is_full(), "everything has arrived");
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so that its only field with a destructor is moved out exactly once.
        let arena = unsafe { std::ptr::read(&raw const this.arena) };
        Bytes::from_owner(ArenaSlice { arena, offset: this.offset, len: this.len })
    }

    /// What has arrived so far, in ordinary memory.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        // SAFETY: so much has been written, and nobody writes there while `self` is borrowed.
        unsafe { self.arena.mapping.slice(self.offset, self.filled) }.to_vec()
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        if self.committed == self.len {
            self.arena.release(self.offset);
        } else {
            self.arena.withdraw(self.offset);
        }
    }
}

// SAFETY: the chunk given out is memory of the range that nobody else uses, and what is said to be filled was there.
unsafe impl BufMut for Filling {
    fn remaining_mut(&self) -> usize {
        self.committed - self.filled
    }

    unsafe fn advance_mut(&mut self, count: usize) {
        assert!(count <= self.remaining_mut(), "within the range");
        self.filled += count;
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        let start = self.arena.mapping.at(self.offset + self.filled);
        // SAFETY: the range was handed out to `self`, is mapped for as long as it lives, and has memory so far.
        unsafe { UninitSlice::from_raw_parts_mut(start.as_ptr(), self.remaining_mut()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(filling: &mut Filling, count: usize, value: u8) -> usize {
        let mut left = count;
        while left > 0 && filling.make_room() && !filling.is_full() {
            let step = filling.remaining_mut().min(left);
            filling.put_bytes(value, step);
            left -= step;
        }
        count - left
    }

    #[test]
    fn memory_is_taken_as_it_is_filled() {
        let arena = Arena::create(1 << 30).expect("an arena");
        let mut filling = arena.reserve(900 << 20).expect("addresses");
        assert_eq!(arena.resident_bytes(), 0);
        assert_eq!(fill(&mut filling, 1000, 1), 1000);
        assert_eq!(arena.resident_bytes(), STEP_BYTES as u64);
        assert_eq!(fill(&mut filling, 20 << 20, 2), 20 << 20);
        assert!(arena.resident_bytes() <= 2 * (STEP_BYTES as u64 + (20 << 20)));
        assert_eq!(filling.to_vec()[999..1001], [1, 2]);
        drop(filling);
        assert_eq!((arena.resident_bytes(), arena.usage().allocated_bytes), (0, 0), "what lacks memory is not kept");
    }

    #[test]
    fn what_has_arrived_is_given_out_and_freed() {
        let arena = Arena::create(1 << 30).expect("an arena");
        for len in [70_000, STEP_BYTES, STEP_BYTES + 1, (20 << 20) + 12_345] {
            let mut filling = arena.reserve(len).expect("addresses");
            assert_eq!(fill(&mut filling, len + 5, 3), len, "not beyond the end");
            let bytes = filling.freeze();
            assert!(bytes.len() == len && bytes.iter().all(|byte| *byte == 3));
            drop(bytes);
            assert_eq!(arena.usage().allocated_bytes, 0);
        }
    }
}
