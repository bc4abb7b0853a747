//! Arrow arrays as a description in words and buffers at offsets: the body of a part.
//!
//! An array is a tree of [`Node`]s of the same shape as Arrow's own `ArrayData`. Buffers begin at multiples of 64 bytes from
//! the start of what they are written into, so that they can be used where they lie.

use crate::error::{KernelError, damaged};
use arrow_array::{ArrayRef, make_array};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow_data::ArrayData;
use arrow_schema::DataType;
use bytes::Bytes;

/// Where every buffer begins.
pub(crate) const ALIGNMENT: usize = 64;

/// Stands for "no validity bitmap".
const ABSENT: u64 = u64::MAX;

/// `size` rounded up to the alignment.
pub(crate) fn aligned(size: usize) -> usize {
    size.next_multiple_of(ALIGNMENT)
}

/// Bytes at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

/// Hands out the offsets of buffers, one after another.
#[derive(Debug)]
pub(crate) struct Layouter {
    end: usize,
}

impl Layouter {
    pub(crate) fn new(start: usize) -> Layouter {
        Layouter { end: aligned(start) }
    }

    pub(crate) fn place(&mut self, len: usize) -> Span {
        let offset = self.end;
        self.end = aligned(offset + len);
        Span { offset, len }
    }

    /// The size of everything placed.
    pub(crate) fn end(&self) -> usize {
        self.end
    }
}

/// One array, or a child of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Values.
    pub(crate) len: usize,
    /// The first value's place in the buffers.
    pub(crate) offset: usize,
    /// One bit for each value, from the first on.
    pub(crate) validity: Option<Span>,
    /// The buffers of Arrow's layout of the type.
    pub(crate) buffers: Vec<Span>,
    /// The arrays inside.
    pub(crate) children: Vec<Node>,
}

impl Node {
    /// Finds room for an array; what must be copied where is added to `copies`.
    pub(crate) fn of_array(data: &ArrayData, room: &mut Layouter, copies: &mut Vec<(usize, Buffer)>) -> Node {
        let mut place = |buffer: Buffer| {
            let span = room.place(buffer.len());
            copies.push((span.offset, buffer));
            span
        };
        let validity = data.nulls().map(|nulls| place(nulls.inner().sliced()));
        let buffers = data.buffers().iter().map(|buffer| place(buffer.clone())).collect();
        let children = data.child_data().iter().map(|child| Node::of_array(child, room, copies)).collect();
        Node { len: data.len(), offset: data.offset(), validity, buffers, children }
    }

    /// Appends the description.
    pub(crate) fn write(&self, words: &mut Vec<u64>) {
        let validity = self.validity.map_or([ABSENT, 0], |span| [span.offset as u64, span.len as u64]);
        words.extend([self.len as u64, self.offset as u64]);
        words.extend(validity);
        words.extend([self.buffers.len() as u64, self.children.len() as u64]);
        words.extend(self.buffers.iter().flat_map(|span| [span.offset as u64, span.len as u64]));
        for child in &self.children {
            child.write(words);
        }
    }

    /// Reads a description; `depth` bounds how deep the tree may be.
    pub(crate) fn read(words: &mut Words<'_>, depth: usize) -> Result<Node, KernelError> {
        let depth = depth.checked_sub(1).ok_or_else(|| damaged("its arrays are nested too deeply"))?;
        let (len, offset) = (words.size()?, words.size()?);
        let validity = match words.next()? {
            ABSENT => words.next().map(|_| None)?,
            offset => Some(Span { offset: to_size(offset)?, len: words.size()? }),
        };
        let (buffers, children) = (words.size()?, words.size()?);
        if buffers > words.left() || children > words.left() {
            return Err(damaged("it ends within the description of an array"));
        }
        let buffers = (0..buffers)
            .map(|_| Ok(Span { offset: words.size()?, len: words.size()? }))
            .collect::<Result<Vec<_>, KernelError>>()?;
        let children = (0..children).map(|_| Node::read(words, depth)).collect::<Result<Vec<_>, _>>()?;
        Ok(Node { len, offset, validity, buffers, children })
    }

