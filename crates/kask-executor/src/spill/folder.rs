//! A worker's spill folder: writes values, reads them back, forgets them.
//!
//! Every method may be called from any thread. `write` reserves room, writes, and puts the value on the ledger, in this order;
//! `remove` takes it from the ledger and then removes the file. Large values have a file each, small ones share packs. Writing is in
//! `write.rs`, reading in `read.rs`.

use super::compression::{Chooser, Compression};
use super::error::SpillError;
use super::ledger::{self, Kept, Ledger, Owner, Place, RecordId, alone_name};
use super::mapping::Mapping;
use super::os::Directory;
use super::packs::{Around, Packs};
use super::quota::{Usage, default_reserve};
use super::stats::{Counters, SpillStats};
use kask_types::{Incarnation, Payload, TaskId};
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How values are spilled.
#[derive(Clone, Copy, Debug)]
pub struct SpillOptions {
    /// All spilled values of the worker together take at most this much.
    pub max_bytes: u64,
    /// At least this much stays free on the file system; by default a twentieth of it, and at most 10 GiB.
    pub reserve_bytes: Option<u64>,
    /// Whether buffers are compressed.
    pub compression: Compression,
}

impl Default for SpillOptions {
    fn default() -> SpillOptions {
        SpillOptions { max_bytes: u64::MAX, reserve_bytes: None, compression: Compression::Auto }
    }
}

/// A value as it is written and read.
#[derive(Clone, Debug)]
pub enum Content {
    /// A value as a whole.
    Whole(Payload),
    /// A value made of parts that others ask for one by one.
    Parts(Arc<[Payload]>),
}

impl Content {
    pub(super) fn payloads(&self) -> &[Payload] {
        match self {
            Content::Whole(payload) => std::slice::from_ref(payload),
            Content::Parts(parts) => parts,
        }
    }

    pub(super) fn parts(&self) -> Option<u32> {
        match self {
            Content::Whole(_) => None,
            Content::Parts(parts) => Some(parts.len() as u32),
        }
    }

    /// Bytes of all payloads.
    pub fn nbytes(&self) -> u64 {
        self.payloads().iter().map(Payload::nbytes).sum()
    }
}

/// A value on disk. Dropping this does not remove it.
#[derive(Debug, PartialEq, Eq)]
pub struct Spilled {
    pub(super) id: RecordId,
    task: TaskId,
    nbytes: u64,
    disk_bytes: u64,
    parts: Option<u32>,
}

impl Spilled {
    pub(super) fn of(id: RecordId, kept: &Kept) -> Arc<Spilled> {
        let disk_bytes = match kept.place {
            Place::Alone { len, .. } | Place::Packed { len, .. } => len,
        };
        Arc::new(Spilled { id, task: kept.task, nbytes: kept.nbytes, disk_bytes, parts: kept.parts })
    }

    /// Whose value it is.
    pub fn task(&self) -> TaskId {
        self.task
    }

    /// Bytes of its payloads.
    pub fn nbytes(&self) -> u64 {
        self.nbytes
    }

    /// What it takes on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// How many parts it has, if it is made of parts.
    pub fn parts(&self) -> Option<u32> {
        self.parts
    }

    /// How much of a file is mapped when it is read back: nothing when it is small or compressed, and is copied.
    pub fn mapped_bytes(&self) -> u64 {
        let is_mapped = self.disk_bytes >= super::read::MAP_MIN_BYTES && self.disk_bytes >= self.nbytes;
        if is_mapped { self.nbytes } else { 0 }
    }
}

/// A spill folder in use.
pub struct SpillDir {
    pub(super) directory: Directory,
    pub(super) usage: Usage,
    pub(super) ledger: Mutex<Ledger>,
    pub(super) packs: Mutex<Packs>,
    next_id: AtomicU64,
    pub(super) chooser: Chooser,
    /// Buffers for the next writes.
    pub(super) spare: Mutex<Vec<Mapping>>,
    pub(super) counters: Counters,
}

impl SpillDir {
    /// Opens the folder of a worker's `place` and throws away what is in it.
    ///
    /// # Errors
    /// When others may look into the folder, another process uses it, or it cannot be written to.
    pub fn open(
        path: &Path,
        place: &str,
        scheduler: Incarnation,
        options: SpillOptions,
    ) -> Result<SpillDir, SpillError> {
        let directory = Directory::open(path)?;
        directory.remove_others(|_| false)?;
        let owner = Owner { scheduler, place: place.to_owned() };
        Self::with(directory, owner, FxHashMap::default(), 0, options)
    }

    /// Whether there may be something to adopt.
    pub fn has_values(path: &Path) -> bool {
        path.join(ledger::NAME).exists()
    }

