//! Folders for spilled values that outlive the processes that fill them, but not their owner.
//!
//! A [`Scratch`] is one folder, and a folder in it for each place. It goes with its owner (see `kask_net::reaper`), at the latest when
//! the next scratch is made in the same base folder (see `kask_net::owned_folder`).

use kask_net::OwnedFolder;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use thiserror::Error;
use tracing::debug;

const PREFIX: &str = "kask-scratch-";

/// Where the user wants scratches to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpillBase {
    /// The folder; made if need be.
    pub path: PathBuf,
    /// The setting or argument that names it, for people.
    pub setting: String,
}

/// Why there is no scratch.
#[derive(Debug, Error)]
#[error("{setting} names {}, where no folder for spilled values can be made: {source}", path.display())]
pub struct ScratchError {
    path: PathBuf,
    setting: String,
    source: io::Error,
}

/// A folder for the spilled values of several places.
#[derive(Debug)]
pub struct Scratch(OwnedFolder);

impl Scratch {
    /// A new scratch in `base`, made if need be; without a base in the folder for temporary files, or in `/var/tmp` if
    /// that one lies in memory.
    ///
    /// # Errors
    /// When no folder can be made there.
    pub fn new(base: Option<&SpillBase>) -> Result<Scratch, ScratchError> {
        let by_default = || SpillBase { path: default_base(), setting: "the folder for temporary files".into() };
        let SpillBase { path, setting } = base.cloned().unwrap_or_else(by_default);
        Scratch::new_in(&path).map_err(|source| ScratchError { path, setting, source })
    }

    fn new_in(base: &Path) -> io::Result<Scratch> {
        // "File exists" is no help to who wanted a folder.
        if base.exists() && !base.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        fs::create_dir_all(base)?;
        OwnedFolder::new_in(base, PREFIX).map(Scratch)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The folder of a place, made at the first call; letters, digits, `-`, `_` and `.` of its name are kept.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn place(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.place_path(name);
        DirBuilder::new().mode(0o700).recursive(true).create(&folder)?;
        Ok(folder)
    }

    /// Removes the folder of a place with all it holds.
    pub fn remove(&self, name: &str) {
        let folder = self.place_path(name);
        if let Err(error) = fs::remove_dir_all(&folder)
            && error.kind() != io::ErrorKind::NotFound
        {
            debug!(path = %folder.display(), %error, "a folder of spilled values was not removed");
        }
    }

    fn place_path(&self, name: &str) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
        self.path().join(format!("place-{}", name.chars().map(plain).collect::<String>()))
    }
}

/// The folder for temporary files, unless spilling there would fill memory.
fn default_base() -> PathBuf {
    let usual = std::env::temp_dir();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let lasting = Path::new("/var/tmp");
    if is_in_memory(&mounts, &usual) && lasting.is_dir() && !is_in_memory(&mounts, lasting) {
        return lasting.to_path_buf();
    }
    usual
}

/// Whether `path` lies on a file system that keeps its files in memory.
fn is_in_memory(mountinfo: &str, path: &Path) -> bool {
    let mounted = mountinfo.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let point = Path::new(place.split(' ').nth(4)?);
        path.starts_with(point).then(|| (point.components().count(), kind.split(' ').next()))
    });
    // The innermost mount counts, and of several at one point the last.
    let kind = mounted.max_by_key(|(depth, _)| *depth).and_then(|(_, kind)| kind);
    matches!(kind, Some("tmpfs" | "ramfs"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kask_net::LocalDir;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn places_are_private_stable_and_removed() {
        let base = LocalDir::new().expect("a directory");
        let chosen = SpillBase { path: base.path().join("made/on/the/way"), setting: "here".into() };
        let scratch = Scratch::new(Some(&chosen)).expect("a scratch");
        let place = scratch.place("w-0").expect("a folder");
        assert_eq!(fs::metadata(&place).expect("there").mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(scratch.path()).expect("there").mode() & 0o777, 0o700);
        fs::write(place.join("value"), "x").expect("written");
        assert_eq!(scratch.place("w-0").expect("the same"), place);
        assert!(place.join("value").exists());
        assert_eq!(scratch.place("../w 0").expect("a folder").parent(), Some(scratch.path()));
        scratch.remove("w-0");
        assert!(!place.exists());
        let folder = scratch.path().to_path_buf();
        drop(scratch);
        assert!(!folder.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_named_with_its_setting_and_the_reason() {
        let base = LocalDir::new().expect("a directory");
        let file = base.path().join("file");
        fs::write(&file, "").expect("written");
        for (path, reason) in [(file.clone(), "not a directory"), (file.join("in it"), "Not a directory")] {
            let chosen = SpillBase { path: path.clone(), setting: "memory.spill_directory".into() };
            let problem = Scratch::new(Some(&chosen)).expect_err("it is a file").to_string();
            for part in [path.to_str().expect("plain names"), "memory.spill_directory", reason] {
                assert!(problem.contains(part), "{problem}");
            }
        }
    }

    #[test]
    fn a_folder_in_memory_is_known() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda rw\n23 22 0:3 / /tmp rw - tmpfs tmpfs rw\n\
                      24 23 8:2 / /tmp/disk rw - xfs /dev/sdb rw\n";
        assert!(is_in_memory(mounts, Path::new("/tmp/x")));
        assert!(!is_in_memory(mounts, Path::new("/tmp/disk/x")));
        assert!(!is_in_memory(mounts, Path::new("/var/tmp")));
        assert!(!is_in_memory("", Path::new("/tmp")));
    }
}
