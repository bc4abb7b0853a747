//! How the values of a column lie in memory, as far as moving rows is concerned.

use arrow_array::{Array, ArrayRef};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_data::ArrayData;
use arrow_schema::DataType;

/// The kinds of columns that rows can be moved of directly; [`Layout::Other`] goes through Arrow's own kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One bit a value.
    Bits,
    /// So many bytes a value; the keys of a dictionary as well.
    Fixed(usize),
    /// Bytes between offsets of 32 bits.
    Bytes32,
    /// Bytes between offsets of 64 bits.
    Bytes64,
    /// Everything nested, and views.
    Other,
}

impl Layout {
    /// The layout of columns of this type.
    pub(crate) fn of(data_type: &DataType) -> Layout {
        match data_type {
            DataType::Boolean => Layout::Bits,
            DataType::Utf8 | DataType::Binary => Layout::Bytes32,
            DataType::LargeUtf8 | DataType::LargeBinary => Layout::Bytes64,
            DataType::FixedSizeBinary(width) if *width > 0 => Layout::Fixed(width.unsigned_abs() as usize),
            DataType::Dictionary(keys, _) => Layout::of(keys),
            other => other.primitive_width().map_or(Layout::Other, Layout::Fixed),
        }
    }

    /// Bytes of one offset, for the layouts that have them.
    pub(crate) fn offset_width(self) -> Option<usize> {
        match self {
            Layout::Bytes32 => Some(4),
            Layout::Bytes64 => Some(8),
            Layout::Bits | Layout::Fixed(_) | Layout::Other => None,
        }
    }
}

/// An array taken apart: what its rows are read from.
pub(crate) struct Source {
    data: ArrayData,
}

impl Source {
    pub(crate) fn new(array: &ArrayRef) -> Source {
        Source { data: array.to_data() }
    }

    /// Which values are null; `None` when none is.
    pub(crate) fn nulls(&self) -> Option<&NullBuffer> {
        self.data.nulls().filter(|nulls| nulls.null_count() > 0)
    }

    /// The bytes of values of this width.
    pub(crate) fn fixed(&self, width: usize) -> &[u8] {
        let start = self.data.offset() * width;
        &self.data.buffers()[0].as_slice()[start..start + self.data.len() * width]
    }

    /// Values of one bit each.
    pub(crate) fn bit_values(&self) -> BooleanBuffer {
        BooleanBuffer::new(self.data.buffers()[0].clone(), self.data.offset(), self.data.len())
    }

    /// Offsets (one more than values) of this width, and the bytes that they point into.
    pub(crate) fn bytes(&self, offset_width: usize) -> (&[u8], &[u8]) {
        let [offsets, values] = self.data.buffers() else { unreachable!("byte arrays have two buffers") };
        // An empty array may have no offsets at all.
        if self.data.is_empty() {
            return (&[0; 8][..offset_width], values);
        }
        let start = self.data.offset() * offset_width;
        (&offsets[start..start + (self.data.len() + 1) * offset_width], values)
    }
}
