//! The values that a worker holds, in memory and on disk.
//!
//! What the worker core believes of a value's whereabouts follows from the events that it has handled, so the store may be a step
//! ahead of it. It is therefore forgiving: a memory copy goes only when there is a disk copy, and who asks for a value
//! is told where it is now ([`Found`]).

use crate::runtime::Value;
use crate::spill::{Content, Spilled};
use kask_net::share;
use kask_net::trim::trim_soon;
use kask_types::{Failure, Payload, Segment, TaskId, ValueId, shrunk};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Encodings with pickles of this size are kept; the buffers beside the pickle are the object's own.
const ENCODING_HEAD_MAX: u64 = 4096;

/// What comes into the store.
#[derive(Clone)]
pub enum Stored {
    /// A value.
    Value(Value),
    /// A value that its maker could not send; whoever needs it fails with this.
    Unsendable(Failure),
}

/// What the store has of a value.
#[derive(Clone)]
pub enum Found {
    /// It is in memory.
    Memory(Stored),
    /// It is on disk alone.
    Disk {
        /// Where.
        spilled: Arc<Spilled>,
        /// Which part of it is wanted; all of it if absent.
        part: Option<u32>,
    },
}

/// What is held for one task, or for a part of its result.
enum Entry {
    Unsendable(Failure),
    Value(Copies),
}

/// The copies of a value: one at least.
struct Copies {
    memory: Option<Value>,
    /// What of the copy in memory is not this process's own.
    mapped: Mapped,
    disk: Option<Arc<Spilled>>,
    nbytes: u64,
    /// Which of all values that were ever held this is: a task's value may go and come again.
    serial: u32,
}

/// Bytes of values of this process's workers that are mapped files, or other processes' memory.
static MAPPED: AtomicU64 = AtomicU64::new(0);

/// How much of the values that workers of this process hold in memory are mapped files or views of other processes' memory:
/// what is not counted as the process's own. What others have read is not counted.
pub(crate) fn mapped_bytes() -> u64 {
    MAPPED.load(Ordering::Relaxed)
}

/// Bytes that are counted as long as this lives.
#[derive(Default)]
struct Mapped(u64);

impl Mapped {
    fn new(bytes: u64) -> Mapped {
        MAPPED.fetch_add(bytes, Ordering::Relaxed);
        Mapped(bytes)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        MAPPED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// A value that is to be written to disk, as it was when that was decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToSpill {
    pub(crate) task: TaskId,
    pub(crate) nbytes: u64,
    serial: u32,
}

/// What became free with values that were thrown away.
#[derive(Debug)]
pub struct Removed {
    /// What is left of them on disk, to be removed.
    pub on_disk: Vec<Arc<Spilled>>,
    /// What they took in memory.
    pub memory_bytes: u64,
}

/// The values that a worker holds.
#[derive(Default)]
pub struct Store {
    values: Mutex<Values>,
    /// Bytes given to peers and clients.
    pub served_bytes: AtomicU64,
}

#[derive(Default)]
struct Values {
    entries: FxHashMap<ValueId, Entry>,
    next_serial: u32,
}

impl Store {
    /// Holds a value of `nbytes` in memory. What is on disk of the same value stays there.
    pub fn insert(&self, id: impl Into<ValueId>, value: Stored, nbytes: u64) {
        let id = id.into();
        let mapped = match &value {
            Stored::Value(value) => Mapped::new(value.foreign_bytes()),
            Stored::Unsendable(_) => Mapped::default(),
        };
        let mut values = self.values.lock();
        let replaced = match (value, values.entries.get_mut(&id)) {
            (Stored::Value(value), Some(Entry::Value(copies))) => {
                copies.nbytes = nbytes;
                copies.mapped = mapped;
                (copies.memory.replace(value), None)
            }
            (Stored::Value(value), Some(Entry::Unsendable(_)) | None) => {
                let copies = Copies { memory: Some(value), mapped, disk: None, nbytes, serial: values.serial() };
                (None, values.entries.insert(id, Entry::Value(copies)))
            }
            // A copy that is here is better than a failure to get another one.
            (Stored::Unsendable(_), Some(Entry::Value(_))) => (None, None),
            (Stored::Unsendable(failure), Some(Entry::Unsendable(_)) | None) => {
                (None, values.entries.insert(id, Entry::Unsendable(failure)))
            }
        };
        drop(values);
        // Freed outside of the lock: freeing may run the user's code.
        drop(replaced);
    }

