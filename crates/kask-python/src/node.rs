//! Calls that are described and not yet submitted.
//!
//! Graphs may be very deep, so nothing here recurses over inputs: graphs are walked with an explicit stack, and nodes refer to
//! each other through tuples only, whose deallocation Python bounds.

use crate::future::Future;
use crate::names;
use crate::options::Options;
use crate::scan::Inputs;
use crate::values::CallArgs;
use kask_types::{Key, TaskName};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// One call of a delayed graph.
#[pyclass(module = "kask._kask", frozen, subclass, weakref)]
pub struct Node {
    #[pyo3(get)]
    func: Option<Py<PyAny>>,
    #[pyo3(get)]
    args: Py<PyTuple>,
    #[pyo3(get)]
    kwargs: Py<PyDict>,
    #[pyo3(get)]
    options: Option<Py<Options>>,
    family: Arc<str>,
    id: Key,
    name: TaskName,
    template_args: Py<PyTuple>,
    template_kwargs: Option<Py<PyDict>>,
    inputs: Py<PyTuple>,
    input_keys: Box<[Key]>,
}

impl Node {
    /// The key of its result.
    pub fn id(&self) -> Key {
        self.id
    }

    /// How its key is printed.
    pub fn name(&self) -> &TaskName {
        &self.name
    }

    /// The name of its family.
    pub fn family_name(&self) -> &Arc<str> {
        &self.family
    }

    /// What it calls; `None` for a value.
    pub fn function(&self) -> Option<&Py<PyAny>> {
        self.func.as_ref()
    }

    /// How it is run.
    pub fn run_options(&self) -> Option<&Py<Options>> {
        self.options.as_ref()
    }

    /// The keys that fill its holes.
    pub fn input_keys(&self) -> &[Key] {
        &self.input_keys
    }

    /// Its arguments, with holes.
    pub fn template(&self, py: Python<'_>) -> CallArgs {
        let kwargs = self.template_kwargs.as_ref().map(|kwargs| kwargs.clone_ref(py));
        CallArgs { args: self.template_args.clone_ref(py), kwargs }
    }
}

#[pymethods]
impl Node {
    #[new]
    #[pyo3(signature = (func, args, kwargs, key, family, options = None))]
    fn new(
        py: Python<'_>,
        func: Option<Py<PyAny>>,
        args: Bound<'_, PyTuple>,
        kwargs: Bound<'_, PyDict>,
        key: &str,
        family: &str,
        options: Option<Py<Options>>,
    ) -> PyResult<Node> {
        let mut inputs = Inputs::default();
        let template_args = inputs.args(&args)?;
        let template_kwargs = inputs.kwargs(&kwargs)?;
        let family: Arc<str> = shared_name(family);
        let (id, name) = names::task_name(key, &family);
        Ok(Node {
            func,
            args: args.unbind(),
            kwargs: kwargs.unbind(),
            options,
            family,
            id,
            name,
            template_args,
            template_kwargs,
            inputs: PyTuple::new(py, inputs.objects)?.unbind(),
            input_keys: inputs.keys.into(),
        })
    }

    #[getter]
    fn key(&self) -> String {
        self.name.to_string()
    }

    #[getter]
    fn family(&self) -> &str {
        &self.family
    }

    /// Nodes and futures that it depends on, in the order of their holes.
    fn inputs<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        self.inputs.bind(py).to_list()
    }

    fn __repr__(&self) -> String {
        format!("<Node {}>", self.name)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyType>, Bound<'py, PyTuple>)> {
        let (py, node) = (slf.py(), slf.get());
        let arguments = (&node.func, &node.args, &node.kwargs, node.name.to_string(), &*node.family, &node.options);
        Ok((slf.get_type(), arguments.into_pyobject(py)?))
    }
}

/// One copy of a family's name for all of its nodes, as long as nodes are made in runs of the same family.
fn shared_name(family: &str) -> Arc<str> {
    thread_local! {
        static LAST: std::cell::RefCell<Option<Arc<str>>> = const { std::cell::RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| match last {
        Some(name) if &**name == family => name.clone(),
        Some(_) | None => last.insert(family.into()).clone(),
    })
}

/// All nodes below `roots` and these, each once, inputs before what needs them.
pub fn collect<'py>(py: Python<'py>, roots: &[Py<Node>]) -> PyResult<Vec<Bound<'py, Node>>> {
    let mut seen: FxHashSet<Key> = FxHashSet::default();
    let mut order = Vec::new();
    // A node, and which of its inputs comes next.
    let mut stack: Vec<(Bound<'py, Node>, usize)> = Vec::new();
    for root in roots {
        let root = root.bind(py);
        if seen.insert(root.get().id) {
            stack.push((root.clone(), 0));
        }
        while let Some((node, next)) = stack.last_mut() {
            let inputs = node.get().inputs.bind(py);
            if *next == inputs.len() {
                order.push(stack.pop().expect("the loop has just seen it").0);
                continue;
            }
            let input = inputs.get_item(*next)?;
            *next += 1;
            if let Ok(input) = input.cast_into::<Node>()
                && seen.insert(input.get().id)
            {
                stack.push((input, 0));
            }
        }
    }
    Ok(order)
}

/// The names of the futures that `roots` and the nodes below them read.
pub fn names_of_futures(py: Python<'_>, roots: &[Py<Node>]) -> PyResult<FxHashMap<Key, TaskName>> {
    let mut names = FxHashMap::default();
    for node in collect(py, roots)? {
        for input in node.get().inputs.bind(py).iter() {
            if let Ok(future) = input.cast::<Future>() {
                names.insert(future.get().id(), future.get().name().clone());
            }
        }
    }
    Ok(names)
}
