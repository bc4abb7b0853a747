//! Runs the steps of a kernel tile by tile.

use super::kinds::{bytes_of, bytes_of_mut};
use super::level::Level;
use super::ops::{Values, apply};
use super::reduce::Accumulator;
use super::status::Watched;
use super::view::{View, ViewMut};
use super::walk::Walk;
use super::{Kernel, Source, TILE};

/// Bytes are counted in words, so that elements of any type are aligned.
type Register = Vec<u64>;

fn register() -> Register {
    vec![0; TILE]
}

/// A run of a kernel over some arrays.
pub(super) struct Runner<'k> {
    kernel: &'k Kernel,
    walk: &'k Walk,
    level: Level,
    watched: Watched,
    registers: Vec<Register>,
    constants: Vec<[u64; 1]>,
}

impl<'k> Runner<'k> {
    pub(super) fn new(kernel: &'k Kernel, walk: &'k Walk, level: Level, watched: Watched) -> Runner<'k> {
        let registers = (0..kernel.count).map(|_| register()).collect();
        let constants = kernel.constants.iter().map(|constant| [u64::from_ne_bytes(constant.bytes)]).collect();
        Runner { kernel, walk, level, watched, registers, constants }
    }

    /// False when a watched flag was raised.
    pub(super) fn run(mut self, inputs: &[View<'_>], outputs: &mut [ViewMut<'_>]) -> bool {
        let (kernel, walk) = (self.kernel, self.walk);
        let kind = kernel.kind_of(kernel.value());
        let mut accumulator = kernel.reduction.map(|reduction| reduction.accumulator(kind, self.level, walk.places));
        let mut scratch: Vec<Register> = inputs.iter().map(|_| register()).collect();
        self.watched.reset();
        let mut at = 0;
        while at < walk.total {
            let count = walk.tile_at(at);
            let mut loaded = Vec::with_capacity(inputs.len());
            for (operand, (view, scratch)) in inputs.iter().zip(&mut scratch).enumerate() {
                let size = kernel.inputs[operand].size();
                loaded.push(walk.load(operand, view, size, at, count, bytes_of_mut(scratch)));
            }
            match &mut accumulator {
                None => {
                    if !self.stored(&loaded, inputs.len(), &mut outputs[0], at, count) {
                        return false;
                    }
                }
                Some(accumulator) => {
                    if !self.steps(&loaded, kernel.steps.len(), count) {
                        return false;
                    }
                    self.reduced(&loaded, accumulator.as_mut(), at, count);
                    self.watched.reset();
                }
            }
            at += count;
        }
        if let Some(accumulator) = accumulator {
            accumulator.finish(walk, inputs.len(), outputs);
        }
        true
    }

    /// The first steps on one tile, each into its register; false when a watched flag was raised.
    fn steps(&mut self, loaded: &[Values<'_>], until: usize, count: usize) -> bool {
        for at in 0..until {
            let size = self.kernel.kind_of(Source::Step(at)).size();
            let mut target = std::mem::take(&mut self.registers[self.kernel.registers[at]]);
            let is_fine = self.step(loaded, at, count, &mut bytes_of_mut(&mut target)[..count * size]);
            self.registers[self.kernel.registers[at]] = target;
            if !is_fine {
                return false;
            }
        }
        true
    }

    fn step(&self, loaded: &[Values<'_>], at: usize, count: usize, target: &mut [u8]) -> bool {
        let step = &self.kernel.steps[at];
        let mut args = [Values { bytes: &[], is_one: true }; 4];
        for (arg, &source) in args.iter_mut().zip(&step.args) {
            *arg = self.value(loaded, source, count);
        }
        apply(self.level, &step.op, step.kind, &args[..step.args.len()], target, count);
        if !step.op.is_quiet() {
            return !self.watched.is_raised();
        }
        self.watched.reset();
        true
    }

    fn value<'t>(&'t self, loaded: &[Values<'t>], source: Source, count: usize) -> Values<'t> {
        let size = self.kernel.kind_of(source).size();
        match source {
            Source::Input(index) => loaded[index],
            Source::Constant(index) => Values { bytes: &bytes_of(&self.constants[index])[..size], is_one: true },
            Source::Step(index) => {
                let register = &self.registers[self.kernel.registers[index]];
                Values { bytes: &bytes_of(register)[..count * size], is_one: false }
            }
        }
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
        let size = self.kernel.kind_of(self.kernel.value()).size();
        if let Some(begin) = self.walk.direct(operand, output, size, at, count) {
            return self.steps(loaded, last, count)
                && self.step(loaded, last, count, &mut output.bytes[begin..begin + count * size]);
        }
        if !self.steps(loaded, last + 1, count) {
            return false;
        }
        let values = self.value(loaded, self.kernel.value(), count);
        self.walk.store(operand, output, size, at, values.bytes);
        true
    }

    /// One tile of the value, which belongs to one segment or to several.
    fn reduced(&self, loaded: &[Values<'_>], accumulator: &mut dyn Accumulator, at: usize, count: usize) {
        let walk = self.walk;
        let values = self.value(loaded, self.kernel.value(), count);
        let size = self.kernel.kind_of(self.kernel.value()).size();
        let repeated: Vec<u8>;
        let aligned: Register;
        let bytes = if values.is_one && count > 1 {
            repeated = values.bytes.repeat(count);
            let mut words = register();
            bytes_of_mut(&mut words)[..repeated.len()].copy_from_slice(&repeated);
            aligned = words;
            &bytes_of(&aligned)[..count * size]
        } else {
            values.bytes
        };
        let mut done = 0;
        while done < count {
            let len = (walk.segment - (at + done) % walk.segment).min(count - done);
            let (place, turn) = walk.place(at + done);
            let piece = &bytes[done * size..(done + len) * size];
            if walk.reduces_segment {
                accumulator.fold(place, piece);
            } else {
                accumulator.join(place, turn, piece);
            }
            done += len;
        }
    }
}
