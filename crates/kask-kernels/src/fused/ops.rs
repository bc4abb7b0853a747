//! What steps do: plain loops over slices.

use super::ahead::Fetch;
use super::arithmetic::{self, Arithmetic, Second};
use super::kinds::{Float, From_, Kind, Number, elements, elements_mut, with_element, with_float, with_number};
use super::level::{Level, Task};
use std::fmt;
use std::sync::Arc;

/// A tile of a value: its elements, or one that stands for all of them.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The memory of the elements.
    pub bytes: &'a [u8],
    /// Whether it is one element.
    pub is_one: bool,
}

/// A loop that the kernel's user has.
pub trait UnitLoop: Send + Sync {
    /// Computes as many elements as `output` has room for.
    fn run(&self, inputs: &[Values<'_>], output: &mut [u8], count: usize);
}

/// What a step does.
#[derive(Clone)]
#[allow(missing_docs)]
pub enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Negative,
    Absolute,
    Square,
    Sqrt,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// Bit by bit; of bool: logical.
    And,
    Or,
    Xor,
    Not,
    /// A condition, and what is taken where it is true and where it is not.
    Where,
    Cast(Kind),
    /// One operation, and another one of its result. A kernel makes pairs of steps by itself.
    Pair(Arithmetic, Second),
    /// Somebody else's loop: the types of its operands, and of what comes out.
    Loop(Arc<dyn UnitLoop>, Arc<[Kind]>, Kind),
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Op::Add => "add",
            Op::Subtract => "subtract",
            Op::Multiply => "multiply",
            Op::Divide => "divide",
            Op::Negative => "negative",
            Op::Absolute => "absolute",
            Op::Square => "square",
            Op::Sqrt => "sqrt",
            Op::Equal => "equal",
            Op::NotEqual => "not_equal",
            Op::Less => "less",
            Op::LessEqual => "less_equal",
            Op::Greater => "greater",
            Op::GreaterEqual => "greater_equal",
            Op::And => "and",
            Op::Or => "or",
            Op::Xor => "xor",
            Op::Not => "not",
            Op::Where => "where",
            Op::Cast(_) => "cast",
            Op::Pair(..) => "pair",
            Op::Loop(..) => "loop",
        };
        f.write_str(name)
    }
}

impl Op {
    /// Whether it is defined for operands of this type.
    pub(super) fn takes(&self, kind: Kind) -> bool {
        match self {
            Op::Add | Op::Subtract | Op::Multiply | Op::Negative | Op::Absolute | Op::Square => kind.is_number(),
            Op::Divide | Op::Sqrt => kind.is_float(),
            Op::Pair(first, second) => kind.is_float() || (kind.is_number() && !arithmetic::divides(*first, *second)),
            Op::And | Op::Or | Op::Xor | Op::Not => !kind.is_float(),
            Op::Equal | Op::NotEqual | Op::Less | Op::LessEqual | Op::Greater | Op::GreaterEqual => true,
            Op::Where | Op::Cast(_) | Op::Loop(..) => true,
        }
    }

    /// How many operands it has.
    pub(super) fn arity(&self) -> usize {
        match self {
            Op::Negative | Op::Absolute | Op::Square | Op::Sqrt | Op::Not | Op::Cast(_) => 1,
            Op::Where => 3,
            Op::Pair(first, second) => first.arity() + second.arity(),
            Op::Loop(_, kinds, _) => kinds.len(),
            Op::Add | Op::Subtract | Op::Multiply | Op::Divide | Op::And | Op::Or | Op::Xor => 2,
            Op::Equal | Op::NotEqual | Op::Less | Op::LessEqual | Op::Greater | Op::GreaterEqual => 2,
        }
    }

    /// The type of one operand of a step of this type.
    pub(super) fn operand_kind(&self, place: usize, kind: Kind) -> Kind {
        match self {
            Op::Where if place == 0 => Kind::Bool,
            Op::Loop(_, kinds, _) => kinds[place],
            _ => kind,
        }
    }

