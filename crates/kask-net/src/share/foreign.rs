//! Memory of other processes: their arenas, mapped read-only, and the views of values in them.
//!
//! When the owner of an arena has ended, the views in it are all that is needed of it, but a single one would keep all
//! of its memory. They are therefore *rescued*: copied, and put back at their addresses, so that the system can free
//! the rest.

use super::neighbour::Neighbour;
use crate::arena::Place;
use crate::arena::memory::{Access, Mapping, cannot_shrink, page_bytes};
use crate::fork;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::sync::Arc;

/// Where the foreign arenas lie in this process: first address and end.
static FOREIGN: RwLock<BTreeMap<usize, usize>> = RwLock::new(BTreeMap::new());

/// Whether some bytes are a read-only view of another process's memory.
///
/// Whoever wants to write to them, or keep them for long without keeping the other's memory, copies them.
pub fn is_foreign(bytes: &[u8]) -> bool {
    let address = bytes.as_ptr() as usize;
    !bytes.is_empty() && FOREIGN.read().range(..=address).next_back().is_some_and(|(_, end)| address < *end)
}

/// Another process's arena.
#[derive(Debug)]
pub(crate) struct PeerArena {
    mapping: Mapping,
    file: File,
    views: Mutex<Views>,
}

#[derive(Debug, Default)]
struct Views {
    /// How many views there are of a range: offset and length.
    live: BTreeMap<(usize, usize), usize>,
    /// The owner has ended: there will be no more of them.
    is_closed: bool,
}

impl PeerArena {
    /// Maps the arena that process `pid` says to have at `place`, if the process has such a file there, whose size
    /// can be relied upon.
    pub(crate) fn map(pid: i32, place: &Place) -> io::Result<PeerArena> {
        let refused = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let path = format!("/proc/{pid}/fd/{}", place.fd);
        let is_it = |metadata: &fs::Metadata| {
            metadata.is_file() && metadata.dev() == place.device && metadata.ino() == place.inode
        };
        // Looked at before it is opened, since opening other things than files may have effects.
        if !is_it(&fs::metadata(&path)?) {
            return Err(refused("another file is there"));
        }
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file: File = OpenOptions::new().read(true).custom_flags(flags).open(&path)?;
        let metadata = file.metadata()?;
        if !is_it(&metadata) {
            return Err(refused("another file is there"));
        }
        let capacity = usize::try_from(place.capacity).map_err(|_| refused("it is too large"))?;
        if capacity == 0 || capacity % page_bytes() != 0 || metadata.len() < place.capacity || !cannot_shrink(&file) {
            return Err(refused("its size is not what was said, or may change"));
        }
        let mapping = Mapping::new(&file, capacity, Access::ReadOnly)?;
        let start = mapping.at(0).as_ptr() as usize;
        FOREIGN.write().insert(start, start + capacity);
        Ok(PeerArena { mapping, file, views: Mutex::default() })
    }

    /// Whether a range lies within the arena.
    pub(crate) fn holds(&self, offset: u64, len: usize) -> Option<usize> {
        let offset = usize::try_from(offset).ok()?;
        offset.checked_add(len).filter(|end| *end <= self.mapping.len()).map(|_| offset)
    }

    fn leave(&self, offset: usize, len: usize) {
        let mut views = self.views.lock();
        if let Some(count) = views.live.get_mut(&(offset, len)) {
            *count -= 1;
            if *count == 0 {
                views.live.remove(&(offset, len));
            }
        }
    }

    /// The owner has ended: lets go of its memory where that frees more than copying the views takes. Blocks while it
    /// copies.
    pub(crate) fn rescue(&self) {
        let ranges = {
            let mut views = self.views.lock();
            views.is_closed = true;
            pages_of(&views.live, page_bytes())
        };
        let resident = self.file.metadata().map_or(0, |metadata| metadata.blocks() * 512);
        let needed: usize = ranges.iter().map(|(start, end)| end - start).sum();
        if needed as u64 > resident / 2 {
            return;
        }
        let mut last = 0;
        for (start, end) in ranges.into_iter().chain([(self.mapping.len(), self.mapping.len())]) {
            let given_up = match start > last {
                // SAFETY: there are views only of the ranges, and no new ones any more.
                true => unsafe { self.mapping.give_up(last, start - last) },
                false => Ok(()),
            };
            let done = given_up.and_then(|()| match end > start {
                true => self.mapping.make_own(start, end - start),
                false => Ok(()),
            });
            if let Err(error) = done {
                tracing::debug!(%error, "the memory of a process that has ended is still held by views of it");
                return;
            }
            last = end;
        }
    }
}

/// The pages on which there are views, as ranges that do not touch.
fn pages_of(live: &BTreeMap<(usize, usize), usize>, page: usize) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for (offset, len) in live.keys() {
        let (start, end) = (offset / page * page, (offset + len).next_multiple_of(page));
        match ranges.last_mut() {
            Some((_, last)) if start <= *last => *last = end.max(*last),
            Some(_) | None => ranges.push((start, end)),
        }
    }
    ranges
}

impl Drop for PeerArena {
    fn drop(&mut self) {
        FOREIGN.write().remove(&(self.mapping.at(0).as_ptr() as usize));
    }
}

/// A value in another process's arena; tells that process when it is dropped.
pub(crate) struct View {
    arena: Arc<PeerArena>,
    offset: usize,
    len: usize,
    lease: u64,
    neighbour: Arc<Neighbour>,
    /// Which process this is, counted in forks.
    generation: u32,
}

impl View {
    /// A view of a range that [`PeerArena::holds`]; `None` when the owner has ended.
    pub(crate) fn new(
        arena: Arc<PeerArena>,
        neighbour: Arc<Neighbour>,
        offset: usize,
        len: usize,
        lease: u64,
    ) -> Option<View> {
        let mut views = arena.views.lock();
        if views.is_closed {
            return None;
        }
        *views.live.entry((offset, len)).or_default() += 1;
        drop(views);
        Some(View { arena, offset, len, lease, neighbour, generation: fork::generation() })
    }
}

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the range was checked against the mapping, and the process that lent it does not write to it until
        // the lease has been given back.
        unsafe { self.arena.mapping.slice(self.offset, self.len) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // A forked child has copies of its parent's views; the leases are the parent's.
        if self.generation == fork::generation() {
            self.arena.leave(self.offset, self.len);
            self.neighbour.give_back(self.lease);
        }
    }
}
