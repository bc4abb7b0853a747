//! Arrays as the kernels see them: memory, where the first element is, and strides along the axes of the broadcast shape.

use crate::error::KernelError;

/// An array that is read. Along stretched axes its stride is 0.
#[derive(Clone, Debug)]
pub struct View<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) origin: usize,
    pub(super) strides: Vec<isize>,
}

/// An array that is written to. Along reduced axes its stride is 0.
#[derive(Debug)]
pub struct ViewMut<'a> {
    pub(super) bytes: &'a mut [u8],
    pub(super) origin: usize,
    pub(super) strides: Vec<isize>,
}

impl<'a> View<'a> {
    /// An array in `bytes`, whose first element begins at `origin`.
    pub fn new(bytes: &'a [u8], origin: usize, strides: Vec<isize>) -> View<'a> {
        View { bytes, origin, strides }
    }

    /// That all elements lie within the memory, aligned.
    pub(super) fn check(&self, shape: &[usize], size: usize) -> Result<(), KernelError> {
        check(self.bytes, self.origin, &self.strides, shape, size)
    }
}

impl<'a> ViewMut<'a> {
    /// An array in `bytes`, whose first element begins at `origin`.
    pub fn new(bytes: &'a mut [u8], origin: usize, strides: Vec<isize>) -> ViewMut<'a> {
        ViewMut { bytes, origin, strides }
    }

    /// The same, and that it has no axis where it is reduced.
    pub(super) fn check(&self, shape: &[usize], size: usize, reduced: &[bool]) -> Result<(), KernelError> {
        check(self.bytes, self.origin, &self.strides, shape, size)?;
        let mut axes = self.strides.iter().zip(shape).zip(reduced);
        match axes.all(|((&stride, &len), &is_reduced)| (stride == 0) == is_reduced || len == 1) {
            true => Ok(()),
            false => {
                Err(KernelError::Block("an output has a stride of 0 along reduced axes, and only there".to_owned()))
            }
        }
    }
}

fn check(bytes: &[u8], origin: usize, strides: &[isize], shape: &[usize], size: usize) -> Result<(), KernelError> {
    let (mut lowest, mut highest) = (origin as i128, origin as i128 + size as i128);
    let mut is_aligned =
        strides.len() == shape.len() && (bytes.as_ptr() as usize).wrapping_add(origin).is_multiple_of(size);
    for (&len, &stride) in shape.iter().zip(strides) {
        is_aligned &= stride % size as isize == 0 || len == 1;
        let reach = (len as i128 - 1).max(0) * stride as i128;
        if reach < 0 { lowest += reach } else { highest += reach }
    }
    if is_aligned && lowest >= 0 && highest <= bytes.len() as i128 {
        return Ok(());
    }
    Err(KernelError::Block(format!(
        "an array of shape {shape:?} with strides {strides:?} and {size} bytes an element does not lie, aligned, in its {} bytes from {origin} on",
        bytes.len()
    )))
}
