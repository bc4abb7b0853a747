//! Reductions of the tiles of a value.
//!
//! Where neighbouring elements belong to one place of the result, a piece is *folded*: in many lanes ([`Lanes`]), which are put together
//! when each has had as many elements as those of NumPy have; the results are merged as a balanced tree merges them ([`Cascade`]). So
//! sums are as exact as pairwise ones. A sum takes the results of the last step as they come, without a tile in between. Where neighbours belong to
//! different places, a piece is *joined* to the places, row by row, as NumPy does it.
//!
//! Moments are merged by the formulas of Chan, Golub and LeVeque (Updating formulae and a pairwise algorithm for computing sample
//! variances, 1979), and joined by Welford's (Note on a method for calculating corrected sums of squares and products, 1962).

use super::ahead::Fetch;
use super::arithmetic::{self, Operations};
use super::kinds::{Element, Float, Kind, Number, elements, with_element, with_float, with_number};
use super::level::{Level, Task};
use super::ops::Values;
use super::view::ViewMut;
use super::walk::Walk;
use crate::error::KernelError;

/// What is made of the elements of each place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Their sum.
    Sum,
    /// Their product.
    Product,
    /// The smallest, or NaN if there is one.
    Min,
    /// The largest, or NaN if there is one.
    Max,
    /// Whether any is true.
    Any,
    /// Whether all are true.
    All,
    /// Their mean, and the sum of their squared deviations from it.
    Moments,
}

impl Reduction {
    /// How many arrays it makes.
    pub fn outputs(self) -> usize {
        if self == Reduction::Moments { 2 } else { 1 }
    }

    /// The type of its results.
    pub(super) fn result_kind(self, kind: Kind) -> Kind {
        kind
    }

    pub(super) fn check(self, kind: Kind) -> Result<(), KernelError> {
        let is_defined = match self {
            Reduction::Sum | Reduction::Product => kind.is_number(),
            Reduction::Min | Reduction::Max => true,
            Reduction::Any | Reduction::All => kind == Kind::Bool,
            Reduction::Moments => kind.is_float(),
        };
        match is_defined {
            true => Ok(()),
            false => Err(KernelError::Block(format!("there is no reduction {self:?} of type {kind:?}"))),
        }
    }

    pub(super) fn accumulator(self, kind: Kind, level: Level, places: usize) -> Box<dyn Accumulator> {
        match self {
            Reduction::Sum => with_number!(kind, T => {
                let folding = Folding::new(level, places, Some(T::NOTHING), |a: T, b: T| a.plus(b));
                Box::new(Folding { add_results: Some(arithmetic::sum::<T>), ..folding })
            }),
            Reduction::Product => with_number!(kind, T => folding(level, places, T::ONE, |a: T, b: T| a.times(b))),
            Reduction::Min => {
                with_element!(kind, T => extreme(level, places, |a: T, b: T| if b < a || b.is_nan() { b } else { a }))
            }
            Reduction::Max => {
                with_element!(kind, T => extreme(level, places, |a: T, b: T| if b > a || b.is_nan() { b } else { a }))
            }
            Reduction::Any => folding(level, places, 0, |a: u8, b: u8| u8::from(a | b != 0)),
            Reduction::All => folding(level, places, 1, |a: u8, b: u8| u8::from((a != 0) & (b != 0))),
            Reduction::Moments => with_float!(kind, T => Box::new(Moments::<T>::new(level, places))),
        }
    }
}

fn folding<T: Element, F: Fn(T, T) -> T + Copy + 'static>(
    level: Level,
    places: usize,
    neutral: T,
    f: F,
) -> Box<dyn Accumulator> {
    Box::new(Folding::new(level, places, Some(neutral), f))
}

/// Extremes have no neutral element: a fold begins with the first.
fn extreme<T: Element, F: Fn(T, T) -> T + Copy + 'static>(level: Level, places: usize, f: F) -> Box<dyn Accumulator> {
    Box::new(Folding::new(level, places, None, f))
}

