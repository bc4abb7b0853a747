//! Memory that parts are written to: of this process's arena where there is one, because other processes of the machine map
//! it and its pages are used again; otherwise the allocator's.
//!
//! The `unsafe` here owns one range of the arena: written through `&mut self` until it is frozen, read-only ever after, freed
//! once.

use bytes::Bytes;
use kask_kernels::PART_ALIGNMENT;
use kask_net::Arena;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

/// Less than this travels as a copy in any case.
const ARENA_MIN_BYTES: usize = 64 << 10;

/// Memory that is being written.
pub enum PartMemory {
    /// A range of the arena.
    Arena(ArenaRange),
    /// Of the allocator: aligned from the offset on.
    Heap(Vec<u8>, usize),
}

impl PartMemory {
    /// So many bytes, aligned for parts, of any content.
    pub fn new(len: usize) -> PartMemory {
        if len >= ARENA_MIN_BYTES
            && let Some(arena) = Arena::global()
            && let Some(start) = arena.allocate(len, false)
        {
            return PartMemory::Arena(ArenaRange { arena: arena.clone(), start, len });
        }
        let memory = vec![0; len + PART_ALIGNMENT];
        let start = memory.as_ptr().align_offset(PART_ALIGNMENT);
        PartMemory::Heap(memory, start)
    }

    /// Ranges of it, which are freed together with the last of them.
    pub fn slices(self, ranges: impl Iterator<Item = Range<usize>>) -> Vec<Bytes> {
        let (bytes, start) = match self {
            PartMemory::Arena(range) => (Bytes::from_owner(range), 0),
            PartMemory::Heap(memory, start) => (Bytes::from(memory), start),
        };
        ranges.map(|range| bytes.slice(start + range.start..start + range.end)).collect()
    }
}

impl AsMut<[u8]> for PartMemory {
    fn as_mut(&mut self) -> &mut [u8] {
        match self {
            PartMemory::Arena(range) => range.as_mut(),
            PartMemory::Heap(memory, start) => {
                let end = memory.len() - PART_ALIGNMENT + *start;
                &mut memory[*start..end]
            }
        }
    }
}

/// A range of the arena that belongs to one owner.
pub struct ArenaRange {
    arena: Arc<Arena>,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the range is nobody else's, and the arena may be used from any thread.
unsafe impl Send for ArenaRange {}
// SAFETY: shared references only read.
unsafe impl Sync for ArenaRange {}

impl ArenaRange {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: the arena gave these bytes to `self` alone; they are mapped memory of a file, so never uninitialised.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for ArenaRange {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: as above; nobody writes while this is borrowed.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for ArenaRange {
    fn drop(&mut self) {
        // SAFETY: `start` came from this arena, and is freed here alone.
        unsafe { self.arena.free(self.start) }
    }
}
