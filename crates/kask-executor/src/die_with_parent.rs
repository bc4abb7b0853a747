//! The system calls by which a supervisor holds on to its processes: they die with it, inherit what it hands on, and are
//! killed by a handle that can never mean another process.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::process::Command;

/// Has the kernel kill the child when the thread that starts it ends: no worker outlives a supervisor that was killed.
/// That thread is the network thread, which lives as long as the process. The child inherits `handed_on` under the same
/// number.
#[cfg(target_os = "linux")]
pub(crate) fn prepare(command: &mut Command, handed_on: Option<RawFd>) {
    // SAFETY: between fork and exec only prctl and fcntl are called, which are async-signal-safe and touch no memory of
    // ours; clearing the flag in the child leaves the parent's descriptor as it is.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == -1 {
                return Err(io::Error::last_os_error());
            }
            if let Some(fd) = handed_on
                && libc::fcntl(fd, libc::F_SETFD, 0) == -1
            {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// Elsewhere the end of the connection to the scheduler has to do.
#[cfg(not(target_os = "linux"))]
pub(crate) fn prepare(_: &mut Command, _: Option<RawFd>) {}

/// A child process that is killed through its handle.
#[derive(Debug)]
pub(crate) struct ProcessHandle {
    pid: u32,
    /// Names the process also after its number has been given to another one; absent before Linux 5.3.
    pidfd: Option<OwnedFd>,
    killed: AtomicBool,
}

impl ProcessHandle {
    /// A handle for a child that has not been waited for.
    pub(crate) fn of_child(pid: u32) -> ProcessHandle {
        ProcessHandle { pid, pidfd: open_pidfd(pid), killed: AtomicBool::new(false) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Ends the process at once, also one that is stopped.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        match &self.pidfd {
            Some(pidfd) => signal_pidfd(pidfd.as_fd()),
            None => signal_pid(self.pid),
        }
    }

    /// Whether [`ProcessHandle::kill`] was called.
    pub(crate) fn was_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }
}

#[cfg(target_os = "linux")]
fn open_pidfd(pid: u32) -> Option<OwnedFd> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    // SAFETY: takes two numbers and gives a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: the descriptor is new and belongs to nobody else.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(not(target_os = "linux"))]
fn open_pidfd(_: u32) -> Option<OwnedFd> {
    None
}

#[cfg(target_os = "linux")]
fn signal_pidfd(pidfd: BorrowedFd<'_>) {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open while it is borrowed; without an info nothing is read or written. That the process
    // has ended already is as good.
    unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, no_info, 0);
    }
}

#[cfg(not(target_os = "linux"))]
fn signal_pidfd(_: BorrowedFd<'_>) {}

fn signal_pid(pid: u32) {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return };
    // SAFETY: kill has no memory effects. Its owner drops the handle when it has waited for the child, so the number is
    // still the child's own.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_handle_kills_its_process_and_remembers_it() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let handle = ProcessHandle::of_child(child.id());
        assert!(!handle.was_killed() && handle.pid() == child.id());
        handle.kill();
        assert_eq!(child.wait().expect("waited for").signal(), Some(libc::SIGKILL));
        assert!(handle.was_killed());
        // The number is free now; the handle means nobody any more.
        handle.kill();
    }
}
