//! The extension module kask._kask: the only crate that knows Python.
