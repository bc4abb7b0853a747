//! The types of elements, their arithmetic as NumPy does it, and their conversions.

/// The type of elements. Elements of bool are bytes, of which 0 is false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A byte that is 0 or 1.
    Bool,
    /// 32-bit signed integers.
    I32,
    /// 64-bit signed integers.
    I64,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl Kind {
    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Kind::Bool => 1,
            Kind::I32 | Kind::F32 => 4,
            Kind::I64 | Kind::F64 => 8,
        }
    }

    /// Whether there is arithmetic.
    pub fn is_number(self) -> bool {
        self != Kind::Bool
    }

    /// Whether there are fractions.
    pub fn is_float(self) -> bool {
        matches!(self, Kind::F32 | Kind::F64)
    }
}

/// What lies in memory: plain numbers, of which every pattern of bits is one.
pub(super) trait Element: Copy + Default + PartialEq + PartialOrd + Send + Sync + 'static {
    /// Whether it counts as true.
    fn truth(self) -> bool;
    /// NaN, which is not equal to itself.
    fn is_nan(self) -> bool;
}

/// Arithmetic: integers wrap around.
pub(super) trait Number: Element {
    const ONE: Self;
    /// What changes no sum: of fractions -0, because 0 would change that.
    const NOTHING: Self;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// Of fractions only.
    fn over(self, other: Self) -> Self;
    fn negated(self) -> Self;
    fn absolute(self) -> Self;
}

/// What only floating-point numbers have.
pub(super) trait Float: Number {
    fn root(self) -> Self;
    fn wide(self) -> f64;
    fn narrow(value: f64) -> Self;
}

impl Element for u8 {
    #[inline(always)]
    fn truth(self) -> bool {
        self != 0
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        false
    }
}

