//! Memory files and their mappings: the only place where shared memory is touched through pointers.
//!
//! Invariants:
//! - a mapping lies within its file, whose size can never shrink (it is sealed), so that no access to it is beyond the
//!   end of the file;
//! - a mapping of somebody else's file is read-only;
//! - what a mapping shows at an address stays the same when its memory is replaced by a copy.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::num::NonZero;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};

/// Size and alignment of a huge page.
pub(crate) const HUGE_BYTES: usize = 2 << 20;

/// Not in every version of the C library's headers; older systems refuse the flag and get the call without it.
const MFD_NOEXEC_SEAL: libc::c_uint = 8;

/// What a mapping may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    ReadWrite,
    ReadOnly,
}

/// A file in memory of `len` bytes without any pages, which can neither shrink nor grow. Not inherited by programs that
/// this process executes.
pub(crate) fn create_file(len: usize) -> io::Result<OwnedFd> {
    let create = |flags| {
        // SAFETY: the name is a C string, and the result is checked.
        unsafe { libc::memfd_create(c"kask-arena".as_ptr(), flags) }
    };
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    let mut fd = create(flags | MFD_NOEXEC_SEAL);
    if fd < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) {
        fd = create(flags);
    }
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was made above and belongs to nobody else.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.set_len(len as u64)?;
    // SAFETY: plain numbers go in, a result comes out.
    let sealed = unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, libc::F_SEAL_SHRINK | libc::F_SEAL_GROW) };
    if sealed < 0 { Err(io::Error::last_os_error()) } else { Ok(file.into()) }
}

/// Whether a file's size is certain never to become smaller.
pub(crate) fn cannot_shrink(file: &File) -> bool {
    // SAFETY: plain numbers go in, a result comes out.
    let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
    seals >= 0 && seals & libc::F_SEAL_SHRINK != 0
}

/// Keeps a descriptor to this program.
pub(crate) fn set_close_on_exec(file: &File) -> io::Result<()> {
    // SAFETY: plain numbers go in, a result comes out.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The largest size and offset of a file that this process may write without being signalled.
pub(crate) fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the call.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    if result < 0 { u64::MAX } else { limit.rlim_cur }
}

/// Bytes of a page.
pub(crate) fn page_bytes() -> usize {
    // SAFETY: no pointer is involved.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(4096)
}

/// Bytes of memory of this machine.
pub(crate) fn machine_bytes() -> usize {
    // SAFETY: no pointer is involved.
    let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
    usize::try_from(pages).unwrap_or(1 << 18).saturating_mul(page_bytes())
}

/// Processors that this process may use.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, NonZero::get))
}

/// Gives memory to a range of a file, so that touching it cannot fail.
pub(crate) fn commit(file: &File, offset: usize, len: usize) -> io::Result<()> {
    allocate(file, 0, offset, len)
}

/// Takes the memory of a range of a file away; it reads as zeros then.
pub(crate) fn punch(file: &File, offset: usize, len: usize) -> io::Result<()> {
    allocate(file, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, offset, len)
}

