//! How many bytes an object holds, roughly and quickly.
//!
//! [`nbytes`] walks an object. Numbers, text, bytes and the built-in containers are measured here; for every other type
//! `kask.sizeof` says how (a function, or one of the ways of [`by_name`]), and remembers it. Large containers are sampled:
//! items from evenly spread places stand for all. What is met twice in one walk is counted once, and is not scaled with
//! the sample it was met in. A walk looks at no more than `VISITS` objects, so its time is bounded.
//!
//! Start reading at [`nbytes`] and [`visit`].

use crate::buffers;
use crate::errors;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple};
use rustc_hash::FxHashMap;
use std::cell::RefCell;

/// Objects that one walk looks into.
const VISITS: u32 = 1024;
/// Containers nested deeper are not looked into.
const MAX_DEPTH: u32 = 24;
/// How many items of the outermost container stand for all.
const SAMPLE: usize = 64;
/// The same for those inside of it.
const INNER_SAMPLE: usize = 16;
/// How far into a dict items are taken from: there is no quicker way to the later ones than past all others.
const DICT_REACH: usize = 1024;
/// The same for a set, whose items lie anywhere in memory.
const SET_REACH: usize = 256;
/// What an object counts that was not looked into.
const UNSEEN: u64 = 64;
/// A float, or an integer of a machine word.
const NUMBER: u64 = 28;
/// What there is but one of.
const SINGLETON: u64 = 16;

thread_local! {
    static WALK: RefCell<Option<Walk>> = const { RefCell::new(None) };
}

/// What one walk has seen.
struct Walk {
    visits: u32,
    depth: u32,
    /// By address; held, so that no address comes to mean another object.
    seen: FxHashMap<usize, Seen>,
    /// Memory that arrays are views of.
    owners: FxHashMap<usize, Owner>,
    /// Bytes counted so far that were met more than once.
    shared: u64,
    /// Whether views count all that they keep alive, although something else does, too.
    views_keep: bool,
}

struct Seen {
    _object: Py<PyAny>,
    size: u64,
    is_shared: bool,
}

struct Owner {
    _object: Py<PyAny>,
    counted: u64,
    is_shared: bool,
}

enum Entered {
    New,
    Again,
    TooMuch,
}

impl Walk {
    fn enter(&mut self, object: &Bound<'_, PyAny>) -> Entered {
        let address = object.as_ptr().addr();
        if let Some(seen) = self.seen.get_mut(&address) {
            if !std::mem::replace(&mut seen.is_shared, true) {
                self.shared += seen.size;
            }
            return Entered::Again;
        }
        if self.visits == 0 || self.depth >= MAX_DEPTH {
            return Entered::TooMuch;
        }
        self.visits -= 1;
        self.depth += 1;
        self.seen.insert(address, Seen { _object: object.clone().unbind(), size: 0, is_shared: false });
        Entered::New
    }

    fn leave(&mut self, address: usize, size: u64) {
        self.depth -= 1;
        if let Some(seen) = self.seen.get_mut(&address) {
            seen.size = size;
        }
    }
}

/// Does something with the walk of this thread. Nothing of Python may be called meanwhile.
fn walk<T>(work: impl FnOnce(&mut Walk) -> T) -> T {
    WALK.with_borrow_mut(|walk| work(walk.as_mut().expect("objects are visited within a walk alone")))
}

/// Ends the walk however the call ends.
struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        // Dropped outside of the cell: it may be the last reference to something.
        let walk = WALK.take();
        drop(walk);
    }
}

/// Bytes that `object` holds. Never raises: an object that cannot say counts as small.
pub fn nbytes(object: &Bound<'_, PyAny>) -> u64 {
    match number(object).or_else(|| text(object)) {
        Some(size) => size,
        None => within_walk(false, || visit(object)),
    }
}

/// The same of the result of a task that had inputs. A worker lets go of these, and what a view of one shows keeps all of
/// it: so views count what they keep.
pub fn nbytes_without_inputs(object: &Bound<'_, PyAny>) -> u64 {
    match number(object).or_else(|| text(object)) {
        Some(size) => size,
        None => within_walk(true, || visit(object)),
    }
}

