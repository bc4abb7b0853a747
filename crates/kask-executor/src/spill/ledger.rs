//! The list of what is on disk.
//!
//! An append-only file of records, each with its length and a checksum that includes its position. The first says whose list
//! it is; then `Kept` names a value and where it lies, and `Gone` takes it from the list. A value that is `Kept` again has moved.
//! Reading stops at the first record that is torn or does not match: what was appended last when the process was killed
//! is cut off, and everything before it holds. When most of the list is about values that are gone, it is written anew beside the
//! old one and renamed.

use super::error::SpillError;
use super::os::Directory;
use kask_types::{Incarnation, TaskId};
use rustc_hash::FxHashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(super) const NAME: &str = "ledger";
const NEW_NAME: &str = "ledger.new";
const VERSION: u32 = 1;
/// Length, kind and checksum of a record.
const FRAME: usize = 2 + 1 + 4;
/// A list shorter than this is not worth writing anew.
const COMPACT_MIN_BYTES: u64 = 1 << 20;
/// It is written anew when it is so many times longer than it has to be.
const COMPACT_FACTOR: u64 = 4;
const NO_PARTS: u32 = u32::MAX;
/// Longest name of a place that is kept.
const PLACE_MAX: usize = 1024;

/// Names a value in one folder; never reused while the folder is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RecordId(pub(super) u64);

/// Names a file in one folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileId(pub(super) u64);

/// Where a value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a file of its own.
    Alone { file: FileId, len: u64 },
    /// With others.
    Packed { pack: FileId, offset: u64, len: u64 },
}

impl Place {
    pub(super) fn file_name(&self) -> String {
        match self {
            Place::Alone { file, .. } => alone_name(*file),
            Place::Packed { pack, .. } => pack_name(*pack),
        }
    }

    /// Where the value ends in its file.
    pub(super) fn end(&self) -> u64 {
        match self {
            Place::Alone { len, .. } => *len,
            Place::Packed { offset, len, .. } => offset.saturating_add(*len),
        }
    }
}

pub(super) fn alone_name(file: FileId) -> String {
    format!("value-{:x}", file.0)
}

pub(super) fn pack_name(pack: FileId) -> String {
    format!("pack-{:x}", pack.0)
}

/// A value on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) task: TaskId,
    /// Bytes of its payloads.
    pub(super) nbytes: u64,
    /// How many parts it has, if it is made of parts.
    pub(super) parts: Option<u32>,
    pub(super) place: Place,
}

/// Whose list it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// Task ids mean nothing to another scheduler.
    pub(super) scheduler: Incarnation,
    /// The worker's place, which outlives its processes.
    pub(super) place: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Record {
    Begin(Owner),
    Kept(RecordId, Kept),
    Gone(RecordId),
}

impl Record {
    fn append_to(&self, at: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0, 0]);
        match self {
            Record::Begin(owner) => {
                out.push(1);
                out.extend_from_slice(&VERSION.to_le_bytes());
                out.extend_from_slice(&owner.scheduler.0.to_le_bytes());
                out.extend_from_slice(&owner.place.as_bytes()[..owner.place.len().min(PLACE_MAX)]);
            }
            Record::Kept(id, kept) => {
                out.push(2);
                let (kind, file, offset, len) = match kept.place {
                    Place::Alone { file, len } => (0, file, 0, len),
                    Place::Packed { pack, offset, len } => (1, pack, offset, len),
                };
                for number in [id.0, kept.nbytes, file.0, offset, len] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                for number in [kept.task.slot, kept.task.generation, kept.parts.unwrap_or(NO_PARTS), kind] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
            Record::Gone(id) => {
                out.push(3);
                out.extend_from_slice(&id.0.to_le_bytes());
            }
        }
        let len = (out.len() - start + 4) as u16;
        out[start..start + 2].copy_from_slice(&len.to_le_bytes());
        let checksum = xxh3_64_with_seed(&out[start..], at) as u32;
        out.extend_from_slice(&checksum.to_le_bytes());
    }

    /// The record at the start of `bytes` and its length; `None` when there is no whole one.
    fn decode(bytes: &[u8], at: u64) -> Option<(Record, usize)> {
        let len = usize::from(u16::from_le_bytes(*bytes.first_chunk()?));
        if len < FRAME {
            return None;
        }
        let (framed, checksum) = bytes.get(..len)?.split_last_chunk::<4>()?;
        if xxh3_64_with_seed(framed, at) as u32 != u32::from_le_bytes(*checksum) {
            return None;
        }
        let body = &framed[3..];
        let record = match framed[2] {
            1 => Record::Begin(decode_owner(body)?),
            2 => decode_kept(body)?,
            3 => Record::Gone(RecordId(u64::from_le_bytes(body.try_into().ok()?))),
            _ => return None,
        };
        Some((record, len))
    }
}

fn decode_owner(body: &[u8]) -> Option<Owner> {
    let (version, rest) = body.split_first_chunk::<4>()?;
    let (scheduler, place) = rest.split_first_chunk::<16>()?;
    (u32::from_le_bytes(*version) == VERSION).then_some(())?;
    let place = String::from_utf8_lossy(place).into_owned();
    Some(Owner { scheduler: Incarnation(u128::from_le_bytes(*scheduler)), place })
}

