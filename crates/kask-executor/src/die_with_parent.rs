//! The two system calls by which a supervisor holds on to its processes.

use tokio::process::Command;

/// Has the kernel kill the child when the thread that starts it ends: no worker outlives a supervisor that was killed.
/// That thread is the network thread, which lives as long as the process.
#[cfg(target_os = "linux")]
pub(crate) fn prepare(command: &mut Command) {
    // SAFETY: between fork and exec only prctl is called, which is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == -1 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// Elsewhere the end of the connection to the scheduler has to do.
#[cfg(not(target_os = "linux"))]
pub(crate) fn prepare(_: &mut Command) {}

/// Ends a process at once, also one that is stopped.
pub(crate) fn kill(pid: u32) {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return };
    // SAFETY: kill has no memory effects; the child has not been waited for, so the number is still its own.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
    }
}
