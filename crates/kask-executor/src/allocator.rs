//! The global allocator of Kask's processes: the system's, but large blocks have mappings of their own.
//!
//! Tables and messages grow to megabytes while much work is under way and are freed soon after. The C library takes the first
//! large block that is freed as a sign to put the next ones among the small ones (its *dynamic mmap threshold*), where what is
//! small and lives on keeps their room from being returned or used again as a whole, in each of its arenas. A block
//! with a mapping of its own leaves nothing behind, and grows without being copied. Told to the C library
//! (`mallopt`), the same would slow the user's own arrays down; this is for Kask's blocks alone.
//!
//! Invariant: a mapped block begins [`OFFSET`] bytes into its first page; a large block of the system's (there are
//! [`MAPPINGS_MAX`] mappings already, or the kernel refuses one more) begins with a page. So its address says which a block is.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

/// From this size on a block is large.
const LARGE_BYTES: usize = 256 << 10;
/// The smallest page that there is: what lengths are rounded up to, and what the system's large blocks are aligned to.
const PAGE_BYTES: usize = 4096;
/// Where a block begins in its mapping; also the largest alignment that is served.
const OFFSET: usize = 64;
/// The kernel allows a process some 65,000 mappings, and others want some as well.
const MAPPINGS_MAX: usize = 8192;

/// See the module.
pub struct Allocator {
    mappings: AtomicUsize,
}

impl Allocator {
    /// One without any blocks.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a process has one, in a static")]
    pub const fn new() -> Allocator {
        Allocator { mappings: AtomicUsize::new(0) }
    }

