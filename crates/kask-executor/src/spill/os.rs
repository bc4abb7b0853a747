//! The folder and its files, as the operating system sees them.
//!
//! The folder is opened once and every file is named relative to it, without following symbolic links: whoever renames or
//! replaces things on the way to the folder cannot make this process write elsewhere. A folder that was removed, which
//! programs that tidy up do, is made again when something is to be written ([`Directory::make_again`]).

use super::error::{FullCause, SpillError};
use parking_lot::RwLock;
use rustix::fs::{self as unix, AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

const LOCK: &str = "lock";
const NEVER: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW);

/// An open folder that only this process uses.
pub(super) struct Directory {
    opened: RwLock<Opened>,
    path: PathBuf,
    /// Whether the file system takes writes that bypass the page cache.
    direct: AtomicBool,
    /// A forked child has a copy of this value, and must leave the files to its parent.
    owner: u32,
}

struct Opened {
    fd: OwnedFd,
    /// Held while the folder is in use. A lock of the process: children that it forks do not keep it.
    _lock: OwnedFd,
}

impl Opened {
    fn open(path: &Path) -> Result<Opened, SpillError> {
        let failed = |doing| move |source: io::Error| SpillError::Io { path: path.to_owned(), doing, source };
        let insecure = |what| SpillError::Insecure { path: path.to_owned(), what };
        if let Some(parent) = path.parent() {
            DirBuilder::new().mode(0o700).recursive(true).create(parent).map_err(failed("making the folder above"))?;
        }
        match unix::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("making the folder")(errno.into())),
        }
        let fd = match unix::open(path, OFlags::RDONLY | OFlags::DIRECTORY | NEVER, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(insecure("it is not a folder but a file or a link")),
            Err(errno) => return Err(failed("opening the folder")(errno.into())),
        };
        let stat = unix::fstat(&fd).map_err(|errno| failed("looking at the folder")(errno.into()))?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(insecure("it belongs to another user"));
        }
        if stat.st_mode & 0o077 != 0 {
            return Err(insecure("other users may look into it (its mode should be 0700)"));
        }
        let lock = unix::openat(&fd, LOCK, OFlags::CREATE | OFlags::RDWR | NEVER, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| failed("opening the lock of")(errno.into()))?;
        match unix::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => return Err(SpillError::InUse { path: path.to_owned() }),
            Err(errno) => return Err(failed("locking")(errno.into())),
        }
        Ok(Opened { fd, _lock: lock })
    }
}

impl Directory {
    /// Opens the folder, making it if it is not there. Only its owner may look into it.
    pub(super) fn open(path: &Path) -> Result<Directory, SpillError> {
        let (opened, direct) = (RwLock::new(Opened::open(path)?), AtomicBool::new(true));
        Ok(Directory { opened, path: path.to_owned(), direct, owner: std::process::id() })
    }

    /// Whether somebody removed the folder, with all that was in it.
    pub(super) fn was_removed(&self) -> bool {
        unix::fstat(&self.opened.read().fd).is_ok_and(|stat| stat.st_nlink == 0)
    }

    /// Opens a new folder in the place of one that was removed.
    pub(super) fn make_again(&self) -> Result<(), SpillError> {
        let anew = Opened::open(&self.path)?;
        *self.opened.write() = anew;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that an ordinary user may still write.
    pub(super) fn free_bytes(&self) -> Result<u64, SpillError> {
        let stat = unix::fstatvfs(&self.opened.read().fd)
            .map_err(|errno| self.failed("", "asking for the free space of")(errno.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// The size of the file system.
    pub(super) fn disk_bytes(&self) -> u64 {
        unix::fstatvfs(&self.opened.read().fd).map(|stat| stat.f_blocks.saturating_mul(stat.f_frsize)).unwrap_or(0)
    }

    /// A new file for reading and writing, bypassing the page cache if `direct` and the file system allows it.
    /// Says whether it does.
    pub(super) fn create(&self, name: &str, direct: bool) -> io::Result<(File, bool)> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | NEVER;
        let mode = Mode::RUSR | Mode::WUSR;
        if direct && self.direct.load(Ordering::Relaxed) {
            match unix::openat(&self.opened.read().fd, name, flags | OFlags::DIRECT, mode) {
                Ok(fd) => return Ok((fd.into(), true)),
                Err(Errno::INVAL) => {
                    self.direct.store(false, Ordering::Relaxed);
                    // Some file systems make the file before they refuse.
                    self.remove(name);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok((unix::openat(&self.opened.read().fd, name, flags, mode)?.into(), false))
    }

    pub(super) fn open_file(&self, name: &str) -> io::Result<File> {
        Ok(unix::openat(&self.opened.read().fd, name, OFlags::RDONLY | NEVER, Mode::empty())?.into())
    }

    pub(super) fn len_of(&self, name: &str) -> Option<u64> {
        let stat = unix::statat(&self.opened.read().fd, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then_some(stat.st_size as u64)
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let opened = self.opened.read();
        Ok(unix::renameat(&opened.fd, from, &opened.fd, to)?)
    }

    /// Removes a file; that it is not there is fine.
    pub(super) fn remove(&self, name: &str) {
        if self.owner != std::process::id() {
            return;
        }
        match unix::unlinkat(&self.opened.read().fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => {
                tracing::warn!(file = %self.file_path(name).display(), %errno, "a spill file cannot be removed")
            }
        }
    }

    /// Removes all files but those that `keep` names (and the lock).
    pub(super) fn remove_others(&self, keep: impl Fn(&str) -> bool) -> Result<(), SpillError> {
        let failed = |errno: Errno| self.failed("", "listing")(errno.into());
        for entry in unix::Dir::read_from(&self.opened.read().fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            match entry.file_name().to_str() {
                Ok("." | ".." | LOCK) => {}
                Ok(name) if keep(name) => {}
                Ok(name) => self.remove(name),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Removes the folder itself with all that is in it.
    pub(super) fn remove_all(&self) -> Result<(), SpillError> {
        if self.owner != std::process::id() {
            return Ok(());
        }
        self.remove_others(|_| false)?;
        self.remove(LOCK);
        std::fs::remove_dir(&self.path).map_err(self.failed("", "removing"))
    }

    pub(super) fn file_path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes an error of what the operating system said.
    pub(super) fn failed(&self, name: &str, doing: &'static str) -> impl FnOnce(io::Error) -> SpillError {
        let path = if name.is_empty() { self.path.clone() } else { self.file_path(name) };
        move |source| SpillError::Io { path, doing, source }
    }

    /// The same for a write, where it may mean that there is no room.
    pub(super) fn write_failed(&self, name: &str, needed_bytes: u64, used_bytes: u64, source: io::Error) -> SpillError {
        match Errno::from_io_error(&source) {
            Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => {
                SpillError::DiskFull { path: self.path.clone(), needed_bytes, used_bytes, cause: FullCause::Device }
            }
            _ => self.failed(name, "writing")(source),
        }
    }
}
