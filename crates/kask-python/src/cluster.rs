//! `Cluster`: a scheduler in this process with supervised worker processes, or workers on threads; and the body of such a
//! worker process.

use crate::connect::{self, building};
use crate::core::{EngineCore, Kind};
use crate::engine::Engine;
use crate::errors;
use crate::interrupt;
use crate::local_cluster::{LocalCluster, ThreadWorkers};
use crate::runtime::{Home, PythonRuntime};
use kask_executor::SupervisorOptions;
use kask_executor::process::{self, SecurityConfig, WorkerProcessConfig};
use kask_net::Address;
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::sync::{Arc, Weak};
use std::time::Duration;
