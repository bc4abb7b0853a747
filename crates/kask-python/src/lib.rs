//! The extension module kask._kask: the only crate that knows Python.
//!
//! `python/kask/_kask.pyi` is its contract. Where to start: [`engine`] for what Python sees, [`submit`] and [`lower`] for how
//! calls become layers, [`runtime`] for how a worker runs them, [`values`] and [`pickle`] for what objects are to the
//! engine. [`interrupt`] is how everything here waits.
//!
//! Two rules hold throughout: no thread of the engine ever waits for the GIL while others wait for it (see
//! [`callbacks`]), and `unsafe` is in [`buffers`], [`numpy_memory`] and [`kernels`] only.

#[global_allocator]
static ALLOCATOR: kask_executor::Allocator = kask_executor::Allocator::new();

mod admin;
mod blame;
mod buffers;
mod builder;
mod callbacks;
mod calls;
mod chunks;
mod cluster;
mod compact;
mod completion;
mod connect;
mod coroutine;
mod current;
mod engine;
mod engine_core;
mod errors;
mod explain;
mod fast;
mod functions;
mod future;
mod helpers;
mod home;
mod interrupt;
mod job;
mod kernels;
mod large;
mod layers;
mod local_cluster;
mod logs;
mod lookout;
mod lower;
mod lower_nodes;
mod memory;
mod names;
mod node;
mod numpy_memory;
mod options;
mod parts;
mod pickle;
mod runtime;
mod scan;
mod sizes;
mod submit;
mod tokenize;
mod values;
mod view;

/// The engine, written in Rust. Only `kask.engine` imports this module.
#[pyo3::pymodule]
mod _kask {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::builder::GraphBuilder;
    #[pymodule_export]
    use crate::chunks::{
        Chunks, Interval, Lists, block_names, fitting_outputs, merge_groups, restore_chunks, usable_bytes,
    };
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
    use crate::kernels::{FusedKernel, assemble_block, block_key, block_note, merge_tables, split_block, split_table};
    #[pymodule_export]
    use crate::layers::Layers;
    #[pymodule_export]
    use crate::lower_nodes::identity;
    #[pymodule_export]
    use crate::memory::{auto_memory_limit, memory_limit_bytes, parse_memory, parse_size};
    #[pymodule_export]
    use crate::node::Node;
    #[pymodule_export]
    use crate::options::{Options, restore_options};
    #[pymodule_export]
    use crate::parts::{Parts, restore_parts};
    #[pymodule_export]
    use crate::scan::Hole;
    #[pymodule_export]
    use crate::sizes::{sample_places, sizeof, sizeof_items};
    #[pymodule_export]
    use crate::tokenize::{blob_hash, tokenize};
    #[pymodule_export]
    use crate::view::GraphTasks;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        crate::connect::shut_down_at_exit(module)
    }
}
