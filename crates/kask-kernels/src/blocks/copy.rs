//! The copy of a box between two strided layouts, in an order that uses caches well.
//!
//! Axes are sorted so that the target is written in the order of its memory, and neighbours that are one run in both are made
//! one. Then, from the inside: runs that are contiguous in both are copied whole; where the source is contiguous along
//! another axis than the target (a transposition), the two axes are walked in tiles, so that a cache line of either side
//! is used up while it is there; everything else goes element by element.

/// Elements of a tile along each of its two axes.
const TILE: usize = 32;

/// One axis of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axis {
    len: usize,
    source: isize,
    target: isize,
}

/// The order in which a box is copied.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Walk {
    itemsize: usize,
    /// From the outermost to the innermost.
    outer: Vec<Axis>,
    inner: Inner,
}

/// What is done for each position of the outer axes.
#[derive(Debug, PartialEq, Eq)]
enum Inner {
    /// So many bytes lie together on both sides.
    Run(usize),
    /// One axis, element by element.
    Line(Axis),
    /// Two axes in tiles: the source is contiguous along the first, the target along the second (or nearly so).
    Tiles(Axis, Axis),
}

impl Walk {
    pub(super) fn new(itemsize: usize, shape: &[usize], source: &[isize], target: &[isize]) -> Walk {
        let axes = shape.iter().zip(source).zip(target);
        let mut axes: Vec<Axis> =
            axes.map(|((&len, &source), &target)| Axis { len, source, target }).filter(|axis| axis.len > 1).collect();
        axes.sort_by_key(|axis| std::cmp::Reverse(axis.target.unsigned_abs()));
        let mut outer = joined(axes);
        let size = itemsize as isize;
        let inner = match outer.pop() {
            None => Inner::Run(itemsize),
            Some(axis) if axis.source == size && axis.target == size => Inner::Run(axis.len * itemsize),
            Some(axis) => match closest_in_source(&outer, axis) {
                Some(other) => Inner::Tiles(outer.remove(other), axis),
                None => Inner::Line(axis),
            },
        };
        Walk { itemsize, outer, inner }
    }

    pub(super) fn copy(&self, source: &[u8], start: usize, target: &mut [u8], end: usize) {
        match self.itemsize {
            1 => self.copy_sized(Sized::<1>, source, start, target, end),
            2 => self.copy_sized(Sized::<2>, source, start, target, end),
            4 => self.copy_sized(Sized::<4>, source, start, target, end),
            8 => self.copy_sized(Sized::<8>, source, start, target, end),
            16 => self.copy_sized(Sized::<16>, source, start, target, end),
            size => self.copy_sized(AnySize(size), source, start, target, end),
        }
    }

    fn copy_sized(&self, item: impl Item, source: &[u8], start: usize, target: &mut [u8], end: usize) {
        let mut index = vec![0; self.outer.len()];
        let (mut from, mut to) = (start, end);
        loop {
            match self.inner {
                Inner::Run(len) => target[to..to + len].copy_from_slice(&source[from..from + len]),
                Inner::Line(axis) => line(item, axis, source, from, target, to),
                Inner::Tiles(first, second) => tiles(item, first, second, source, from, target, to),
            }
            // The next position, as an odometer counts.
            let Some(axis) = (0..self.outer.len()).rev().find(|&axis| index[axis] + 1 < self.outer[axis].len) else {
                return;
            };
            let within = self.outer.iter().zip(&mut index).skip(axis + 1);
            for (&Axis { source, target, .. }, index) in within {
                let back = -(std::mem::take(index) as isize);
                (from, to) = (moved(from, source * back), moved(to, target * back));
            }
            index[axis] += 1;
            from = moved(from, self.outer[axis].source);
            to = moved(to, self.outer[axis].target);
        }
    }
}

/// A position so many bytes further on.
pub(super) fn moved(position: usize, by: isize) -> usize {
    position.checked_add_signed(by).expect("elements of a block lie within its memory")
}

