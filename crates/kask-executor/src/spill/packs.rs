//! Small values, many to a file.
//!
//! They are appended to one pack after the other. A pack whose values are all gone is removed; what is left in one that is mostly
//! dead is moved to the pack that is being written. A value that moves keeps its id; only its place on the ledger changes, so
//! that a reader that comes too late for the old file finds it again. Locks are taken in the order packs, ledger.

use super::error::SpillError;
use super::ledger::{FileId, Kept, Ledger, Place, RecordId, pack_name};
use super::os::Directory;
use super::quota::Usage;
use super::stats::Counters;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Values that take no more than this are packed.
pub(super) const PACKED_MAX_BYTES: u64 = 64 << 10;
/// A pack that has reached this length is closed.
const PACK_BYTES: u64 = 64 << 20;
/// A pack is emptied when less than one part in so many of it lives.
const LIVE_SHARE: u64 = 4;
/// The one that is being written only from this length on.
const EMPTY_MIN_BYTES: u64 = PACK_BYTES / 4;

/// Packs with values, and the one that is being written.
#[derive(Default)]
pub(super) struct Packs {
    current: Option<(FileId, File)>,
    all: FxHashMap<FileId, Pack>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pack {
    len: u64,
    live: u64,
    live_bytes: u64,
}

/// Why records are appended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// The values come to disk.
    New,
    /// They come from another pack.
    Move,
}

/// What packs are part of.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) directory: &'a Directory,
    pub(super) usage: &'a Usage,
    pub(super) ledger: &'a Mutex<Ledger>,
    pub(super) next_id: &'a AtomicU64,
    pub(super) counters: &'a Counters,
}

impl Packs {
    /// The packs of values that an earlier process wrote. Nothing more is added to them.
    pub(super) fn adopt(directory: &Directory, live: &FxHashMap<RecordId, Kept>) -> Packs {
        let mut packs = Packs::default();
        for kept in live.values() {
            if let Place::Packed { pack, len, .. } = kept.place {
                let pack = packs.all.entry(pack).or_insert_with_key(|id| Pack {
                    len: directory.len_of(&pack_name(*id)).unwrap_or(0),
                    ..Pack::default()
                });
                pack.live += 1;
                pack.live_bytes += len;
            }
        }
        packs
    }