    /// Holds a value that was found on disk.
    pub(crate) fn adopt(&self, spilled: Arc<Spilled>) {
        let mut values = self.values.lock();
        let (nbytes, serial) = (spilled.nbytes(), values.serial());
        let copies = Copies { memory: None, mapped: Mapped::default(), disk: Some(spilled.clone()), nbytes, serial };
        values.entries.insert(spilled.task().into(), Entry::Value(copies));
    }

    /// Where a value is; a part also where the whole value is.
    pub fn get(&self, id: impl Into<ValueId>) -> Option<Found> {
        let id = id.into();
        let values = self.values.lock();
        if let Some(entry) = values.entries.get(&id) {
            return Some(match entry {
                Entry::Unsendable(failure) => Found::Memory(Stored::Unsendable(failure.clone())),
                Entry::Value(Copies { memory: Some(value), .. }) => Found::Memory(Stored::Value(value.clone())),
                Entry::Value(Copies { memory: None, disk, .. }) => Found::Disk { spilled: disk.clone()?, part: None },
            });
        }
        let part = id.part?;
        match values.entries.get(&ValueId::from(id.task))? {
            Entry::Unsendable(failure) => Some(Found::Memory(Stored::Unsendable(failure.clone()))),
            Entry::Value(Copies { memory: Some(Value::Parts(parts)), .. }) => {
                let part = parts.get(part as usize)?.clone();
                Some(Found::Memory(Stored::Value(Value::received(part))))
            }
            Entry::Value(Copies { disk: Some(spilled), .. }) if spilled.parts().is_some_and(|parts| part < parts) => {
                Some(Found::Disk { spilled: spilled.clone(), part: Some(part) })
            }
            Entry::Value(_) => None,
        }
    }

    /// The size of a value that is held.
    pub(crate) fn nbytes(&self, id: ValueId) -> u64 {
        match self.values.lock().entries.get(&id) {
            Some(Entry::Value(copies)) => copies.nbytes,
            Some(Entry::Unsendable(_)) | None => 0,
        }
    }

    /// Keeps the encoding of an object that is held, for the next who asks; not where it would take much memory of its own.
    pub(crate) fn keep_encoding(&self, id: ValueId, object: &Payload, payload: &Payload) {
        let Payload::Bytes { head, buffers: _ } = payload else { return };
        if let Some(Entry::Value(Copies { memory: Some(Value::Object { object: held, encoded }), .. })) =
            self.values.lock().entries.get_mut(&id)
            && encoded.is_none()
            && is_same_object(held, object)
            && (head.0.len() as u64) <= ENCODING_HEAD_MAX.max(payload.nbytes() / 8)
        {
            *encoded = Some(payload.clone());
        }
    }

    /// Takes note that a task's value is to be written to disk; `None` when it is not here.
    pub(crate) fn to_spill(&self, task: TaskId) -> Option<ToSpill> {
        match self.values.lock().entries.get(&task.into())? {
            Entry::Unsendable(_) => None,
            Entry::Value(copies) => Some(ToSpill { task, nbytes: copies.nbytes, serial: copies.serial }),
        }
    }

    /// The memory copy of a value that is to be written; `None` when it went meanwhile.
    pub(crate) fn value_to_spill(&self, to_spill: &ToSpill) -> Option<Value> {
        match self.values.lock().entries.get(&to_spill.task.into())? {
            Entry::Value(copies) if copies.serial == to_spill.serial => copies.memory.clone(),
            Entry::Value(_) | Entry::Unsendable(_) => None,
        }
    }