/// Takes pieces of the value, place by place.
pub(super) trait Accumulator {
    /// All elements of the piece belong to one place.
    fn fold(&mut self, fetch: Fetch, place: usize, piece: &[u8]);
    /// The same of what operations make of a tile.
    ///
    /// # Panics
    /// When it is not a sum.
    fn fold_results(&mut self, fetch: Fetch, place: usize, operations: Operations, args: &[Values<'_>], count: usize);
    /// They belong to places from this one on, of which each has had `turn` elements.
    fn join(&mut self, place: usize, turn: usize, piece: &[u8]);
    /// Writes the results; the first output is the operand of that number.
    fn finish(self: Box<Self>, walk: &Walk, operand: usize, outputs: &mut [ViewMut<'_>]);
}

/// Merges results in the order of a balanced tree: two of equal weight become one.
struct Cascade<S> {
    parts: Vec<(u32, S)>,
}

impl<S: Copy> Cascade<S> {
    fn new() -> Cascade<S> {
        Cascade { parts: Vec::new() }
    }

    fn push(&mut self, part: S, merge: impl Fn(S, S) -> S) {
        let (mut weight, mut part) = (0, part);
        while let Some(&(other, before)) = self.parts.last() {
            if other != weight {
                break;
            }
            self.parts.pop();
            (weight, part) = (weight + 1, merge(before, part));
        }
        self.parts.push((weight, part));
    }

    fn take(&mut self, merge: impl Fn(S, S) -> S) -> Option<S> {
        let last = self.parts.pop()?.1;
        Some(self.parts.drain(..).rev().fold(last, |after, (_, before)| merge(before, after)))
    }
}

/// A place whose pieces come in.
struct Current<S> {
    place: usize,
    cascade: Cascade<S>,
}

struct Folding<T, F> {
    level: Level,
    f: F,
    neutral: Option<T>,
    values: Vec<T>,
    /// Places that have a value; empty as long as nothing was folded.
    seen: Vec<bool>,
    current: Option<Current<T>>,
    /// What came in for the current place and is not in its cascade yet.
    lanes: Lanes<T>,
    /// How a sum takes the results of operations as they come.
    add_results: Option<AddResults<T>>,
}

/// Adds what operations make of so many elements to lanes.
type AddResults<T> = fn(Level, Fetch, Operations, &[Values<'_>], usize, &mut [T; LANES]);

impl<T: Element, F: Fn(T, T) -> T + Copy> Folding<T, F> {
    fn new(level: Level, places: usize, neutral: Option<T>, f: F) -> Folding<T, F> {
        let values = vec![neutral.unwrap_or_default(); places];
        let (seen, current, lanes) = (Vec::new(), None, Lanes::default());
        Folding { level, f, neutral, values, seen, current, lanes, add_results: None }
    }

    /// Makes a place the current one, and lanes that have had nothing begin: with the neutral element, or the first one of all.
    fn begin(&mut self, place: usize, first: impl FnOnce() -> T) {
        if self.current.as_ref().is_none_or(|current| current.place != place) {
            self.settle();
            self.seen.resize(self.values.len(), false);
            self.current = Some(Current { place, cascade: Cascade::new() });
        }
        if self.lanes.depth == 0 {
            self.lanes.values = [self.neutral.unwrap_or_else(first); LANES];
        }
    }

    /// So many elements have come into the lanes.
    fn came(&mut self, count: usize) {
        self.lanes.depth += count.div_ceil(LANES);
        if self.lanes.depth >= DEPTH {
            self.gather();
        }
    }

    /// Puts what is in the lanes into the cascade of the current place.
    fn gather(&mut self) {
        if let Some(current) = &mut self.current
            && std::mem::take(&mut self.lanes.depth) > 0
        {
            current.cascade.push(self.level.run(Tree { lanes: &self.lanes.values, f: self.f }), self.f);
        }
    }

    /// Puts what came in for the current place into it.
    fn settle(&mut self) {
        self.gather();
        if let Some(mut current) = self.current.take()
            && let Some(total) = current.cascade.take(self.f)
        {
            let value = &mut self.values[current.place];
            let has_more = std::mem::replace(&mut self.seen[current.place], true);
            *value = if has_more { (self.f)(*value, total) } else { total };
        }
    }
}

impl<T: Element, F: Fn(T, T) -> T + Copy> Accumulator for Folding<T, F> {
    fn fold(&mut self, fetch: Fetch, place: usize, piece: &[u8]) {
        let values: &[T] = elements(piece);
        self.begin(place, || values[0]);
        self.level.run(Fold { values, fetch, lanes: &mut self.lanes.values, f: self.f });
        self.came(values.len());
    }

    fn fold_results(&mut self, fetch: Fetch, place: usize, operations: Operations, args: &[Values<'_>], count: usize) {
        let add = self.add_results.expect("the results of other reductions than sums are in a tile first");
        self.begin(place, T::default);
        add(self.level, fetch, operations, args, count, &mut self.lanes.values);
        self.came(count);
    }

    fn join(&mut self, place: usize, turn: usize, piece: &[u8]) {
        let piece: &[T] = elements(piece);
        let values = &mut self.values[place..place + piece.len()];
        if turn == 0 {
            values.copy_from_slice(piece);
        } else {
            self.level.run(Join { values, piece, f: self.f });
        }
    }

    fn finish(mut self: Box<Self>, walk: &Walk, operand: usize, outputs: &mut [ViewMut<'_>]) {
        self.settle();
        write(&self.values, walk, operand, &mut outputs[0]);
    }
}

fn write<T: Element>(values: &[T], walk: &Walk, operand: usize, output: &mut ViewMut<'_>) {
    let size = size_of::<T>();
    for (place, &value) in values.iter().enumerate() {
        let begin = (output.origin as isize + walk.place_offset(operand, place)) as usize;
        super::kinds::elements_mut::<T>(&mut output.bytes[begin..begin + size])[0] = value;
    }
}

/// Lanes of a fold.
pub(super) const LANES: usize = 32;
/// Elements of a lane before it is put together with the others: the depth of NumPy's.
const DEPTH: usize = 16;

/// Values by the place of their element in a piece.
struct Lanes<T> {
    values: [T; LANES],
    /// How many elements each has had, at most.
    depth: usize,
}

impl<T: Element> Default for Lanes<T> {
    fn default() -> Lanes<T> {
        Lanes { values: [T::default(); LANES], depth: 0 }
    }
}

struct Fold<'a, T, F> {
    values: &'a [T],
    fetch: Fetch,
    lanes: &'a mut [T; LANES],
    f: F,
}

impl<T: Element, F: Fn(T, T) -> T + Copy> Task for Fold<'_, T, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        *self.lanes = in_lanes(self.values, self.fetch, *self.lanes, |value| value, self.f);
    }
}

struct Tree<'a, T, F> {
    lanes: &'a [T; LANES],
    f: F,
}

impl<T: Element, F: Fn(T, T) -> T + Copy> Task for Tree<'_, T, F> {
    type Output = T;
    #[inline(always)]
    fn run(self) -> T {
        tree(*self.lanes, self.f)
    }
}

/// `of` each value, put into lanes.
#[inline(always)]
fn in_lanes<T: Copy, S: Copy>(
    values: &[T],
    mut fetch: Fetch,
    mut lanes: [S; LANES],
    of: impl Fn(T) -> S,
    f: impl Fn(S, S) -> S,
) -> [S; LANES] {
    let (groups, rest) = values.as_chunks::<LANES>();
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = f(*lane, of(value));
    }
    let lines = fetch.each(groups.len());
    for group in groups {
        fetch.some(lines);
        for (lane, &value) in lanes.iter_mut().zip(group) {
            *lane = f(*lane, of(value));
        }
    }
    lanes
}

/// Lanes, put together as a tree.
#[inline(always)]
fn tree<S: Copy>(mut lanes: [S; LANES], f: impl Fn(S, S) -> S) -> S {
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            lanes[lane] = f(lanes[lane], lanes[lane + width]);
        }
    }
    lanes[0]
}

