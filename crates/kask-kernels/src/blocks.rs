//! Blocks of n-dimensional arrays as raw bytes with a shape and strides, and copies of boxes between them.
//!
//! A block may lie in memory in any order: C, Fortran, a transposed or reversed view, a broadcast one (as source). Elements
//! are so many bytes that are moved and never looked at. `copy.rs` finds the order in which to walk.

mod copy;

use crate::error::KernelError;

/// Where the elements of a block are: the shape and, for each axis, the distance of neighbours in bytes.
#[derive(Clone, Debug)]
struct Layout {
    itemsize: usize,
    /// Where the element at the origin begins.
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<isize>,
}

impl Layout {
    fn new(
        nbytes: usize,
        itemsize: usize,
        offset: usize,
        shape: &[usize],
        strides: &[isize],
    ) -> Result<Layout, KernelError> {
        if shape.len() != strides.len() {
            let (axes, given) = (shape.len(), strides.len());
            return Err(KernelError::Block(format!(
                "a block of {axes} axes was given {given} strides; give one for each axis"
            )));
        }
        let layout = Layout { itemsize, offset, shape: shape.to_vec(), strides: strides.to_vec() };
        match layout.is_within(nbytes) {
            true => Ok(layout),
            false => Err(KernelError::Block(format!(
                "a block of shape {shape:?} with strides {strides:?} and {itemsize} bytes an element does not fit its {nbytes} bytes from {offset} on"
            ))),
        }
    }

    /// Whether the first and the last byte of all elements lie in memory of this size.
    fn is_within(&self, nbytes: usize) -> bool {
        if self.shape.contains(&0) || self.itemsize == 0 {
            return true;
        }
        let (mut lowest, mut highest) = (self.offset as i128, self.offset as i128 + self.itemsize as i128);
        for (&len, &stride) in self.shape.iter().zip(&self.strides) {
            let reach = (len as i128 - 1).saturating_mul(stride as i128);
            let end = if reach < 0 { &mut lowest } else { &mut highest };
            *end = end.saturating_add(reach);
        }
        lowest >= 0 && highest <= nbytes as i128
    }

    /// Whether no byte belongs to two elements, as far as strides tell: each is larger than all within it.
    fn is_disjoint(&self) -> bool {
        if self.shape.contains(&0) {
            return true;
        }
        let mut axes: Vec<(usize, usize)> =
            self.strides.iter().map(|stride| stride.unsigned_abs()).zip(self.shape.iter().copied()).collect();
        axes.retain(|&(_, len)| len > 1);
        axes.sort_unstable();
        let mut extent = self.itemsize;
        for (stride, len) in axes {
            if stride < extent {
                return false;
            }
            extent = stride.saturating_mul(len - 1).saturating_add(extent);
        }
        true
    }

    /// The position in memory of an element.
    fn position(&self, index: &[usize]) -> usize {
        let steps = index.iter().zip(&self.strides).map(|(&index, &stride)| index as isize * stride);
        copy::moved(self.offset, steps.sum())
    }

    fn check_box(&self, what: &str, start: &[usize], shape: &[usize]) -> Result<(), KernelError> {
        let inside = start.len() == self.shape.len()
            && shape.len() == self.shape.len()
            && start
                .iter()
                .zip(shape)
                .zip(&self.shape)
                .all(|((&start, &len), &whole)| start.checked_add(len).is_some_and(|end| end <= whole));
        if inside {
            return Ok(());
        }
        let whole = &self.shape;
        Err(KernelError::Block(format!(
            "a box of shape {shape:?} at {start:?} is not within the {what} block of shape {whole:?}"
        )))
    }
}

/// The strides of a block in C order.
pub fn c_strides(itemsize: usize, shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![0; shape.len()];
    let mut stride = itemsize as isize;
    for (axis, &len) in shape.iter().enumerate().rev() {
        strides[axis] = stride;
        stride *= len.max(1) as isize;
    }
    strides
}

