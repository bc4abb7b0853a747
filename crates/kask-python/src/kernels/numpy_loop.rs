//! The inner loops of NumPy's ufuncs, called on tiles without the GIL.
//!
//! NumPy publishes them in `PyUFuncObject` (`numpy/ufuncobject.h`), a structure of its stable C interface: a table of functions and of
//! what they get as last argument, in the order of the ufunc's `types`. NumPy puts there what is best for the processor, so a step that
//! calls it gives NumPy's very result at NumPy's speed. NumPy itself calls these loops without the GIL for all types but objects.

use kask_kernels::fused::{UnitLoop, Values};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{c_char, c_int, c_void};

type Function = unsafe extern "C" fn(*mut *mut c_char, *const isize, *const isize, *mut c_void);

/// The beginning of `PyUFuncObject`.
#[repr(C)]
struct Head {
    base: ffi::PyObject,
    nin: c_int,
    nout: c_int,
    nargs: c_int,
    identity: c_int,
    functions: *const Option<Function>,
    data: *const *mut c_void,
    ntypes: c_int,
}

/// Operands that a loop may have, with its result.
const MOST: usize = 4;

/// One loop of a ufunc.
pub(super) struct NumpyLoop {
    function: Function,
    data: *mut c_void,
    sizes: Vec<isize>,
    /// Keeps the tables alive.
    _ufunc: Py<PyAny>,
}

// SAFETY: the function and its data belong to the ufunc, do not change, and may be used by any thread, as NumPy does.
unsafe impl Send for NumpyLoop {}
// SAFETY: as above.
unsafe impl Sync for NumpyLoop {}

impl NumpyLoop {
    /// The loop number `index` of a ufunc, whose operands and result have these sizes.
    pub(super) fn of(ufunc: &Bound<'_, PyAny>, index: usize, sizes: Vec<isize>) -> PyResult<NumpyLoop> {
        let refused = || PyTypeError::new_err("this is not a ufunc of NumPy, or has no such loop");
        let numpy = ufunc.py().import("numpy")?;
        if !ufunc.get_type().is(numpy.getattr("ufunc")?) {
            return Err(refused());
        }
        // SAFETY: an object of exactly the type `numpy.ufunc` begins so.
        let head = unsafe { &*ufunc.as_ptr().cast::<Head>() };
        let counts: [c_int; 3] =
            [ufunc.getattr("nin")?.extract()?, ufunc.getattr("nout")?.extract()?, ufunc.getattr("ntypes")?.extract()?];
        let is_as_expected = [head.nin, head.nout, head.ntypes] == counts
            && head.nargs == head.nin + head.nout
            && head.nout == 1
            && head.nargs as usize == sizes.len()
            && sizes.len() <= MOST
            && index < head.ntypes as usize;
        if !is_as_expected {
            return Err(refused());
        }
        // SAFETY: the tables have `ntypes` entries.
        let (function, data) = unsafe { (*head.functions.add(index), *head.data.add(index)) };
        Ok(NumpyLoop { function: function.ok_or_else(refused)?, data, sizes, _ufunc: ufunc.clone().unbind() })
    }
}

impl UnitLoop for NumpyLoop {
    fn run(&self, inputs: &[Values<'_>], output: &mut [u8], count: usize) {
        let mut args = [std::ptr::null_mut::<c_char>(); MOST];
        let mut strides = [0_isize; MOST];
        assert_eq!(
            inputs.len() + 1,
            self.sizes.len(),
            "the kernel was checked to have an operand for each input of the loop"
        );
        for (place, values) in inputs.iter().enumerate() {
            let needed = if values.is_one { 1 } else { count };
            assert!(values.bytes.len() >= needed * self.sizes[place] as usize, "an operand has all elements");
            args[place] = values.bytes.as_ptr().cast::<c_char>().cast_mut();
            strides[place] = if values.is_one { 0 } else { self.sizes[place] };
        }
        let last = inputs.len();
        assert!(output.len() >= count * self.sizes[last] as usize, "there is room for all elements");
        (args[last], strides[last]) = (output.as_mut_ptr().cast(), self.sizes[last]);
        let count = count as isize;
        // SAFETY: there are as many arguments as the loop takes, of its types, with room for `count` elements at these strides, aligned,
        // and the result overlaps none of them. The loop only reads its operands.
        unsafe { (self.function)(args.as_mut_ptr(), &raw const count, strides.as_ptr(), self.data) }
    }
}