struct Join<'a, T, F> {
    values: &'a mut [T],
    piece: &'a [T],
    f: F,
}

impl<T: Copy, F: Fn(T, T) -> T> Task for Join<'_, T, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (value, &new) in self.values.iter_mut().zip(self.piece) {
            *value = (self.f)(*value, new);
        }
    }
}

/// Count, sum, and sum of squared deviations.
#[derive(Clone, Copy, Debug, Default)]
struct Moment {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Moment {
    fn merged(self, other: Moment) -> Moment {
        if self.count == 0.0 {
            return other;
        }
        let away = other.sum / other.count - self.sum / self.count;
        let count = self.count + other.count;
        let squares = self.squares + other.squares + away * away * (self.count * other.count / count);
        Moment { count, sum: self.sum + other.sum, squares }
    }
}

/// In double precision, whatever the elements have.
struct Moments<T> {
    level: Level,
    folded: Vec<Moment>,
    means: Vec<f64>,
    squares: Vec<f64>,
    places: usize,
    current: Option<Current<Moment>>,
    kind: std::marker::PhantomData<T>,
}

impl<T: Float> Moments<T> {
    fn new(level: Level, places: usize) -> Moments<T> {
        let (folded, means, squares) = (Vec::new(), Vec::new(), Vec::new());
        Moments { level, folded, means, squares, places, current: None, kind: std::marker::PhantomData }
    }

