//! The order in which a kernel goes over its elements, and where they are in each array.
//!
//! Axes are sorted so that the first input is read as it lies in memory, and joined where all arrays allow it. What is left are the *dims*;
//! elements are counted in C order of these. The last dims that are all kept, or all reduced, are a *segment*: it has one place in
//! the result, or as many as it has elements.

use super::ahead::LINE;
use super::view::{View, ViewMut};
use super::{TILE, Values};
use std::cmp::Reverse;

/// Shorter rows share a tile.
const SHORT: usize = 256;

struct Dim {
    len: usize,
    is_reduced: bool,
    /// Of the inputs, then of the outputs.
    strides: Vec<isize>,
    /// Of the places in the result; 0 where it is reduced.
    place: usize,
    /// Of the number of the contribution to a place; 0 where it is kept.
    turn: usize,
}

/// How an array is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Its elements follow each other as they are counted.
    InOrder,
    /// One element stands for all.
    Same,
    /// Anything else.
    Rows,
}

/// The dims of a run.
pub(super) struct Walk {
    dims: Vec<Dim>,
    accesses: Vec<Access>,
    /// Elements of the last dim.
    row: usize,
    /// Elements of a segment.
    pub(super) segment: usize,
    /// Whether segments are reduced, to one element each.
    pub(super) reduces_segment: bool,
    /// All elements.
    pub(super) total: usize,
    /// Places in the result.
    pub(super) places: usize,
    /// Where the first input begins, and how large its elements are.
    first: Option<(usize, usize)>,
}

impl Walk {
    pub(super) fn new(
        shape: &[usize],
        reduced: &[bool],
        inputs: &[View<'_>],
        outputs: &[ViewMut<'_>],
        first_size: Option<usize>,
        is_reduction: bool,
    ) -> Walk {
        let strides_of = |axis: usize| -> Vec<isize> {
            let outputs = outputs.iter().map(|view| view.strides[axis]);
            inputs.iter().map(|view| view.strides[axis]).chain(outputs).collect()
        };
        let dim_of = |axis: usize| Dim {
            len: shape[axis],
            is_reduced: reduced[axis],
            strides: strides_of(axis),
            place: 0,
            turn: 0,
        };
        let mut dims: Vec<Dim> = (0..shape.len()).filter(|&axis| shape[axis] != 1).map(dim_of).collect();
        let reach = |dim: &Dim| dim.strides[..inputs.len()].iter().map(|stride| stride.unsigned_abs()).max();
        dims.sort_by_key(|dim| Reverse(reach(dim)));
        let mut dims = joined(dims);
        let (mut places, mut turns) = (1, 1);
        for dim in dims.iter_mut().rev() {
            if dim.is_reduced {
                (dim.turn, turns) = (turns, turns * dim.len);
            } else {
                (dim.place, places) = (places, places * dim.len);
            }
        }
        let last = dims.last().map_or(is_reduction, |dim| dim.is_reduced);
        let row = dims.last().map_or(1, |dim| dim.len);
        let segment = dims.iter().rev().take_while(|dim| dim.is_reduced == last).map(|dim| dim.len).product();
        let total = dims.iter().map(|dim| dim.len).product();
        let begin = inputs.first().map(|view| view.bytes.as_ptr().addr() + view.origin);
        let first = begin.zip(first_size);
        let mut walk = Walk { dims, accesses: Vec::new(), row, segment, reduces_segment: last, total, places, first };
        let operands = inputs.len() + outputs.len();
        walk.accesses = (0..operands).map(|operand| walk.access(operand)).collect();
        walk
    }

    fn access(&self, operand: usize) -> Access {
        if self.dims.iter().all(|dim| dim.strides[operand] == 0) {
            return Access::Same;
        }
        // Joined dims of an array in order have become one, unless another array keeps them apart.
        let mut expected = None;
        for dim in self.dims.iter().rev() {
            let stride = dim.strides[operand];
            if expected.is_some_and(|expected| expected != stride) || stride <= 0 {
                return Access::Rows;
            }
            expected = Some(stride * dim.len as isize);
        }
        Access::InOrder
    }

    /// How many elements the tile that begins at an element has.
    pub(super) fn tile_at(&self, at: usize) -> usize {
        if self.row >= SHORT {
            let rest = self.row - at % self.row;
            if rest > TILE { TILE - self.past_line(at + TILE) } else { rest }
        } else if self.segment >= SHORT {
            (TILE / self.row * self.row).min(self.segment - at % self.segment)
        } else {
            (TILE / self.segment * self.segment).min(self.total - at)
        }
    }

    /// How many elements of the first input lie before this one in its line of the cache: loads that cross lines take twice as long.
    fn past_line(&self, at: usize) -> usize {
        match self.first {
            Some((address, size)) if self.stride(0) == size as isize => {
                address.wrapping_add_signed(self.offset(0, at)) % LINE / size
            }
            _ => 0,
        }
    }

    /// Whether every tile is reduced to one place.
    pub(super) fn folds_tiles(&self) -> bool {
        self.reduces_segment && self.segment >= SHORT
    }

    /// The place in the result that an element belongs to, and which contribution to it that is, from 0 on.
    pub(super) fn place(&self, mut at: usize) -> (usize, usize) {
        if let [dim] = self.dims.as_slice() {
            return (at * dim.place, at * dim.turn);
        }
        let (mut place, mut turn) = (0, 0);
        for dim in self.dims.iter().rev() {
            let index = at % dim.len;
            at /= dim.len;
            place += index * dim.place;
            turn += index * dim.turn;
        }
        (place, turn)
    }

    fn offset(&self, operand: usize, mut at: usize) -> isize {
        if let [dim] = self.dims.as_slice() {
            return at as isize * dim.strides[operand];
        }
        let mut offset = 0;
        for dim in self.dims.iter().rev() {
            offset += (at % dim.len) as isize * dim.strides[operand];
            at /= dim.len;
        }
        offset
    }

    /// The distance of neighbours of an operand in the last dim.
    fn stride(&self, operand: usize) -> isize {
        self.dims.last().map_or(0, |dim| dim.strides[operand])
    }

    /// Elements of an input, from one on: where they lie, or copied to `scratch`.
    pub(super) fn load<'t>(
        &self,
        operand: usize,
        view: &'t View<'_>,
        size: usize,
        at: usize,
        count: usize,
        scratch: &'t mut [u8],
    ) -> Values<'t> {
        let begin = (view.origin as isize + self.offset(operand, at)) as usize;
        let in_one_row = at % self.row + count <= self.row;
        let stride = self.stride(operand);
        let access = self.accesses[operand];
        if access == Access::Same || (in_one_row && stride == 0) {
            return Values { bytes: &view.bytes[begin..begin + size], is_one: true };
        }
        if stride == size as isize && (access == Access::InOrder || in_one_row) {
            return Values { bytes: &view.bytes[begin..begin + count * size], is_one: false };
        }
        let target = &mut scratch[..count * size];
        self.by_row(operand, at, count, |from, offset, len| {
            let begin = (view.origin as isize + offset) as usize;
            gather(view.bytes, begin, stride, size, &mut target[from * size..(from + len) * size]);
        });
        Values { bytes: target, is_one: false }
    }

