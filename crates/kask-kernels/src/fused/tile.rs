//! Runs the steps of a kernel tile by tile.

use super::ahead::{Ahead, Fetch};
use super::arithmetic::Operations;
use super::kinds::{bytes_of, bytes_of_mut};
use super::level::Level;
use super::ops::{Op, Values, apply};
use super::reduce::{Accumulator, Reduction};
use super::status::Watched;
use super::view::{View, ViewMut};
use super::walk::Walk;
use super::{Kernel, Source, TILE};
use smallvec::SmallVec;

/// Words of a page; the processor takes addresses that are a multiple of it apart for the same, for a while.
const PAGE_WORDS: usize = 512;
/// Words by which each register begins further behind the beginning of a page than the one before: whole lines of the
/// cache, and such that the distances of the first few registers, and of one of these and an array, are large.
const SHIFT_WORDS: usize = 88;

/// Memory of a tile, in words, so that elements of any type are aligned.
#[derive(Default)]
struct Register {
    words: Vec<u64>,
    start: usize,
}

impl Register {
    /// The register of this number.
    fn new(number: usize) -> Register {
        let words = vec![0_u64; TILE + PAGE_WORDS];
        let behind_page = words.as_ptr().addr() / size_of::<u64>() % PAGE_WORDS;
        let wanted = (number + 1) * SHIFT_WORDS % PAGE_WORDS;
        Register { words, start: (wanted + PAGE_WORDS - behind_page) % PAGE_WORDS }
    }

    fn bytes(&self) -> &[u8] {
        bytes_of(&self.words[self.start..])
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        bytes_of_mut(&mut self.words[self.start..])
    }
}

/// What is to be known of a step for every tile.
struct Plan {
    /// Where its operands are, and how large an element of each is.
    args: SmallVec<[(Source, usize); 3]>,
    /// The register that its result goes to.
    register: usize,
    /// The size of an element of it.
    size: usize,
    /// Whether flags are looked at afterwards: reading them waits for all arithmetic to end.
    is_watched: bool,
}

/// A run of a kernel over some arrays.
pub(super) struct Runner<'k> {
    plans: Vec<Plan>,
    kernel: &'k Kernel,
    walk: &'k Walk,
    level: Level,
    watched: Watched,
    registers: Vec<Register>,
    constants: Vec<[u64; 1]>,
    ahead: Ahead,
    /// What the last step does, if a sum takes its results as they come.
    summed: Option<Operations>,
    /// Whether nothing lowers flags or raises one that says nothing, so that they may be looked at now and then.
    flags_last: bool,
    /// The number of the tile.
    tile: usize,
}

/// Tiles after which lasting flags are looked at.
const FLAGS_EVERY: usize = 32;

impl Plan {
    fn new(kernel: &Kernel, at: usize) -> Plan {
        let step = &kernel.steps[at];
        let args = step.args.iter().map(|&source| (source, kernel.kind_of(source).size())).collect();
        // A quiet step is followed by lowering the flags, and somebody else's loop may lower them itself.
        let may_lower = |op: &Op| op.is_quiet() || matches!(op, Op::Loop(..));
        let is_lowered = kernel.steps.get(at + 1).is_none_or(|next| may_lower(&next.op));
        Plan {
            args,
            register: kernel.registers[at],
            size: kernel.kind_of(Source::Step(at)).size(),
            is_watched: !step.op.is_quiet() && (is_lowered || may_lower(&step.op)),
        }
    }
}

