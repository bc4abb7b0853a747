//! A note of what each runner is running, readable by the supervisor after the process has died.
//!
//! One file of fixed slots, mapped into memory: noting a task costs no system call. Only this module touches the
//! mapping.

use kask_types::TaskName;
use parking_lot::Mutex;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::NonNull;

const SLOTS: usize = 64;
const SLOT_BYTES: usize = 128;
/// Stands in the second byte of a slot that was cleared, behind a name of no bytes.
const USED: u8 = 1;
const FILE_BYTES: usize = SLOTS * SLOT_BYTES;

/// The writing side; does nothing when no file is given.
pub(crate) struct LastTask {
    mapping: Option<Mapping>,
}

struct Mapping {
    start: NonNull<u8>,
    /// One writer at a time per slot: threads that share an index (more runners than slots) must not interleave.
    slots: [Mutex<()>; SLOTS],
}

// SAFETY: the mapping lives until it is unmapped in `drop`, may be used from any thread, and every slot is written under
// its own mutex.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl LastTask {
    /// Maps `path`, making it anew; a note that cannot be kept is no reason not to work.
    pub(crate) fn open(path: Option<&Path>) -> LastTask {
        LastTask { mapping: path.and_then(Mapping::new) }
    }

    pub(crate) fn note(&self, runner: u32, name: &TaskName) {
        if let Some(mapping) = &self.mapping {
            mapping.write(runner as usize % SLOTS, |slot| write!(slot, "{name}").unwrap_or(()));
        }
    }

    pub(crate) fn clear(&self, runner: u32) {
        if let Some(mapping) = &self.mapping {
            mapping.write(runner as usize % SLOTS, |slot| slot.bytes[1] = USED);
        }
    }
}

/// Fills a slot and cuts off what does not fit.
struct SlotWriter {
    bytes: [u8; SLOT_BYTES],
    len: usize,
}

impl std::fmt::Write for SlotWriter {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = SLOT_BYTES - self.len;
        let part = &text.as_bytes()[..text.len().min(room)];
        self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
        Ok(())
    }
}

impl Mapping {
    fn new(path: &Path) -> Option<Mapping> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).ok()?;
        file.set_len(FILE_BYTES as u64).ok()?;
        // SAFETY: a fresh shared mapping of a file that has this length; no address is asked for.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                FILE_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return None;
        }
        Some(Mapping { start: NonNull::new(start.cast())?, slots: [const { Mutex::new(()) }; SLOTS] })
    }

    fn write(&self, slot: usize, fill: impl FnOnce(&mut SlotWriter)) {
        let mut writer = SlotWriter { bytes: [0; SLOT_BYTES], len: 0 };
        fill(&mut writer);
        let _guard = self.slots[slot].lock();
        // SAFETY: slot < SLOTS, so the range lies in the mapping; the slot's mutex is held.
        unsafe {
            let start = self.start.as_ptr().add(slot * SLOT_BYTES);
            std::ptr::copy_nonoverlapping(writer.bytes.as_ptr(), start, SLOT_BYTES);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by mmap with this length and unmapped nowhere else.
        unsafe { libc::munmap(self.start.as_ptr().cast(), FILE_BYTES) };
    }
}

/// What is left of a process that has died.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// What was running: the tasks of all slots that were not cleared.
    pub(crate) running: Vec<String>,
    /// Whether any task was ever noted.
    pub(crate) were_used: bool,
}

/// What a process noted; nothing if there is no file.
pub(crate) fn read(path: &Path) -> Notes {
    let Ok(bytes) = std::fs::read(path) else { return Notes::default() };
    let running = bytes
        .chunks(SLOT_BYTES)
        .map(|slot| slot.split(|byte| *byte == 0).next().unwrap_or_default())
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    Notes { running, were_used: bytes.iter().any(|byte| *byte != 0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kask_types::Key;

    #[test]
    fn what_was_noted_and_not_cleared_is_read() {
        let path = std::env::temp_dir().join(format!("kask-last-task-{}", std::process::id()));
        let notes = LastTask::open(Some(&path));
        assert!(!read(&path).were_used);
        let name = |prefix: &str| TaskName::Hashed { prefix: prefix.into(), key: Key(5) };
        notes.note(0, &name("first"));
        notes.note(1, &name("second"));
        notes.clear(0);
        assert_eq!(read(&path).running, [name("second").to_string()]);
        notes.note(1, &TaskName::Custom("x".repeat(500).into()));
        assert_eq!(read(&path).running, ["x".repeat(SLOT_BYTES)]);
        notes.clear(1);
        assert!(read(&path).running.is_empty() && read(&path).were_used);
        std::fs::remove_file(&path).expect("the file was made above");
    }
}
