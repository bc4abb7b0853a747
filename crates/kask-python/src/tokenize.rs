//! Tokens: 128 bits that name a value, equal for equal values in any process, on any machine, in any run.
//!
//! Plain types are hashed here, each with a tag of its type and its length, so that no two different values give the
//! same bytes. Sets and dicts are hashed in the order of their parts' tokens, never in their own. Everything else is
//! handed to a Python callable (`kask.tokens.normalize`) that returns plain types, buffers included; it answers
//! `NotImplemented`, or raises `TokenizationError`, for what has no deterministic description. That gets random bits,
//! or an error where a deterministic token is demanded.

use crate::buffers::{small_int, with_buffer};
use crate::functions::random128;
use crate::scan::key_of;
use crate::{blame, errors};
use kask_types::Key;
use kask_types::key::hash128;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyDict, PyEllipsis, PyFloat, PyFrozenSet, PyInt, PyList, PyMemoryView,
    PyNotImplemented, PySet, PySlice, PyString, PyTuple,
};
use std::num::NonZero;
use xxhash_rust::xxh3::xxh3_128;

/// Containers nested deeper than this have no deterministic token.
const MAX_DEPTH: usize = 400;

/// The first 128 bits of a BLAKE3 hash.
pub type Token = [u8; 16];

/// Turns values into tokens.
pub struct Tokenizer<'py> {
    normalize: Bound<'py, PyAny>,
    ensure_deterministic: bool,
    /// The containers around the value at hand.
    path: Vec<usize>,
}

/// Hashes what it is given, and nothing else.
struct Sink {
    hasher: blake3::Hasher,
    small: Vec<u8>,
}

impl Sink {
    fn new() -> Sink {
        Sink { hasher: blake3::Hasher::new(), small: Vec::with_capacity(64) }
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.small.len() + bytes.len() > 4096 {
            self.hasher.update(&self.small);
            self.small.clear();
        }
        if bytes.len() > 4096 {
            self.hasher.update(bytes);
        } else {
            self.small.extend_from_slice(bytes);
        }
    }

    fn tagged(&mut self, tag: u8, content: &[u8]) {
        self.put(&[tag]);
        self.put(&(content.len() as u64).to_le_bytes());
        self.put(content);
    }

    fn finish(mut self) -> Token {
        self.hasher.update(&self.small);
        head(self.hasher.finalize())
    }
}

fn head(hash: blake3::Hash) -> Token {
    let (head, _) = hash.as_bytes().split_at(16);
    head.try_into().expect("16 of BLAKE3's 32 bytes")
}

/// The key of a call of a function, by the tokens of the function and of each argument.
pub struct CallKeys {
    /// What all calls have in common: the function and shared keyword arguments.
    common: Token,
}

impl CallKeys {
    /// For calls of the function with `token` and these shared keyword arguments.
    pub fn new(tokenizer: &mut Tokenizer<'_>, token: Token, kwargs: &Bound<'_, PyDict>) -> PyResult<CallKeys> {
        let mut sink = Sink::new();
        sink.tagged(b'C', &token);
        if !kwargs.is_empty() {
            tokenizer.write(kwargs.as_any(), &mut sink)?;
        }
        Ok(CallKeys { common: sink.finish() })
    }

    /// The key of the call with one argument.
    pub fn single(&self, tokenizer: &mut Tokenizer<'_>, argument: &Bound<'_, PyAny>) -> PyResult<Key> {
        if argument.is_exact_instance_of::<PyInt>()
            && let Some(value) = small_int(argument)
        {
            // The same bytes as below, put together without a detour.
            let mut bytes = [0; 25];
            bytes[..16].copy_from_slice(&self.common);
            bytes[16] = b'i';
            bytes[17..].copy_from_slice(&value.to_le_bytes());
            return Ok(Key(u128::from_le_bytes(head(blake3::hash(&bytes)))));
        }
        let mut sink = Sink::new();
        sink.put(&self.common);
        tokenizer.write(argument, &mut sink)?;
        Ok(Key(u128::from_le_bytes(sink.finish())))
    }