impl<'k> Runner<'k> {
    pub(super) fn new(kernel: &'k Kernel, walk: &'k Walk, level: Level, watched: Watched) -> Runner<'k> {
        let registers = (0..kernel.count).map(Register::new).collect();
        let constants = kernel.constants.iter().map(|constant| [u64::from_ne_bytes(constant.bytes)]).collect();
        let plans = (0..kernel.steps.len()).map(|at| Plan::new(kernel, at)).collect();
        let is_sum = kernel.reduction == Some(Reduction::Sum) && walk.folds_tiles();
        let summed = kernel.steps.last().filter(|_| is_sum).and_then(|step| step.op.operations());
        let compares = matches!(kernel.reduction, Some(Reduction::Min | Reduction::Max));
        let flags_last =
            !compares && kernel.steps.iter().all(|step| !step.op.is_quiet() && !matches!(step.op, Op::Loop(..)));
        let ahead = Ahead::default();
        Runner { plans, kernel, walk, level, watched, registers, constants, ahead, summed, flags_last, tile: 0 }
    }

    /// False when a watched flag was raised.
    pub(super) fn run(mut self, inputs: &[View<'_>], outputs: &mut [ViewMut<'_>]) -> bool {
        let (kernel, walk) = (self.kernel, self.walk);
        let kind = kernel.kind_of(kernel.value());
        let mut accumulator = kernel.reduction.map(|reduction| reduction.accumulator(kind, self.level, walk.places));
        let mut scratch: Vec<Register> = (0..inputs.len()).map(|input| Register::new(kernel.count + input)).collect();
        // Rows that are joined, and nothing else, are long loops over memory: the processor reads ahead best by itself.
        let reads_ahead = !kernel.steps.is_empty() || walk.reduces_segment;
        self.watched.reset();
        let mut at = 0;
        while at < walk.total {
            let count = walk.tile_at(at);
            let mut loaded: SmallVec<[Values<'_>; 4]> = SmallVec::with_capacity(inputs.len());
            self.ahead.clear();
            for (operand, (view, scratch)) in inputs.iter().zip(&mut scratch).enumerate() {
                let size = kernel.inputs[operand].size();
                let values = walk.load(operand, view, size, at, count, scratch.bytes_mut());
                if reads_ahead {
                    self.ahead.follow(view, values);
                }
                loaded.push(values);
            }
            self.ahead.spread(kernel.steps.len() + usize::from(accumulator.is_some() && self.summed.is_none()));
            let is_fine = match &mut accumulator {
                None => self.stored(&loaded, inputs.len(), &mut outputs[0], at, count),
                Some(accumulator) => self.reduced(&loaded, accumulator.as_mut(), at, count),
            };
            if !is_fine {
                return false;
            }
            at += count;
            self.tile += 1;
        }
        if let Some(accumulator) = accumulator {
            accumulator.finish(walk, inputs.len(), outputs);
        }
        !(self.flags_last && self.watched.is_raised())
    }

    /// The first steps on one tile, each into its register; false when a watched flag was raised.
    fn steps(&mut self, loaded: &[Values<'_>], until: usize, count: usize) -> bool {
        for at in 0..until {
            let fetch = self.ahead.portion();
            let Plan { register, size, .. } = self.plans[at];
            let mut target = std::mem::take(&mut self.registers[register]);
            let is_fine = self.step(fetch, loaded, at, count, &mut target.bytes_mut()[..count * size]);
            self.registers[register] = target;
            if !is_fine {
                return false;
            }
        }
        true
    }

    fn step(&self, fetch: Fetch, loaded: &[Values<'_>], at: usize, count: usize, target: &mut [u8]) -> bool {
        let (step, plan) = (&self.kernel.steps[at], &self.plans[at]);
        let value = |&(source, size): &(Source, usize)| self.value(loaded, source, size, count);
        match plan.args.as_slice() {
            [a] => apply(self.level, fetch, &step.op, step.kind, &[value(a)], target, count),
            [a, b] => apply(self.level, fetch, &step.op, step.kind, &[value(a), value(b)], target, count),
            [a, b, c] => apply(self.level, fetch, &step.op, step.kind, &[value(a), value(b), value(c)], target, count),
            args => {
                let args: SmallVec<[Values<'_>; 4]> = args.iter().map(value).collect();
                apply(self.level, fetch, &step.op, step.kind, &args, target, count);
            }
        }
        if step.op.is_quiet() {
            self.watched.reset();
        }
        !self.is_raised(plan)
    }

    /// Whether a step has raised a watched flag; where it may wait, that is found out later.
    fn is_raised(&self, plan: &Plan) -> bool {
        match self.flags_last {
            true => self.tile % FLAGS_EVERY == FLAGS_EVERY - 1 && self.watched.is_raised(),
            false => plan.is_watched && self.watched.is_raised(),
        }
    }

    #[inline(always)]
    fn value<'t>(&'t self, loaded: &[Values<'t>], source: Source, size: usize, count: usize) -> Values<'t> {
        match source {
            Source::Input(index) => loaded[index],
            Source::Constant(index) => Values { bytes: &bytes_of(&self.constants[index])[..size], is_one: true },
            Source::Step(index) => {
                let register = &self.registers[self.plans[index].register];
                Values { bytes: &register.bytes()[..count * size], is_one: false }
            }
        }
    }

    /// The value of the kernel on one tile, and the size of an element.
    fn result<'t>(&'t self, loaded: &[Values<'t>], count: usize) -> (Values<'t>, usize) {
        let source = self.kernel.value();
        let size = self.kernel.kind_of(source).size();
        (self.value(loaded, source, size, count), size)
    }

    /// All steps on one tile, whose result goes to the output.
    fn stored(
        &mut self,
        loaded: &[Values<'_>],
        operand: usize,
        output: &mut ViewMut<'_>,
        at: usize,
        count: usize,
    ) -> bool {
        let last = self.kernel.steps.len() - 1;
        let size = self.plans[last].size;
        if let Some(begin) = self.walk.direct(operand, output, size, at, count) {
            let is_fine = self.steps(loaded, last, count);
            let fetch = self.ahead.portion();
            return is_fine && self.step(fetch, loaded, last, count, &mut output.bytes[begin..begin + count * size]);
        }
        if !self.steps(loaded, last + 1, count) {
            return false;
        }
        let (values, size) = self.result(loaded, count);
        self.walk.store(operand, output, size, at, values.bytes);
        true
    }

    /// All steps on one tile, whose result is reduced.
    fn reduced(&mut self, loaded: &[Values<'_>], accumulator: &mut dyn Accumulator, at: usize, count: usize) -> bool {
        let steps = self.kernel.steps.len();
        let is_fine = if let Some(operations) = self.summed {
            let is_fine = self.steps(loaded, steps - 1, count);
            let fetch = self.ahead.portion();
            let plan = &self.plans[steps - 1];
            let value = |&(source, size): &(Source, usize)| self.value(loaded, source, size, count);
            let mut args = [value(&plan.args[0]); 3];
            for (place, arg) in plan.args.iter().enumerate() {
                args[place] = value(arg);
            }
            accumulator.fold_results(fetch, self.walk.place(at).0, operations, &args[..plan.args.len()], count);
            is_fine && !self.is_raised(plan)
        } else {
            let is_fine = self.steps(loaded, steps, count);
            let fetch = self.ahead.portion();
            self.accumulated(fetch, loaded, accumulator, at, count);
            is_fine
        };
        if !self.flags_last {
            self.watched.reset();
        }
        is_fine
    }

    /// One tile of the value, which belongs to one segment or to several.
    fn accumulated(
        &self,
        mut fetch: Fetch,
        loaded: &[Values<'_>],
        accumulator: &mut dyn Accumulator,
        at: usize,
        count: usize,
    ) {
        let walk = self.walk;
        let (values, size) = self.result(loaded, count);
        let repeated: Vec<u8>;
        let aligned: Register;
        let bytes = if values.is_one && count > 1 {
            repeated = values.bytes.repeat(count);
            let mut words = Register::new(0);
            words.bytes_mut()[..repeated.len()].copy_from_slice(&repeated);
            aligned = words;
            &aligned.bytes()[..count * size]
        } else {
            values.bytes
        };
        let mut done = 0;
        while done < count {
            let len = (walk.segment - (at + done) % walk.segment).min(count - done);
            let (place, turn) = walk.place(at + done);
            let piece = &bytes[done * size..(done + len) * size];
            if walk.reduces_segment {
                accumulator.fold(std::mem::take(&mut fetch), place, piece);
            } else {
                std::mem::take(&mut fetch).at_once();
                accumulator.join(place, turn, piece);
            }
            done += len;
        }
    }
}
