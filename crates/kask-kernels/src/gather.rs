//! Pieces of a column, each a run of rows of one part, copied one after another into the buffers of an output.

use crate::dictionary::copy_keys;
use crate::error::{KernelError, damaged};
use crate::scatter::read_offset;
use arrow_buffer::{BooleanBufferBuilder, Buffer, MutableBuffer, NullBuffer};
use std::ops::Range;

/// A run of rows of one part's column.
pub(crate) enum Piece<'a> {
    /// Rows without values.
    Absent {
        /// How many.
        rows: usize,
    },
    /// Rows with values.
    Present {
        /// Which of the part's rows.
        rows: Range<usize>,
        /// The part's values or offsets, from its first row on, long enough for all its rows.
        values: &'a [u8],
        /// What offsets point into.
        data: &'a [u8],
        /// Which of the part's values are null.
        nulls: Option<&'a NullBuffer>,
        /// Bytes of a value.
        width: usize,
        /// For keys of a dictionary: what they become.
        map: Option<&'a [u32]>,
    },
}

impl Piece<'_> {
    /// Where the values' bytes are, for values between offsets of `WIDTH` bytes.
    fn byte_range<const WIDTH: usize>(&self) -> Range<usize> {
        match self {
            Piece::Absent { .. } => 0..0,
            Piece::Present { rows, values, .. } => {
                let (offsets, _) = values.as_chunks::<WIDTH>();
                read_offset(&offsets[rows.start])..read_offset(&offsets[rows.end])
            }
        }
    }

    /// How many bytes the values have, checked to be there.
    pub(crate) fn byte_len<const WIDTH: usize>(&self) -> Result<usize, KernelError> {
        let (range, available) = match self {
            Piece::Absent { .. } => return Ok(0),
            Piece::Present { data, .. } => (self.byte_range::<WIDTH>(), data.len()),
        };
        if range.start > range.end || range.end > available {
            return Err(damaged("an offset points outside of its buffer"));
        }
        Ok(range.len())
    }
}

/// Which of all rows are null; `None` when none is.
pub(crate) fn nulls(pieces: &[Piece<'_>], rows: usize) -> Option<NullBuffer> {
    let any = pieces.iter().any(|piece| match piece {
        Piece::Absent { rows } => *rows > 0,
        Piece::Present { nulls, .. } => nulls.is_some(),
    });
    if !any {
        return None;
    }
    let mut bits = BooleanBufferBuilder::new(rows);
    for piece in pieces {
        match piece {
            Piece::Absent { rows } => bits.append_n(*rows, false),
            Piece::Present { rows, nulls: None, .. } => bits.append_n(rows.len(), true),
            Piece::Present { rows, nulls: Some(nulls), .. } => {
                bits.append_buffer(&nulls.inner().slice(rows.start, rows.len()));
            }
        }
    }
    Some(NullBuffer::new(bits.finish())).filter(|nulls| nulls.null_count() > 0)
}

/// Values of `width` bytes. Those of dictionaries may have had another width in their part.
pub(crate) fn fixed(pieces: &[Piece<'_>], width: usize, rows: usize) -> Buffer {
    let mut target = MutableBuffer::with_capacity(rows * width);
    for piece in pieces {
        match piece {
            Piece::Absent { rows } => target.extend_zeros(rows * width),
            Piece::Present { rows, values, width: own, map, .. } => {
                copy_keys(&values[rows.start * own..rows.end * own], *own, *map, width, &mut target);
            }
        }
    }
    target.into()
}

/// Values of one bit.
pub(crate) fn bits(pieces: &[Piece<'_>], rows: usize) -> Buffer {
    let mut bits = BooleanBufferBuilder::new(rows);
    for piece in pieces {
        match piece {
            Piece::Absent { rows } => bits.append_n(*rows, false),
            Piece::Present { rows, values, .. } => bits.append_packed_range(rows.clone(), values),
        }
    }
    bits.finish().into_inner()
}

/// Values between offsets of `WIDTH` bytes: offsets and bytes. The caller has seen that they fit such offsets.
pub(crate) fn byte_values<const WIDTH: usize>(pieces: &[Piece<'_>], rows: usize) -> Result<Vec<Buffer>, KernelError> {
    let lens = pieces.iter().map(Piece::byte_len::<WIDTH>).collect::<Result<Vec<_>, _>>()?;
    let mut bytes = MutableBuffer::with_capacity(lens.iter().sum());
    let mut offsets = MutableBuffer::with_capacity((rows + 1) * WIDTH);
    offsets.resize((rows + 1) * WIDTH, 0);
    let (mut row, mut end) = (0, 0_u64);
    for (piece, len) in pieces.iter().zip(lens) {
        let target = &mut offsets.as_slice_mut()[row * WIDTH..];
        match piece {
            Piece::Absent { rows } => {
                shifted::<WIDTH>(&vec![[0; WIDTH]; *rows], end, target);
                row += rows;
            }
            Piece::Present { rows, values, data, .. } => {
                let range = piece.byte_range::<WIDTH>();
                let (own, _) = values.as_chunks::<WIDTH>();
                shifted::<WIDTH>(&own[rows.clone()], end.wrapping_sub(range.start as u64), target);
                bytes.extend_from_slice(&data[range]);
                row += rows.len();
            }
        }
        end += len as u64;
    }
    let last = offsets.len() - WIDTH;
    offsets.as_slice_mut()[last..].copy_from_slice(&end.to_le_bytes()[..WIDTH]);
    Ok(vec![offsets.into(), bytes.into()])
}

/// Offsets with a constant added, modulo their width.
fn shifted<const WIDTH: usize>(offsets: &[[u8; WIDTH]], by: u64, target: &mut [u8]) {
    let (target, _) = target.as_chunks_mut::<WIDTH>();
    for (offset, target) in offsets.iter().zip(target) {
        let moved = (read_offset(offset) as u64).wrapping_add(by);
        target.copy_from_slice(&moved.to_le_bytes()[..WIDTH]);
    }
}