    /// The key of the call with these arguments.
    pub fn many(&self, tokenizer: &mut Tokenizer<'_>, arguments: &Bound<'_, PyTuple>) -> PyResult<Key> {
        let mut sink = Sink::new();
        sink.put(&self.common);
        for argument in arguments.iter() {
            tokenizer.write(&argument, &mut sink)?;
        }
        Ok(Key(u128::from_le_bytes(sink.finish())))
    }
}

impl<'py> Tokenizer<'py> {
    /// With another normaliser than the standard one.
    pub fn new(normalize: Bound<'py, PyAny>, ensure_deterministic: bool) -> Tokenizer<'py> {
        Tokenizer { normalize, ensure_deterministic, path: Vec::new() }
    }

    /// With `kask.tokens.normalize`; what has no deterministic token gets a random one.
    pub fn standard(py: Python<'py>) -> PyResult<Tokenizer<'py>> {
        static NORMALIZE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        Ok(Tokenizer::new(NORMALIZE.import(py, "kask.tokens", "normalize")?.clone(), false))
    }

    /// The token of one value.
    pub fn token(&mut self, value: &Bound<'py, PyAny>) -> PyResult<Token> {
        let mut sink = Sink::new();
        self.write(value, &mut sink)?;
        Ok(sink.finish())
    }

    fn write(&mut self, value: &Bound<'_, PyAny>, sink: &mut Sink) -> PyResult<()> {
        if value.is_exact_instance_of::<PyInt>() {
            return write_int(value, sink);
        }
        if let Ok(text) = value.cast_exact::<PyString>() {
            return write_text(text, sink);
        }
        if let Ok(float) = value.cast_exact::<PyFloat>() {
            sink.put(b"f");
            sink.put(&float.value().to_bits().to_le_bytes());
            return Ok(());
        }
        if value.is_none() {
            sink.put(b"N");
            return Ok(());
        }
        if let Ok(bool) = value.cast_exact::<PyBool>() {
            sink.put(if bool.is_true() { b"T" } else { b"F" });
            return Ok(());
        }
        if let Ok(bytes) = value.cast_exact::<PyBytes>() {
            sink.tagged(b'b', bytes.as_bytes());
            return Ok(());
        }
        let address = value.as_ptr() as usize;
        if let Some(up) = self.path.iter().rev().position(|other| *other == address) {
            sink.tagged(b'^', &(up as u64).to_le_bytes());
            return Ok(());
        }
        if self.path.len() >= MAX_DEPTH {
            return self.random(value, "it is nested too deeply", None, sink);
        }
        self.path.push(address);
        let result = self.write_compound(value, sink);
        self.path.pop();
        result
    }

    fn write_compound(&mut self, value: &Bound<'_, PyAny>, sink: &mut Sink) -> PyResult<()> {
        if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            return self.sequence(b'(', tuple.len(), tuple.iter(), sink);
        }
        if let Ok(list) = value.cast_exact::<PyList>() {
            return self.sequence(b'[', list.len(), list.iter(), sink);
        }
        if let Ok(dict) = value.cast_exact::<PyDict>() {
            let mut parts = Vec::with_capacity(dict.len());
            for (key, value) in dict.iter() {
                let mut part = Sink::new();
                self.write(&key, &mut part)?;
                self.write(&value, &mut part)?;
                parts.push(part.finish());
            }
            return unordered(b'{', parts, sink);
        }
        let tag = if value.is_exact_instance_of::<PySet>() { b's' } else { b'S' };
        if tag == b's' || value.is_exact_instance_of::<PyFrozenSet>() {
            let mut parts = Vec::new();
            for item in value.try_iter()? {
                let mut part = Sink::new();
                self.write(&item?, &mut part)?;
                parts.push(part.finish());
            }
            return unordered(tag, parts, sink);
        }
        self.write_rare(value, sink)
    }

    fn write_rare(&mut self, value: &Bound<'_, PyAny>, sink: &mut Sink) -> PyResult<()> {
        let py = value.py();
        if let Ok(complex) = value.cast_exact::<PyComplex>() {
            sink.put(b"c");
            sink.put(&complex.real().to_bits().to_le_bytes());
            sink.put(&complex.imag().to_bits().to_le_bytes());
            return Ok(());
        }
        if value.is_exact_instance_of::<PySlice>() {
            sink.put(b":");
            for name in [intern!(py, "start"), intern!(py, "stop"), intern!(py, "step")] {
                self.write(&value.getattr(name)?, sink)?;
            }
            return Ok(());
        }
        if value.is_instance_of::<PyEllipsis>() {
            sink.put(b"E");
            return Ok(());
        }
        if let Some(key) = key_of(value) {
            sink.tagged(b'K', &key.0.to_le_bytes());
            return Ok(());
        }
        if value.is_exact_instance_of::<PyByteArray>() || value.is_exact_instance_of::<PyMemoryView>() {
            let tag = if value.is_exact_instance_of::<PyByteArray>() { b'a' } else { b'm' };
            return write_buffer(tag, value, sink);
        }
        self.normalized(value, sink)
    }

    fn sequence<'a>(
        &mut self,
        tag: u8,
        len: usize,
        items: impl Iterator<Item = Bound<'a, PyAny>>,
        sink: &mut Sink,
    ) -> PyResult<()> {
        sink.put(&[tag]);
        sink.put(&(len as u64).to_le_bytes());
        for item in items {
            self.write(&item, sink)?;
        }
        Ok(())
    }

