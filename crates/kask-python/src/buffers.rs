//! Memory shared between Python and the engine without a copy, both ways. All `unsafe` for that is here.
//!
//! [`from_bytes`] and [`from_buffer`] lend memory of Python objects to the engine: the object is held until the last
//! [`Bytes`] is gone, and is released by the callback thread, because the last one may go on an engine thread.
//! [`BytesView`] lends the engine's memory to Python: read-only, unless nobody else has it.

use crate::callbacks;
use bytes::Bytes;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};
use std::ffi::c_int;

/// Up to this size copying costs less than sharing.
const COPY_BYTES: usize = 2048;

struct LentBytes {
    start: *const u8,
    len: usize,
    owner: Option<Py<PyBytes>>,
}

// SAFETY: `bytes` objects are immutable and `owner` keeps this one alive; the pointer is only read.
unsafe impl Send for LentBytes {}
// SAFETY: as above.
unsafe impl Sync for LentBytes {}

impl AsRef<[u8]> for LentBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `start` and `len` are those of `owner`, whose memory neither moves nor changes while it is held.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl Drop for LentBytes {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.take() {
            callbacks::bury(Box::new(owner));
        }
    }
}

/// The bytes of a `bytes` object.
pub fn from_bytes(object: &Bound<'_, PyBytes>) -> Bytes {
    let slice = object.as_bytes();
    if slice.len() < COPY_BYTES {
        return Bytes::copy_from_slice(slice);
    }
    Bytes::from_owner(LentBytes { start: slice.as_ptr(), len: slice.len(), owner: Some(object.clone().unbind()) })
}

struct LentBuffer {
    start: *const u8,
    len: usize,
    export: Option<PyUntypedBuffer>,
}

// SAFETY: the export keeps the memory where it is; it is only read, and released under the GIL.
unsafe impl Send for LentBuffer {}
// SAFETY: as above.
unsafe impl Sync for LentBuffer {}

impl AsRef<[u8]> for LentBuffer {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: a contiguous export of `len` bytes begins at `start` and stays there until it is released. Whoever
        // writes into an argument or result after handing it over may be seen doing so, as with any zero-copy send.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl Drop for LentBuffer {
    fn drop(&mut self) {
        if let Some(export) = self.export.take() {
            callbacks::release(export);
        }
    }
}

/// The memory of an object with the buffer protocol; it must be contiguous.
pub fn from_buffer(object: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    let export = PyUntypedBuffer::get(object)?;
    if !export.is_c_contiguous() && !export.is_fortran_contiguous() {
        return Err(PyBufferError::new_err("the buffer is not contiguous"));
    }
    let (start, len) = (export.buf_ptr().cast::<u8>().cast_const(), export.len_bytes());
    if len == 0 {
        return Ok(Bytes::new());
    }
    Ok(Bytes::from_owner(LentBuffer { start, len, export: Some(export) }))
}

/// Runs `read` on the memory of a contiguous buffer, under the GIL; `None` when it is not contiguous.
pub fn with_buffer<T>(export: &PyUntypedBuffer, _py: Python<'_>, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
    if !export.is_c_contiguous() {
        return None;
    }
    let len = export.len_bytes();
    if len == 0 {
        return Some(read(&[]));
    }
    // SAFETY: a C-contiguous export of `len` bytes begins there and stays until `export` is released.
    Some(read(unsafe { std::slice::from_raw_parts(export.buf_ptr().cast::<u8>(), len) }))
}

/// Memory of the engine as a buffer.
#[pyclass(module = "kask._kask", frozen)]
pub struct BytesView {
    bytes: Bytes,
    is_read_only: bool,
}

impl BytesView {
    /// Memory that others use as well.
    pub fn read_only(bytes: Bytes) -> BytesView {
        BytesView { bytes, is_read_only: true }
    }
}

#[pymethods]
impl BytesView {
    fn __len__(&self) -> usize {
        self.bytes.len()
    }

    /// # Safety
    /// Called by the interpreter with a view to fill in.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill in"));
        }
        let BytesView { bytes, is_read_only } = slf.get();
        // SAFETY: `bytes` lives as long as `slf`, which the view then holds. It is writable only where [`view`] was
        // told so: then the memory is a private mapping that this process alone has, and whoever reads it meanwhile
        // may see Python code write, as with any memory that Python code shares between threads.
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                bytes.as_ptr().cast_mut().cast(),
                bytes.len().cast_signed(),
                c_int::from(*is_read_only),
                flags,
            )
        };
        if filled < 0 { Err(PyErr::fetch(slf.py())) } else { Ok(()) }
    }

    /// # Safety
    /// Called by the interpreter with a view that `__getbuffer__` filled in.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {}
}

/// `bytes` as an object that `pickle` reads from without a copy.
pub fn view<'py>(py: Python<'py>, bytes: &Bytes) -> PyResult<Bound<'py, PyAny>> {
    if bytes.len() < COPY_BYTES {
        return Ok(PyBytes::new(py, bytes).into_any());
    }
    Ok(Bound::new(py, BytesView::read_only(bytes.clone()))?.into_any())
}

/// The same for memory that belongs to nobody else and may be written to.
pub fn writable_view<'py>(py: Python<'py>, bytes: &Bytes) -> PyResult<Bound<'py, PyAny>> {
    if bytes.len() < COPY_BYTES {
        return Ok(PyByteArray::new(py, bytes).into_any());
    }
    Ok(Bound::new(py, BytesView { bytes: bytes.clone(), is_read_only: false })?.into_any())
}

/// Whether objects of this type can be awaited.
pub fn is_awaitable_type(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the type of a living object; asking for a slot has no side effects.
    !unsafe { ffi::PyType_GetSlot(object.get_type_ptr(), ffi::Py_am_await) }.is_null()
}

/// A machine-sized integer, without raising for larger ones.
pub fn small_int(object: &Bound<'_, PyAny>) -> Option<i64> {
    let mut overflow: c_int = 0;
    // SAFETY: the caller has seen that `object` is an int, so the call cannot raise.
    let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(object.as_ptr(), &raw mut overflow) };
    (overflow == 0).then_some(value)
}

/// How many references there are to an object, this one included.
pub fn reference_count(object: &Bound<'_, PyAny>) -> isize {
    // SAFETY: a living object; nothing but a number is read.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}
