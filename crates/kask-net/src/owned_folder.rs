//! Private folders that go away with the process that made them, or soon after.
//!
//! The owner of a folder holds a lock on the file `lock` in it (`flock`, which the kernel lets go of however the owner
//! ends). Whoever makes such a folder first removes those beside it, with the same kind of name, whose lock nobody holds.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::debug;

const LOCK: &str = "lock";
/// A folder without a lock file that is older than this is not being made: its making or its removal was cut short.
const MAKING: Duration = Duration::from_secs(60);
/// Random digits in a folder's name.
const DIGITS: usize = 16;

/// A folder with mode 0700, removed with all it holds when dropped by the process that made it.
#[derive(Debug)]
pub struct OwnedFolder {
    path: PathBuf,
    /// Locked while it is open.
    _lock: File,
    owner: u32,
}

impl OwnedFolder {
    /// A new folder `<prefix><random>` in `base`. What owners that are gone left behind there under such names is
    /// removed.
    ///
    /// # Errors
    /// When no folder can be made there.
    pub fn new_in(base: &Path, prefix: &str) -> io::Result<OwnedFolder> {
        sweep(base, prefix);
        // A sweep by somebody else may take a folder away before it is locked; twice in a row is unlikely enough.
        for _ in 0..10 {
            if let Some(folder) = OwnedFolder::make(base, prefix)? {
                return Ok(folder);
            }
        }
        Err(io::Error::other(format!("folders in {} disappear while they are made", base.display())))
    }

    /// How long the name of such a folder is.
    pub fn name_len(prefix: &str) -> usize {
        prefix.len() + DIGITS
    }

    fn make(base: &Path, prefix: &str) -> io::Result<Option<OwnedFolder>> {
        let mut random = [0; DIGITS / 2];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let path = base.join(format!("{prefix}{:0DIGITS$x}", u64::from_le_bytes(random)));
        DirBuilder::new().mode(0o700).create(&path)?;
        let file = path.join(LOCK);
        let lock = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let same = fs::metadata(&file).is_ok_and(|there| lock.metadata().is_ok_and(|ours| ours.ino() == there.ino()));
        Ok(same.then(|| OwnedFolder { path, _lock: lock, owner: std::process::id() }))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OwnedFolder {
    fn drop(&mut self) {
        // A forked child has a copy of this value, and must leave the folder to its parent.
        if self.owner == std::process::id() {
            remove(&self.path);
        }
    }
}

/// Removes what owners that are gone left in `base`.
fn sweep(base: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(prefix));
        if !digits.is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            continue;
        }
        // Held while the folder is removed: an owner that is just making it sees that it came too late.
        if let Some(_claim) = claim(&entry.path()) {
            debug!(path = %entry.path().display(), "a folder is removed whose owner is gone");
            remove(&entry.path());
        }
    }
}

/// The right to remove a folder that has no owner.
enum Claim {
    Locked(#[expect(dead_code, reason = "locked while it is open")] File),
    /// Its making or its removal was cut short.
    NoLock,
}

fn claim(folder: &Path) -> Option<Claim> {
    match OpenOptions::new().write(true).open(folder.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok().then_some(Claim::Locked(lock)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let age = fs::metadata(folder).and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
            matches!(age, Ok(Ok(age)) if age > MAKING).then_some(Claim::NoLock)
        }
        // Somebody else's.
        Err(_) => None,
    }
}

fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        debug!(path = %folder.display(), %error, "a folder was not removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_owns_is_swept() {
        let outer = OwnedFolder::new_in(&std::env::temp_dir(), "kask-test-outer-").expect("a folder");
        let base = outer.path();
        let living = OwnedFolder::new_in(base, "x-").expect("a folder");
        let gone = base.join("x-0123456789abcdef");
        fs::create_dir_all(gone.join("inner")).expect("made");
        fs::write(gone.join("inner/value"), "1").expect("written");
        fs::write(gone.join(LOCK), "").expect("written");
        let kept =
            ["x-fedcba9876543210", "y-0123456789abcdef", "x-short", "x-notdigits9876543"].map(|name| base.join(name));
        for folder in &kept {
            fs::create_dir(folder).expect("made");
        }
        fs::write(kept[1].join(LOCK), "").expect("written");
        let second = OwnedFolder::new_in(base, "x-").expect("a folder");
        assert!(!gone.exists());
        assert!(
            living.path().exists() && kept.iter().all(|folder| folder.exists()),
            "one is too young, others are not ours"
        );
        assert_eq!(second.path().file_name().expect("a name").len(), OwnedFolder::name_len("x-"));
        assert_eq!(fs::metadata(second.path()).expect("there").mode() & 0o777, 0o700);
        let path = second.path().to_owned();
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_lock_ends_with_its_owner() {
        let outer = OwnedFolder::new_in(&std::env::temp_dir(), "kask-test-outer-").expect("a folder");
        let folder = OwnedFolder::new_in(outer.path(), "x-").expect("a folder");
        assert!(claim(folder.path()).is_none());
        // As a kill would do: the lock goes, the folder stays.
        let path = folder.path().to_owned();
        let OwnedFolder { _lock, .. } = &folder;
        _lock.unlock().expect("unlocked");
        assert!(matches!(claim(&path), Some(Claim::Locked(_))));
    }
}