    /// A value has been written. `false` when it went meanwhile, and what was written is to be removed.
    pub(crate) fn spilled(&self, to_spill: &ToSpill, spilled: &Arc<Spilled>) -> bool {
        match self.values.lock().entries.get_mut(&to_spill.task.into()) {
            Some(Entry::Value(copies)) if copies.serial == to_spill.serial && copies.disk.is_none() => {
                copies.disk = Some(spilled.clone());
                true
            }
            Some(Entry::Value(_) | Entry::Unsendable(_)) | None => false,
        }
    }

    /// What has been read back is in memory from now on, unless the value went or came again meanwhile.
    pub(crate) fn unspilled(&self, spilled: &Arc<Spilled>, value: Value) {
        let mut values = self.values.lock();
        if let Some(Entry::Value(copies)) = values.entries.get_mut(&spilled.task().into())
            && copies.memory.is_none()
            && copies.disk.as_ref().is_some_and(|disk| Arc::ptr_eq(disk, spilled))
        {
            copies.memory = Some(value);
            copies.mapped = Mapped::new(spilled.mapped_bytes());
        }
    }

    /// A disk copy turned out to be of no use. Gives back whether nothing is left of the value.
    pub(crate) fn lost(&self, spilled: &Arc<Spilled>) -> bool {
        let mut values = self.values.lock();
        let id = spilled.task().into();
        match values.entries.get_mut(&id) {
            Some(Entry::Value(copies)) if copies.disk.as_ref().is_some_and(|disk| Arc::ptr_eq(disk, spilled)) => {
                copies.disk = None;
                let is_lost = copies.memory.is_none();
                if is_lost {
                    values.entries.remove(&id);
                }
                is_lost
            }
            Some(Entry::Value(_) | Entry::Unsendable(_)) | None => false,
        }
    }

    /// Gives up memory copies of values that are on disk.
    pub(crate) fn evict(&self, tasks: &[TaskId]) {
        let evicted: Vec<Value> = {
            let mut values = self.values.lock();
            let memory_of = |task: &TaskId| match values.entries.get_mut(&(*task).into()) {
                Some(Entry::Value(copies)) if copies.disk.is_some() => {
                    copies.mapped = Mapped::default();
                    copies.memory.take()
                }
                Some(Entry::Value(_) | Entry::Unsendable(_)) | None => None,
            };
            tasks.iter().filter_map(memory_of).collect()
        };
        evicted.iter().for_each(Value::give_up);
    }

    /// Throws values away.
    #[must_use = "files do not go by themselves"]
    pub fn remove(&self, ids: &[ValueId]) -> Removed {
        let mut removed: Vec<Entry> = {
            let mut values = self.values.lock();
            let removed = ids.iter().filter_map(|id| values.entries.remove(id)).collect();
            if let Some(capacity) = shrunk(values.entries.len(), values.entries.capacity()) {
                values.entries.shrink_to(capacity);
                trim_soon();
            }
            removed
        };
        let on_disk = |entry: &mut Entry| match entry {
            Entry::Value(copies) => copies.disk.take(),
            Entry::Unsendable(_) => None,
        };
        let mut memory_bytes = 0;
        for entry in &removed {
            if let Entry::Value(Copies { memory: Some(value), nbytes, .. }) = entry {
                value.give_up();
                memory_bytes += nbytes;
            }
        }
        Removed { on_disk: removed.iter_mut().filter_map(on_disk).collect(), memory_bytes }
    }

    /// Throws everything away. Files stay where they are.
    pub fn clear(&self) {
        let entries = std::mem::take(&mut self.values.lock().entries);
        drop(entries);
    }