    /// The array that `bytes` holds, without a copy where the alignment allows. Everything is validated.
    pub(crate) fn to_array(&self, data_type: &DataType, bytes: &Bytes) -> Result<ArrayRef, KernelError> {
        Ok(make_array(self.to_data(data_type, bytes)?))
    }

    fn to_data(&self, data_type: &DataType, bytes: &Bytes) -> Result<ArrayData, KernelError> {
        let types = child_types(data_type);
        if types.len() != self.children.len() {
            return Err(damaged(format!("an array of type {data_type} has {} arrays inside", self.children.len())));
        }
        let children = self
            .children
            .iter()
            .zip(types)
            .map(|(child, data_type)| child.to_data(data_type, bytes))
            .collect::<Result<_, _>>()?;
        let buffers = self.buffers.iter().map(|&span| shared(bytes, span)).collect::<Result<_, _>>()?;
        let builder = ArrayData::builder(data_type.clone())
            .len(self.len)
            .offset(self.offset)
            .nulls(self.nulls(bytes)?)
            .buffers(buffers)
            .child_data(children)
            .align_buffers(true);
        builder.build().map_err(|error| damaged(error.to_string()))
    }

    /// Which values are null.
    pub(crate) fn nulls(&self, bytes: &Bytes) -> Result<Option<NullBuffer>, KernelError> {
        let Some(span) = self.validity else { return Ok(None) };
        if span.len < self.len.div_ceil(8) {
            return Err(damaged("a validity bitmap is too short"));
        }
        Ok(Some(NullBuffer::new(BooleanBuffer::new(shared(bytes, span)?, 0, self.len))))
    }
}

/// The bytes of a span as an Arrow buffer that keeps all of `bytes` alive.
fn shared(bytes: &Bytes, span: Span) -> Result<Buffer, KernelError> {
    slice(bytes, span)?;
    Ok(Buffer::from(bytes.slice(span.offset..span.offset + span.len)))
}

/// The bytes of a span.
pub(crate) fn slice(bytes: &[u8], span: Span) -> Result<&[u8], KernelError> {
    let end = span.offset.checked_add(span.len);
    end.and_then(|end| bytes.get(span.offset..end)).ok_or_else(|| damaged("a buffer lies outside of it"))
}

/// The types of the arrays inside an array of this type.
fn child_types(data_type: &DataType) -> Vec<&DataType> {
    match data_type {
        DataType::Dictionary(_, values) => vec![values],
        DataType::List(field)
        | DataType::ListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::LargeList(field)
        | DataType::LargeListView(field)
        | DataType::Map(field, _) => vec![field.data_type()],
        DataType::RunEndEncoded(ends, values) => vec![ends.data_type(), values.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        DataType::Union(fields, _) => fields.iter().map(|(_, field)| field.data_type()).collect(),
        _ => Vec::new(),
    }
}

/// Little-endian words, read from the front.
pub(crate) struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Words<'a> {
        Words { rest: bytes }
    }

    pub(crate) fn next(&mut self) -> Result<u64, KernelError> {
        let (word, rest) =
            self.rest.split_first_chunk::<8>().ok_or_else(|| damaged("it ends within its description"))?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*word))
    }

    /// The next word as a size in memory.
    pub(crate) fn size(&mut self) -> Result<usize, KernelError> {
        to_size(self.next()?)
    }

    /// Passes so many words.
    pub(crate) fn skip(&mut self, count: usize) -> Result<(), KernelError> {
        let bytes = count.checked_mul(8);
        let rest = bytes.and_then(|bytes| self.rest.get(bytes..));
        self.rest = rest.ok_or_else(|| damaged("it ends within its description"))?;
        Ok(())
    }

    /// How many words are left.
    pub(crate) fn left(&self) -> usize {
        self.rest.len() / 8
    }
}

fn to_size(word: u64) -> Result<usize, KernelError> {
    usize::try_from(word).map_err(|_| damaged("a size in it is beyond this machine"))
}

/// Words as bytes.
pub(crate) fn word_bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
