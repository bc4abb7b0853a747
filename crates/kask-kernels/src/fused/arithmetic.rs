//! Arithmetic: one operation or two in one loop.
//!
//! Most of the time of a step goes into reading and writing its tile. So steps are done in pairs where one needs the other's result, and
//! what lies between them stays in the processor's registers; and a sum takes results as they come. Each operation is rounded by
//! itself, as if it were a step of its own.

use super::ahead::Fetch;
use super::kinds::{Element, Kind, Number, elements, elements_mut, with_number};
use super::level::{Level, Task};
use super::ops::{Op, Values};
use super::reduce::LANES;
use super::{Source, Step};
use std::marker::PhantomData;

/// Elements that are worked on at once.
const GROUP: usize = LANES;

/// The first operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `a + b`
    Add,
    /// `a - b`
    Subtract,
    /// `a * b`
    Multiply,
    /// `a / b`, of fractions.
    Divide,
    /// `a * a`; there is no other operand.
    Square,
}

/// What becomes of `r`, which the first of two operations made, and of another operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Second {
    /// `r + c`
    Add,
    /// `r - c`
    Subtract,
    /// `c - r`
    SubtractFrom,
    /// `r * c`
    Multiply,
    /// `r / c`, of fractions.
    Divide,
    /// `c / r`, of fractions.
    DivideInto,
    /// `r * r`; there is no other operand.
    Square,
}

/// An operation, or two.
pub(super) type Operations = (Arithmetic, Option<Second>);

impl Arithmetic {
    pub(super) fn arity(self) -> usize {
        if self == Arithmetic::Square { 1 } else { 2 }
    }
}

impl Second {
    /// How many other operands there are.
    pub(super) fn arity(self) -> usize {
        if self == Second::Square { 0 } else { 1 }
    }
}

impl Op {
    /// What a step does, if it is arithmetic.
    pub(super) fn operations(&self) -> Option<Operations> {
        match self {
            Op::Pair(first, second) => Some((*first, Some(*second))),
            _ => self.arithmetic().map(|first| (first, None)),
        }
    }

    fn arithmetic(&self) -> Option<Arithmetic> {
        Some(match self {
            Op::Add => Arithmetic::Add,
            Op::Subtract => Arithmetic::Subtract,
            Op::Multiply => Arithmetic::Multiply,
            Op::Square => Arithmetic::Square,
            Op::Divide => Arithmetic::Divide,
            _ => return None,
        })
    }
}

/// The same steps, in pairs where the first one's result is needed by the second only.
pub(super) fn paired(steps: Vec<Step>) -> Vec<Step> {
    let mut uses = vec![0; steps.len()];
    for arg in steps.iter().flat_map(|step| &step.args) {
        if let Source::Step(index) = *arg {
            uses[index] += 1;
        }
    }
    let mut single: Vec<Option<Step>> = Vec::with_capacity(steps.len());
    let mut paired: Vec<Option<Step>> = Vec::with_capacity(steps.len());
    for step in steps {
        let first = step.args.iter().position(|&arg| match arg {
            Source::Step(index) => uses[index] == 1 && single[index].is_some() && step.op.arithmetic().is_some(),
            Source::Input(_) | Source::Constant(_) => false,
        });
        let made = first.and_then(|place| {
            let Source::Step(index) = step.args[place] else { return None };
            let pair = pair(single[index].as_ref()?, &step, place)?;
            (single[index], paired[index]) = (None, None);
            Some(pair)
        });
        let can_be_first = made.is_none() && step.op.arithmetic().is_some();
        single.push(can_be_first.then(|| step.clone()));
        paired.push(Some(made.unwrap_or(step)));
    }
    renumbered(paired)
}

/// One step of a first and the one that needs its result at a place among its operands.
fn pair(first: &Step, second: &Step, place: usize) -> Option<Step> {
    let operation = match (second.op.arithmetic()?, place) {
        (Arithmetic::Square, _) => Second::Square,
        (Arithmetic::Add, _) => Second::Add,
        (Arithmetic::Multiply, _) => Second::Multiply,
        (Arithmetic::Subtract, 0) => Second::Subtract,
        (Arithmetic::Subtract, _) => Second::SubtractFrom,
        (Arithmetic::Divide, 0) => Second::Divide,
        (Arithmetic::Divide, _) => Second::DivideInto,
    };
    let mut args = first.args.clone();
    args.extend(second.args.iter().enumerate().filter(|&(at, _)| at != place).map(|(_, &arg)| arg));
    Some(Step { op: Op::Pair(first.op.arithmetic()?, operation), kind: second.kind, args })
}