    /// Zeroed memory of its own, or nothing.
    fn map(&self, bytes: usize) -> Option<*mut u8> {
        let whole = mapping_bytes(bytes)?;
        if self.mappings.fetch_add(1, Ordering::Relaxed) < MAPPINGS_MAX {
            let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            // SAFETY: a new mapping, at a place that the kernel chooses.
            let start = unsafe { libc::mmap(null_mut(), whole, access, kind, -1, 0) };
            if start != libc::MAP_FAILED {
                // SAFETY: the mapping is larger than `OFFSET`.
                return Some(unsafe { start.cast::<u8>().add(OFFSET) });
            }
        }
        self.mappings.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// Gives a mapped block of `bytes` back.
    ///
    /// # Safety
    /// The block is mapped, and nobody uses it from now on.
    unsafe fn unmap(&self, block: *mut u8, bytes: usize) {
        let whole = mapping_bytes(bytes).expect("it was mapped with this size");
        // SAFETY: where `map` or `remap` put the block's mapping.
        let start = unsafe { block.sub(OFFSET) }.cast::<c_void>();
        // SAFETY: the mapping is the block's alone, and the caller gives the block up.
        if unsafe { libc::munmap(start, whole) } != 0 {
            // To cut a hole into merged mappings may take one too many. The addresses are lost then, the memory is not.
            // SAFETY: as above.
            unsafe { libc::madvise(start, whole, libc::MADV_DONTNEED) };
        }
        self.mappings.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A mapped block with another size, its contents kept, or nothing and the block as it was.
///
/// # Safety
/// The block is mapped with `old` bytes, and nobody uses it by its old address from now on.
unsafe fn remap(block: *mut u8, old: usize, new: usize) -> Option<*mut u8> {
    let (old, new) = (mapping_bytes(old)?, mapping_bytes(new)?);
    if old == new {
        return Some(block);
    }
    // SAFETY: the block's whole mapping, which is the block's alone.
    let start = unsafe { libc::mremap(block.sub(OFFSET).cast(), old, new, libc::MREMAP_MAYMOVE) };
    // SAFETY: the mapping is larger than `OFFSET`.
    (start != libc::MAP_FAILED).then(|| unsafe { start.cast::<u8>().add(OFFSET) })
}

/// Has the C library make no more arenas than a worker has runners, in a process that is the worker's alone.
///
/// A task's small blocks pass from the network thread to a runner and back; each arena keeps room for the most that ever came
/// its way. What `MALLOC_ARENA_MAX` says in the environment goes before.
pub(crate) fn limit_arenas(runners: u32) {
    #[cfg(target_env = "gnu")]
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        let arenas = libc::c_int::try_from(runners.max(1)).unwrap_or(libc::c_int::MAX);
        // SAFETY: plain numbers go in.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, arenas) };
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = runners;
}

fn mapping_bytes(bytes: usize) -> Option<usize> {
    bytes.checked_add(OFFSET)?.checked_next_multiple_of(PAGE_BYTES)
}

fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE_BYTES && layout.align() <= OFFSET
}

fn is_mapped(block: *mut u8) -> bool {
    block.addr() % PAGE_BYTES == OFFSET
}

/// What a large block is asked of the system with.
fn aligned_to_page(layout: Layout) -> Layout {
    Layout::from_size_align(layout.size(), PAGE_BYTES).expect("no block is nearly as large as the address space")
}

// SAFETY: a block is given back to where it came from, which its size and its address say; mapped blocks are apart from all
// others, and begin with a multiple of `OFFSET`, the largest alignment of large blocks.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are handed on; so in all that follows.
        unsafe {
            match is_large(layout) {
                true => self.map(layout.size()).unwrap_or_else(|| System.alloc(aligned_to_page(layout))),
                false => System.alloc(layout),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: see `alloc`.
        unsafe {
            match is_large(layout) {
                true => self.map(layout.size()).unwrap_or_else(|| System.alloc_zeroed(aligned_to_page(layout))),
                false => System.alloc_zeroed(layout),
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: see `alloc`.
        unsafe {
            match (is_large(layout), is_mapped(block)) {
                (true, true) => self.unmap(block, layout.size()),
                (true, false) => System.dealloc(block, aligned_to_page(layout)),
                (false, _) => System.dealloc(block, layout),
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that this is a layout.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: see `alloc`.
        unsafe {
            match (is_large(layout), is_large(new_layout)) {
                (false, false) => return System.realloc(block, layout, new_size),
                (true, true) if is_mapped(block) => {
                    if let Some(moved) = remap(block, layout.size(), new_size) {
                        return moved;
                    }
                }
                (true | false, true) | (true, false) => {}
            }
            let moved = self.alloc(new_layout);
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block that knows what is in it.
    struct Block {
        start: *mut u8,
        layout: Layout,
    }

    impl Block {
        fn new(allocator: &Allocator, bytes: usize, align: usize) -> Block {
            let layout = Layout::from_size_align(bytes, align).expect("small enough");
            // SAFETY: it has a size.
            let start = unsafe { allocator.alloc_zeroed(layout) };
            assert!(!start.is_null() && start.addr().is_multiple_of(align));
            let block = Block { start, layout };
            assert!(block.bytes().iter().all(|&byte| byte == 0));
            block.bytes().iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8);
            block
        }

        #[expect(clippy::mut_from_ref, reason = "one at a time, in these tests")]
        fn bytes(&self) -> &mut [u8] {
            // SAFETY: zeroed by `new` or written by it, and large enough.
            unsafe { std::slice::from_raw_parts_mut(self.start, self.layout.size()) }
        }

        fn resize(&mut self, allocator: &Allocator, bytes: usize) {
            let kept = bytes.min(self.layout.size());
            // SAFETY: the block is the allocator's, and the size a small one.
            self.start = unsafe { allocator.realloc(self.start, self.layout, bytes) };
            assert!(!self.start.is_null());
            self.layout = Layout::from_size_align(bytes, self.layout.align()).expect("small enough");
            assert!(self.bytes()[..kept].iter().enumerate().all(|(at, &byte)| byte == at as u8), "{bytes} bytes");
            self.bytes().iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8);
        }

        fn free(self, allocator: &Allocator) {
            // SAFETY: the block is the allocator's.
            unsafe { allocator.dealloc(self.start, self.layout) }
        }
    }

    fn mappings(allocator: &Allocator) -> usize {
        allocator.mappings.load(Ordering::Relaxed)
    }

    #[test]
    fn blocks_keep_their_contents_whatever_they_become() {
        let allocator = Allocator::new();
        for align in [1, 8, 64, 128, 8192] {
            let mut block = Block::new(&allocator, 1000, align);
            for bytes in [LARGE_BYTES - 1, LARGE_BYTES, LARGE_BYTES + 1, 5 << 20, 40 << 20, 3 << 20, LARGE_BYTES, 17] {
                block.resize(&allocator, bytes);
                let is_apart = bytes >= LARGE_BYTES && align <= OFFSET;
                assert_eq!(mappings(&allocator), usize::from(is_apart), "{bytes} bytes aligned to {align}");
            }
            block.free(&allocator);
        }
    }

    #[test]
    fn there_are_only_so_many_mappings() {
        let allocator = Allocator::new();
        let mut first = Block::new(&allocator, LARGE_BYTES, 8);
        allocator.mappings.store(MAPPINGS_MAX, Ordering::Relaxed);
        let mut second = Block::new(&allocator, LARGE_BYTES, 8);
        assert!(is_mapped(first.start) && !is_mapped(second.start));
        for bytes in [2 << 20, LARGE_BYTES] {
            first.resize(&allocator, bytes);
            second.resize(&allocator, bytes);
            assert!(is_mapped(first.start) && !is_mapped(second.start));
        }
        assert_eq!(mappings(&allocator), MAPPINGS_MAX);
        second.free(&allocator);
        first.free(&allocator);
        assert_eq!(mappings(&allocator), MAPPINGS_MAX - 1);
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        let allocator = Allocator::new();
        let layout = Layout::from_size_align(1 << 60, 8).expect("a layout");
        // SAFETY: it has a size.
        assert!(unsafe { allocator.alloc(layout) }.is_null());
        assert_eq!(mappings(&allocator), 0);
    }
}