/// Runs `work` in the walk of this thread; begins one if there is none.
fn within_walk<T>(views_keep: bool, work: impl FnOnce() -> T) -> T {
    if WALK.with_borrow(Option::is_some) {
        return work();
    }
    let (seen, owners) = Default::default();
    WALK.set(Some(Walk { visits: VISITS, depth: 0, seen, owners, shared: 0, views_keep }));
    let _ending = Ending;
    work()
}

fn number(object: &Bound<'_, PyAny>) -> Option<u64> {
    if object.is_none() || object.is_exact_instance_of::<PyBool>() {
        return Some(SINGLETON);
    }
    if object.is_exact_instance_of::<PyFloat>() {
        return Some(NUMBER);
    }
    if !object.is_exact_instance_of::<PyInt>() {
        return None;
    }
    // The interpreter keeps one object of each of the smallest.
    buffers::small_int(object).map(|number| if (-5..=256).contains(&number) { SINGLETON } else { NUMBER })
}

fn text(object: &Bound<'_, PyAny>) -> Option<u64> {
    if object.is_exact_instance_of::<PyString>() {
        return Some(shallow(object));
    }
    object.cast_exact::<PyBytes>().ok().map(|bytes| 33 + bytes.as_bytes().len() as u64)
}

/// The size of an object that has not been met in this walk; nothing for one that has.
fn visit(object: &Bound<'_, PyAny>) -> u64 {
    if let Some(size) = number(object) {
        return if size == SINGLETON { 0 } else { size };
    }
    match walk(|walk| walk.enter(object)) {
        Entered::New => {}
        Entered::Again => return 0,
        Entered::TooMuch => return shallow(object),
    }
    let size = measure(object);
    walk(|walk| walk.leave(object.as_ptr().addr(), size));
    size
}

fn measure(object: &Bound<'_, PyAny>) -> u64 {
    if let Some(size) = text(object) {
        return size;
    }
    if object.is_exact_instance_of::<PyList>() || object.is_exact_instance_of::<PyTuple>() {
        return sequence(object);
    }
    if object.is_exact_instance_of::<PyDict>() {
        return mapping(object);
    }
    if object.is_exact_instance_of::<PySet>() || object.is_exact_instance_of::<PyFrozenSet>() {
        return set(object);
    }
    by_type(object).unwrap_or_else(|_| shallow(object))
}

/// What the interpreter says of the object alone.
fn shallow(object: &Bound<'_, PyAny>) -> u64 {
    static SIZE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let size = || SIZE.import(object.py(), "sys", "getsizeof")?.call1((object, UNSEEN))?.extract();
    size().unwrap_or(UNSEEN)
}

/// As `kask.sizeof` says for the object's type.
fn by_type(object: &Bound<'_, PyAny>) -> PyResult<u64> {
    static KNOWN: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let py = object.py();
    let module = || py.import(intern!(py, "kask.sizeof"));
    let known = KNOWN.get_or_try_init(py, || {
        Ok::<_, PyErr>(module()?.getattr(intern!(py, "_known"))?.cast_into::<PyDict>()?.unbind())
    })?;
    let class = object.get_type();
    let way = match known.bind(py).get_item(&class)? {
        Some(way) => way,
        None => module()?.call_method1(intern!(py, "_way_for"), (&class,))?,
    };
    if let Ok(name) = way.cast_exact::<PyString>() {
        return by_name(object, name.to_str()?);
    }
    let measured = way.call1((object,)).and_then(|bytes| bytes.extract());
    if let Err(error) = &measured {
        // Nobody can be told of a problem with the telling.
        let _ = module().and_then(|module| module.call_method1(intern!(py, "_way_failed"), (&class, error.value(py))));
    }
    measured
}

/// The ways that are built in, under the names by which `kask.sizeof` knows them.
fn by_name(object: &Bound<'_, PyAny>, name: &str) -> PyResult<u64> {
    match name {
        "sequence" => Ok(sequence(object) + attributes(object)),
        "mapping" => Ok(mapping(object) + attributes(object)),
        "set" => Ok(set(object) + attributes(object)),
        "array" => array(object),
        "buffer" => Ok(PyUntypedBuffer::get(object)?.len_bytes() as u64 + UNSEEN),
        _ => Ok(shallow(object)),
    }
}

