//! Large NumPy arrays of a worker process are born in the process's arena (NEP 49), so that other processes of this
//! machine map them instead of being sent a copy.
//!
//! A thread that runs tasks says so once ([`serve_thread`]); [`prepare`] then sets NumPy's memory handler for the thread as
//! soon as somebody has imported NumPy, which Kask itself does not. Only where the process has an arena: worker processes
//! have one, and only their runners say so.
//!
//! Invariants: memory of the arena goes back to the arena and all other memory to the C library, told apart by the address
//! alone, because arrays outlive the thread, the handler's setting and (in a forked child) the arena's tables. A forked child
//! allocates from the C library; what it inherited of the arena it may read and write, and never frees.

use kask_net::Arena;
use kask_net::share::SHARED_MIN_BYTES;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCapsule, PyDict};
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_uint, c_void};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

/// The C API's version that knows memory handlers: NumPy 1.22.
const API_VERSION: c_uint = 0xf;
/// Where the C API's table has `PyArray_GetNDArrayCFeatureVersion`.
const GET_FEATURE_VERSION: usize = 211;
/// Where it has `PyDataMem_SetHandler`.
const SET_HANDLER: usize = 304;
/// What NumPy calls capsules that hold a handler.
const CAPSULE: &CStr = c"mem_handler";

/// `PyDataMemAllocator` of NumPy's C API.
#[repr(C)]
struct Allocator {
    context: *mut c_void,
    malloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    calloc: unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void,
    realloc: unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void, *mut c_void, usize),
}

/// `PyDataMem_Handler` of NumPy's C API.
#[repr(C)]
struct Handler {
    name: [c_char; 127],
    version: u8,
    allocator: Allocator,
}

// SAFETY: the context is null, and nothing in a handler changes.
unsafe impl Sync for Handler {}

static HANDLER: Handler = Handler {
    name: name(b"kask_arena"),
    version: 1,
    allocator: Allocator { context: null_mut(), malloc, calloc, realloc, free },
};

const fn name(text: &[u8]) -> [c_char; 127] {
    let mut name = [0; 127];
    let mut at = 0;
    while at < text.len() {
        name[at] = text[at] as c_char;
        at += 1;
    }
    name
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The thread runs no tasks of a worker process.
    Other,
    /// It does, and nobody has imported NumPy yet.
    Waiting,
    /// Nothing is left to do.
    Settled,
}

thread_local! {
    static STAGE: Cell<Stage> = const { Cell::new(Stage::Other) };
}

/// The calling thread runs tasks of a worker process.
pub fn serve_thread() {
    if STAGE.get() == Stage::Other && Arena::global().is_some() {
        STAGE.set(Stage::Waiting);
    }
}

/// Sets the calling thread's handler if it is due.
#[inline]
pub fn prepare(py: Python<'_>) {
    if STAGE.get() == Stage::Waiting {
        settle(py);
    }
}

fn settle(py: Python<'_>) {
    match set_handler(py) {
        Ok(false) => {}
        Ok(true) => STAGE.set(Stage::Settled),
        Err(error) => {
            STAGE.set(Stage::Settled);
            tracing::warn!(%error, "arrays of NumPy will be copied to other processes: its memory handler cannot be set");
        }
    }
}

/// False as long as NumPy has not been imported to its end.
fn set_handler(py: Python<'_>) -> PyResult<bool> {
    static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let modules = MODULES.get_or_try_init(py, || {
        Ok::<_, PyErr>(py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?.unbind())
    })?;
    let modules = modules.bind(py);
    let module = match modules.get_item(intern!(py, "numpy._core._multiarray_umath"))? {
        Some(module) => module,
        None => match modules.get_item(intern!(py, "numpy.core._multiarray_umath"))? {
            Some(module) => module,
            None => return Ok(false),
        },
    };
    let Some(table) = module.getattr_opt(intern!(py, "_ARRAY_API"))? else { return Ok(false) };
    let table = table.cast_into::<PyCapsule>()?;
    let table: NonNull<*const c_void> = table.pointer_checked(None)?.cast();
    // SAFETY: the capsule's table has more than `SET_HANDLER` entries in every version that has this one, which says how
    // many functions it has; its type is that of the C API since NumPy 1.4.
    let version = unsafe {
        let entry = *table.as_ptr().add(GET_FEATURE_VERSION);
        std::mem::transmute::<*const c_void, unsafe extern "C" fn() -> c_uint>(entry)()
    };
    if version < API_VERSION {
        return Ok(true);
    }
    static OURS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let ours = OURS.get_or_try_init(py, || capsule(py))?;
    // SAFETY: from `API_VERSION` on this entry is `PyDataMem_SetHandler`; it borrows its argument and gives a new
    // reference to the handler that was set before, or null with an exception. The GIL is held.
    let previous = unsafe {
        let entry = *table.as_ptr().add(SET_HANDLER);
        let set = std::mem::transmute::<*const c_void, unsafe extern "C" fn(*mut ffi::PyObject) -> *mut ffi::PyObject>;
        Bound::from_owned_ptr_or_err(py, set(entry)(ours.as_ptr()))?
    };
    drop(previous);
    Ok(true)
}