    fn normalized(&mut self, value: &Bound<'_, PyAny>, sink: &mut Sink) -> PyResult<()> {
        let py = value.py();
        match self.normalize.call1((value,)) {
            Ok(plain) if plain.is_exact_instance_of::<PyNotImplemented>() => {
                self.random(value, "it cannot be described deterministically", None, sink)
            }
            Ok(plain) if plain.is(value) => self.random(value, "its normaliser returns it as it is", None, sink),
            Ok(plain) => {
                sink.put(b"n");
                self.write(&plain, sink)
            }
            Err(error) if !self.ensure_deterministic && is_tokenization_error(py, &error) => {
                self.random(value, "", Some(error), sink)
            }
            Err(error) => Err(error),
        }
    }

    fn random(&self, value: &Bound<'_, PyAny>, problem: &str, error: Option<PyErr>, sink: &mut Sink) -> PyResult<()> {
        if self.ensure_deterministic {
            let message = format!("a {} has no deterministic token: {problem}", blame::type_name(value));
            return Err(error.unwrap_or_else(|| errors::new(value.py(), "TokenizationError", &message, None)));
        }
        sink.tagged(b'?', &random128().to_le_bytes());
        Ok(())
    }
}

fn is_tokenization_error(py: Python<'_>, error: &PyErr) -> bool {
    let class = py.import(intern!(py, "kask.exceptions")).and_then(|module| module.getattr("TokenizationError"));
    class.is_ok_and(|class| error.is_instance(py, &class))
}

fn write_int(value: &Bound<'_, PyAny>, sink: &mut Sink) -> PyResult<()> {
    match small_int(value) {
        Some(value) => {
            sink.put(b"i");
            sink.put(&value.to_le_bytes());
        }
        None => {
            // Hexadecimal has no limit on its length.
            let digits: String = value.call_method1(intern!(value.py(), "__format__"), ("x",))?.extract()?;
            sink.tagged(b'I', digits.as_bytes());
        }
    }
    Ok(())
}

fn write_text(text: &Bound<'_, PyString>, sink: &mut Sink) -> PyResult<()> {
    match text.to_cow() {
        Ok(utf8) => sink.tagged(b'u', utf8.as_bytes()),
        Err(_) => {
            let bytes = text.call_method1("encode", ("utf-8", "surrogatepass"))?;
            sink.tagged(b'U', bytes.cast::<PyBytes>()?.as_bytes());
        }
    }
    Ok(())
}