    /// How many values are held.
    pub fn len(&self) -> usize {
        self.values.lock().entries.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn served(&self, payload: &Payload) {
        self.served_bytes.fetch_add(payload.nbytes(), Ordering::Relaxed);
    }
}

fn is_same_object(left: &Payload, right: &Payload) -> bool {
    match (left, right) {
        (Payload::Local(left), Payload::Local(right)) => {
            Arc::ptr_eq(&left.holder, &right.holder) && left.index == right.index
        }
        (Payload::Local(_) | Payload::Bytes { .. }, _) => false,
    }
}

impl Values {
    fn serial(&mut self) -> u32 {
        self.next_serial = self.next_serial.wrapping_add(1);
        self.next_serial
    }
}

impl Value {
    /// A value as it came from a peer or client. One that consists of parts does so here too.
    pub fn received(payload: Payload) -> Value {
        if let Some(parts) = Value::separated(&payload) {
            return Value::Parts(parts);
        }
        match payload {
            object @ Payload::Local(_) => Value::Object { object, encoded: None },
            payload @ Payload::Bytes { .. } => Value::Encoded { payload, object: Default::default(), writable: false },
        }
    }

    /// A value as it came from disk, in memory that nobody else sees.
    pub(crate) fn read_back(content: Content) -> Value {
        match content {
            Content::Whole(payload) => Value::Encoded { payload, object: Default::default(), writable: true },
            Content::Parts(parts) => Value::Parts(parts),
        }
    }

    /// It is about to be let go of: what other processes view of it stays in memory for them.
    fn give_up(&self) {
        self.large_segments().for_each(share::give_up);
    }

    /// Bytes of it that are another process's memory.
    fn foreign_bytes(&self) -> u64 {
        self.large_segments().filter(|segment| share::is_foreign(segment)).map(|segment| segment.len() as u64).sum()
    }

    /// The pieces of it that may be shared between processes, as far as they are known.
    fn large_segments(&self) -> impl Iterator<Item = &[u8]> {
        let payloads = match self {
            Value::Object { object, encoded } => std::slice::from_ref(encoded.as_ref().unwrap_or(object)),
            Value::Encoded { payload, .. } => std::slice::from_ref(payload),
            Value::Parts(parts) => parts,
        };
        let encoded = payloads.iter().filter_map(|payload| match payload {
            Payload::Bytes { head, buffers } => Some(std::iter::once(head).chain(buffers)),
            Payload::Local(_) => None,
        });
        encoded.flatten().map(|segment| &segment.0[..]).filter(|segment| segment.len() >= share::SHARED_MIN_BYTES)
    }

    /// As it can be handed to somebody in this process.
    pub fn for_this_process(&self) -> Payload {
        match self {
            Value::Object { object, .. } => object.clone(),
            Value::Encoded { payload, object, writable: _ } => object.get().unwrap_or(payload).clone(),
            Value::Parts(parts) => Value::joined(parts),
        }
    }

    /// All parts as one payload: an empty pickle, and as buffers first how many buffers each part has (32 bits each, little
    /// end first), then each part's pickle and buffers in turn.
    pub fn joined(parts: &[Payload]) -> Payload {
        let (mut counts, mut buffers) = (Vec::with_capacity(4 * parts.len()), vec![Segment(bytes::Bytes::new())]);
        for part in parts {
            let Payload::Bytes { head, buffers: more } = part else { continue };
            counts.extend_from_slice(&(more.len() as u32).to_le_bytes());
            buffers.push(head.clone());
            buffers.extend(more.iter().cloned());
        }
        buffers[0] = Segment(counts.into());
        Payload::Bytes { head: Segment(bytes::Bytes::new()), buffers }
    }