/// What an instance of a subclass holds beside its items.
fn attributes(object: &Bound<'_, PyAny>) -> u64 {
    match object.getattr_opt(intern!(object.py(), "__dict__")) {
        Ok(Some(attributes)) if attributes.len().is_ok_and(|len| len > 0) => visit(&attributes),
        Ok(_) | Err(_) => 0,
    }
}

fn sequence(object: &Bound<'_, PyAny>) -> u64 {
    let len = if let Ok(list) = object.cast::<PyList>() {
        list.len()
    } else if let Ok(tuple) = object.cast::<PyTuple>() {
        tuple.len()
    } else {
        return shallow(object);
    };
    // Not through `object[index]`: a subclass may make its items on demand.
    let item = |index: usize| match object.cast::<PyList>() {
        Ok(list) => list.get_item(index).ok(),
        Err(_) => object.cast::<PyTuple>().ok().and_then(|tuple| tuple.get_item(index).ok()),
    };
    let places = spread(len, sample_size());
    64 + 8 * len as u64 + estimate(places.filter_map(item).map(|item| visit(&item)), len)
}

fn mapping(object: &Bound<'_, PyAny>) -> u64 {
    let Ok(dict) = object.cast::<PyDict>() else { return shallow(object) };
    let len = dict.len();
    let pairs = sampled(dict.iter(), len.min(DICT_REACH));
    shallow(object) + estimate(pairs.into_iter().map(|(key, value)| visit(&key) + visit(&value)), len)
}

fn set(object: &Bound<'_, PyAny>) -> u64 {
    let (Ok(len), Ok(items)) = (object.len(), object.try_iter()) else { return shallow(object) };
    let items = sampled(items.map_while(Result::ok), len.min(SET_REACH));
    shallow(object) + estimate(items.iter().map(visit), len)
}

/// How many items of the container that is being measured stand for all.
fn sample_size() -> usize {
    if walk(|walk| walk.depth) <= 1 { SAMPLE } else { INNER_SAMPLE }
}

/// Some of the first `reach` items.
fn sampled<T>(items: impl Iterator<Item = T>, reach: usize) -> Vec<T> {
    let mut places: Vec<usize> = spread(reach, sample_size()).collect();
    places.sort_unstable();
    let mut wanted = places.into_iter().peekable();
    let chosen = items.take(reach).enumerate().filter(|(place, _)| wanted.next_if_eq(place).is_some());
    chosen.map(|(_, item)| item).collect()
}

/// `count` places in a sequence of `len`, one in each of as many equal stretches, in an order without a direction; all
/// places when there are no more.
fn spread(len: usize, count: usize) -> impl Iterator<Item = usize> {
    let count = count.min(len);
    let mut step = (count * 5 / 8).max(1);
    while !coprime(step, count) {
        step += 1;
    }
    (0..count).map(move |turn| {
        let stretch = turn * step % count;
        let (start, end) = (stretch * len / count, (stretch + 1) * len / count);
        // Anywhere in the stretch, so that no period in the data falls in with ours.
        let anywhere = (stretch as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        start + (anywhere as usize) % (end - start)
    })
}

fn coprime(mut a: usize, mut b: usize) -> bool {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a <= 1
}

/// What `len` items hold when `sizes` are those of some. Measures until the walk has looked at enough.
fn estimate(sizes: impl Iterator<Item = u64>, len: usize) -> u64 {
    let shared = walk(|walk| walk.shared);
    let (mut seen, mut bytes) = (0u64, 0u64);
    for size in sizes {
        seen += 1;
        bytes += size;
        if walk(|walk| walk.visits) == 0 {
            break;
        }
    }
    // What was met again is there once, however many items refer to it.
    let shared = (walk(|walk| walk.shared) - shared).min(bytes);
    let alone = u128::from(bytes - shared) * len as u128 / u128::from(seen.max(1));
    u64::try_from(alone).unwrap_or(u64::MAX).saturating_add(shared)
}

/// A NumPy array. A view counts what it shows, or all that it keeps alive if nothing else does.
fn array(object: &Bound<'_, PyAny>) -> PyResult<u64> {
    const HEADER: u64 = 112;
    let py = object.py();
    let mut bytes: u64 = object.getattr(intern!(py, "nbytes"))?.extract()?;
    match owner(object)? {
        Some(owner) => bytes = view(&owner, bytes.min(extent(object)?))?,
        // Other items of the container may be views of it.
        None if walk(|walk| walk.depth) > 1 => bytes = view(object, bytes)?,
        None => {}
    }
    if object.getattr(intern!(py, "dtype"))?.getattr(intern!(py, "kind"))?.eq("O")? {
        let len: usize = object.getattr(intern!(py, "size"))?.extract()?;
        let flat = object.getattr(intern!(py, "flat"))?;
        let items = spread(len, sample_size()).filter_map(|place| flat.get_item(place).ok());
        bytes += estimate(items.map(|item| visit(&item)), len);
    }
    Ok(bytes + HEADER)
}

/// Whose memory an array shows, if not its own.
pub fn owner<'py>(array: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let mut owner = None;
    let mut base = array.getattr(intern!(array.py(), "base"))?;
    while !base.is_none() {
        let next = base.getattr_opt(intern!(array.py(), "base"))?;
        owner = Some(std::mem::replace(&mut base, next.unwrap_or_else(|| array.py().None().into_bound(array.py()))));
    }
    Ok(owner)
}

