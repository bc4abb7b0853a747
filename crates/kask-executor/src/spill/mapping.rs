//! Memory that comes straight from the operating system: mapped files, and buffers that start at a page.
//!
//! The only module of the spill folder with `unsafe` code.

use bytes::Bytes;
use rustix::mm::{self, Advice, MapFlags, ProtFlags};
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ptr::NonNull;

/// What files and memory are aligned to.
pub(super) const PAGE: usize = 4096;

/// Private, writable memory: a mapped file or a zeroed buffer.
pub(super) struct Mapping {
    start: NonNull<u8>,
    len: usize,
    /// Whether it is of a file.
    is_file: bool,
}

// SAFETY: the memory belongs to this value alone, as that of a `Box<[u8]>` does.
unsafe impl Send for Mapping {}
// SAFETY: shared references only read.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of `file` from `offset` on, a multiple of [`PAGE`]. Writing to them does not change the file. The
    /// caller has made sure that the file is that long; spill files are never shortened.
    pub(super) fn of_file(file: &File, offset: u64, len: usize) -> io::Result<Mapping> {
        debug_assert!(len > 0 && offset.is_multiple_of(PAGE as u64));
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses an address that nothing else uses; the mapping is private, and ends with this value.
        let start = unsafe { mm::mmap(std::ptr::null_mut(), len, protection, MapFlags::PRIVATE, file, offset) }?;
        Ok(Mapping::new(start, len, true))
    }

    /// Zeroed memory of its own.
    pub(super) fn zeroed(len: usize) -> io::Result<Mapping> {
        let len = len.max(1);
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: as above, without a file.
        let start = unsafe { mm::mmap_anonymous(std::ptr::null_mut(), len, protection, MapFlags::PRIVATE) }?;
        let mapping = Mapping::new(start, len, false);
        mapping.advise(Advice::LinuxHugepage);
        Ok(mapping)
    }

    fn new(start: *mut c_void, len: usize, is_file: bool) -> Mapping {
        Mapping { start: NonNull::new(start.cast()).expect("a successful mmap gives an address"), len, is_file }
    }

    /// Tells the kernel that the memory will be read from start to end.
    pub(super) fn sequential(&self) {
        self.advise(Advice::Sequential);
    }

    /// Tells the kernel that it will be read in any order from now on.
    pub(super) fn any_order(&self) {
        self.advise(Advice::Normal);
    }

    fn advise(&self, advice: Advice) {
        // SAFETY: the range is this mapping, and none of these hints changes what it holds.
        let _ = unsafe { mm::madvise(self.start.as_ptr().cast(), self.len, advice) };
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        // SAFETY: the mapping is `len` readable bytes and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is `len` writable bytes, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.is_file {
            // Else all that was ever read back stays in the page cache, beside what the limit allows; and each value takes memory that
            // nobody has used yet, which virtual machines are slow to give (read back at 0.5 instead of 2 GB/s).
            self.advise(Advice::LinuxPageOut);
        }
        // SAFETY: the range was mapped by this value, and no reference to it outlives it.
        let _ = unsafe { mm::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Has the kernel write a range of `file` to disk now; with `wait`, until that is done, and then forgets the pages.
///
/// Where the file system knows no such thing it writes back in its own time.
pub(super) fn write_back(file: &File, offset: u64, len: u64, wait: bool) -> io::Result<()> {
    use rustix::fd::AsRawFd;
    let flags = match wait {
        false => libc::SYNC_FILE_RANGE_WRITE,
        true => libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER,
    };
    // SAFETY: a call with plain numbers and a descriptor that is open as long as `file` is borrowed.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), offset as i64, len as i64, flags) };
    if result != 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::EIO | libc::ENOSPC | libc::EDQUOT) => Err(error),
            _ => Ok(()),
        };
    }
    if wait {
        let _ = rustix::fs::fadvise(file, offset, std::num::NonZero::new(len), rustix::fs::Advice::DontNeed);
    }
    Ok(())
}