/// Steps without those that are gone.
fn renumbered(steps: Vec<Option<Step>>) -> Vec<Step> {
    let mut numbers = Vec::with_capacity(steps.len());
    let mut kept: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps {
        numbers.push(kept.len());
        let Some(mut step) = step else { continue };
        for arg in &mut step.args {
            if let Source::Step(index) = arg {
                *index = numbers[*index];
            }
        }
        kept.push(step);
    }
    kept
}

/// Whether the pair is defined for fractions only.
pub(super) fn divides(first: Arithmetic, second: Second) -> bool {
    first == Arithmetic::Divide || matches!(second, Second::Divide | Second::DivideInto)
}

/// Computes one tile.
pub(super) fn apply(
    level: Level,
    fetch: Fetch,
    operations: Operations,
    kind: Kind,
    args: &[Values<'_>],
    out: &mut [u8],
) {
    with_number!(kind, T => {
        let (groups, rest) = elements_mut::<T>(out).as_chunks_mut();
        run::<T>(level, fetch, operations, args, Store { groups, rest });
    });
}

/// Adds the results of one tile to lanes.
pub(super) fn sum<T: Number>(
    level: Level,
    fetch: Fetch,
    operations: Operations,
    args: &[Values<'_>],
    count: usize,
    lanes: &mut [T; GROUP],
) {
    run(level, fetch, operations, args, Total { lanes, count });
}

/// Where results go.
trait Sink<T> {
    /// What is held while a loop runs. It is a value of the loop's own, so that it is in registers.
    type Held;
    /// How many results there are.
    fn count(&self) -> usize;
    fn begin(&self) -> Self::Held;
    /// Takes the results of the group of this number.
    fn take(&mut self, held: &mut Self::Held, number: usize, group: [T; GROUP]);
    /// Takes one after the last whole group.
    fn take_one(&mut self, held: &mut Self::Held, place: usize, value: T);
    fn end(self, held: Self::Held);
}

/// Results are written.
struct Store<'a, T> {
    groups: &'a mut [[T; GROUP]],
    rest: &'a mut [T],
}

impl<T: Copy> Sink<T> for Store<'_, T> {
    type Held = ();
    #[inline(always)]
    fn count(&self) -> usize {
        self.groups.len() * GROUP + self.rest.len()
    }
    #[inline(always)]
    fn begin(&self) {}
    #[inline(always)]
    fn take(&mut self, (): &mut (), number: usize, group: [T; GROUP]) {
        self.groups[number] = group;
    }
    #[inline(always)]
    fn take_one(&mut self, (): &mut (), place: usize, value: T) {
        self.rest[place] = value;
    }
    #[inline(always)]
    fn end(self, (): ()) {}
}

/// Results are added up.
struct Total<'a, T> {
    lanes: &'a mut [T; GROUP],
    count: usize,
}

impl<T: Number> Sink<T> for Total<'_, T> {
    type Held = [T; GROUP];
    #[inline(always)]
    fn count(&self) -> usize {
        self.count
    }
    #[inline(always)]
    fn begin(&self) -> [T; GROUP] {
        *self.lanes
    }
    #[inline(always)]
    fn take(&mut self, lanes: &mut [T; GROUP], _: usize, group: [T; GROUP]) {
        for lane in 0..GROUP {
            lanes[lane] = lanes[lane].plus(group[lane]);
        }
    }
    #[inline(always)]
    fn take_one(&mut self, lanes: &mut [T; GROUP], place: usize, value: T) {
        lanes[place] = lanes[place].plus(value);
    }
    #[inline(always)]
    fn end(self, lanes: [T; GROUP]) {
        *self.lanes = lanes;
    }
}