/// From the first to the last byte that an array shows: less than its size where elements overlap.
pub fn extent(array: &Bound<'_, PyAny>) -> PyResult<u64> {
    let py = array.py();
    let shape: Vec<i64> = array.getattr(intern!(py, "shape"))?.extract()?;
    let strides: Vec<i64> = array.getattr(intern!(py, "strides"))?.extract()?;
    let item: u64 = array.getattr(intern!(py, "itemsize"))?.extract()?;
    let steps = shape.iter().zip(&strides).map(|(len, stride)| (len - 1).max(0).unsigned_abs() * stride.unsigned_abs());
    Ok(item + steps.sum::<u64>())
}

/// All that the owner of an array's memory has, where that is known.
pub fn whole(owner: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
    match owner.getattr_opt(intern!(owner.py(), "nbytes"))? {
        Some(nbytes) => nbytes.extract().map(Some),
        // A mapped file, bytes.
        None => Ok(PyUntypedBuffer::get(owner).ok().map(|export| export.len_bytes() as u64)),
    }
}

/// What a view of `bytes` adds to what is known of its owner.
fn view(owner: &Bound<'_, PyAny>, bytes: u64) -> PyResult<u64> {
    let whole = whole(owner)?.unwrap_or(bytes);
    // One reference is the view's, one is ours.
    let is_sole = buffers::reference_count(owner) <= 2 || walk(|walk| walk.views_keep);
    let here = if is_sole { whole } else { bytes.min(whole) };
    Ok(walk(|walk| match walk.owners.get_mut(&owner.as_ptr().addr()) {
        None => {
            let object = owner.clone().unbind();
            walk.owners.insert(owner.as_ptr().addr(), Owner { _object: object, counted: here, is_shared: false });
            here
        }
        Some(known) if known.is_shared => 0,
        Some(known) => {
            known.is_shared = true;
            walk.shared += whole.max(known.counted);
            whole.saturating_sub(known.counted)
        }
    }))
}

/// The size of a Python object, as the engine counts it.
#[pyfunction]
pub fn sizeof(object: &Bound<'_, PyAny>) -> u64 {
    nbytes(object)
}

/// What `population` objects hold, of which `items` are some.
#[pyfunction]
pub fn sizeof_items(items: &Bound<'_, PyList>, population: usize) -> u64 {
    within_walk(false, || estimate(items.iter().map(|item| visit(&item)), population))
}

/// Up to `count` places in a sequence of `len` items that stand for all.
#[pyfunction]
pub fn sample_places(len: usize, count: usize) -> Vec<usize> {
    spread(len, count).collect()
}

/// Refuses a number of items that the engine cannot count.
pub fn count(py: Python<'_>, len: usize) -> PyResult<u32> {
    u32::try_from(len).map_err(|_| errors::graph(py, "a graph has at most 4,294,967,295 tasks"))
}
