//! What a worker process inherits from its supervisor.

use kask_net::Arena;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use tracing::warn;

/// Share of the memory limit that freed memory of the arena may keep for the next buffers.
const RETAINED_SHARE: u64 = 16;

/// Takes over the memory file in which this process's large buffers will live. Called once, before any other thread could use
/// the descriptor.
pub(crate) fn take_arena(fd: RawFd, memory_limit_bytes: u64) {
    let arena = match own(fd).and_then(Arena::from_fd) {
        Ok(arena) => arena,
        Err(error) => {
            warn!(fd, %error, "the memory file of the supervisor cannot be used; buffers are copied");
            return;
        }
    };
    if memory_limit_bytes > 0 {
        let retained = (memory_limit_bytes / RETAINED_SHARE).min(kask_net::arena::RETAINED_BYTES);
        arena.set_retained_max(retained);
    }
    Arena::set_global(arena);
}

fn own(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: asks for the flags of a number; where it is no open descriptor, the call fails.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, and the supervisor handed it over for this process to own; nobody else here knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
