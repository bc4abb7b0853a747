//! Kernels against plain loops over the elements, on every level that the processor has.

use super::ahead::Fetch;
use super::kinds::{bytes_of, bytes_of_mut, elements};
use super::*;

/// Numbers without a pattern, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 11
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    /// Fractions, and now and then what is special.
    fn float(&mut self) -> f64 {
        const SPECIAL: [f64; 7] = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 5e-324, f64::MAX];
        match self.below(40) {
            place @ 0..7 => SPECIAL[place],
            _ => (self.next() as f64 / (1_u64 << 50) as f64) - 4.0,
        }
    }
}

fn step(op: Op, kind: Kind, args: &[Source]) -> Step {
    Step { op, kind, args: args.to_vec() }
}

fn words_of(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Runs over one array of doubles of this shape that lies in C order; the result has `places` doubles.
fn run(kernel: &Kernel, shape: &[usize], reduced: &[bool], inputs: &[&[f64]], outputs: usize) -> Vec<Vec<f64>> {
    let strides = c_strides(shape);
    let words: Vec<Vec<u64>> = inputs.iter().map(|input| words_of(input)).collect();
    let views: Vec<View<'_>> = words.iter().map(|words| View::new(bytes_of(words), 0, strides.clone())).collect();
    let kept: Vec<usize> = shape.iter().zip(reduced).map(|(&len, &is)| if is { 1 } else { len }).collect();
    let mut own = c_strides(&kept);
    for (stride, &is_reduced) in own.iter_mut().zip(reduced) {
        *stride = if is_reduced { 0 } else { *stride };
    }
    let mut results = vec![vec![0_u64; kept.iter().product()]; outputs];
    let mut targets: Vec<ViewMut<'_>> =
        results.iter_mut().map(|words| ViewMut::new(bytes_of_mut(words), 0, own.clone())).collect();
    assert!(kernel.run(shape, reduced, &views, &mut targets, Watched::default()).expect("the arrays fit"));
    results.iter().map(|words| words.iter().map(|&word| f64::from_bits(word)).collect()).collect()
}

fn c_strides(shape: &[usize]) -> Vec<isize> {
    crate::c_strides(8, shape)
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

#[test]
fn arithmetic_is_that_of_single_elements_at_any_length() {
    let mut numbers = Numbers(1);
    let [a, b] = [Source::Input(0), Source::Input(1)];
    type Plain = fn(f64, f64) -> f64;
    let ops: [(Op, Plain); 4] = [
        (Op::Add, |a, b| a + b),
        (Op::Subtract, |a, b| a - b),
        (Op::Multiply, |a, b| a * b),
        (Op::Divide, |a, b| a / b),
    ];
    for count in [1, 2, 7, 63, 1023, 1024, 1025, 5000] {
        let left: Vec<f64> = (0..count).map(|_| numbers.float()).collect();
        let right: Vec<f64> = (0..count).map(|_| numbers.float()).collect();
        for (op, plain) in &ops {
            let kernel = Kernel::new(vec![Kind::F64; 2], vec![], vec![step(op.clone(), Kind::F64, &[a, b])], None)
                .expect("fits");
            let found = run(&kernel, &[count], &[false], &[&left, &right], 1).remove(0);
            for ((&left, &right), found) in left.iter().zip(&right).zip(found) {
                assert!(same(found, plain(left, right)), "{op:?} of {left} and {right} gave {found}");
            }
        }
    }
}

/// Programs of a few steps, drawn at random: what they make of each element is what single operations make, and sums of small whole
/// numbers are exact.
#[test]
fn steps_in_pairs_do_what_single_steps_do() {
    let mut numbers = Numbers(7);
    for _ in 0..600 {
        let count = [1, 31, 32, 33, 1000, 1024, 2500][numbers.below(7)];
        let is_sum = numbers.below(2) == 0;
        let mut number = || if is_sum { numbers.below(7) as f64 - 3.0 } else { numbers.float() };
        let inputs: [Vec<f64>; 2] = std::array::from_fn(|_| (0..count).map(|_| number()).collect());
        let constant = number();
        let mut steps: Vec<Step> = Vec::new();
        let mut plain: Vec<Vec<f64>> = inputs.to_vec();
        plain.push(vec![constant; count]);
        for at in 0..1 + numbers.below(6) {
            let arg = |place: usize| match place {
                0 | 1 => Source::Input(place),
                2 => Source::Constant(0),
                _ => Source::Step(place - 3),
            };
            let [a, b] = [0, 1].map(|_| if at > 0 && numbers.below(2) == 0 { at + 2 } else { numbers.below(at + 3) });
            let most = if is_sum { 3 } else { 5 };
            let (op, of): (Op, fn(f64, f64) -> f64) = match numbers.below(most) {
                0 => (Op::Add, |a, b| a + b),
                1 => (Op::Subtract, |a, b| a - b),
                // The square of a square of a sum of squares is too large for exact sums.
                2 if is_sum => (Op::Subtract, |a, b| a - b),
                2 => (Op::Multiply, |a, b| a * b),
                3 => (Op::Divide, |a, b| a / b),
                _ => (Op::Square, |a, _| a * a),
            };
            let args = if matches!(op, Op::Square) { vec![arg(a)] } else { vec![arg(a), arg(b)] };
            steps.push(step(op, Kind::F64, &args));
            plain.push(plain[a].iter().zip(&plain[b]).map(|(&a, &b)| of(a, b)).collect());
        }
        let constants = vec![Constant::new(Kind::F64, &constant.to_ne_bytes()).expect("8 bytes")];
        let reduction = is_sum.then_some(Reduction::Sum);
        let kernel = Kernel::new(vec![Kind::F64; 2], constants, steps.clone(), reduction).expect("fits");
        let found = run(&kernel, &[count], &[is_sum], &[&inputs[0], &inputs[1]], 1).remove(0);
        let expected = plain.pop().expect("there is a step");
        let expected = if is_sum { vec![expected.iter().sum()] } else { expected };
        for (&found, &expected) in found.iter().zip(&expected) {
            assert!(
                same(found, expected) || (is_sum && found == expected),
                "{found} instead of {expected}: {:?}",
                steps.iter().map(|step| &step.op).collect::<Vec<_>>()
            );
        }
    }
}

/// Every pair, of numbers and of one number that stands for all, on every level.
#[test]
fn pairs_round_twice() {
    use Arithmetic as First;
    let mut numbers = Numbers(8);
    let words: [Vec<u64>; 3] = std::array::from_fn(|_| words_of(&(0..75).map(|_| numbers.float()).collect::<Vec<_>>()));
    type Plain = fn(f64, f64) -> f64;
    let firsts: [(First, Plain); 5] = [
        (First::Add, |a, b| a + b),
        (First::Subtract, |a, b| a - b),
        (First::Multiply, |a, b| a * b),
        (First::Divide, |a, b| a / b),
        (First::Square, |a, _| a * a),
    ];
    let seconds: [(Second, Plain); 7] = [
        (Second::Add, |r, c| r + c),
        (Second::Subtract, |r, c| r - c),
        (Second::SubtractFrom, |r, c| c - r),
        (Second::Multiply, |r, c| r * c),
        (Second::Divide, |r, c| r / c),
        (Second::DivideInto, |r, c| c / r),
        (Second::Square, |r, _| r * r),
    ];
    let cases = (0..Level::all().len() * 5 * 7 * 8).map(|case| (case / 280, case / 56 % 5, case / 8 % 7, case % 8));
    for (level, first, second, ones) in cases {
        let (level, (first, f), (second, g)) = (Level::all()[level], firsts[first], seconds[second]);
        let is_one = |operand: usize| ones >> operand & 1 == 1;
        let args: Vec<Values<'_>> = [0, 1, 2]
            .into_iter()
            .filter(|&operand| operand == 0 || (if operand == 1 { first.arity() > 1 } else { second.arity() > 0 }))
            .map(|operand| {
                let bytes = bytes_of(&words[operand]);
                Values { bytes: if is_one(operand) { &bytes[..8] } else { bytes }, is_one: is_one(operand) }
            })
            .collect();
        let mut result = vec![0_u64; 75];
        ops::apply(level, Fetch::default(), &Op::Pair(first, second), Kind::F64, &args, bytes_of_mut(&mut result), 75);
        for (at, &found) in result.iter().enumerate() {
            let [a, b, c] =
                [0, 1, 2].map(|operand| f64::from_bits(words[operand][if is_one(operand) { 0 } else { at }]));
            let expected = g(f(a, b), c);
            assert!(same(f64::from_bits(found), expected), "{level:?} {first:?} {second:?} {ones}: {a} {b} {c}");
        }
    }
}

#[test]
fn integers_wrap_around() {
    let words = [i64::MAX as u64, i64::MIN as u64, 5];
    let constant = Constant::new(Kind::I64, &3_i64.to_ne_bytes()).expect("8 bytes");
    for (op, expected) in [
        (Op::Add, words.map(|word| (word as i64).wrapping_add(3))),
        (Op::Subtract, words.map(|word| (word as i64).wrapping_sub(3))),
        (Op::Multiply, words.map(|word| (word as i64).wrapping_mul(3))),
    ] {
        let steps = vec![step(op, Kind::I64, &[Source::Input(0), Source::Constant(0)])];
        let kernel = Kernel::new(vec![Kind::I64], vec![constant], steps, None).expect("fits");
        let mut result = [0_u64; 3];
        let view = View::new(bytes_of(&words), 0, vec![8]);
        let mut target = [ViewMut::new(bytes_of_mut(&mut result), 0, vec![8])];
        assert!(kernel.run(&[3], &[false], &[view], &mut target, Watched::default()).expect("fits"));
        assert_eq!(result.map(|word| word as i64), expected);
    }
}

/// A sum of squares over any axes of any shape, beside one that adds element by element in the order of memory.
#[test]
fn reductions_reach_every_element_once() {
    let mut numbers = Numbers(2);
    for _ in 0..300 {
        let ndim = 1 + numbers.below(4);
        let most = [5000, 90, 17, 9][ndim - 1];
        let shape: Vec<usize> = (0..ndim).map(|_| 1 + numbers.below(most)).collect();
        let reduced: Vec<bool> = (0..ndim).map(|_| numbers.below(2) == 0).collect();
        let total: usize = shape.iter().product();
        // Small whole numbers, whose sums are exact.
        let values: Vec<f64> = (0..total).map(|_| numbers.below(100) as f64 - 50.0).collect();
        let square = vec![step(Op::Square, Kind::F64, &[Source::Input(0)])];
        let kept: Vec<usize> = shape.iter().zip(&reduced).map(|(&len, &is)| if is { 1 } else { len }).collect();
        let mut groups: Vec<Vec<f64>> = vec![Vec::new(); kept.iter().product()];
        for (at, value) in values.iter().enumerate() {
            groups[place_of(at, &shape, &reduced, &kept)].push(value * value);
        }
        for reduction in [Reduction::Sum, Reduction::Min, Reduction::Max, Reduction::Moments] {
            let kernel = Kernel::new(vec![Kind::F64], vec![], square.clone(), Some(reduction)).expect("fits");
            let found = run(&kernel, &shape, &reduced, &[&values], reduction.outputs());
            for (place, own) in groups.iter().enumerate() {
                let sum: f64 = own.iter().sum();
                let mean = sum / own.len() as f64;
                match reduction {
                    Reduction::Sum => assert_eq!(found[0][place], sum, "{shape:?} {reduced:?}"),
                    Reduction::Min => assert_eq!(found[0][place], own.iter().copied().fold(f64::MAX, f64::min)),
                    Reduction::Max => assert_eq!(found[0][place], own.iter().copied().fold(f64::MIN, f64::max)),
                    _ => {
                        let squares: f64 = own.iter().map(|value| (value - mean).powi(2)).sum();
                        assert!((found[0][place] - mean).abs() <= 1e-12 * mean.abs(), "{shape:?} {reduced:?}");
                        assert!((found[1][place] - squares).abs() <= 1e-11 * squares, "{shape:?} {reduced:?}");
                    }
                }
            }
        }
    }
}

fn place_of(mut at: usize, shape: &[usize], reduced: &[bool], kept: &[usize]) -> usize {
    let (mut place, mut stride) = (0, 1);
    for axis in (0..shape.len()).rev() {
        let index = at % shape[axis];
        at /= shape[axis];
        if !reduced[axis] {
            place += index * stride;
        }
        stride *= kept[axis];
    }
    place
}

#[test]
fn a_sum_is_as_exact_as_a_pairwise_one() {
    let mut numbers = Numbers(3);
    let values: Vec<f64> = (0..1_000_000).map(|_| numbers.next() as f64 / (1_u64 << 53) as f64).collect();
    let add = vec![step(Op::Add, Kind::F64, &[Source::Input(0), Source::Constant(0)])];
    let zero = Constant::new(Kind::F64, &0.0_f64.to_ne_bytes()).expect("8 bytes");
    let kernel = Kernel::new(vec![Kind::F64], vec![zero], add, Some(Reduction::Sum)).expect("fits");
    let found = run(&kernel, &[values.len()], &[true], &[&values], 1)[0][0];
    // Kahan's sum.
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for value in &values {
        let term = value - lost;
        let next = sum + term;
        lost = (next - sum) - term;
        sum = next;
    }
    assert!((found - sum).abs() <= 4.0 * f64::EPSILON * sum, "{found} instead of {sum}");
}

#[test]
fn levels_agree() {
    let mut numbers = Numbers(4);
    let values: Vec<f64> = (0..3000).map(|_| numbers.float()).collect();
    let words = words_of(&values);
    let values = Values { bytes: bytes_of(&words), is_one: false };
    let results: Vec<Vec<u64>> = Level::all()
        .into_iter()
        .map(|level| {
            let mut room = vec![0_u64; 3000];
            ops::apply(
                level,
                Fetch::default(),
                &Op::Divide,
                Kind::F64,
                &[values, values],
                bytes_of_mut(&mut room),
                3000,
            );
            ops::apply(
                level,
                Fetch::default(),
                &Op::Cast(Kind::F32),
                Kind::F64,
                &[values],
                &mut bytes_of_mut(&mut room)[..12000],
                3000,
            );
            ops::apply(
                level,
                Fetch::default(),
                &Op::Cast(Kind::I32),
                Kind::F64,
                &[values],
                &mut bytes_of_mut(&mut room)[..12000],
                3000,
            );
            room
        })
        .collect();
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
    let integers: &[i32] = elements(&bytes_of(&results[0])[..12000]);
    let floats: &[f64] = elements(values.bytes);
    let nan = floats.iter().position(|value| value.is_nan()).expect("there is one");
    assert_eq!(integers[nan], if cfg!(target_arch = "x86_64") { i32::MIN } else { 0 });
}

#[test]
fn flags_stop_a_kernel_only_where_they_are_watched() {
    let steps = vec![step(Op::Divide, Kind::F64, &[Source::Input(0), Source::Input(1)])];
    let kernel = Kernel::new(vec![Kind::F64; 2], vec![], steps, None).expect("fits");
    let [ones, zeros, twos] = [1.0_f64, 0.0, 2.0].map(|value| words_of(&vec![value; 3000]));
    let goes_on = |below: &[u64], watched: Watched| {
        let mut result = vec![0_u64; 3000];
        let views = [View::new(bytes_of(&ones), 0, vec![8]), View::new(bytes_of(below), 0, vec![8])];
        let mut target = [ViewMut::new(bytes_of_mut(&mut result), 0, vec![8])];
        kernel.run(&[3000], &[false], &views, &mut target, watched).expect("fits")
    };
    assert!(!goes_on(&zeros, Watched::new(true, true, false, true)));
    assert!(goes_on(&zeros, Watched::new(false, true, false, true)));
    assert!(goes_on(&twos, Watched::new(true, true, true, true)));
    let mut last_is_zero = twos.clone();
    last_is_zero[2999] = 0;
    assert!(!goes_on(&last_is_zero, Watched::new(true, true, false, true)));
}

#[test]
fn a_comparison_with_nan_raises_nothing() {
    let less = vec![
        step(Op::Less, Kind::F64, &[Source::Input(0), Source::Input(0)]),
        step(Op::Where, Kind::F64, &[Source::Step(0), Source::Input(0), Source::Input(0)]),
        step(Op::Add, Kind::F64, &[Source::Step(1), Source::Input(0)]),
    ];
    let kernel = Kernel::new(vec![Kind::F64], vec![], less, None).expect("fits");
    let (words, mut result) = (words_of(&[f64::NAN; 100]), vec![0_u64; 100]);
    let view = View::new(bytes_of(&words), 0, vec![8]);
    let mut target = [ViewMut::new(bytes_of_mut(&mut result), 0, vec![8])];
    assert!(kernel.run(&[100], &[false], &[view], &mut target, Watched::new(true, true, true, true)).expect("fits"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let wrong = vec![step(Op::Divide, Kind::I64, &[Source::Input(0), Source::Input(0)])];
    assert!(Kernel::new(vec![Kind::I64], vec![], wrong, None).is_err());
    let ahead = vec![step(Op::Negative, Kind::F64, &[Source::Step(0)])];
    assert!(Kernel::new(vec![Kind::F64], vec![], ahead, None).is_err());
    let mixed = vec![step(Op::Add, Kind::F64, &[Source::Input(0), Source::Input(1)])];
    assert!(Kernel::new(vec![Kind::F64, Kind::F32], vec![], mixed, None).is_err());
    let fine = vec![step(Op::Negative, Kind::F64, &[Source::Input(0)])];
    let kernel = Kernel::new(vec![Kind::F64], vec![], fine, None).expect("fits");
    let (words, mut result) = (vec![0_u64; 4], vec![0_u64; 4]);
    for (origin, stride) in [(8, 8), (4, 8), (0, 12), (0, -8)] {
        let view = View::new(bytes_of(&words), origin, vec![stride]);
        let mut target = [ViewMut::new(bytes_of_mut(&mut result), 0, vec![8])];
        assert!(kernel.run(&[4], &[false], &[view], &mut target, Watched::default()).is_err(), "{origin} {stride}");
    }
}