    /// The type of what comes out.
    pub(super) fn result_kind(&self, kind: Kind) -> Kind {
        match self {
            Op::Equal | Op::NotEqual | Op::Less | Op::LessEqual | Op::Greater | Op::GreaterEqual => Kind::Bool,
            Op::Cast(to) => *to,
            Op::Loop(_, _, result) => *result,
            _ => kind,
        }
    }

    /// Whether it raises no flag that NumPy would warn of, whatever the processor says.
    pub(super) fn is_quiet(&self) -> bool {
        match self {
            Op::Add | Op::Subtract | Op::Multiply | Op::Divide | Op::Square | Op::Sqrt => false,
            Op::Pair(..) | Op::Loop(..) => false,
            Op::Cast(to) => *to == Kind::Bool,
            _ => true,
        }
    }
}

/// Computes one tile of a step.
pub(super) fn apply(
    level: Level,
    fetch: Fetch,
    op: &Op,
    kind: Kind,
    args: &[Values<'_>],
    out: &mut [u8],
    count: usize,
) {
    if let Some(operations) = op.operations() {
        return arithmetic::apply(level, fetch, operations, kind, args, out);
    }
    fetch.at_once();
    match op {
        Op::Add | Op::Subtract | Op::Multiply | Op::Divide | Op::Square | Op::Pair(..) => {
            unreachable!("arithmetic has been done")
        }
        Op::Negative => with_number!(kind, T => unary(level, args, out, |a: T| a.negated())),
        Op::Absolute => with_number!(kind, T => unary(level, args, out, |a: T| a.absolute())),
        Op::Sqrt => with_float!(kind, T => unary(level, args, out, |a: T| a.root())),
        Op::Equal => with_element!(kind, T => binary(level, args, out, |a: T, b: T| u8::from(a == b))),
        Op::NotEqual => with_element!(kind, T => binary(level, args, out, |a: T, b: T| u8::from(a != b))),
        Op::Less => with_element!(kind, T => binary(level, args, out, |a: T, b: T| u8::from(a < b))),
        Op::LessEqual => with_element!(kind, T => binary(level, args, out, |a: T, b: T| u8::from(a <= b))),
        Op::Greater => with_element!(kind, T => binary(level, args, out, |a: T, b: T| u8::from(a > b))),
        Op::GreaterEqual => with_element!(kind, T => binary(level, args, out, |a: T, b: T| u8::from(a >= b))),
        Op::And | Op::Or | Op::Xor | Op::Not => bitwise(level, op, kind, args, out),
        Op::Where => with_element!(kind, T => level.run(Choice::<T> {
            condition: args[0],
            then: args[1],
            otherwise: args[2],
            out: elements_mut(out),
        })),
        Op::Cast(to) => cast(level, kind, *to, args, out),
        Op::Loop(unit, _, _) => unit.run(args, out, count),
    }
}

fn bitwise(level: Level, op: &Op, kind: Kind, args: &[Values<'_>], out: &mut [u8]) {
    macro_rules! bits {
        ($T:ty, $not:expr) => {
            match op {
                Op::And => binary(level, args, out, |a: $T, b: $T| a & b),
                Op::Or => binary(level, args, out, |a: $T, b: $T| a | b),
                Op::Xor => binary(level, args, out, |a: $T, b: $T| a ^ b),
                _ => unary(level, args, out, $not),
            }
        };
    }
    match kind {
        Kind::Bool => bits!(u8, |a: u8| u8::from(a == 0)),
        Kind::I32 => bits!(i32, |a: i32| !a),
        Kind::I64 => bits!(i64, |a: i64| !a),
        Kind::F32 | Kind::F64 => unreachable!("bits of fractions were refused when the kernel was made"),
    }
}

fn cast(level: Level, from: Kind, to: Kind, args: &[Values<'_>], out: &mut [u8]) {
    macro_rules! to {
        ($A:ty) => {
            match to {
                Kind::Bool => unary(level, args, out, |a: $A| <u8 as From_<$A>>::converted(a)),
                Kind::I32 => unary(level, args, out, |a: $A| <i32 as From_<$A>>::converted(a)),
                Kind::I64 => unary(level, args, out, |a: $A| <i64 as From_<$A>>::converted(a)),
                Kind::F32 => unary(level, args, out, |a: $A| <f32 as From_<$A>>::converted(a)),
                Kind::F64 => unary(level, args, out, |a: $A| <f64 as From_<$A>>::converted(a)),
            }
        };
    }
    match from {
        Kind::Bool => to!(u8),
        Kind::I32 => to!(i32),
        Kind::I64 => to!(i64),
        Kind::F32 => to!(f32),
        Kind::F64 => to!(f64),
    }
}

fn unary<A: super::kinds::Element, R: super::kinds::Element>(
    level: Level,
    args: &[Values<'_>],
    out: &mut [u8],
    f: impl Fn(A) -> R + Copy,
) {
    let a: &[A] = elements(args[0].bytes);
    let out: &mut [R] = elements_mut(out);
    if args[0].is_one {
        out.fill(f(a[0]));
    } else {
        level.run(Unary { a, out, f });
    }
}

struct Unary<'a, A, R, F> {
    a: &'a [A],
    out: &'a mut [R],
    f: F,
}

impl<A: Copy, R, F: Fn(A) -> R> Task for Unary<'_, A, R, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (out, &a) in self.out.iter_mut().zip(self.a) {
            *out = (self.f)(a);
        }
    }
}

