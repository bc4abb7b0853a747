//! Small plain values as pickles, without the pickle module.
//!
//! What [`encode`] writes is valid pickle, protocol 5, so that whoever reads it need not know; [`decode`] reads exactly
//! these forms and leaves everything else to `pickle.loads`. Exact types only: a subclass carries more than its value.

use crate::buffers::small_int;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString};

const PROTO: [u8; 2] = [0x80, 5];
const STOP: u8 = b'.';
const NONE: u8 = b'N';
const NEWTRUE: u8 = 0x88;
const NEWFALSE: u8 = 0x89;
const BININT1: u8 = b'K';
const BININT: u8 = b'J';
const LONG1: u8 = 0x8a;
const BINFLOAT: u8 = b'G';
const SHORT_BINUNICODE: u8 = 0x8c;
const BINUNICODE: u8 = b'X';
const SHORT_BINBYTES: u8 = b'C';
const BINBYTES: u8 = b'B';

/// Longer texts and bytes are left to the pickle module.
pub const MAX_BYTES: usize = 1024;

/// Appends the pickle of a small plain value; `false` (and nothing written) for anything else.
pub fn encode(object: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.extend_from_slice(&PROTO);
    if write(object, out) {
        out.push(STOP);
        return true;
    }
    out.truncate(start);
    false
}

fn write(object: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> bool {
    if object.is_exact_instance_of::<PyInt>() {
        return small_int(object).map(|value| write_int(value, out)).is_some();
    }
    if let Ok(value) = object.cast_exact::<PyFloat>() {
        out.push(BINFLOAT);
        out.extend_from_slice(&value.value().to_be_bytes());
        return true;
    }
    if object.is_none() {
        out.push(NONE);
        return true;
    }
    if let Ok(value) = object.cast_exact::<PyBool>() {
        out.push(if value.is_true() { NEWTRUE } else { NEWFALSE });
        return true;
    }
    if let Ok(value) = object.cast_exact::<PyString>() {
        // Lone surrogates have no UTF-8.
        let Ok(text) = value.to_cow() else { return false };
        return write_sized(text.as_bytes(), SHORT_BINUNICODE, BINUNICODE, out);
    }
    match object.cast_exact::<PyBytes>() {
        Ok(value) => write_sized(value.as_bytes(), SHORT_BINBYTES, BINBYTES, out),
        Err(_) => false,
    }
}

fn write_int(value: i64, out: &mut Vec<u8>) {
    if let Ok(value) = u8::try_from(value) {
        out.extend_from_slice(&[BININT1, value]);
    } else if let Ok(value) = i32::try_from(value) {
        out.push(BININT);
        out.extend_from_slice(&value.to_le_bytes());
    } else {
        out.extend_from_slice(&[LONG1, 8]);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn write_sized(content: &[u8], short: u8, long: u8, out: &mut Vec<u8>) -> bool {
    if content.len() > MAX_BYTES {
        return false;
    }
    match u8::try_from(content.len()) {
        Ok(len) => out.extend_from_slice(&[short, len]),
        Err(_) => {
            out.push(long);
            out.extend_from_slice(&(content.len() as u32).to_le_bytes());
        }
    }
    out.extend_from_slice(content);
    true
}

/// The value of a pickle of the forms that [`encode`] writes; `None` for others.
pub fn decode<'py>(py: Python<'py>, pickle: &[u8]) -> Option<Bound<'py, PyAny>> {
    let [0x80, 5, op, rest @ .., STOP] = pickle else { return None };
    match (*op, rest) {
        (NONE, []) => Some(py.None().into_bound(py)),
        (NEWTRUE, []) => Some(PyBool::new(py, true).to_owned().into_any()),
        (NEWFALSE, []) => Some(PyBool::new(py, false).to_owned().into_any()),
        (BININT1, [value]) => Some(int(py, i64::from(*value))),
        (BININT, rest) => Some(int(py, i64::from(i32::from_le_bytes(rest.try_into().ok()?)))),
        (LONG1, [8, rest @ ..]) => Some(int(py, i64::from_le_bytes(rest.try_into().ok()?))),
        (BINFLOAT, rest) => Some(PyFloat::new(py, f64::from_be_bytes(rest.try_into().ok()?)).into_any()),
        (SHORT_BINUNICODE, [len, text @ ..]) => text_of(py, usize::from(*len), text),
        (BINUNICODE, [a, b, c, d, text @ ..]) => text_of(py, u32::from_le_bytes([*a, *b, *c, *d]) as usize, text),
        (SHORT_BINBYTES, [len, content @ ..]) => bytes_of(py, usize::from(*len), content),
        (BINBYTES, [a, b, c, d, content @ ..]) => bytes_of(py, u32::from_le_bytes([*a, *b, *c, *d]) as usize, content),
        _ => None,
    }
}

fn int(py: Python<'_>, value: i64) -> Bound<'_, PyAny> {
    PyInt::new(py, value).into_any()
}

fn text_of<'py>(py: Python<'py>, len: usize, text: &[u8]) -> Option<Bound<'py, PyAny>> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == len)?;
    Some(PyString::new(py, text).into_any())
}

fn bytes_of<'py>(py: Python<'py>, len: usize, content: &[u8]) -> Option<Bound<'py, PyAny>> {
    (content.len() == len).then(|| PyBytes::new(py, content).into_any())
}