fn decode_kept(body: &[u8]) -> Option<Record> {
    let (long, short) = body.split_first_chunk::<40>()?;
    let long = |index: usize| u64::from_le_bytes(long[index * 8..][..8].try_into().expect("eight bytes"));
    let short: [u8; 16] = short.try_into().ok()?;
    let short = |index: usize| u32::from_le_bytes(short[index * 4..][..4].try_into().expect("four bytes"));
    let place = match short(3) {
        0 => Place::Alone { file: FileId(long(2)), len: long(4) },
        1 => Place::Packed { pack: FileId(long(2)), offset: long(3), len: long(4) },
        _ => return None,
    };
    let parts = Some(short(2)).filter(|parts| *parts != NO_PARTS);
    let task = TaskId { slot: short(0), generation: short(1) };
    Some(Record::Kept(RecordId(long(0)), Kept { task, nbytes: long(1), parts, place }))
}

/// What a list says, up to the first torn record.
pub(super) struct Replayed {
    pub(super) owner: Option<Owner>,
    pub(super) live: FxHashMap<RecordId, Kept>,
    /// Ids from here on have never been used.
    pub(super) next_id: u64,
}

/// Reads a list.
pub(super) fn replay(bytes: &[u8]) -> Replayed {
    let mut replayed = Replayed { owner: None, live: FxHashMap::default(), next_id: 0 };
    let mut at = 0;
    while let Some((record, len)) = Record::decode(&bytes[at..], at as u64) {
        match record {
            Record::Begin(owner) if at == 0 => replayed.owner = Some(owner),
            Record::Begin(_) => break,
            Record::Kept(id, kept) => {
                let file = match kept.place {
                    Place::Alone { file, .. } => file,
                    Place::Packed { pack, .. } => pack,
                };
                replayed.next_id = replayed.next_id.max(id.0 + 1).max(file.0 + 1);
                replayed.live.insert(id, kept);
            }
            Record::Gone(id) => drop(replayed.live.remove(&id)),
        }
        at += len;
    }
    replayed
}

/// The open list, and what it says.
pub(super) struct Ledger {
    file: File,
    len: u64,
    owner: Owner,
    live: FxHashMap<RecordId, Kept>,
    /// Bytes that `live` alone would take, roughly.
    live_bytes: u64,
    /// When the list has grown this long it may be written anew.
    compact_at: u64,
    /// The end of the file could not be repaired after a failed write: nothing can be added any more.
    is_broken: bool,
}

/// Length of a `Kept` record.
const KEPT_BYTES: u64 = (FRAME + 56) as u64;

impl Ledger {
    /// Writes a new list of `live` in the place of what was there.
    pub(super) fn create(
        directory: &Directory,
        owner: Owner,
        live: FxHashMap<RecordId, Kept>,
    ) -> Result<Ledger, SpillError> {
        let (file, len) =
            write_anew(directory, &owner, &live).map_err(|error| directory.write_failed(NEW_NAME, 0, 0, error))?;
        let live_bytes = live.len() as u64 * KEPT_BYTES;
        let compact_at = (len * COMPACT_FACTOR).max(COMPACT_MIN_BYTES);
        Ok(Ledger { file, len, owner, live, live_bytes, compact_at, is_broken: false })
    }

    /// Begins a new list in a folder in which there is nothing, and says what was on the old one.
    pub(super) fn begin_anew(&mut self, directory: &Directory) -> Result<FxHashMap<RecordId, Kept>, SpillError> {
        let anew = Ledger::create(directory, self.owner.clone(), FxHashMap::default())?;
        Ok(std::mem::replace(self, anew).live)
    }

    pub(super) fn get(&self, id: RecordId) -> Option<Kept> {
        self.live.get(&id).copied()
    }

    pub(super) fn live(&self) -> &FxHashMap<RecordId, Kept> {
        &self.live
    }

    /// Lists values, or that they have moved.
    pub(super) fn keep(&mut self, directory: &Directory, values: &[(RecordId, Kept)]) -> Result<(), SpillError> {
        let records = values.iter().map(|(id, kept)| Record::Kept(*id, *kept));
        self.append(records).map_err(|error| directory.write_failed(NAME, 0, 0, error))?;
        for (id, kept) in values {
            if self.live.insert(*id, *kept).is_none() {
                self.live_bytes += KEPT_BYTES;
            }
        }
        self.compact(directory);
        Ok(())
    }

