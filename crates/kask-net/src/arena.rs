//! The arena of a process: one large, sparse file in memory, in which buffers lie that other processes of this machine
//! may map instead of being sent a copy.
//!
//! The process that made it maps it for writing and hands out ranges of whole pages; a peer maps the whole file once,
//! read-only, and is then told offsets (see `share.rs`). Freed ranges keep their memory for reuse up to a bound, since
//! memory that the system has to find and clear costs five to ten times as much to fill; beyond that it is given back.
//!
//! Invariants:
//! - what is handed out has memory behind it (or the system promises it at first touch): where there is none, the
//!   answer is `None`, and the caller uses ordinary memory;
//! - nothing is handed out or freed in a forked child, which shares the file with its parent.
//!
//! Start with [`Arena::allocate`] and [`Arena::put`]; which pages are free is in `arena/allocator.rs`, what touches
//! memory in `arena/memory.rs`.

mod allocator;
pub(crate) mod filling;
pub(crate) mod memory;
mod trim;
mod writing;

use crate::fork;
use allocator::{Allocator, Freed, Pages};
use bytes::Bytes;
use memory::{Access, HUGE_BYTES, Mapping};
use parking_lot::Mutex;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

/// How much freed memory is kept for reuse unless [`Arena::set_retained_max`] says otherwise.
pub const RETAINED_BYTES: u64 = 256 << 20;
/// Small requests take so much at a time from the system.
const EXTENT_BYTES: usize = 2 << 20;
/// Zeroed memory beyond this size gets its pages at first touch, since much of it may never be touched.
const LAZY_ZERO_BYTES: usize = 256 << 20;
/// The smallest arena that is worth having.
const CAPACITY_MIN_BYTES: usize = 64 << 20;
/// A file of 4 KiB pages that 32-bit page numbers can count.
const CAPACITY_MAX_BYTES: usize = 8 << 40;
/// Beyond this size an arena is not much larger than the machine's memory: every local peer maps it, and addresses are
/// not without end.
const CAPACITY_AMPLE_BYTES: usize = 1 << 40;

static GLOBAL: OnceLock<Arc<Arena>> = OnceLock::new();

/// How an arena is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes handed out.
    pub allocated_bytes: u64,
    /// Bytes that are free and still resident.
    pub retained_bytes: u64,
    /// Bytes that could be handed out in all.
    pub capacity_bytes: u64,
}

/// Where an arena's file is found by another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) fd: i32,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) capacity: u64,
}

/// A file in memory whose ranges are handed out.
#[derive(Debug)]
pub struct Arena {
    mapping: Mapping,
    file: File,
    place: Place,
    page: usize,
    /// Pages that large ranges are aligned to.
    align: u32,
    /// Whether memory may be promised at first touch.
    is_lazy: bool,
    /// Which process this is, counted in forks.
    generation: u32,
    retained_max: AtomicU64,
    state: Mutex<Allocator>,
    /// Held by whoever gives memory back. It is in no set of pages meanwhile, and is still there.
    trimming: Mutex<()>,
    trimmer: OnceLock<Thread>,
}

/// A range and whether it has memory already.
#[derive(Clone, Copy)]
struct Range {
    offset: usize,
    is_warm: bool,
}

/// The capacity of an arena whose user has no wish: as a rule four times the memory of the machine, of which nothing is
/// used before it is handed out.
pub fn default_capacity() -> usize {
    let memory = memory::machine_bytes();
    let ample = CAPACITY_AMPLE_BYTES.max(memory.saturating_mul(2));
    memory.saturating_mul(4).min(ample).clamp(CAPACITY_MIN_BYTES, CAPACITY_MAX_BYTES)
}

/// A file for [`Arena::from_fd`], made by a supervisor that keeps a descriptor of its own to see how much memory the
/// worker's arena has ([`resident_bytes`]). Closed on exec; hand it on deliberately, and make a new one for each
/// process.
///
/// # Errors
/// When the system knows no files in memory.
pub fn create_file(capacity: usize) -> io::Result<OwnedFd> {
    let limit = usize::try_from(memory::file_size_limit()).unwrap_or(usize::MAX);
    let capacity = capacity.clamp(CAPACITY_MIN_BYTES, CAPACITY_MAX_BYTES).next_multiple_of(HUGE_BYTES);
    if limit < CAPACITY_MIN_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "the limit of file sizes of this process (ulimit -f) is too small for shared memory",
        ));
    }
    memory::create_file(capacity.min(limit / HUGE_BYTES * HUGE_BYTES))
}