    /// Where elements of an output lie if they follow each other.
    pub(super) fn direct(
        &self,
        operand: usize,
        view: &ViewMut<'_>,
        size: usize,
        at: usize,
        count: usize,
    ) -> Option<usize> {
        let follows = self.accesses[operand] == Access::InOrder || at % self.row + count <= self.row;
        let is_direct = follows && (self.stride(operand) == size as isize || count == 1);
        is_direct.then(|| (view.origin as isize + self.offset(operand, at)) as usize)
    }

    /// Copies elements to where they belong in an output.
    pub(super) fn store(&self, operand: usize, view: &mut ViewMut<'_>, size: usize, at: usize, values: &[u8]) {
        let stride = self.stride(operand);
        let origin = view.origin as isize;
        self.by_row(operand, at, values.len() / size, |from, offset, len| {
            let values = &values[from * size..(from + len) * size];
            let mut begin = origin + offset;
            for value in values.chunks_exact(size) {
                view.bytes[begin as usize..begin as usize + size].copy_from_slice(value);
                begin += stride;
            }
        });
    }

    /// Calls for each part of a row among some elements: which of these is its first, where it is, and how many.
    fn by_row(&self, operand: usize, at: usize, count: usize, mut each: impl FnMut(usize, isize, usize)) {
        let mut done = 0;
        while done < count {
            let len = (self.row - (at + done) % self.row).min(count - done);
            each(done, self.offset(operand, at + done), len);
            done += len;
        }
    }

    /// The dims that are kept: where each place is in an output.
    pub(super) fn place_offset(&self, operand: usize, place: usize) -> isize {
        let (mut rest, mut offset) = (place, 0);
        for dim in self.dims.iter().rev().filter(|dim| !dim.is_reduced) {
            offset += (rest % dim.len) as isize * dim.strides[operand];
            rest /= dim.len;
        }
        offset
    }
}

/// Dims, joined where in every array the last element of one is followed by the next row.
fn joined(dims: Vec<Dim>) -> Vec<Dim> {
    let mut joined: Vec<Dim> = Vec::with_capacity(dims.len());
    for dim in dims {
        match joined.last_mut() {
            Some(outer)
                if outer.is_reduced == dim.is_reduced
                    && outer
                        .strides
                        .iter()
                        .zip(&dim.strides)
                        .all(|(&outer, &inner)| outer == inner * dim.len as isize) =>
            {
                outer.len *= dim.len;
                outer.strides = dim.strides;
            }
            _ => joined.push(dim),
        }
    }
    joined
}

fn gather(bytes: &[u8], begin: usize, stride: isize, size: usize, target: &mut [u8]) {
    match size {
        1 => gather_of::<1>(bytes, begin, stride, target),
        4 => gather_of::<4>(bytes, begin, stride, target),
        _ => gather_of::<8>(bytes, begin, stride, target),
    }
}

fn gather_of<const SIZE: usize>(bytes: &[u8], begin: usize, stride: isize, target: &mut [u8]) {
    if stride == SIZE as isize {
        return target.copy_from_slice(&bytes[begin..begin + target.len()]);
    }
    let mut from = begin as isize;
    for element in target.chunks_exact_mut(SIZE) {
        element.copy_from_slice(&bytes[from as usize..from as usize + SIZE]);
        from += stride;
    }
}
