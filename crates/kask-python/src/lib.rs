//! The extension module kask._kask: the only crate that knows Python.
//!
//! `python/kask/_kask.pyi` is its contract. Where to start: [`engine`] for what Python sees, [`submit`] and [`lower`] for how
//! calls become layers, [`runtime`] for how a worker runs them, [`values`] and [`pickle`] for what objects are to the
//! engine. [`interrupt`] is how everything here waits.
//!
//! Two rules hold throughout: no thread of the engine ever waits for the GIL while others wait for it (see
//! [`callbacks`]), and `unsafe` is in [`buffers`] only.

mod admin;
mod blame;
mod buffers;
mod builder;
mod callbacks;
mod calls;
mod cluster;
mod completion;
mod connect;
mod coroutine;
mod current;
mod engine;
mod engine_core;
mod errors;
mod fast;
mod functions;
mod future;
mod helpers;
mod home;
mod interrupt;
mod job;
mod local_cluster;
mod lower;
mod names;
mod node;
mod options;
mod pickle;
mod runtime;
mod scan;
mod sizes;
mod submit;
mod tokenize;
mod values;

/// The engine, written in Rust. Only `kask.engine` imports this module.
#[pyo3::pymodule]
mod _kask {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::builder::GraphBuilder;
    #[pymodule_export]
    use crate::cluster::{Cluster, cli_main, worker_process_main};
    #[pymodule_export]
    use crate::completion::CompletionQueue;
    #[pymodule_export]
    use crate::connect::shutdown_all;
    #[pymodule_export]
    use crate::current::{current_task, rejoin, secede, set_default_engine_hook, task_engine};
    #[pymodule_export]
    use crate::engine::Engine;
    #[pymodule_export]
    use crate::future::{Future, restore_future};
    #[pymodule_export]
    use crate::lower::identity;
    #[pymodule_export]
    use crate::node::{Node, graph_of};
    #[pymodule_export]
    use crate::options::{Options, restore_options};
    #[pymodule_export]
    use crate::scan::Hole;
    #[pymodule_export]
    use crate::sizes::sizeof;
    #[pymodule_export]
    use crate::tokenize::{blob_hash, tokenize};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        crate::connect::shut_down_at_exit(module)
    }
}
