//! A private directory for the sockets and the token of a local cluster, which goes away with its owner.

use crate::address::Address;
use crate::owned_folder::OwnedFolder;
use crate::reaper::remove_after_death;
use std::io;
use std::path::{Path, PathBuf};

/// Longest path of a Unix socket: `sun_path` holds 108 bytes on Linux and 104 on macOS, with a final zero.
pub(crate) const SOCKET_PATH_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Room that a directory leaves for the names of the sockets in it.
const NAME_MAX: usize = 24;

const PREFIX: &str = "kask-local-";

/// A directory with mode 0700, removed with all it holds when dropped by the process that made it, or when that
/// process has ended otherwise.
#[derive(Debug)]
pub struct LocalDir(OwnedFolder);

impl LocalDir {
    /// A new directory in `XDG_RUNTIME_DIR`, else in the temporary directory; paths in which a socket's name would not
    /// fit are passed over.
    pub fn new() -> io::Result<LocalDir> {
        let candidates = [std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from), Some(std::env::temp_dir())];
        let mut failure = None;
        for parent in candidates.into_iter().flatten().chain([PathBuf::from("/tmp")]) {
            match LocalDir::new_in(&parent) {
                Ok(dir) => return Ok(dir),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.expect("/tmp was tried at least"))
    }

    /// A new directory in `parent`.
    pub fn new_in(parent: &Path) -> io::Result<LocalDir> {
        let longest = parent.as_os_str().len() + 1 + OwnedFolder::name_len(PREFIX) + 1 + NAME_MAX;
        if longest > SOCKET_PATH_MAX {
            let problem = format!("{} is too long for the sockets of a directory in it", parent.display());
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, problem));
        }
        let folder = OwnedFolder::new_in(parent, PREFIX)?;
        remove_after_death(folder.path());
        Ok(LocalDir(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The address of a socket in it; names of up to 24 bytes fit.
    pub fn socket(&self, name: &str) -> Address {
        Address::Unix(self.path().join(name))
    }

    /// Where the cluster's token is kept.
    pub fn token_file(&self) -> PathBuf {
        self.path().join("token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_local_directory_is_private_short_and_removed() {
        let dir = LocalDir::new().expect("a directory");
        let path = dir.path().to_owned();
        assert_eq!(std::fs::metadata(&path).expect("metadata").mode() & 0o777, 0o700);
        let Address::Unix(socket) = dir.socket("scheduler.socket") else { panic!("a Unix address") };
        assert!(socket.as_os_str().len() <= SOCKET_PATH_MAX);
        std::fs::write(dir.token_file(), "x").expect("written");
        drop(dir);
        assert!(!path.exists());
    }

    #[test]
    fn a_parent_that_is_too_long_is_refused() {
        let outer = LocalDir::new().expect("a directory");
        let long = outer.path().join("x".repeat(80));
        std::fs::create_dir(&long).expect("created");
        let error = LocalDir::new_in(&long).expect_err("no room for a socket's name");
        assert!(error.to_string().contains("too long"), "{error}");
    }
}
