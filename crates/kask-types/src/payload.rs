//! User data as the engine sees it: opaque.
//!
//! A [`Payload`] is either bytes (a small pickle and its out-of-band buffers) or, while it stays inside one
//! process, a handle on the object itself. The engine moves payloads and never looks inside.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// Opaque user data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Payload {
    /// A pickle (protocol 5) and the buffers it refers to, in order.
    Bytes {
        /// The pickle itself.
        head: Segment,
        /// Out-of-band buffers.
        buffers: Vec<Segment>,
    },
    /// An object of this process. Cannot be encoded: encoding one is an error, not a panic.
    Local(Local),
}

impl Payload {
    /// A payload of bytes without out-of-band buffers.
    pub fn from_bytes(head: impl Into<Bytes>) -> Payload {
        Payload::Bytes { head: Segment(head.into()), buffers: Vec::new() }
    }

    /// A payload that holds nothing.
    pub fn empty() -> Payload {
        Payload::from_bytes(Bytes::new())
    }

    /// Bytes held, without what a local object weighs.
    pub fn nbytes(&self) -> u64 {
        match self {
            Payload::Bytes { head, buffers } => {
                head.0.len() as u64 + buffers.iter().map(|b| b.0.len() as u64).sum::<u64>()
            }
            Payload::Local(_) => 0,
        }
    }
}

/// A handle on an object, or on one of a sequence of objects, of this process.
#[derive(Clone)]
pub struct Local {
    /// What holds the object.
    pub holder: Arc<dyn LocalItems>,
    /// Which of its objects.
    pub index: u32,
}

/// Something of this process that holds one or more user objects.
pub trait LocalItems: Any + Send + Sync {
    /// Gives the holder back as `Any`, so that the crate which made it can recognise it.
    fn as_any(&self) -> &(dyn Any + Send + Sync);
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Local[{}]", self.index)
    }
}

impl Serialize for Local {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("an object of this process cannot travel to another one"))
    }
}

impl<'de> Deserialize<'de> for Local {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Local, D::Error> {
        Err(serde::de::Error::custom("an object of another process cannot be received"))
    }
}

/// A sequence of payloads that share their storage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Items {
    /// Item `i` is `data[ends[i-1]..ends[i]]`; none has out-of-band buffers.
    Packed {
        /// The items' bytes, one after another.
        data: Segment,
        /// Where each item ends.
        ends: Vec<u32>,
    },
    /// One payload each.
    Each(Vec<Payload>),
    /// Objects of this process.
    Local {
        /// What holds them.
        holder: Local,
        /// How many there are, from `holder.index` on.
        len: u32,
    },
}

impl Items {
    /// How many items there are.
    pub fn len(&self) -> usize {
        match self {
            Items::Packed { ends, .. } => ends.len(),
            Items::Each(items) => items.len(),
            Items::Local { len, .. } => *len as usize,
        }
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Item `index`, sharing storage; `None` when out of range or badly packed.
    pub fn get(&self, index: usize) -> Option<Payload> {
        match self {
            Items::Packed { data, ends } => {
                let end = *ends.get(index)? as usize;
                let start = if index == 0 { 0 } else { *ends.get(index - 1)? as usize };
                if start > end || end > data.0.len() {
                    return None;
                }
                Some(Payload::from_bytes(data.0.slice(start..end)))
            }
            Items::Each(items) => items.get(index).cloned(),
            Items::Local { holder, len } => {
                let index = u32::try_from(index).ok().filter(|i| i < len)?;
                Some(Payload::Local(Local { holder: holder.holder.clone(), index: holder.index + index }))
            }
        }
    }
}

/// Bytes that the codec may carry beside a message instead of inside it, so that they are never copied.
///
/// While a [`SegmentScope`] is open on this thread, a segment of at least [`SEGMENT_MIN_BYTES`] is written as a
/// number and handed over whole; smaller ones, and all of them without a scope, are written in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment(pub Bytes);

/// From this size on a segment travels beside its message.
pub const SEGMENT_MIN_BYTES: usize = 2048;

thread_local! {
    static SEGMENTS: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

struct Scope {
    segments: Vec<Bytes>,
    head: Bytes,
}

/// Runs `work` (an encoding) and returns the segments that it set aside.
pub fn collect_segments<T>(work: impl FnOnce() -> T) -> (T, Vec<Bytes>) {
    let outer = SEGMENTS.replace(Some(Scope { segments: Vec::new(), head: Bytes::new() }));
    let result = work();
    let scope = SEGMENTS.replace(outer);
    (result, scope.map(|s| s.segments).unwrap_or_default())
}

/// Runs `work` (a decoding of `head`) with the segments that travelled beside it.
///
/// Small segments are slices of `head`, without a copy.
pub fn provide_segments<T>(head: Bytes, segments: Vec<Bytes>, work: impl FnOnce() -> T) -> T {
    let outer = SEGMENTS.replace(Some(Scope { segments, head }));
    let result = work();
    SEGMENTS.replace(outer);
    result
}

impl Serialize for Segment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let aside = SEGMENTS.with_borrow_mut(|scope| match scope {
            Some(scope) if self.0.len() >= SEGMENT_MIN_BYTES => {
                scope.segments.push(self.0.clone());
                Some(scope.segments.len() as u32 - 1)
            }
            _ => None,
        });
        match aside {
            Some(index) => WireSegment::Beside(index).serialize(serializer),
            None => WireSegment::Inside(&self.0).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Segment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Segment, D::Error> {
        match WireSegment::deserialize(deserializer)? {
            WireSegment::Inside(bytes) => Ok(Segment(SEGMENTS.with_borrow(|scope| match scope {
                Some(scope) if is_within(bytes, &scope.head) => scope.head.slice_ref(bytes),
                _ => Bytes::copy_from_slice(bytes),
            }))),
            WireSegment::Beside(index) => SEGMENTS
                .with_borrow(|scope| scope.as_ref()?.segments.get(index as usize).cloned())
                .map(Segment)
                .ok_or_else(|| serde::de::Error::custom(format!("segment {index} did not travel with its message"))),
        }
    }
}

fn is_within(part: &[u8], whole: &[u8]) -> bool {
    let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
    whole.start <= part.start && part.end <= whole.end
}

#[derive(Serialize, Deserialize)]
enum WireSegment<'a> {
    // Written at once; serde's default for a slice goes byte by byte (in the same format).
    Inside(#[serde(borrow, serialize_with = "serialize_at_once")] &'a [u8]),
    Beside(u32),
}

fn serialize_at_once<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}