    /// The parts of a payload that [`Value::joined`] made; `None` for all others. A pickle is never empty.
    pub fn separated(payload: &Payload) -> Option<Arc<[Payload]>> {
        let Payload::Bytes { head, buffers } = payload else { return None };
        let (counts, mut rest) = buffers.split_first().filter(|_| head.0.is_empty())?;
        let (counts, odd) = counts.0.as_chunks::<4>();
        if !odd.is_empty() {
            return None;
        }
        let mut parts = Vec::with_capacity(counts.len().min(buffers.len()));
        for &count in counts {
            let (head, more) = rest.split_first()?;
            let (mine, others) = more.split_at_checked(u32::from_le_bytes(count) as usize)?;
            parts.push(Payload::Bytes { head: head.clone(), buffers: mine.to_vec() });
            rest = others;
        }
        rest.is_empty().then(|| parts.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spill::{SpillDir, SpillOptions};
    use kask_types::Incarnation;

    const TASK: TaskId = TaskId { slot: 4, generation: 1 };

    struct Rig {
        store: Store,
        folder: SpillDir,
        _directory: kask_net::LocalDir,
    }

    fn rig() -> Rig {
        let directory = kask_net::LocalDir::new().expect("a directory");
        let options = SpillOptions { reserve_bytes: Some(0), ..SpillOptions::default() };
        let folder = SpillDir::open(&directory.path().join("spill"), "w", Incarnation(1), options).expect("it is ours");
        Rig { store: Store::default(), folder, _directory: directory }
    }

    fn value(text: &'static str) -> Stored {
        Stored::Value(Value::received(Payload::from_bytes(text)))
    }

    impl Rig {
        fn write(&self, text: &'static str) -> Arc<Spilled> {
            self.folder.write(TASK, &Content::Whole(Payload::from_bytes(text))).expect("there is room")
        }

        /// What is in memory, or where it is on disk; nothing if it is not here.
        fn found(&self) -> Option<Result<Payload, Arc<Spilled>>> {
            self.store.get(TASK).map(|found| match found {
                Found::Memory(Stored::Value(value)) => Ok(value.for_this_process()),
                Found::Memory(Stored::Unsendable(failure)) => panic!("{failure}"),
                Found::Disk { spilled, .. } => Err(spilled),
            })
        }

        fn text(&self) -> Vec<u8> {
            match self.found() {
                Some(Ok(Payload::Bytes { head, .. })) => head.0.to_vec(),
                other => panic!("it is not in memory: {other:?}"),
            }
        }
    }

    #[test]
    fn memory_is_given_up_only_when_there_is_a_copy_on_disk() {
        let rig = rig();
        rig.store.insert(TASK, value("one"), 3);
        rig.store.evict(&[TASK]);
        assert_eq!(rig.text(), b"one");
        let to_spill = rig.store.to_spill(TASK).expect("it is here");
        let spilled = rig.write("one");
        assert!(rig.store.spilled(&to_spill, &spilled));
        assert_eq!(rig.text(), b"one");
        rig.store.evict(&[TASK]);
        assert_eq!(rig.found().expect("it is here").expect_err("on disk alone"), spilled);
        rig.store.unspilled(&spilled, Value::received(Payload::from_bytes("one")));
        assert_eq!(rig.text(), b"one");
        assert_eq!(rig.store.remove(&[TASK.into()]).on_disk, [spilled]);
        assert!(rig.store.is_empty());
    }

    #[test]
    fn a_file_of_a_value_that_went_is_not_taken_for_the_one_that_came_after_it() {
        let rig = rig();
        rig.store.insert(TASK, value("one"), 3);
        let to_spill = rig.store.to_spill(TASK).expect("it is here");
        assert_eq!(rig.store.remove(&[TASK.into()]).on_disk, []);
        rig.store.insert(TASK, value("two"), 3);
        assert!(rig.store.value_to_spill(&to_spill).is_none());
        assert!(!rig.store.spilled(&to_spill, &rig.write("one")));
        rig.store.evict(&[TASK]);
        assert_eq!(rig.text(), b"two");
    }

    #[test]
    fn what_is_read_for_a_value_that_went_or_came_again_is_passed_over() {
        let rig = rig();
        let old = rig.write("one");
        rig.store.adopt(old.clone());
        rig.store.insert(TASK, value("two"), 3);
        rig.store.unspilled(&old, Value::received(Payload::from_bytes("one")));
        assert_eq!(rig.text(), b"two");
        assert_eq!(rig.store.remove(&[TASK.into()]).on_disk, std::slice::from_ref(&old));
        rig.store.unspilled(&old, Value::received(Payload::from_bytes("one")));
        assert!(rig.found().is_none());
    }

    #[test]
    fn a_lost_copy_on_disk_is_a_lost_value_unless_it_is_in_memory() {
        let rig = rig();
        let spilled = rig.write("one");
        rig.store.adopt(spilled.clone());
        rig.store.insert(TASK, value("one"), 3);
        assert!(!rig.store.lost(&spilled));
        assert_eq!(rig.text(), b"one");
        rig.store.evict(&[TASK]);
        assert_eq!(rig.text(), b"one");
        rig.store.remove(&[TASK.into()]).on_disk.clear();
        rig.store.adopt(spilled.clone());
        assert!(rig.store.lost(&spilled) && rig.found().is_none());
    }

    fn bytes_of(payload: &Payload) -> Vec<&[u8]> {
        match payload {
            Payload::Bytes { head, buffers } => std::iter::once(head).chain(buffers).map(|part| &*part.0).collect(),
            Payload::Local(_) => panic!("it is an object"),
        }
    }

    #[test]
    fn a_copy_of_a_value_of_parts_gives_its_parts_too() {
        let rig = rig();
        let part = |head: &'static str, buffers: &[&'static str]| Payload::Bytes {
            head: Segment(head.into()),
            buffers: buffers.iter().map(|&buffer| Segment(buffer.into())).collect(),
        };
        let parts = [part("a", &["one"]), part("b", &[]), part("c", &["two", "", "three"])];
        let copy = Value::received(Value::joined(&parts));
        assert_eq!(bytes_of(&copy.for_this_process()), bytes_of(&Value::joined(&parts)));
        rig.store.insert(TASK, Stored::Value(copy), 3);
        for (index, expected) in parts.iter().enumerate() {
            match rig.store.get(ValueId { task: TASK, part: Some(index as u32) }) {
                Some(Found::Memory(Stored::Value(value))) => {
                    assert_eq!(bytes_of(&value.for_this_process()), bytes_of(expected));
                }
                _ => panic!("part {index} is here"),
            }
        }
        assert!(rig.store.get(ValueId { task: TASK, part: Some(3) }).is_none());
        assert!(matches!(Value::received(Value::joined(&[])), Value::Parts(none) if none.is_empty()));
    }

    #[test]
    fn what_only_looks_like_parts_is_a_value_like_any_other() {
        let payload = |head: &'static str, buffers: &[&'static [u8]]| Payload::Bytes {
            head: Segment(head.into()),
            buffers: buffers.iter().map(|&buffer| Segment(buffer.into())).collect(),
        };
        for payload in [
            payload("x", &[&[0, 0, 0, 0], b"a"]),
            payload("", &[]),
            payload("", &[&[0, 0, 0], b"a"]),
            payload("", &[&[1, 0, 0, 0], b"a"]),
            payload("", &[&[0, 0, 0, 0], b"a", b"b"]),
            payload("", &[&[255, 255, 255, 255], b"a"]),
        ] {
            assert!(Value::separated(&payload).is_none(), "{payload:?}");
        }
    }

    #[test]
    fn an_encoding_is_kept_for_the_object_that_it_is_of() {
        struct Nothing;
        impl kask_types::LocalItems for Nothing {
            fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
                self
            }
        }
        let rig = rig();
        let object = || Payload::Local(kask_types::Local { holder: Arc::new(Nothing), index: 0 });
        let (mine, other) = (object(), object());
        rig.store.insert(TASK, Stored::Value(Value::Object { object: mine.clone(), encoded: None }), 3);
        let is_kept = || match rig.store.get(TASK) {
            Some(Found::Memory(Stored::Value(Value::Object { encoded, .. }))) => encoded.is_some(),
            _ => panic!("it is an object"),
        };
        rig.store.keep_encoding(TASK.into(), &other, &Payload::from_bytes("x"));
        rig.store.keep_encoding(TASK.into(), &mine, &Payload::from_bytes(vec![0; 1 << 20]));
        assert!(!is_kept());
        rig.store.keep_encoding(TASK.into(), &mine, &Payload::from_bytes("x"));
        assert!(is_kept());
    }
}