fn binary<A: super::kinds::Element, R: super::kinds::Element>(
    level: Level,
    args: &[Values<'_>],
    out: &mut [u8],
    f: impl Fn(A, A) -> R + Copy,
) {
    let (a, b): (&[A], &[A]) = (elements(args[0].bytes), elements(args[1].bytes));
    let out: &mut [R] = elements_mut(out);
    match (args[0].is_one, args[1].is_one) {
        (false, false) => level.run(Binary { a, b, out, f }),
        (true, true) => out.fill(f(a[0], b[0])),
        (true, false) => {
            let a = a[0];
            level.run(Unary { a: b, out, f: move |b| f(a, b) });
        }
        (false, true) => {
            let b = b[0];
            level.run(Unary { a, out, f: move |a| f(a, b) });
        }
    }
}

struct Binary<'a, A, R, F> {
    a: &'a [A],
    b: &'a [A],
    out: &'a mut [R],
    f: F,
}

impl<A: Copy, R, F: Fn(A, A) -> R> Task for Binary<'_, A, R, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for ((out, &a), &b) in self.out.iter_mut().zip(self.a).zip(self.b) {
            *out = (self.f)(a, b);
        }
    }
}

struct Choice<'a, T> {
    condition: Values<'a>,
    then: Values<'a>,
    otherwise: Values<'a>,
    out: &'a mut [T],
}

impl<T: super::kinds::Element> Task for Choice<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let out = self.out;
        let (condition, then, otherwise): (&[u8], &[T], &[T]) =
            (elements(self.condition.bytes), elements(self.then.bytes), elements(self.otherwise.bytes));
        if self.condition.is_one {
            let chosen = if condition[0] != 0 { self.then } else { self.otherwise };
            let chosen: (&[T], bool) = (elements(chosen.bytes), chosen.is_one);
            return if chosen.1 { out.fill(chosen.0[0]) } else { out.copy_from_slice(chosen.0) };
        }
        let pick = |c: u8, a: T, b: T| if c != 0 { a } else { b };
        match (self.then.is_one, self.otherwise.is_one) {
            (false, false) => {
                for (((out, &c), &a), &b) in out.iter_mut().zip(condition).zip(then).zip(otherwise) {
                    *out = pick(c, a, b);
                }
            }
            (true, false) => {
                let a = then[0];
                for ((out, &c), &b) in out.iter_mut().zip(condition).zip(otherwise) {
                    *out = pick(c, a, b);
                }
            }
            (false, true) => {
                let b = otherwise[0];
                for ((out, &c), &a) in out.iter_mut().zip(condition).zip(then) {
                    *out = pick(c, a, b);
                }
            }
            (true, true) => {
                let (a, b) = (then[0], otherwise[0]);
                for (out, &c) in out.iter_mut().zip(condition) {
                    *out = pick(c, a, b);
                }
            }
        }
    }
}
