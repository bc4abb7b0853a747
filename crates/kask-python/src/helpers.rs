//! The Python half of this crate: `helpers.py`, compiled in, made a module at first use.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyModule, PyString};

static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// A function (or other name) of `helpers.py`.
pub fn get<'py>(py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
    let module = MODULE.get_or_try_init(py, || {
        const CODE: &std::ffi::CStr =
            match std::ffi::CStr::from_bytes_with_nul(concat!(include_str!("helpers.py"), "\0").as_bytes()) {
                Ok(code) => code,
                Err(_) => panic!("helpers.py contains no NUL"),
            };
        PyModule::from_code(py, CODE, c"<kask>/helpers.py", c"kask._helpers").map(Bound::unbind)
    })?;
    module.bind(py).getattr(name)
}
