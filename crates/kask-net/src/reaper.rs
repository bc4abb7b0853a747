//! Folders that are removed also when the process that made them is killed.
//!
//! A shell in a process group of its own waits at the end of a pipe that only this process holds; when the pipe ends, however the
//! process did, it removes the folders that it was told of. It is started when the first folder is named, and no child of this
//! process, so that nobody who waits for children meets it. Where it is killed too (with the machine, or with the whole control
//! group), what is left goes when the next folder of its kind is made; see `owned_folder`.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use tracing::debug;

/// What the shell does: read names until the pipe ends, remove the folders. A process that was being killed may have made one more
/// file meanwhile, so what is left after a second is tried again.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
exec 3<&0 </dev/null
(
    set --
    while IFS= read -r folder <&3; do set -- "$@" "$folder"; done
    rm -rf -- "$@" || { sleep 1; rm -rf -- "$@"; }
) &
"#;

struct Reaper {
    names: ChildStdin,
    /// A forked child has a copy of this, which is its parent's.
    owner: u32,
}

static REAPER: Mutex<Option<Reaper>> = Mutex::new(None);

/// Has the folder removed with all it holds when this process has ended, however it ends.
pub fn remove_after_death(folder: &Path) {
    if let Err(error) = try_remove_after_death(folder) {
        debug!(path = %folder.display(), %error, "the folder stays when this process is killed");
    }
}

fn try_remove_after_death(folder: &Path) -> io::Result<()> {
    let folder = std::path::absolute(folder)?;
    let mut line = folder.into_os_string();
    if line.as_bytes().contains(&b'\n') {
        return Err(io::Error::other("its name has a line break"));
    }
    line.push(OsStr::new("\n"));
    let mut reaper = REAPER.lock().unwrap_or_else(PoisonError::into_inner);
    // One that somebody killed does not take names any more.
    if let Some(known) = reaper.as_mut().filter(|known| known.owner == std::process::id())
        && known.names.write_all(line.as_bytes()).is_ok()
    {
        return Ok(());
    }
    let mut started = start()?;
    started.names.write_all(line.as_bytes())?;
    *reaper = Some(started);
    Ok(())
}

fn start() -> io::Result<Reaper> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT]).current_dir("/").process_group(0);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let names = child.stdin.take().expect("it was asked for");
    // It ends as soon as it has started what waits. Where children are not waited for there is nothing to wait for.
    let _ = child.wait();
    Ok(Reaper { names, owner: std::process::id() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OwnedFolder;
    use std::fs;
    use std::time::{Duration, Instant};

    #[test]
    fn folders_go_when_the_pipe_ends_and_nothing_else_does() {
        let outer = OwnedFolder::new_in(&std::env::temp_dir(), "kask-test-outer-").expect("a folder");
        let names = ["plain", "with spaces  and \\ 'quotes'", "-rf", "kept"];
        let folders = names.map(|name| outer.path().join(name));
        for folder in &folders {
            fs::create_dir_all(folder.join("inner")).expect("made");
            fs::write(folder.join("inner/value"), "1").expect("written");
        }
        let mut reaper = start().expect("a shell");
        for folder in &folders[..3] {
            reaper.names.write_all(folder.as_os_str().as_bytes()).expect("read");
            reaper.names.write_all(b"\n").expect("read");
        }
        std::thread::sleep(Duration::from_millis(50));
        assert!(folders.iter().all(|folder| folder.join("inner/value").exists()));
        drop(reaper);
        let started = Instant::now();
        while folders[..3].iter().any(|folder| folder.exists()) {
            assert!(started.elapsed() < Duration::from_secs(20), "they are still there");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(folders[3].join("inner/value").exists());
    }

    #[test]
    fn names_that_cannot_be_told_are_refused() {
        assert!(try_remove_after_death(Path::new("/tmp/line\nbreak")).is_err());
    }
}