fn write_buffer(tag: u8, value: &Bound<'_, PyAny>, sink: &mut Sink) -> PyResult<()> {
    let py = value.py();
    let export = PyUntypedBuffer::get(value)?;
    sink.tagged(tag, export.format().to_bytes());
    sink.tagged(b'#', &export.shape().iter().flat_map(|len| (*len as u64).to_le_bytes()).collect::<Vec<u8>>());
    if with_buffer(&export, py, |bytes| sink.tagged(b'=', bytes)).is_none() {
        let bytes = value.call_method0("tobytes")?;
        sink.tagged(b'=', bytes.cast::<PyBytes>()?.as_bytes());
    }
    Ok(())
}

fn unordered(tag: u8, mut parts: Vec<Token>, sink: &mut Sink) -> PyResult<()> {
    parts.sort_unstable();
    sink.put(&[tag]);
    sink.put(&(parts.len() as u64).to_le_bytes());
    for part in parts {
        sink.put(&part);
    }
    Ok(())
}

/// 32 hex digits that name the arguments.
#[pyfunction]
pub fn tokenize(
    normalize: Bound<'_, PyAny>,
    ensure_deterministic: bool,
    args: &Bound<'_, PyTuple>,
    kwargs: &Bound<'_, PyDict>,
) -> PyResult<String> {
    let mut tokenizer = Tokenizer::new(normalize, ensure_deterministic);
    let mut sink = Sink::new();
    for argument in args.iter() {
        tokenizer.write(&argument, &mut sink)?;
    }
    if !kwargs.is_empty() {
        sink.put(b"*");
        tokenizer.write(kwargs.as_any(), &mut sink)?;
    }
    Ok(format!("{}", Key(u128::from_le_bytes(sink.finish()))))
}

/// 32 hex digits that name the bytes.
#[pyfunction]
pub fn blob_hash(data: &Bound<'_, PyAny>) -> PyResult<String> {
    let export = PyUntypedBuffer::get(data)?;
    let hash = with_buffer(&export, data.py(), content_hash);
    let hash = hash.ok_or_else(|| pyo3::exceptions::PyBufferError::new_err("the buffer is not contiguous"))?;
    Ok(format!("{}", Key(hash)))
}

/// Larger contents are hashed in pieces of this size, by all cores.
const PIECE_BYTES: usize = 1 << 20;

/// A hash of the content: BLAKE3, or where it is large BLAKE3 of the XXH3 hashes of its pieces, which take a tenth of the time and are as
/// unlikely to be equal by chance.
pub(crate) fn content_hash(content: &[u8]) -> u128 {
    if content.len() < 4 * PIECE_BYTES {
        return hash128(content);
    }
    let pieces: Vec<&[u8]> = content.chunks(PIECE_BYTES).collect();
    let mut hashes = vec![0_u128; pieces.len()];
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = pieces.len().div_ceil(cores);
    std::thread::scope(|scope| {
        for (pieces, hashes) in pieces.chunks(share).zip(hashes.chunks_mut(share)) {
            scope.spawn(move || pieces.iter().zip(hashes).for_each(|(piece, hash)| *hash = xxh3_128(piece)));
        }
    });
    let mut all: Vec<u8> = hashes.into_iter().flat_map(u128::to_le_bytes).collect();
    all.extend((content.len() as u64).to_le_bytes());
    hash128(&all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_contents_have_the_same_hash_only_if_they_are_the_same() {
        let mut content = vec![7_u8; 5 * PIECE_BYTES + 3];
        let hash = content_hash(&content);
        assert_eq!(content_hash(&content.clone()), hash);
        assert_ne!(content_hash(&content[1..]), hash);
        for at in [0, PIECE_BYTES, 5 * PIECE_BYTES + 2] {
            content[at] = 8;
            assert_ne!(content_hash(&content), hash, "byte {at}");
            content[at] = 7;
        }
        assert_eq!(content_hash(&content), hash);
    }
}