fn allocate(file: &File, mode: libc::c_int, offset: usize, len: usize) -> io::Result<()> {
    loop {
        // SAFETY: plain numbers go in, a result comes out.
        let result = unsafe { libc::fallocate(file.as_raw_fd(), mode, offset as libc::off_t, len as libc::off_t) };
        if result == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// A range of a file in this process's memory.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping is an address and a length; whoever reads or writes through them answers for doing so.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of a file that cannot shrink, at an address that a huge page can have.
    pub(crate) fn new(file: &File, len: usize, access: Access) -> io::Result<Mapping> {
        let reserved = len.checked_add(HUGE_BYTES).ok_or(io::ErrorKind::InvalidInput)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new range of addresses is reserved; nothing that exists is touched.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), reserved, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let front = start.align_offset(HUGE_BYTES);
        let base = start.wrapping_byte_add(front);
        let protection = match access {
            Access::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
            Access::ReadOnly => libc::PROT_READ,
        };
        let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_NORESERVE;
        // SAFETY: the range lies in the one reserved above, which nobody else knows.
        let mapped = unsafe { libc::mmap(base, len, protection, flags, file.as_raw_fd(), 0) };
        if mapped == libc::MAP_FAILED {
            let error = io::Error::last_os_error();
            // SAFETY: as above.
            unsafe { libc::munmap(start, reserved) };
            return Err(error);
        }
        for (place, length) in [(start, front), (base.wrapping_byte_add(len), reserved - front - len)] {
            if length > 0 {
                // SAFETY: what was reserved before and after the mapping is given back.
                unsafe { libc::munmap(place, length) };
            }
        }
        for advice in [libc::MADV_DONTDUMP, libc::MADV_HUGEPAGE] {
            // SAFETY: advice on the range mapped above. Where the system does not know it, nothing is lost.
            unsafe { libc::madvise(base, len, advice) };
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { base, len })
    }

    /// Where a range begins in memory.
    pub(crate) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset <= self.len, "within the mapping");
        // SAFETY: the offset lies within the mapping or at its end.
        unsafe { self.base.add(offset) }
    }

    /// Where in the mapping an address lies.
    pub(crate) fn offset_of(&self, address: *const u8) -> Option<usize> {
        (address as usize).checked_sub(self.base.as_ptr() as usize).filter(|offset| *offset < self.len)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes of a range.
    ///
    /// # Safety
    /// Nobody writes to the range while the slice is in use. (A process that shares it may break its word; what it
    /// can do then is change the values that are read.)
    pub(crate) unsafe fn slice(&self, offset: usize, len: usize) -> &[u8] {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len), "within the mapping");
        // SAFETY: the range is mapped for as long as `self` lives; the caller keeps writers away.
        unsafe { std::slice::from_raw_parts(self.at(offset).as_ptr(), len) }
    }

    /// Replaces whole pages of a mapping for reading by a copy, which no longer depends on the file. Whoever reads them
    /// meanwhile sees the same bytes.
    pub(crate) fn make_own(&self, offset: usize, len: usize) -> io::Result<()> {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len), "within the mapping");
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new range of addresses is made; nothing that exists is touched.
        let copy = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
        if copy == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let place = self.at(offset).as_ptr();
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: both ranges are mapped, and nobody else knows the new one. It then takes the place of the old one in
        // one step of the system, which belongs to this mapping and holds the same bytes.
        let moved = unsafe {
            place.copy_to_nonoverlapping(copy.cast(), len);
            libc::mprotect(copy, len, libc::PROT_READ);
            libc::mremap(copy, len, len, flags, place.cast::<c_void>())
        };
        if moved == libc::MAP_FAILED {
            let error = io::Error::last_os_error();
            // SAFETY: the copy is still where it was made.
            unsafe { libc::munmap(copy, len) };
            return Err(error);
        }
        Ok(())
    }

    /// Gives whole pages of a mapping up; the addresses stay taken.
    ///
    /// # Safety
    /// Nobody reads the range any more.
    pub(crate) unsafe fn give_up(&self, offset: usize, len: usize) -> io::Result<()> {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len), "within the mapping");
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
        // SAFETY: the range belongs to this mapping, and the caller answers for its readers.
        let result = unsafe { libc::mmap(self.at(offset).as_ptr().cast(), len, libc::PROT_NONE, flags, -1, 0) };
        if result == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Copies a range to another one.
    ///
    /// # Safety
    /// The mapping is for writing, nobody writes to the first range, and nobody else uses the second one, which does
    /// not overlap it.
    pub(crate) unsafe fn copy_within(&self, from: usize, to: usize, len: usize) {
        assert!(from.max(to).checked_add(len).is_some_and(|end| end <= self.len), "within the mapping");
        // SAFETY: both ranges are mapped, and the caller answers for the rest.
        unsafe { self.at(to).copy_from_nonoverlapping(self.at(from), len) };
    }

    /// Has the pages of a range mapped for writing, those that are not there made: touching them cannot fail then. False where
    /// the system cannot do that, or has no memory.
    pub(crate) fn populate(&self, offset: usize, len: usize) -> bool {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len), "within the mapping");
        let start = offset / page_bytes() * page_bytes();
        // SAFETY: the range is mapped, and what it holds stays the same.
        unsafe { libc::madvise(self.at(start).as_ptr().cast(), offset + len - start, libc::MADV_POPULATE_WRITE) == 0 }
    }

    /// Copies bytes to a range.
    ///
    /// # Safety
    /// The mapping is for writing, and nobody else uses the range.
    pub(crate) unsafe fn fill(&self, offset: usize, bytes: &[u8]) {
        assert!(offset.checked_add(bytes.len()).is_some_and(|end| end <= self.len), "within the mapping");
        // SAFETY: the range is mapped, nobody else uses it, and so it does not overlap `bytes`.
        unsafe { self.at(offset).copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
    }

    /// Fills a range with zeros.
    ///
    /// # Safety
    /// The mapping is for writing, and nobody else uses the range.
    pub(crate) unsafe fn zero(&self, offset: usize, len: usize) {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len), "within the mapping");
        // SAFETY: the range is mapped, and nobody else uses it.
        unsafe { self.at(offset).write_bytes(0, len) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new`, and no slice of it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast::<c_void>(), self.len) };
    }
}

static FORKED_BASE: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
static FORKED_LEN: AtomicUsize = AtomicUsize::new(0);
static FORKED_FD: AtomicI32 = AtomicI32::new(-1);

/// From now on a forked child of this process has a view of its own of the mapping: it reads what was there, and what
/// it writes stays with it, as with the rest of its memory. For one mapping that lives as long as the process.
pub(crate) fn make_private_in_children(mapping: &Mapping, file: &File) {
    FORKED_LEN.store(mapping.len, Ordering::Relaxed);
    FORKED_FD.store(file.as_raw_fd(), Ordering::Relaxed);
    FORKED_BASE.store(mapping.base.as_ptr().cast(), Ordering::Release);
    // SAFETY: the handler makes one system call, which is allowed in a forked child.
    unsafe { libc::pthread_atfork(None, None, Some(remap_in_child)) };
}

extern "C" fn remap_in_child() {
    let base = FORKED_BASE.load(Ordering::Acquire);
    let (len, fd) = (FORKED_LEN.load(Ordering::Relaxed), FORKED_FD.load(Ordering::Relaxed));
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE;
    // SAFETY: replaces the whole mapping by one of the same file and size. If the system refuses, the child keeps the
    // one it has.
    unsafe { libc::mmap(base, len, protection, flags, fd, 0) };
}