    /// Opens the folder of a worker's `place` with what an earlier process of the same place wrote for the same scheduler.
    /// Anything else in it is thrown away.
    ///
    /// # Errors
    /// As [`SpillDir::open`]. That an earlier ledger is torn is no error.
    pub fn adopt(
        path: &Path,
        place: &str,
        scheduler: Incarnation,
        options: SpillOptions,
    ) -> Result<(SpillDir, Vec<Arc<Spilled>>), SpillError> {
        let directory = Directory::open(path)?;
        let owner = Owner { scheduler, place: place.to_owned() };
        let before = ledger::replay(&read_ledger(&directory));
        let mut live = before.live;
        if before.owner.as_ref() != Some(&owner) {
            live.clear();
        }
        keep_newest(&mut live);
        live.retain(|_, kept| {
            let len = directory.len_of(&kept.place.file_name());
            match kept.place {
                Place::Alone { len: expected, .. } => len == Some(expected),
                Place::Packed { .. } => len.is_some_and(|len| len >= kept.place.end()),
            }
        });
        let files: FxHashSet<String> = live.values().map(|kept| kept.place.file_name()).collect();
        directory.remove_others(|name| files.contains(name) || name == ledger::NAME)?;
        let mut adopted: Vec<_> = live.iter().map(|(id, kept)| Spilled::of(*id, kept)).collect();
        adopted.sort_unstable_by_key(|spilled| spilled.id);
        Ok((Self::with(directory, owner, live, before.next_id, options)?, adopted))
    }

    fn with(
        directory: Directory,
        owner: Owner,
        live: FxHashMap<RecordId, Kept>,
        next_id: u64,
        options: SpillOptions,
    ) -> Result<SpillDir, SpillError> {
        let reserve_bytes = options.reserve_bytes.unwrap_or_else(|| default_reserve(directory.disk_bytes()));
        let usage = Usage::new(options.max_bytes, reserve_bytes);
        let packs = Packs::adopt(&directory, &live);
        let counters = Counters::default();
        for kept in live.values() {
            if let Place::Alone { len, .. } = kept.place {
                usage.add(len);
                Counters::add(&counters.files, 1);
            }
        }
        usage.add(packs.bytes());
        Counters::add(&counters.files, packs.count());
        let ledger = Ledger::create(&directory, owner, live)?;
        Ok(SpillDir {
            directory,
            usage,
            ledger: Mutex::new(ledger),
            packs: Mutex::new(packs),
            next_id: AtomicU64::new(next_id),
            chooser: Chooser::new(options.compression),
            spare: Mutex::new(Vec::new()),
            counters,
        })
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// What it holds and has done.
    pub fn stats(&self) -> SpillStats {
        let values = self.ledger.lock().live().len() as u64;
        SpillStats { bytes: self.usage.used(), values, ..self.counters.snapshot() }
    }

    /// If somebody removed the folder, makes it again, without the values that were in it: whoever reads one is told that it is gone.
    pub(super) fn see_to_the_folder(&self) -> Result<(), SpillError> {
        if !self.directory.was_removed() {
            return Ok(());
        }
        let mut packs = self.packs.lock();
        let mut ledger = self.ledger.lock();
        // Another thread may have been here.
        if self.directory.was_removed() {
            self.directory.make_again()?;
            let lost = ledger.begin_anew(&self.directory)?;
            let path = self.path().display();
            tracing::warn!(%path, values = lost.len(), "the spill folder was removed by somebody else; it is made again");
            let packs = std::mem::take(&mut *packs);
            let alone = lost.values().filter_map(|kept| match kept.place {
                Place::Alone { len, .. } => Some(len),
                Place::Packed { .. } => None,
            });
            let (files, bytes) = alone.fold((0, 0), |(files, bytes), len| (files + 1, bytes + len));
            self.usage.release(bytes + packs.bytes());
            self.counters.files.fetch_sub(files + packs.count(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Removes the folder with everything in it. What was read stays readable.
    ///
    /// # Errors
    /// When the operating system does not allow it.
    pub fn destroy(&self) -> Result<(), SpillError> {
        self.directory.remove_all()
    }

    pub(super) fn around(&self) -> Around<'_> {
        Around {
            directory: &self.directory,
            usage: &self.usage,
            ledger: &self.ledger,
            next_id: &self.next_id,
            counters: &self.counters,
        }
    }

    pub(super) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

/// Of several values of a task (one was being replaced), only the newest counts.
fn keep_newest(live: &mut FxHashMap<RecordId, Kept>) {
    let mut newest: FxHashMap<TaskId, RecordId> = FxHashMap::default();
    for (id, kept) in live.iter() {
        let newest = newest.entry(kept.task).or_insert(*id);
        *newest = (*newest).max(*id);
    }
    live.retain(|id, kept| newest[&kept.task] == *id);
}

fn read_ledger(directory: &Directory) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = directory.open_file(ledger::NAME).and_then(|mut file| file.read_to_end(&mut bytes));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, "the list of spilled values cannot be read; they are computed again"),
    }
    bytes
}

/// Forgetting.
impl SpillDir {
    /// Removes a value. Whoever has read it keeps what was read.
    pub fn remove(&self, spilled: &Spilled) {
        self.remove_many(std::iter::once(spilled));
    }

    /// Removes values. Those that are gone already are passed over.
    pub fn remove_many<'a>(&self, spilled: impl IntoIterator<Item = &'a Spilled>) {
        let ids: Vec<RecordId> = spilled.into_iter().map(|spilled| spilled.id).collect();
        let gone = self.ledger.lock().forget(&self.directory, &ids);
        for kept in &gone {
            match kept.place {
                Place::Alone { file, len } => {
                    self.directory.remove(&alone_name(file));
                    self.usage.release(len);
                    self.counters.files.fetch_sub(1, Ordering::Relaxed);
                }
                Place::Packed { .. } => {}
            }
        }
        if gone.iter().any(|kept| matches!(kept.place, Place::Packed { .. })) {
            self.packs.lock().forget(self.around(), &gone);
        }
    }
}