/// Puts the results of operations into a sink.
fn run<T: Number>(level: Level, fetch: Fetch, (first, second): Operations, args: &[Values<'_>], sink: impl Sink<T>) {
    let work = Work { level, fetch, first, second, args, sink };
    match first {
        Arithmetic::Add => work.then(|a: T, b| a.plus(b)),
        Arithmetic::Subtract => work.then(|a: T, b| a.minus(b)),
        Arithmetic::Multiply => work.then(|a: T, b| a.times(b)),
        Arithmetic::Divide => work.then(|a: T, b| a.over(b)),
        Arithmetic::Square => work.then(|a: T, _| a.times(a)),
    }
}

struct Work<'a, S> {
    level: Level,
    fetch: Fetch,
    first: Arithmetic,
    second: Option<Second>,
    args: &'a [Values<'a>],
    sink: S,
}

impl<S> Work<'_, S> {
    fn then<T: Number>(self, f: impl Fn(T, T) -> T + Copy)
    where
        S: Sink<T>,
    {
        match self.second {
            None => self.finally(move |a, b, _| f(a, b)),
            Some(Second::Add) => self.finally(move |a, b, c| f(a, b).plus(c)),
            Some(Second::Subtract) => self.finally(move |a, b, c| f(a, b).minus(c)),
            Some(Second::SubtractFrom) => self.finally(move |a, b, c| c.minus(f(a, b))),
            Some(Second::Multiply) => self.finally(move |a, b, c| f(a, b).times(c)),
            Some(Second::Divide) => self.finally(move |a, b, c| f(a, b).over(c)),
            Some(Second::DivideInto) => self.finally(move |a, b, c| c.over(f(a, b))),
            Some(Second::Square) => self.finally(move |a, b, _| f(a, b).times(f(a, b))),
        }
    }

    fn finally<T: Element>(self, f: impl Fn(T, T, T) -> T + Copy)
    where
        S: Sink<T>,
    {
        // An operation does not look at what it has no operand for.
        let (first, second) = self.args.split_at(self.first.arity());
        let [b, c] = [first.get(1), second.first()].map(|operand| *operand.unwrap_or(&first[0]));
        let operands = [first[0], b, c];
        self.level.run(Loop { operands, fetch: self.fetch, sink: self.sink, f, kind: PhantomData });
    }
}

/// A group of elements, where lines of the cache begin.
#[repr(align(64))]
struct Group<T>([T; GROUP]);

struct Loop<'a, T, S, F> {
    operands: [Values<'a>; 3],
    fetch: Fetch,
    sink: S,
    f: F,
    kind: PhantomData<T>,
}

impl<T: Element, S: Sink<T>, F: Fn(T, T, T) -> T> Task for Loop<'_, T, S, F> {
    type Output = ();
    #[inline(always)]
    fn run(mut self) {
        let [a, b, c] = self.operands;
        let [one_a, one_b, one_c] = [one(a), one(b), one(c)];
        let (a, next_a, rest_a) = groups(a, &one_a);
        let (b, next_b, rest_b) = groups(b, &one_b);
        let (c, next_c, rest_c) = groups(c, &one_c);
        let (count, mut held) = (self.sink.count(), self.sink.begin());
        let lines = self.fetch.each(count / GROUP);
        for at in 0..count / GROUP {
            self.fetch.some(lines);
            let (a, b, c) = (&a[at * next_a], &b[at * next_b], &c[at * next_c]);
            let mut group = [T::default(); GROUP];
            for lane in 0..GROUP {
                group[lane] = (self.f)(a[lane], b[lane], c[lane]);
            }
            self.sink.take(&mut held, at, group);
        }
        for at in 0..count % GROUP {
            self.sink.take_one(&mut held, at, (self.f)(rest_a[at], rest_b[at], rest_c[at]));
        }
        self.sink.end(held);
    }
}

/// A group of the first element.
#[inline(always)]
fn one<T: Element>(values: Values<'_>) -> Group<T> {
    Group([elements(values.bytes)[0]; GROUP])
}

/// The groups of an operand, how far it is from one to the next, and what is left. One element is a group that stays.
#[inline(always)]
fn groups<'a, T: Element>(values: Values<'a>, one: &'a Group<T>) -> (&'a [[T; GROUP]], usize, &'a [T]) {
    if values.is_one {
        return (std::slice::from_ref(&one.0), 0, &one.0);
    }
    let (groups, rest) = elements(values.bytes).as_chunks();
    (groups, 1, rest)
}