macro_rules! integer {
    ($T:ty) => {
        impl Element for $T {
            #[inline(always)]
            fn truth(self) -> bool {
                self != 0
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                false
            }
        }
        impl Number for $T {
            const ONE: $T = 1;
            const NOTHING: $T = 0;
            #[inline(always)]
            fn plus(self, other: $T) -> $T {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn minus(self, other: $T) -> $T {
                self.wrapping_sub(other)
            }
            #[inline(always)]
            fn times(self, other: $T) -> $T {
                self.wrapping_mul(other)
            }
            #[inline(always)]
            fn over(self, _: $T) -> $T {
                unreachable!("divisions of integers were refused when the kernel was made")
            }
            #[inline(always)]
            fn negated(self) -> $T {
                self.wrapping_neg()
            }
            #[inline(always)]
            fn absolute(self) -> $T {
                self.wrapping_abs()
            }
        }
    };
}

macro_rules! float {
    ($T:ty) => {
        impl Element for $T {
            #[inline(always)]
            fn truth(self) -> bool {
                self != 0.0
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                self.is_nan()
            }
        }
        impl Number for $T {
            const ONE: $T = 1.0;
            const NOTHING: $T = -0.0;
            #[inline(always)]
            fn plus(self, other: $T) -> $T {
                self + other
            }
            #[inline(always)]
            fn minus(self, other: $T) -> $T {
                self - other
            }
            #[inline(always)]
            fn times(self, other: $T) -> $T {
                self * other
            }
            #[inline(always)]
            fn over(self, other: $T) -> $T {
                self / other
            }
            #[inline(always)]
            fn negated(self) -> $T {
                -self
            }
            #[inline(always)]
            fn absolute(self) -> $T {
                self.abs()
            }
        }
        impl Float for $T {
            #[inline(always)]
            fn root(self) -> $T {
                self.sqrt()
            }
            #[inline(always)]
            fn wide(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn narrow(value: f64) -> $T {
                value as $T
            }
        }
    };
}

integer!(i32);
integer!(i64);
float!(f32);
float!(f64);

/// Conversion as NumPy's `astype` does it.
pub(super) trait From_<A> {
    fn converted(value: A) -> Self;
}

macro_rules! plain {
    ($($A:ty => $B:ty),*) => {$(
        impl From_<$A> for $B {
            #[inline(always)]
            fn converted(value: $A) -> $B {
                value as $B
            }
        }
    )*};
}

macro_rules! of_truth {
    ($($T:ty),*) => {$(
        impl From_<u8> for $T {
            #[inline(always)]
            fn converted(value: u8) -> $T {
                u8::from(value != 0) as $T
            }
        }
    )*};
}

macro_rules! to_truth {
    ($($T:ty),*) => {$(
        impl From_<$T> for u8 {
            #[inline(always)]
            fn converted(value: $T) -> u8 {
                u8::from(value.truth())
            }
        }
    )*};
}

/// Beyond the integers, and of NaN, x86 processors make the lowest integer; others the nearest one, as Rust does.
macro_rules! truncated {
    ($($A:ty => $B:ty, $end:expr);*) => {$(
        impl From_<$A> for $B {
            #[inline(always)]
            fn converted(value: $A) -> $B {
                let is_within = (-$end..$end).contains(&value);
                if !is_within && cfg!(target_arch = "x86_64") { <$B>::MIN } else { value as $B }
            }
        }
    )*};
}

plain!(i32 => i32, i32 => i64, i32 => f32, i32 => f64, i64 => i32, i64 => i64, i64 => f32, i64 => f64);
plain!(f32 => f32, f32 => f64, f64 => f32, f64 => f64);
of_truth!(i32, i64, f32, f64);
to_truth!(u8, i32, i64, f32, f64);
truncated!(f32 => i32, 2_147_483_648.0; f32 => i64, 9_223_372_036_854_775_808.0; f64 => i64, 9_223_372_036_854_775_808.0);

impl From_<f64> for i32 {
    #[inline(always)]
    fn converted(value: f64) -> i32 {
        let is_within = value > -2_147_483_649.0 && value < 2_147_483_648.0;
        if !is_within && cfg!(target_arch = "x86_64") { i32::MIN } else { value as i32 }
    }
}

/// Runs code with `$T` as the type of a [`Kind`].
macro_rules! with_element {
    ($kind:expr, $T:ident => $body:expr) => {
        match $kind {
            Kind::Bool => {
                type $T = u8;
                $body
            }
            Kind::I32 => {
                type $T = i32;
                $body
            }
            Kind::I64 => {
                type $T = i64;
                $body
            }
            Kind::F32 => {
                type $T = f32;
                $body
            }
            Kind::F64 => {
                type $T = f64;
                $body
            }
        }
    };
}

/// The same where the kind was checked to be a number.
macro_rules! with_number {
    ($kind:expr, $T:ident => $body:expr) => {
        match $kind {
            Kind::I32 => {
                type $T = i32;
                $body
            }
            Kind::I64 => {
                type $T = i64;
                $body
            }
            Kind::F32 => {
                type $T = f32;
                $body
            }
            Kind::F64 => {
                type $T = f64;
                $body
            }
            Kind::Bool => unreachable!("arithmetic of bool was refused when the kernel was made"),
        }
    };
}

/// The same where the kind was checked to be a floating-point one.
macro_rules! with_float {
    ($kind:expr, $T:ident => $body:expr) => {
        match $kind {
            Kind::F32 => {
                type $T = f32;
                $body
            }
            Kind::F64 => {
                type $T = f64;
                $body
            }
            Kind::Bool | Kind::I32 | Kind::I64 => unreachable!("this was refused when the kernel was made"),
        }
    };
}

pub(super) use {with_element, with_float, with_number};

/// Memory as elements.
///
/// # Panics
/// When it does not begin where an element may, or ends within one.
#[inline(always)]
pub(super) fn elements<T: Element>(bytes: &[u8]) -> &[T] {
    let start = bytes.as_ptr().cast::<T>();
    assert!(start.is_aligned() && bytes.len().is_multiple_of(size_of::<T>()), "elements lie aligned");
    // SAFETY: `Element` is implemented for numbers of the machine only, of which every pattern of bits is one; they lie aligned, within
    // the bytes.
    unsafe { std::slice::from_raw_parts(start, bytes.len() / size_of::<T>()) }
}

/// The same to write to.
#[inline(always)]
pub(super) fn elements_mut<T: Element>(bytes: &mut [u8]) -> &mut [T] {
    let start = bytes.as_mut_ptr().cast::<T>();
    assert!(start.is_aligned() && bytes.len().is_multiple_of(size_of::<T>()), "elements lie aligned");
    // SAFETY: as in `elements`; and whatever number is written leaves bytes.
    unsafe { std::slice::from_raw_parts_mut(start, bytes.len() / size_of::<T>()) }
}

/// Words of a buffer as bytes.
#[inline(always)]
pub(super) fn bytes_of(words: &[u64]) -> &[u8] {
    // SAFETY: every byte of a number is a byte.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}

/// The same to write to.
#[inline(always)]
pub(super) fn bytes_of_mut(words: &mut [u64]) -> &mut [u8] {
    // SAFETY: as above; and any bytes make a number.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), size_of_val(words)) }
}