    /// What the packs take on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.all.values().map(|pack| pack.len).sum()
    }

    pub(super) fn count(&self) -> u64 {
        self.all.len() as u64
    }

    /// Writes records, which follow each other in `buffer`, and lists them. `values` are in the same order, each with the place
    /// it would have if the buffer were a pack. Of values that move, those that are no longer listed are left out: whoever
    /// took them from the list counts them as dead.
    pub(super) fn append(
        &mut self,
        around: Around<'_>,
        buffer: &[u8],
        values: &mut Vec<(RecordId, Kept)>,
        purpose: Purpose,
    ) -> Result<(), SpillError> {
        let room = around.usage.reserve(around.directory, buffer.len() as u64)?;
        let id = self.write(around, buffer)?;
        let base = self.all[&id].len;
        for (_, kept) in values.iter_mut() {
            if let Place::Packed { pack, offset, .. } = &mut kept.place {
                *pack = id;
                *offset += base;
            }
        }
        let mut ledger = around.ledger.lock();
        match purpose {
            Purpose::New => {}
            Purpose::Move => values.retain(|(record, _)| ledger.get(*record).is_some()),
        }
        let listed = ledger.keep(around.directory, values);
        drop(ledger);
        if let Err(error) = listed {
            self.cut_back(around, base);
            return Err(error);
        }
        let pack = self.all.get_mut(&id).expect("the pack was written to");
        pack.len += buffer.len() as u64;
        pack.live += values.len() as u64;
        pack.live_bytes += values.iter().map(|(_, kept)| len_of(kept)).sum::<u64>();
        room.keep(buffer.len() as u64);
        Counters::add(&around.counters.written_bytes, buffer.len() as u64);
        Ok(())
    }

    /// Appends to the current pack, or to a new one when that is long enough, without counting what was written.
    fn write(&mut self, around: Around<'_>, buffer: &[u8]) -> Result<FileId, SpillError> {
        let is_full = |id| self.all.get(id).is_none_or(|pack| pack.len >= PACK_BYTES);
        if self.current.as_ref().is_none_or(|(id, _)| is_full(id)) {
            let id = FileId(around.next_id.fetch_add(1, Ordering::Relaxed));
            let name = pack_name(id);
            let (file, _) = around.directory.create(&name, false).map_err(|error| {
                around.directory.write_failed(&name, buffer.len() as u64, around.usage.used(), error)
            })?;
            self.current = Some((id, file));
            self.all.insert(id, Pack::default());
            Counters::add(&around.counters.files, 1);
        }
        let (id, file) = self.current.as_ref().expect("there is one now");
        let (id, len) = (*id, self.all[id].len);
        if let Err(error) = file.write_all_at(buffer, len) {
            let used = around.usage.used();
            let error = around.directory.write_failed(&pack_name(id), buffer.len() as u64, used, error);
            self.cut_back(around, len);
            return Err(error);
        }
        Ok(id)
    }

    /// Takes back what was written to the current pack behind `len`.
    fn cut_back(&mut self, around: Around<'_>, len: u64) {
        let Some((id, file)) = self.current.take() else { return };
        if len == 0 {
            self.delete(around, id);
        } else if file.set_len(len).is_ok() {
            self.current = Some((id, file));
        }
    }

    /// Values are gone. Removes what has become empty, and empties what has become mostly dead.
    pub(super) fn forget(&mut self, around: Around<'_>, gone: &[Kept]) {
        let mut touched = Vec::new();
        for kept in gone {
            if let Place::Packed { pack: id, len, .. } = kept.place
                && let Some(pack) = self.all.get_mut(&id)
            {
                pack.live -= 1;
                pack.live_bytes -= len;
                touched.push(id);
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for id in touched {
            let pack = self.all[&id];
            let is_current = self.current.as_ref().is_some_and(|(current, _)| *current == id);
            let is_worth_it = pack.live_bytes * LIVE_SHARE < pack.len && (!is_current || pack.len >= EMPTY_MIN_BYTES);
            if is_current && (pack.live == 0 || is_worth_it) {
                self.current = None;
            }
            if pack.live == 0 {
                self.delete(around, id);
            } else if is_worth_it {
                self.empty(around, id);
            }
        }
    }

    fn delete(&mut self, around: Around<'_>, id: FileId) {
        if let Some(pack) = self.all.remove(&id) {
            around.directory.remove(&pack_name(id));
            around.usage.release(pack.len);
            around.counters.files.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Moves what lives in a pack elsewhere and removes it. When that fails (a full disk) the pack stays.
    fn empty(&mut self, around: Around<'_>, id: FileId) {
        let mut values: Vec<(RecordId, Kept)> = {
            let ledger = around.ledger.lock();
            let inside = |kept: &Kept| matches!(kept.place, Place::Packed { pack, .. } if pack == id);
            ledger.live().iter().filter(|(_, kept)| inside(kept)).map(|(id, kept)| (*id, *kept)).collect()
        };
        // More may have been taken from the list than was counted here yet.
        let counted = self.all[&id];
        let Some(buffer) = gather(around.directory, id, &mut values) else { return };
        if values.is_empty() || self.append(around, &buffer, &mut values, Purpose::Move).is_err() {
            return;
        }
        let moved: u64 = values.iter().map(|(_, kept)| len_of(kept)).sum();
        let pack = self.all.get_mut(&id).expect("only this function removes it");
        *pack =
            Pack { len: counted.len, live: counted.live - values.len() as u64, live_bytes: counted.live_bytes - moved };
        if pack.live == 0 {
            self.delete(around, id);
        }
    }
}

fn len_of(kept: &Kept) -> u64 {
    match kept.place {
        Place::Alone { len, .. } | Place::Packed { len, .. } => len,
    }
}

/// Reads the values' records into one buffer and gives them the places that they have in it.
fn gather(directory: &Directory, pack: FileId, values: &mut [(RecordId, Kept)]) -> Option<Vec<u8>> {
    let file = directory.open_file(&pack_name(pack)).ok()?;
    let mut buffer = Vec::new();
    for (_, kept) in values {
        if let Place::Packed { offset, len, .. } = &mut kept.place {
            let start = buffer.len();
            buffer.resize(start + *len as usize, 0);
            file.read_exact_at(&mut buffer[start..], *offset).ok()?;
            *offset = start as u64;
        }
    }
    Some(buffer)
}
