//! The status flags of floating-point arithmetic, by which NumPy finds what to warn of.
//!
//! The compiler does not promise when flags are raised. It has no reason to compute what is not needed for the elements that a loop writes,
//! and the loops are calls; a flag too many would only make the work be done again by NumPy.

use std::ffi::c_int;

/// Flags at which a kernel stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    flags: c_int,
}

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
const FLAGS: [c_int; 4] = [4, 8, 16, 1];
#[cfg(not(any(target_arch = "x86_64", target_arch = "x86")))]
const FLAGS: [c_int; 4] = [2, 4, 8, 1];

const ALL: c_int = FLAGS[0] | FLAGS[1] | FLAGS[2] | FLAGS[3];

#[cfg_attr(unix, link(name = "m"))]
unsafe extern "C" {
    /// Which of these flags are raised: C's `<fenv.h>`; it reads two registers.
    safe fn fetestexcept(flags: c_int) -> c_int;
    /// Lowers them.
    safe fn feclearexcept(flags: c_int) -> c_int;
}

impl Watched {
    /// Divisions by zero, overflows, underflows, invalid operations.
    pub fn new(divide: bool, over: bool, under: bool, invalid: bool) -> Watched {
        let watched = [divide, over, under, invalid];
        Watched { flags: FLAGS.iter().zip(watched).map(|(flag, is_watched)| if is_watched { *flag } else { 0 }).sum() }
    }

    /// Whether one of them is raised.
    pub(super) fn is_raised(self) -> bool {
        self.flags != 0 && fetestexcept(self.flags) != 0
    }

    /// Lowers what earlier work has raised, if anything is watched.
    pub(super) fn reset(self) {
        if self.flags != 0 && fetestexcept(ALL) != 0 {
            feclearexcept(ALL);
        }
    }
}