/// Our handler as NumPy wants it; arrays hold it for as long as they live.
fn capsule(py: Python<'_>) -> PyResult<Py<PyAny>> {
    let handler = (&raw const HANDLER).cast_mut().cast::<c_void>();
    // SAFETY: handler and name are static; NumPy reads the handler and never writes to it.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyCapsule_New(handler, CAPSULE.as_ptr(), None)) }.map(Bound::unbind)
}

fn arena() -> Option<&'static Arc<Arena>> {
    Arena::global()
}

fn from_arena(len: usize, zeroed: bool) -> Option<*mut c_void> {
    // Smaller arrays travel as copies, and the C library finds memory for them sooner.
    if len < SHARED_MIN_BYTES {
        return None;
    }
    arena()?.allocate(len, zeroed).map(|start| start.as_ptr().cast())
}

/// The arena that `memory` lies in.
fn home(memory: *mut c_void) -> Option<(&'static Arc<Arena>, NonNull<u8>)> {
    let start = NonNull::new(memory.cast::<u8>())?;
    let arena = arena()?;
    arena.contains(start.as_ptr()).then_some((arena, start))
}

unsafe extern "C" fn malloc(_: *mut c_void, len: usize) -> *mut c_void {
    // SAFETY: any length may be asked for.
    from_arena(len, false).unwrap_or_else(|| unsafe { libc::malloc(len) })
}

unsafe extern "C" fn calloc(_: *mut c_void, count: usize, item: usize) -> *mut c_void {
    let Some(len) = count.checked_mul(item) else { return null_mut() };
    // SAFETY: any length may be asked for.
    from_arena(len, true).unwrap_or_else(|| unsafe { libc::calloc(count, item) })
}

unsafe extern "C" fn free(_: *mut c_void, memory: *mut c_void, _: usize) {
    match home(memory) {
        // SAFETY: NumPy frees what `malloc`, `calloc` or `realloc` gave it, once; in a forked child this does nothing.
        Some((arena, start)) => unsafe { arena.free(start) },
        // SAFETY: memory that is not the arena's came from the C library, or is null.
        None => unsafe { libc::free(memory) },
    }
}

unsafe extern "C" fn realloc(_: *mut c_void, memory: *mut c_void, len: usize) -> *mut c_void {
    let Some((arena, start)) = home(memory) else {
        // SAFETY: as in `free`.
        return unsafe { libc::realloc(memory, len) };
    };
    // SAFETY: the memory is the arena's and NumPy's alone.
    if let Some(moved) = unsafe { arena.reallocate(start, len) } {
        return moved.as_ptr().cast();
    }
    // A forked child does not know how large it was: up to the new size, as far as the arena goes, all may be read.
    let known = arena.size_of(start).or_else(|| arena.contains(start.as_ptr().wrapping_add(len)).then_some(len));
    let Some(held) = known else { return null_mut() };
    // SAFETY: any length may be asked for; the two ranges are of different allocations and as long as is copied; the
    // old one is given up afterwards.
    unsafe {
        let fresh = libc::malloc(len);
        if !fresh.is_null() {
            std::ptr::copy_nonoverlapping(start.as_ptr(), fresh.cast::<u8>(), held.min(len));
            arena.free(start);
        }
        fresh
    }
}
