//! What the tasks of a shuffle call: the kernels of `kask-kernels` on pyarrow tables and NumPy arrays, without the GIL.
//!
//! Tables come and go through Arrow's C interface ([`streams`]), arrays through the buffer protocol ([`arrays`]), and parts are
//! made in memory that other processes of this machine can map ([`memory`]). pyarrow is imported when a table has to be made, not
//! before. `python/kask/shuffle.py` is what calls these.
//!
//! [`FusedKernel`] is what a fused block of array operations calls (`python/kask/expr/fused.py`).

mod arrays;
mod fused;
mod memory;
mod numpy_loop;
mod streams;

use crate::errors;
use crate::names::layer_name;
use crate::parts::Parts;
use bytes::Bytes;
use kask_executor::runtime::current_job;
use kask_graph::usable_bytes;
use kask_kernels::{Grouping, KernelError, PartitionBy, SortKey, SplitPlan, Table};
use kask_types::Key;
use memory::PartMemory;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;

pub use arrays::{assemble_block, block_note, split_block};
pub use fused::FusedKernel;

/// What a kernel refused, in Python's words: wrong values and wrong types apart.
fn to_python(error: KernelError) -> PyErr {
    let message = error.to_string();
    match error {
        KernelError::UnsupportedKey { .. }
        | KernelError::NotAnOutputColumn { .. }
        | KernelError::BoundaryType { .. }
        | KernelError::DifferentTypes { .. } => PyTypeError::new_err(message),
        KernelError::NoSuchColumn { .. } => pyo3::exceptions::PyKeyError::new_err(message),
        KernelError::AmbiguousColumn { .. }
        | KernelError::NoKeys
        | KernelError::OutputOutOfRange { .. }
        | KernelError::WrongBoundaries { .. }
        | KernelError::UnsortedBoundaries { .. }
        | KernelError::Grouping(_)
        | KernelError::WrongAssignment { .. }
        | KernelError::NoSuchOutput { .. }
        | KernelError::OffsetOverflow { .. }
        | KernelError::DifferentColumns { .. }
        | KernelError::NoParts
        | KernelError::DifferentGroups { .. }
        | KernelError::Damaged(_)
        | KernelError::Block(_)
        | KernelError::Arrow(_) => PyValueError::new_err(message),
    }
}

/// So many groups of as equal size as possible, or the number of outputs of each.
fn grouping(groups: &Bound<'_, PyAny>, outputs: u32) -> PyResult<Grouping> {
    let grouping = match groups.extract::<u32>() {
        Ok(count) => Grouping::even(outputs, count),
        Err(_) => Grouping::of_sizes(&groups.extract::<Vec<u32>>()?),
    };
    let grouping = grouping.map_err(to_python)?;
    if grouping.outputs() != outputs {
        let found = grouping.outputs();
        return Err(PyValueError::new_err(format!("the groups have {found} outputs together, not {outputs}")));
    }
    Ok(grouping)
}

/// `("hash", names)`, `("range", [(name, descending, nulls_first), ...], table of boundaries)` or `("column", name)`.
fn partition_by(by: &Bound<'_, PyAny>) -> PyResult<PartitionBy> {
    let kind: String = by.get_item(0)?.extract()?;
    match kind.as_str() {
        "hash" => Ok(PartitionBy::Hash { columns: by.get_item(1)?.extract()? }),
        "column" => Ok(PartitionBy::Column { name: by.get_item(1)?.extract()? }),
        "range" => {
            let keys: Vec<(String, bool, bool)> = by.get_item(1)?.extract()?;
            let keys =
                keys.into_iter().map(|(name, descending, nulls_first)| SortKey { name, descending, nulls_first });
            let boundaries = streams::table_of(&by.get_item(2)?)?;
            Ok(PartitionBy::Range { keys: keys.collect(), boundaries: boundaries.in_one_batch().map_err(to_python)? })
        }
        other => Err(PyValueError::new_err(format!(
            "rows go to outputs by \"hash\", \"range\" or \"column\", not by {other:?}"
        ))),
    }
}

/// The rows of a table in parts, one for each group of outputs. What they go by is in `keys`, a table of as many rows that stays
/// behind; without it in the table itself.
#[pyfunction]
#[pyo3(signature = (table, by, outputs, groups, keys = None))]
pub fn split_table(
    py: Python<'_>,
    table: &Bound<'_, PyAny>,
    by: &Bound<'_, PyAny>,
    outputs: u32,
    groups: &Bound<'_, PyAny>,
    keys: Option<&Bound<'_, PyAny>>,
) -> PyResult<Parts> {
    let (table, by, grouping) = (streams::table_of(table)?, partition_by(by)?, grouping(groups, outputs)?);
    let keys = keys.map(streams::table_of).transpose()?;
    let keys = keys.as_ref().unwrap_or(&table);
    py.detach(|| split(&table, keys, &by, &grouping)).map(Parts::of).map_err(to_python)
}

fn split(table: &Table, keys: &Table, by: &PartitionBy, grouping: &Grouping) -> Result<Vec<Bytes>, KernelError> {
    let assignment = kask_kernels::assign(keys, by, grouping.outputs())?;
    let plan = SplitPlan::new(table, &assignment, grouping)?;
    let mut memory = PartMemory::new(plan.nbytes());
    plan.write(memory.as_mut());
    Ok(memory.slices(plan.parts()))
}

/// The tables (of pyarrow) of a group's outputs, from the same part of every split.
#[pyfunction]
pub fn merge_tables<'py>(py: Python<'py>, parts: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    let parts = bytes_of(parts)?;
    check_room(py, parts.iter().map(|part| part.len() as u64).sum())?;
    let merged = py.detach(move || kask_kernels::merge(&parts)).map_err(to_python)?;
    let tables = merged.outputs.into_iter().map(|batches| streams::to_pyarrow(py, merged.schema.clone(), batches));
    PyList::new(py, tables.collect::<PyResult<Vec<_>>>()?)
}

/// What a merge makes is as large as its parts, which are known only now: with few different keys one output may be most of the data.
fn check_room(py: Python<'_>, nbytes: u64) -> PyResult<()> {
    let limit = current_job().map_or(0, |job| job.worker.memory_limit_bytes());
    if limit == 0 || nbytes <= usable_bytes(limit) {
        return Ok(());
    }
    let (nbytes, most) = (nbytes.div_ceil(1 << 20), usable_bytes(limit) >> 20);
    let message = format!(
        "the rows that go to one group of outputs take {nbytes} MiB, and a worker has {most} MiB at most for a task; shuffle \
         into more outputs, or by columns with more different values, or allow workers more memory"
    );
    Err(errors::out_of_memory(py, &message))
}

/// The memory of each of a sequence of parts.
fn bytes_of(parts: &Bound<'_, PyAny>) -> PyResult<Vec<Bytes>> {
    parts.try_iter()?.map(|part| crate::buffers::from_buffer(&part?)).collect()
}

/// 32 hex digits of the key of a layer's block: what a node's key ends in that stands for the block, or makes it.
#[pyfunction]
pub fn block_key(layer: &str, block: u32) -> PyResult<String> {
    let (_, token) = layer_name(layer)
        .ok_or_else(|| PyValueError::new_err(format!("a layer's name is prefix-<32 hex digits>, not {layer:?}")))?;
    Ok(Key::block(token, block).to_string())
}