/// A block to read from.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    bytes: &'a [u8],
    layout: Layout,
}

impl<'a> Block<'a> {
    /// A block in `bytes` whose element at the origin begins at `offset`.
    pub fn new(
        bytes: &'a [u8],
        itemsize: usize,
        offset: usize,
        shape: &[usize],
        strides: &[isize],
    ) -> Result<Block<'a>, KernelError> {
        Ok(Block { bytes, layout: Layout::new(bytes.len(), itemsize, offset, shape, strides)? })
    }

    /// A block in C order that fills `bytes`.
    pub fn contiguous(bytes: &'a [u8], itemsize: usize, shape: &[usize]) -> Result<Block<'a>, KernelError> {
        Block::new(bytes, itemsize, 0, shape, &c_strides(itemsize, shape))
    }

    /// Elements along each axis.
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }

    /// Bytes of an element.
    pub fn itemsize(&self) -> usize {
        self.layout.itemsize
    }
}

/// A block to write to.
#[derive(Debug)]
pub struct BlockMut<'a> {
    bytes: &'a mut [u8],
    layout: Layout,
}

impl<'a> BlockMut<'a> {
    /// A block in `bytes` whose element at the origin begins at `offset`. No two elements may share a byte.
    pub fn new(
        bytes: &'a mut [u8],
        itemsize: usize,
        offset: usize,
        shape: &[usize],
        strides: &[isize],
    ) -> Result<BlockMut<'a>, KernelError> {
        let layout = Layout::new(bytes.len(), itemsize, offset, shape, strides)?;
        if !layout.is_disjoint() {
            return Err(KernelError::Block(format!(
                "elements of the target block overlap: shape {shape:?}, strides {strides:?}"
            )));
        }
        Ok(BlockMut { bytes, layout })
    }

    /// A block in C order that fills `bytes`.
    pub fn contiguous(bytes: &'a mut [u8], itemsize: usize, shape: &[usize]) -> Result<BlockMut<'a>, KernelError> {
        BlockMut::new(bytes, itemsize, 0, shape, &c_strides(itemsize, shape))
    }

    /// Elements along each axis.
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }

    /// Bytes of an element.
    pub fn itemsize(&self) -> usize {
        self.layout.itemsize
    }
}

/// Copies the box of `shape` elements at `source_start` of one block to `target_start` of another.
///
/// ```
/// use kask_kernels::{Block, BlockMut, copy_box};
///
/// let source = [1, 2, 3, 4, 5, 6];
/// let mut target = [0; 4];
/// let from = Block::contiguous(&source, 1, &[2, 3])?;
/// copy_box(&from, &[0, 1], &mut BlockMut::contiguous(&mut target, 1, &[2, 2])?, &[0, 0], &[2, 2])?;
/// assert_eq!(target, [2, 3, 5, 6]);
/// # Ok::<(), kask_kernels::KernelError>(())
/// ```
pub fn copy_box(
    source: &Block<'_>,
    source_start: &[usize],
    target: &mut BlockMut<'_>,
    target_start: &[usize],
    shape: &[usize],
) -> Result<(), KernelError> {
    let (from, to) = (&source.layout, &target.layout);
    if from.itemsize != to.itemsize {
        let (from, to) = (from.itemsize, to.itemsize);
        return Err(KernelError::Block(format!("elements of {from} bytes cannot be copied to elements of {to} bytes")));
    }
    from.check_box("source", source_start, shape)?;
    to.check_box("target", target_start, shape)?;
    if shape.contains(&0) || from.itemsize == 0 {
        return Ok(());
    }
    let (start, end) = (from.position(source_start), to.position(target_start));
    let walk = copy::Walk::new(from.itemsize, shape, &from.strides, &to.strides);
    walk.copy(source.bytes, start, target.bytes, end);
    Ok(())
}
