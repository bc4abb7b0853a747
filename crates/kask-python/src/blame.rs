//! Finding what cannot be pickled, to say so: which argument, where inside it, of which type, and what to do.

use crate::errors;
use crate::pickle::{self, Subject};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PySet, PyString, PyTuple, PyType};

/// How deep and how wide the search goes; beyond that the innermost object found so far is named.
const MAX_DEPTH: usize = 12;
const MAX_WIDTH: usize = 1000;

/// The error to raise instead of `error`, which came when `object` was pickled.
pub fn explain(object: &Bound<'_, PyAny>, subject: &Subject<'_>, error: PyErr) -> PyErr {
    let py = object.py();
    let (path, culprit) = match search(object, subject.path.to_owned(), 0) {
        Ok(found) => found,
        Err(_) => (subject.path.to_owned(), object.clone()),
    };
    let type_name = type_name(&culprit);
    let place = if path.is_empty() { format!("it is a {type_name}") } else { format!("{path} is a {type_name}") };
    let message = format!("{} cannot be sent to another process: {place} ({})", subject.what, error.value(py));
    errors::serialization(py, &message, hint(&type_name), Some(error))
}

fn hint(type_name: &str) -> &'static str {
    match type_name {
        "_thread.lock" | "_thread.RLock" => "make the lock inside the task",
        "generator" => "pass a list, or make the generator inside the task",
        "_io.TextIOWrapper" | "_io.BufferedReader" | "_io.BufferedWriter" | "_io.BufferedRandom" | "_io.FileIO" => {
            "pass the file's name and open it inside the task"
        }
        "socket.socket" | "sqlite3.Connection" | "sqlite3.Cursor" => "open the connection inside the task",
        "module" => "import the module inside the task",
        "_thread._local" | "thread" | "threading.Thread" => "make it inside the task",
        _ => "pass something from which the task can make it, or give its class a __reduce__ method",
    }
}

/// `module.qualname` of an object's type, without `builtins`.
pub fn type_name(object: &Bound<'_, PyAny>) -> String {
    let kind = object.get_type();
    let name = kind.qualname().map(|name| name.to_string()).unwrap_or_else(|_| "object".to_owned());
    match kind.module() {
        Ok(module) if module != "builtins" => format!("{module}.{name}"),
        Ok(_) | Err(_) => name,
    }
}

/// The innermost part of `object` that cannot be pickled, and the way to it.
fn search<'py>(object: &Bound<'py, PyAny>, path: String, depth: usize) -> PyResult<(String, Bound<'py, PyAny>)> {
    if depth < MAX_DEPTH {
        for (step, part) in parts(object)? {
            if pickle::try_dumps(&part).is_err() {
                return search(&part, format!("{path}{step}"), depth + 1);
            }
        }
    }
    Ok((path, object.clone()))
}

/// What an object consists of, as far as can be seen, with how each part is written.
fn parts<'py>(object: &Bound<'py, PyAny>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
    let py = object.py();
    let mut parts = Vec::new();
    if object.is_instance_of::<PyString>() || object.is_instance_of::<PyType>() {
        return Ok(parts);
    }
    if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        for (index, item) in object.try_iter()?.take(MAX_WIDTH).enumerate() {
            parts.push((format!("[{index}]"), item?));
        }
    } else if let Ok(dict) = object.cast::<PyDict>() {
        for (key, value) in dict.iter().take(MAX_WIDTH) {
            parts.push((format!("[{}]", key.repr()?), value));
            parts.push((".keys()".to_owned(), key));
        }
    } else if object.is_instance_of::<PySet>() || object.is_instance_of::<PyFrozenSet>() {
        for item in object.try_iter()?.take(MAX_WIDTH) {
            parts.push((" (an element)".to_owned(), item?));
        }
    }
    if let Some(state) = object.getattr_opt(intern!(py, "__dict__"))?
        && let Ok(state) = state.cast::<PyDict>()
    {
        for (name, value) in state.iter().take(MAX_WIDTH) {
            parts.push((format!(".{name}"), value));
        }
    }
    closure(object, &mut parts)?;
    if let Some(owner) = object.getattr_opt(intern!(py, "__self__"))? {
        parts.push((".__self__".to_owned(), owner));
    }
    for name in ["func", "args", "keywords"] {
        if object.get_type().name()? == "partial" {
            parts.push((format!(".{name}"), object.getattr(name)?));
        }
    }
    Ok(parts)
}

/// The variables that a function closes over, its defaults, and the globals that it names.
fn closure<'py>(object: &Bound<'py, PyAny>, parts: &mut Vec<(String, Bound<'py, PyAny>)>) -> PyResult<()> {
    let py = object.py();
    let Some(code) = object.getattr_opt(intern!(py, "__code__"))? else { return Ok(()) };
    let cells = object.getattr_opt(intern!(py, "__closure__"))?;
    if let Some(cells) = cells.filter(|cells| !cells.is_none()) {
        for (name, cell) in code.getattr("co_freevars")?.try_iter()?.zip(cells.try_iter()?) {
            if let Ok(value) = cell?.getattr("cell_contents") {
                parts.push((format!(" (its variable {})", name?.repr()?), value));
            }
        }
    }
    let globals = object.getattr("__globals__")?;
    for name in code.getattr("co_names")?.try_iter()? {
        let name = name?;
        if globals.contains(&name)? {
            parts.push((format!(" (its global {})", name.repr()?), globals.get_item(&name)?));
        }
    }
    Ok(())
}
