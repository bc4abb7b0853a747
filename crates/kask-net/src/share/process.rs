//! Who is at the other end of a Unix socket, and whether that process still lives.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

/// Linux 6.5; older systems do not know it, and are asked by process number.
const SO_PEERPIDFD: libc::c_int = 77;

/// The process at the other end of a socket.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) pid: i32,
    /// Becomes readable when the process ends.
    pub(crate) pidfd: OwnedFd,
}

/// Who connected, or listened, at the other end, if it is a process of the same user that this one can see.
pub(crate) fn peer_of(stream: &UnixStream) -> Option<Peer> {
    let credentials = stream.peer_cred().ok()?;
    let pid = credentials.pid().filter(|pid| *pid > 0)?;
    // SAFETY: no pointer is involved.
    if credentials.uid() != unsafe { libc::geteuid() } {
        return None;
    }
    let pidfd = socket_pidfd(stream).or_else(|| open_pidfd(pid))?;
    (!has_ended(&pidfd)).then_some(Peer { pid, pidfd })
}

fn socket_pidfd(stream: &UnixStream) -> Option<OwnedFd> {
    let mut fd: libc::c_int = -1;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `fd` and `size` outlive the call, and `size` says how large `fd` is.
    let result = unsafe {
        libc::getsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, SO_PEERPIDFD, (&raw mut fd).cast(), &raw mut size)
    };
    // SAFETY: the descriptor was made by the call and belongs to nobody else.
    (result == 0 && fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn open_pidfd(pid: i32) -> Option<OwnedFd> {
    // SAFETY: plain numbers go in, a result comes out.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: as above; the system closes it on exec.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether the process of a descriptor has ended.
pub(crate) fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut poll = libc::pollfd { fd: pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    loop {
        // SAFETY: one structure is passed, which outlives the call.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        if ready >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return ready > 0;
        }
    }
}

/// Something that becomes readable when the process of a descriptor ends; to be called in a tokio runtime.
pub(crate) fn watch(pidfd: Arc<OwnedFd>) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    // SAFETY: the descriptor stays open and the same for as long as the `Arc` that goes along.
    unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }.map_err(|error| error.into_parts().1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn the_end_of_a_process_is_seen() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("a child");
        let pidfd = open_pidfd(child.id() as i32).expect("a descriptor");
        assert!(!has_ended(&pidfd));
        drop(child.stdin.take());
        child.wait().expect("the child has ended");
        assert!(has_ended(&pidfd));
    }
}
