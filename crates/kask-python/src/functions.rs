//! What is known of a function that tasks call: its name, its token, and the blob it travels as.
//!
//! All of it is found once for each function object and forgotten with it: the table holds weak references.

use crate::pickle::{self, Subject};
use crate::tokenize::{Token, Tokenizer};
use crate::{blame, values};
use kask_types::{BlobId, Payload};
use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyAnyMethods, PyDict, PyString, PyTuple, PyWeakrefReference};
use rustc_hash::FxHashMap;
use std::sync::{Arc, OnceLock};

/// A function that tasks call.
pub struct FunctionInfo {
    /// The family of its tasks.
    pub prefix: Arc<str>,
    /// Names it within this process.
    local_id: BlobId,
    token: OnceLock<Token>,
    encoded: OnceLock<(BlobId, Payload)>,
}

struct Entry {
    weak: Py<PyWeakrefReference>,
    info: Arc<FunctionInfo>,
}

static KNOWN: Mutex<Option<FxHashMap<usize, Entry>>> = Mutex::new(None);

/// The table is swept when it has grown to this many entries, and then at each doubling.
const SWEEP: usize = 256;

impl FunctionInfo {
    /// What is known of `function`, now or from before.
    pub fn of(function: &Bound<'_, PyAny>) -> PyResult<Arc<FunctionInfo>> {
        let py = function.py();
        let address = function.as_ptr() as usize;
        {
            let known = KNOWN.lock();
            let entry = known.as_ref().and_then(|known| known.get(&address));
            if let Some(entry) = entry
                && entry.weak.bind(py).upgrade().is_some_and(|alive| alive.is(function))
            {
                return Ok(entry.info.clone());
            }
        }
        let info = Arc::new(FunctionInfo {
            prefix: prefix(function)?,
            local_id: BlobId(random128()),
            token: OnceLock::new(),
            encoded: OnceLock::new(),
        });
        // What cannot be weakly referenced (some callables of extension modules) is looked at each time.
        if let Ok(weak) = PyWeakrefReference::new(function) {
            remember(py, address, Entry { weak: weak.unbind(), info: info.clone() });
        }
        Ok(info)
    }

    /// The function's token; equal for equal functions in any process.
    pub fn token(&self, function: &Bound<'_, PyAny>) -> PyResult<Token> {
        if let Some(token) = self.token.get() {
            return Ok(*token);
        }
        let token = Tokenizer::standard(function.py())?.token(function)?;
        Ok(*self.token.get_or_init(|| token))
    }

    /// The blob of the function alone, as an object or as bytes.
    pub fn blob(&self, function: &Bound<'_, PyAny>, local: bool) -> PyResult<(BlobId, Payload)> {
        if local {
            let payload = values::holder(values::Function { func: function.clone().unbind(), kwargs: None });
            return Ok((self.local_id, payload));
        }
        if let Some((id, payload)) = self.encoded.get() {
            return Ok((*id, payload.clone()));
        }
        let blob = encode(function, None, &self.prefix)?;
        Ok(self.encoded.get_or_init(|| blob).clone())
    }

    /// The blob of the function with keyword arguments that all calls share.
    pub fn blob_with(
        &self,
        function: &Bound<'_, PyAny>,
        kwargs: &Bound<'_, PyDict>,
        local: bool,
    ) -> PyResult<(BlobId, Payload)> {
        if kwargs.is_empty() {
            return self.blob(function, local);
        }
        if local {
            let kwargs = Some(kwargs.clone().unbind());
            let payload = values::holder(values::Function { func: function.clone().unbind(), kwargs });
            return Ok((BlobId(random128()), payload));
        }
        encode(function, Some(kwargs), &self.prefix)
    }
}

fn encode(function: &Bound<'_, PyAny>, kwargs: Option<&Bound<'_, PyDict>>, name: &str) -> PyResult<(BlobId, Payload)> {
    let pair = (function, kwargs).into_pyobject(function.py())?;
    let payload = pickle::by_value(pair.as_any()).map_err(|error| culprit(function, kwargs, name, error))?;
    Ok((pickle::blob_id(&payload), payload))
}

/// The error speaks of the function, or of one of the arguments, not of the pair.
fn culprit(function: &Bound<'_, PyAny>, kwargs: Option<&Bound<'_, PyDict>>, name: &str, error: PyErr) -> PyErr {
    for (key, argument) in kwargs.into_iter().flat_map(|kwargs| kwargs.iter()) {
        if let Err(error) = pickle::try_dumps(&argument) {
            let (what, path) = (format!("an argument of {name}"), format!("kwargs[{key:?}]"));
            return blame::explain(&argument, &Subject { what: &what, path: &path }, error);
        }
    }
    let what = format!("the function {name}");
    blame::explain(function, &Subject { what: &what, path: "the function" }, error)
}

/// The function and shared keyword arguments that a blob holds.
pub fn load(py: Python<'_>, payload: &Payload) -> PyResult<values::Function> {
    if let Payload::Local(local) = payload
        && let Some(function) = values::holding::<values::Function>(local)
    {
        let kwargs = function.kwargs.as_ref().map(|kwargs| kwargs.clone_ref(py));
        return Ok(values::Function { func: function.func.clone_ref(py), kwargs });
    }
    let pair = pickle::loads(py, payload)?.cast_into::<PyTuple>()?;
    let (func, kwargs) = pair.extract()?;
    Ok(values::Function { func, kwargs })
}

fn remember(py: Python<'_>, address: usize, entry: Entry) {
    let mut known = KNOWN.lock();
    let known = known.get_or_insert_default();
    if known.len() >= SWEEP && known.len().is_power_of_two() {
        known.retain(|_, entry| entry.weak.bind(py).upgrade().is_some());
    }
    known.insert(address, entry);
}

/// The family name of a function's tasks: its name, of word characters only.
pub fn prefix(function: &Bound<'_, PyAny>) -> PyResult<Arc<str>> {
    let py = function.py();
    let mut function = function.clone();
    // A partial has no name of its own. The bound is for objects that claim to wrap themselves.
    for _ in 0..20 {
        let Some(inner) = function.getattr_opt(intern!(py, "func"))? else { break };
        if function.getattr_opt(intern!(py, "__name__"))?.is_some() || !inner.is_callable() {
            break;
        }
        function = inner;
    }
    let name = match function.getattr_opt(intern!(py, "__name__"))? {
        Some(name) if name.is_instance_of::<PyString>() => name.to_string(),
        Some(_) | None => function.get_type().name()?.to_string(),
    };
    Ok(words(&name).into())
}

/// Only word characters: `<lambda>` is `lambda`.
pub fn words(name: &str) -> String {
    let words: String = name.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    if words.is_empty() { "task".to_owned() } else { words }
}

/// 128 random bits.
pub fn random128() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    u128::from_le_bytes(bytes)
}