/// Bytes of memory behind an arena's file, for whoever holds a descriptor of it.
///
/// # Errors
/// When the descriptor is not a file's.
pub fn resident_bytes(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(File::from(fd.try_clone_to_owned()?).metadata()?.blocks() * 512)
}

impl Arena {
    /// An arena of its own file, for `capacity` bytes (at least 64 MiB).
    ///
    /// # Errors
    /// When the system has no files in memory or refuses so many addresses.
    pub fn create(capacity: usize) -> io::Result<Arc<Arena>> {
        Arena::from_fd(create_file(capacity)?)
    }

    /// An arena in a file of [`create_file`] that nobody has used yet.
    ///
    /// # Errors
    /// When the descriptor is something else, or the system refuses so many addresses.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Arc<Arena>> {
        let file = File::from(fd);
        let metadata = file.metadata()?;
        let unusable = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
        if !metadata.is_file() || metadata.len() == 0 || !memory::cannot_shrink(&file) {
            return Err(unusable("the descriptor given is not an arena's file"));
        }
        if metadata.blocks() > 0 {
            return Err(unusable("the arena's file is in use; every process needs a new one"));
        }
        memory::set_close_on_exec(&file)?;
        let (page, size) = (memory::page_bytes(), metadata.len() as usize);
        let mapping = map_what_is_allowed(&file, size.min(CAPACITY_MAX_BYTES))?;
        let capacity = mapping.len();
        let place =
            Place { fd: file.as_raw_fd(), device: metadata.dev(), inode: metadata.ino(), capacity: capacity as u64 };
        let pages = u32::try_from(capacity / page).expect("the capacity is bounded");
        Ok(Arc::new(Arena {
            mapping,
            file,
            place,
            page,
            align: if has_huge_pages() { (HUGE_BYTES / page) as u32 } else { 1 },
            is_lazy: !is_overcommit_strict(),
            generation: fork::generation(),
            retained_max: AtomicU64::new(RETAINED_BYTES),
            trimming: Mutex::new(()),
            state: Mutex::new(Allocator::new(pages)),
            trimmer: OnceLock::new(),
        }))
    }

    /// The arena of this process, if it has one.
    pub fn global() -> Option<&'static Arc<Arena>> {
        GLOBAL.get()
    }

    /// Makes an arena that of this process, for as long as it lives. Whether it was the first.
    pub fn set_global(arena: Arc<Arena>) -> bool {
        let is_first = GLOBAL.set(arena.clone()).is_ok();
        if is_first {
            memory::make_private_in_children(&arena.mapping, &arena.file);
        }
        is_first
    }

    /// The arena of this process, made now if it has none. `None` where the system has no files in memory, and in a
    /// forked child of a process that has one.
    pub fn global_or_create() -> Option<&'static Arc<Arena>> {
        if GLOBAL.get().is_none() {
            match Arena::create(default_capacity()) {
                Ok(arena) => drop(Arena::set_global(arena)),
                Err(error) => tracing::debug!(%error, "no shared memory here"),
            }
        }
        GLOBAL.get().filter(|arena| arena.is_usable())
    }

    /// Whether this process may take memory from it: a forked child may not.
    pub fn is_usable(&self) -> bool {
        self.generation == fork::generation()
    }

    /// Memory of at least `len` bytes, aligned to pages; `None` when there is none, and then ordinary memory will do.
    ///
    /// Any thread may call it. It takes well under a microsecond when freed memory of the size is at hand.
    pub fn allocate(self: &Arc<Self>, len: usize, zeroed: bool) -> Option<NonNull<u8>> {
        let is_promise = zeroed && self.is_lazy && len > LAZY_ZERO_BYTES;
        let range = self.take(len, !is_promise)?;
        if zeroed && range.is_warm {
            // SAFETY: the range was handed out just now, and nobody else knows it.
            unsafe { self.mapping.zero(range.offset, len) };
        } else if is_promise {
            self.state.lock().promise(self.page_of(range.offset));
        }
        Some(self.mapping.at(range.offset))
    }

    /// Frees what [`Arena::allocate`] or [`Arena::reallocate`] gave out. In a forked child nothing happens.
    ///
    /// # Safety
    /// Nobody uses the memory any more.
    pub unsafe fn free(self: &Arc<Self>, memory: NonNull<u8>) {
        if let Some(offset) = self.mapping.offset_of(memory.as_ptr()) {
            self.release(offset);
        }
    }

    /// As the C function: the contents go along. `None` when there is no memory, and then the old memory is as it was.
    ///
    /// # Safety
    /// `memory` is from this arena, not freed, and not used by anybody else.
    pub unsafe fn reallocate(self: &Arc<Self>, memory: NonNull<u8>, len: usize) -> Option<NonNull<u8>> {
        let (offset, had) = (self.mapping.offset_of(memory.as_ptr())?, self.size_of(memory)?);
        if len > had {
            let range = self.take(len, true)?;
            // SAFETY: the caller keeps others away from the old range, and nobody else knows the new one.
            unsafe { self.mapping.copy_within(offset, range.offset, had) };
            self.release(offset);
            return Some(self.mapping.at(range.offset));
        }
        if self.is_usable() && len > 0 {
            self.state.lock().shrink(self.page_of(offset), self.pages_for(len)?);
        }
        Some(memory)
    }

    /// Whether an address lies in this arena (also in a forked child, where the memory may be read).
    pub fn contains(&self, memory: *const u8) -> bool {
        self.mapping.offset_of(memory).is_some()
    }

    /// How many bytes there are for whoever was given `memory`.
    pub fn size_of(&self, memory: NonNull<u8>) -> Option<usize> {
        let offset = self.mapping.offset_of(memory.as_ptr())?;
        if !self.is_usable() || !offset.is_multiple_of(self.page) {
            return None;
        }
        let pages = self.state.lock().size_of(self.page_of(offset))?;
        Some(pages as usize * self.page)
    }

    /// Copies `parts`, one after another, to memory that is freed with the last clone of the result. `None` when there
    /// is no memory for it.
    pub fn put(self: &Arc<Self>, parts: &[&[u8]]) -> Option<Bytes> {
        let len = parts.iter().try_fold(0usize, |sum, part| sum.checked_add(part.len()))?;
        let range = self.take(len, false)?;
        if let Err(error) = self.write(range.offset, parts) {
            tracing::debug!(%error, len, "no memory for the arena");
            self.withdraw(range.offset);
            return None;
        }
        Some(Bytes::from_owner(ArenaSlice { arena: self.clone(), offset: range.offset, len }))
    }

    /// Where in the arena some bytes lie: offset and length.
    pub fn locate(&self, bytes: &[u8]) -> Option<(u64, u64)> {
        let offset = self.mapping.offset_of(bytes.as_ptr())?;
        (bytes.len() <= self.mapping.len() - offset).then_some((offset as u64, bytes.len() as u64))
    }

    /// The allocation in which some bytes lie: offset and length.
    pub(crate) fn allocation_of(&self, bytes: &[u8]) -> Option<(u64, u64)> {
        let (offset, _) = self.locate(bytes)?;
        if !self.is_usable() {
            return None;
        }
        let pages = self.state.lock().containing(self.page_of(offset as usize))?;
        let (offset, len) = self.bytes_of(pages);
        Some((offset as u64, len as u64))
    }

    /// How much is used.
    pub fn usage(&self) -> Usage {
        let capacity_bytes = self.mapping.len() as u64;
        if !self.is_usable() {
            return Usage { allocated_bytes: 0, retained_bytes: 0, capacity_bytes };
        }
        let state = self.state.lock();
        let page = self.page as u64;
        Usage { allocated_bytes: state.taken_pages() * page, retained_bytes: state.warm_pages() * page, capacity_bytes }
    }

    /// Bytes of memory behind the arena, as the system counts them.
    pub fn resident_bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.blocks() * 512)
    }

    /// How much freed memory is kept for reuse.
    pub fn set_retained_max(self: &Arc<Self>, bytes: u64) {
        self.retained_max.store(bytes, Ordering::Relaxed);
        if self.is_usable() {
            self.trim();
        }
    }

    /// A descriptor of the arena's file.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    fn page_of(&self, offset: usize) -> u32 {
        u32::try_from(offset / self.page).expect("the capacity is bounded")
    }

    fn pages_for(&self, len: usize) -> Option<u32> {
        u32::try_from(len.div_ceil(self.page)).ok()
    }

    fn bytes_of(&self, pages: Pages) -> (usize, usize) {
        (pages.start as usize * self.page, pages.count as usize * self.page)
    }

    /// Takes a range, with memory behind it if `commit`.
    fn take(self: &Arc<Self>, len: usize, commit: bool) -> Option<Range> {
        if len == 0 || !self.is_usable() {
            return None;
        }
        let count = self.pages_for(len)?;
        let align = if len >= HUGE_BYTES { self.align } else { 1 };
        let pages = {
            let mut state = self.state.lock();
            if let Some(start) = state.take_warm(count, align) {
                return Some(Range { offset: start as usize * self.page, is_warm: true });
            }
            let wanted = if len < EXTENT_BYTES && commit { (EXTENT_BYTES / self.page) as u32 } else { count };
            state.take_cold(count, wanted, align)?
        };
        // What is kept for reuse, or is just being given back, must not add to what is about to be taken.
        self.trim();
        if commit {
            let (offset, len) = self.bytes_of(pages);
            if let Err(error) = memory::commit(&self.file, offset, len) {
                tracing::debug!(%error, len, "no memory for the arena");
                self.give_back(pages);
                return None;
            }
        }
        self.state.lock().committed(pages, count);
        Some(Range { offset: pages.start as usize * self.page, is_warm: false })
    }

    /// Frees the range that begins at `offset`.
    fn release(self: &Arc<Self>, offset: usize) {
        if !self.is_usable() || !offset.is_multiple_of(self.page) {
            return;
        }
        let (freed, is_too_much) = {
            let mut state = self.state.lock();
            (state.free(self.page_of(offset)), state.warm_pages() > self.retained_pages())
        };
        debug_assert!(freed.is_some(), "freed what was not taken");
        if let Some(Freed::Underway(pages)) = freed {
            self.give_back(pages);
        }
        if is_too_much {
            match self.trimmer.get() {
                Some(trimmer) => trimmer.unpark(),
                None => self.start_trimmer(),
            }
        }
    }

    /// Frees a range whose memory was promised and may not be there.
    fn withdraw(&self, offset: usize) {
        let pages = self.state.lock().withdraw(self.page_of(offset));
        if let Some(pages) = pages {
            self.give_back(pages);
        }
    }
}

