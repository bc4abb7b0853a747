//! Tables in and out through Arrow's C stream interface, which every Arrow library of Python speaks.
//!
//! The `unsafe` here takes over a stream that a capsule holds, as that interface says: the capsule's name tells the type, and
//! taking a stream leaves a released one behind.

use super::to_python;
use kask_kernels::Table;
use kask_kernels::arrow::array::ffi_stream::{ArrowArrayStreamReader, FFI_ArrowArrayStream};
use kask_kernels::arrow::array::{RecordBatch, RecordBatchIterator, RecordBatchReader};
use kask_kernels::arrow::schema::{ArrowError, SchemaRef};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyType};
use std::ffi::CStr;

const STREAM: &CStr = c"arrow_array_stream";

/// The table that an object with `__arrow_c_stream__` gives: of pyarrow, Polars, pandas and others. No value is copied.
pub fn table_of(object: &Bound<'_, PyAny>) -> PyResult<Table> {
    let py = object.py();
    let Some(export) = object.getattr_opt(intern!(py, "__arrow_c_stream__"))? else {
        let class = object.get_type().qualname()?;
        return Err(PyTypeError::new_err(format!("a table of Arrow was expected (of pyarrow, say), got {class}")));
    };
    let capsule = export.call0()?.cast_into::<PyCapsule>()?;
    let stream = capsule.pointer_checked(Some(STREAM))?.cast::<FFI_ArrowArrayStream>();
    // SAFETY: a capsule of this name holds a stream of Arrow's C interface, which its consumer may move out once; what is
    // left behind is marked as released, so that the capsule's destructor does nothing to it. The GIL is held.
    let stream = unsafe { FFI_ArrowArrayStream::from_raw(stream.as_ptr()) };
    py.detach(|| {
        let reader = ArrowArrayStreamReader::try_new(stream)?;
        let schema = reader.schema();
        Ok((schema, reader.collect::<Result<Vec<_>, ArrowError>>()?))
    })
    .map_err(|error: ArrowError| PyValueError::new_err(format!("the table cannot be read: {error}")))
    .and_then(|(schema, batches)| Table::new(schema, batches).map_err(to_python))
}

/// Batches on their way to another library of Arrow.
#[pyclass(frozen)]
struct Exported {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

#[pymethods]
impl Exported {
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface allows to give the schema that there is, whatever was asked for.
        let _ = requested_schema;
        let batches = self.batches.clone().into_iter().map(Ok);
        let reader = RecordBatchIterator::new(batches, self.schema.clone());
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(reader)), STREAM)
    }
}

/// A table of pyarrow.
pub fn to_pyarrow<'py>(py: Python<'py>, schema: SchemaRef, batches: Vec<RecordBatch>) -> PyResult<Bound<'py, PyAny>> {
    static READER: pyo3::sync::PyOnceLock<Py<PyType>> = pyo3::sync::PyOnceLock::new();
    let reader = READER.import(py, "pyarrow", "RecordBatchReader")?;
    let reader = reader.call_method1(intern!(py, "from_stream"), (Bound::new(py, Exported { schema, batches })?,))?;
    reader.call_method0(intern!(py, "read_all"))
}