    /// Takes values from the list and says what they were. That the disk is too full to note it does not matter: their files
    /// will be gone, and values that are adopted by mistake are let go of by the scheduler.
    pub(super) fn forget(&mut self, directory: &Directory, ids: &[RecordId]) -> Vec<Kept> {
        let mut gone = Vec::with_capacity(ids.len());
        let mut records = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(kept) = self.live.remove(id) {
                self.live_bytes -= KEPT_BYTES;
                gone.push(kept);
                records.push(Record::Gone(*id));
            }
        }
        if let Err(error) = self.append(records.into_iter()) {
            tracing::debug!(%error, "the removal of spilled values was not noted");
        }
        self.compact(directory);
        gone
    }

    fn append(&mut self, records: impl Iterator<Item = Record>) -> io::Result<()> {
        if self.is_broken {
            return Err(io::Error::from(rustix::io::Errno::NOSPC));
        }
        let mut bytes = Vec::new();
        for record in records {
            record.append_to(self.len + bytes.len() as u64, &mut bytes);
        }
        match self.file.write_all_at(&bytes, self.len) {
            Ok(()) => {
                self.len += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // What is half-written would hide what comes after it.
                self.is_broken = self.file.set_len(self.len).is_err();
                Err(error)
            }
        }
    }

    /// Writes the list anew when most of it is about what is gone. When that fails the old one goes on growing.
    fn compact(&mut self, directory: &Directory) {
        if self.len < self.compact_at || self.len < self.live_bytes * COMPACT_FACTOR {
            return;
        }
        match write_anew(directory, &self.owner, &self.live) {
            Ok((file, len)) => {
                self.file = file;
                self.len = len;
                self.is_broken = false;
            }
            Err(error) => tracing::debug!(%error, "the list of spilled values cannot be written anew now"),
        }
        self.compact_at = (self.len * COMPACT_FACTOR).max(COMPACT_MIN_BYTES);
    }
}

fn write_anew(directory: &Directory, owner: &Owner, live: &FxHashMap<RecordId, Kept>) -> io::Result<(File, u64)> {
    directory.remove(NEW_NAME);
    let mut bytes = Vec::with_capacity(FRAME + PLACE_MAX + live.len() * KEPT_BYTES as usize);
    Record::Begin(owner.clone()).append_to(0, &mut bytes);
    let mut in_order: Vec<_> = live.iter().collect();
    in_order.sort_unstable_by_key(|(id, _)| **id);
    for (id, kept) in in_order {
        let at = bytes.len() as u64;
        Record::Kept(*id, *kept).append_to(at, &mut bytes);
    }
    let (file, _) = directory.create(NEW_NAME, false)?;
    let written = file.write_all_at(&bytes, 0).and_then(|()| directory.rename(NEW_NAME, NAME));
    match written {
        Ok(()) => Ok((file, bytes.len() as u64)),
        Err(error) => {
            directory.remove(NEW_NAME);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> impl Strategy<Value = Record> {
        let task = (any::<u32>(), any::<u32>()).prop_map(|(slot, generation)| TaskId { slot, generation });
        let place =
            (any::<bool>(), 0..1000u64, 0..1u64 << 40, 0..1u64 << 40).prop_map(
                |(alone, file, offset, len)| match alone {
                    true => Place::Alone { file: FileId(file), len },
                    false => Place::Packed { pack: FileId(file), offset, len },
                },
            );
        let parts = proptest::option::of(0..1000u32);
        let kept = (0..20u64, task, any::<u64>(), parts, place).prop_map(|(id, task, nbytes, parts, place)| {
            Record::Kept(RecordId(id), Kept { task, nbytes, parts, place })
        });
        prop_oneof![3 => kept, 1 => (0..20u64).prop_map(|id| Record::Gone(RecordId(id)))]
    }

    /// What a list of whole records says.
    fn model(records: &[Record]) -> FxHashMap<RecordId, Kept> {
        let mut live = FxHashMap::default();
        for record in records {
            match record {
                Record::Begin(_) => {}
                Record::Kept(id, kept) => drop(live.insert(*id, *kept)),
                Record::Gone(id) => drop(live.remove(id)),
            }
        }
        live
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Wherever the file ends, what it says is what its whole records say.
        #[test]
        fn cut_anywhere_it_says_what_its_whole_records_say(records in proptest::collection::vec(record(), 0..12)) {
            let owner = Owner { scheduler: Incarnation(7), place: "a".into() };
            let mut all = vec![Record::Begin(owner.clone())];
            all.extend(records);
            let mut bytes = Vec::new();
            let mut ends = Vec::new();
            for record in &all {
                let at = bytes.len() as u64;
                record.append_to(at, &mut bytes);
                ends.push(bytes.len());
            }
            for cut in 0..=bytes.len() {
                let whole = ends.partition_point(|end| *end <= cut);
                let replayed = replay(&bytes[..cut]);
                prop_assert_eq!(&replayed.live, &model(&all[..whole]));
                prop_assert_eq!(replayed.owner.as_ref(), (whole > 0).then_some(&owner));
                // A damaged byte ends the list there too.
                if cut < bytes.len() {
                    let mut damaged = bytes.clone();
                    damaged[cut] ^= 0x20;
                    let replayed = replay(&damaged);
                    prop_assert_eq!(&replayed.live, &model(&all[..whole]));
                }
            }
        }
    }

    #[test]
    fn a_record_is_good_only_where_it_was_written() {
        let mut bytes = Vec::new();
        Record::Gone(RecordId(3)).append_to(0, &mut bytes);
        assert!(Record::decode(&bytes, 0).is_some());
        assert!(Record::decode(&bytes, 64).is_none());
    }
}