/// Neighbouring axes made one where a step along the outer is as long as the whole inner, on both sides.
fn joined(axes: Vec<Axis>) -> Vec<Axis> {
    let mut joined: Vec<Axis> = Vec::with_capacity(axes.len());
    for axis in axes {
        let len = axis.len as isize;
        match joined.last_mut() {
            Some(outer) if outer.source == axis.source * len && outer.target == axis.target * len => {
                *outer = Axis { len: outer.len * axis.len, ..axis };
            }
            Some(_) | None => joined.push(axis),
        }
    }
    joined
}

/// The axis along which the source is denser than along `inner`, if there is one.
fn closest_in_source(outer: &[Axis], inner: Axis) -> Option<usize> {
    let (axis, found) = outer.iter().enumerate().min_by_key(|(_, axis)| axis.source.unsigned_abs())?;
    (found.source.unsigned_abs() < inner.source.unsigned_abs()).then_some(axis)
}

/// How one element is copied.
trait Item: Copy {
    fn copy(self, source: &[u8], from: usize, target: &mut [u8], to: usize);
}

/// Elements whose size the compiler knows.
#[derive(Clone, Copy)]
struct Sized<const SIZE: usize>;

impl<const SIZE: usize> Item for Sized<SIZE> {
    #[inline(always)]
    fn copy(self, source: &[u8], from: usize, target: &mut [u8], to: usize) {
        target[to..to + SIZE].copy_from_slice(&source[from..from + SIZE]);
    }
}

/// Elements of any size.
#[derive(Clone, Copy)]
struct AnySize(usize);

impl Item for AnySize {
    #[inline]
    fn copy(self, source: &[u8], from: usize, target: &mut [u8], to: usize) {
        target[to..to + self.0].copy_from_slice(&source[from..from + self.0]);
    }
}

#[inline(always)]
fn line(item: impl Item, axis: Axis, source: &[u8], start: usize, target: &mut [u8], end: usize) {
    let (mut from, mut to) = (start, end);
    for _ in 0..axis.len {
        item.copy(source, from, target, to);
        // Beyond the last element the positions may leave the block; they are not used then.
        (from, to) = (from.wrapping_add_signed(axis.source), to.wrapping_add_signed(axis.target));
    }
}

fn tiles(item: impl Item, first: Axis, second: Axis, source: &[u8], start: usize, target: &mut [u8], end: usize) {
    for i in (0..first.len).step_by(TILE) {
        for j in (0..second.len).step_by(TILE) {
            let rows = TILE.min(first.len - i);
            let columns = Axis { len: TILE.min(second.len - j), ..second };
            let (i, j) = (i as isize, j as isize);
            let mut from = moved(start, i * first.source + j * second.source);
            let mut to = moved(end, i * first.target + j * second.target);
            for _ in 0..rows {
                line(item, columns, source, from, target, to);
                (from, to) = (from.wrapping_add_signed(first.source), to.wrapping_add_signed(first.target));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contiguous_boxes_are_one_run() {
        let walk = Walk::new(8, &[3, 1, 4, 5], &[160, 0, 40, 8], &[160, 7, 40, 8]);
        assert_eq!(walk, Walk { itemsize: 8, outer: vec![], inner: Inner::Run(480) });
        let fortran = Walk::new(8, &[3, 4], &[8, 24], &[8, 24]);
        assert_eq!(fortran.inner, Inner::Run(96));
    }

    #[test]
    fn transpositions_are_tiled() {
        let walk = Walk::new(4, &[100, 200], &[4, 400], &[800, 4]);
        assert!(matches!(walk.inner, Inner::Tiles(Axis { source: 4, .. }, Axis { target: 4, .. })), "{walk:?}");
        assert_eq!(walk.outer, []);
    }

    #[test]
    fn rows_of_a_wider_block_are_runs() {
        let walk = Walk::new(2, &[10, 6], &[40, 2], &[12, 2]);
        assert_eq!(walk.inner, Inner::Run(12));
        assert_eq!(walk.outer.len(), 1);
    }
}