    fn settle(&mut self) {
        if let Some(mut current) = self.current.take()
            && let Some(total) = current.cascade.take(Moment::merged)
        {
            self.folded[current.place] = self.folded[current.place].merged(total);
        }
    }
}

impl<T: Float> Accumulator for Moments<T> {
    fn fold(&mut self, fetch: Fetch, place: usize, piece: &[u8]) {
        self.folded.resize(self.places, Moment::default());
        let moment = self.level.run(FoldMoment { values: elements::<T>(piece), fetch });
        if self.current.as_ref().is_none_or(|current| current.place != place) {
            self.settle();
            self.current = Some(Current { place, cascade: Cascade::new() });
        }
        if let Some(current) = &mut self.current {
            current.cascade.push(moment, Moment::merged);
        }
    }

    fn fold_results(&mut self, _: Fetch, _: usize, _: Operations, _: &[Values<'_>], _: usize) {
        unreachable!("the results of other reductions than sums are in a tile first")
    }

    fn join(&mut self, place: usize, turn: usize, piece: &[u8]) {
        self.means.resize(self.places, 0.0);
        self.squares.resize(self.places, 0.0);
        let piece: &[T] = elements(piece);
        let to = place..place + piece.len();
        let (means, squares) = (&mut self.means[to.clone()], &mut self.squares[to]);
        self.level.run(JoinMoment { means, squares, piece, turn });
    }

    fn finish(mut self: Box<Self>, walk: &Walk, operand: usize, outputs: &mut [ViewMut<'_>]) {
        self.settle();
        if !self.folded.is_empty() {
            self.means = self.folded.iter().map(|moment| moment.sum / moment.count).collect();
            self.squares = self.folded.iter().map(|moment| moment.squares).collect();
        }
        for (at, values) in [self.means, self.squares].iter().enumerate() {
            let values: Vec<T> = values.iter().map(|&value| T::narrow(value)).collect();
            write(&values, walk, operand + at, &mut outputs[at]);
        }
    }
}

struct FoldMoment<'a, T> {
    values: &'a [T],
    fetch: Fetch,
}

impl<T: Float> Task for FoldMoment<'_, T> {
    type Output = Moment;
    #[inline(always)]
    fn run(self) -> Moment {
        let count = self.values.len() as f64;
        let plus = |a: f64, b: f64| a + b;
        let sum = tree(in_lanes(self.values, Fetch::default(), [0.0; LANES], |value| value.wide(), plus), plus);
        let mean = sum / count;
        let square = |value: T| (value.wide() - mean) * (value.wide() - mean);
        let squares = tree(in_lanes(self.values, self.fetch, [0.0; LANES], square, plus), plus);
        Moment { count, sum, squares }
    }
}

struct JoinMoment<'a, T> {
    means: &'a mut [f64],
    squares: &'a mut [f64],
    piece: &'a [T],
    turn: usize,
}

impl<T: Float> Task for JoinMoment<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let each = self.means.iter_mut().zip(self.squares.iter_mut()).zip(self.piece);
        if self.turn == 0 {
            for ((mean, squares), &value) in each {
                *mean = value.wide();
                // 0, or NaN where there is no deviation from the value.
                *squares = value.wide() - *mean;
            }
            return;
        }
        let share = 1.0 / (self.turn as f64 + 1.0);
        for ((mean, squares), &value) in each {
            let away = value.wide() - *mean;
            *mean += away * share;
            *squares += away * (value.wide() - *mean);
        }
    }
}
