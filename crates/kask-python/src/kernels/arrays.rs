//! Blocks of NumPy arrays, through the buffer protocol, as the rechunk kernels see them: bytes with a shape and strides.
//!
//! The `unsafe` here makes slices of memory that an exported buffer holds: all bytes between its first and its last element.

use super::memory::PartMemory;
use super::{bytes_of, grouping, to_python};
use crate::parts::Parts;
use kask_kernels::{Block, BlockMut, BlockSplit, Chunks, KernelError};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The memory of an array and where in it the element at the origin begins.
pub(super) struct Memory {
    start: *mut u8,
    len: usize,
    pub(super) origin: usize,
}

// SAFETY: an address that is used while the export is held, by one thread at a time.
unsafe impl Send for Memory {}

impl Memory {
    pub(super) fn of(export: &PyUntypedBuffer) -> Memory {
        let origin = export.buf_ptr().cast::<u8>();
        if export.item_count() == 0 {
            return Memory { start: origin, len: 0, origin: 0 };
        }
        let (mut before, mut after) = (0_usize, export.item_size());
        for (&len, &stride) in export.shape().iter().zip(export.strides()) {
            let reach = (len - 1) * stride.unsigned_abs();
            if stride < 0 { before += reach } else { after += reach }
        }
        Memory { start: origin.wrapping_sub(before), len: before + after, origin: before }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: an export of these strides covers all bytes from its first to its last element, and its holder keeps them
        // there. Whoever writes to an argument of a task while the task runs may be seen doing so.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        if self.len == 0 {
            return &mut [];
        }
        // SAFETY: as above, and the export is writable; the caller made the array and has shown it to nobody.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

/// A block that begins at `start` of the array, in parts, one for each group of the blocks that `chunks` describe.
#[pyfunction]
pub fn split_block(
    py: Python<'_>,
    block: &Bound<'_, PyAny>,
    start: Vec<u64>,
    chunks: &Bound<'_, PyAny>,
    groups: &Bound<'_, PyAny>,
    note: &Bound<'_, PyBytes>,
) -> PyResult<Parts> {
    let export = PyUntypedBuffer::get(block)?;
    let sizes = match chunks.cast::<crate::chunks::Chunks>() {
        Ok(chunks) => chunks.get().lists(),
        Err(_) => chunks.extract::<Vec<Vec<u64>>>()?,
    };
    let chunks = Chunks::new(&sizes).map_err(to_python)?;
    let grouping = grouping(groups, chunks.count())?;
    let (itemsize, shape, strides) = (export.item_size(), export.shape().to_vec(), export.strides().to_vec());
    let (note, memory) = (note.as_bytes(), Memory::of(&export));
    let parts = py.detach(move || {
        let block = Block::new(memory.as_slice(), itemsize, memory.origin, &shape, &strides)?;
        let plan = BlockSplit::new(&shape, itemsize, &start, &chunks, &grouping, note)?;
        let mut target = PartMemory::new(plan.nbytes());
        plan.write(&block, target.as_mut())?;
        Ok(target.slices(plan.parts()))
    });
    export.release(py);
    parts.map(Parts::of).map_err(to_python)
}

/// Fills `target`, a new array, with the pieces of one output of the group whose parts these are.
#[pyfunction]
pub fn assemble_block(
    py: Python<'_>,
    target: &Bound<'_, PyAny>,
    output: u32,
    parts: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let export = PyUntypedBuffer::get(target)?;
    if export.readonly() {
        return Err(PyValueError::new_err("the array that a block is assembled in must be writable"));
    }
    let parts = bytes_of(parts)?;
    let (itemsize, shape, strides) = (export.item_size(), export.shape().to_vec(), export.strides().to_vec());
    let mut memory = Memory::of(&export);
    let done = py.detach(move || {
        let origin = memory.origin;
        let mut block = BlockMut::new(memory.as_mut_slice(), itemsize, origin, &shape, &strides)?;
        kask_kernels::assemble_block(&mut block, output, parts.iter().map(|part| part.as_ref()))
    });
    export.release(py);
    done.map_err(|error: KernelError| to_python(error))
}

/// The note that `split_block` was given.
#[pyfunction]
pub fn block_note<'py>(py: Python<'py>, part: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let part = crate::buffers::from_buffer(part)?;
    Ok(PyBytes::new(py, kask_kernels::block_note(&part).map_err(to_python)?))
}