/// A range that [`Arena::put`] has filled.
struct ArenaSlice {
    arena: Arc<Arena>,
    offset: usize,
    len: usize,
}

impl AsRef<[u8]> for ArenaSlice {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the range was written before, and is freed only when this is dropped.
        unsafe { self.arena.mapping.slice(self.offset, self.len) }
    }
}

impl Drop for ArenaSlice {
    fn drop(&mut self) {
        self.arena.release(self.offset);
    }
}

/// Maps as much of the file as this process's limit of addresses allows.
fn map_what_is_allowed(file: &File, size: usize) -> io::Result<Mapping> {
    let mut len = size / HUGE_BYTES * HUGE_BYTES;
    loop {
        match Mapping::new(file, len, Access::ReadWrite) {
            Err(_) if len / 2 >= CAPACITY_MIN_BYTES => len = len / 2 / HUGE_BYTES * HUGE_BYTES,
            result => return result,
        }
    }
}

/// Whether files in memory may have huge pages on this machine.
fn has_huge_pages() -> bool {
    let setting = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/shmem_enabled").unwrap_or_default();
    ["[always]", "[within_size]", "[advise]", "[force]"].iter().any(|chosen| setting.contains(chosen))
}

/// Whether the system refuses memory that it may not have, so that a first touch could fail.
fn is_overcommit_strict() -> bool {
    std::fs::read_to_string("/proc/sys/vm/overcommit_memory").is_ok_and(|setting| setting.trim() == "2")
}

#[cfg(test)]
mod tests;
