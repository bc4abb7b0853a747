//! A chain of elementwise operations, and perhaps a reduction of what comes out, in one pass over memory.
//!
//! A [`Kernel`] is a list of fully typed [`Step`]s. [`Kernel::run`] walks over the broadcast shape of its inputs in *tiles* of at most
//! [`TILE`] elements, which fit into the first cache with the registers that the steps write to; every step is a plain
//! loop over slices (`ops.rs`), compiled for several instruction sets (`level.rs`). Contiguous inputs are read where they lie, others are
//! gathered into a tile (`walk.rs`). A reduction takes each tile when it is done (`reduce.rs`).
//!
//! Results of `+ - * /`, comparisons and everything else that IEEE 754 or integer arithmetic defines are those of NumPy, bit for bit. Steps of
//! the kind [`Op::Loop`] call a function that the user of the kernel gives.
//!
//! NumPy warns of divisions by zero, overflows and invalid operations. The kernel does not: it stops when a status flag that it was told
//! to [watch](Watched) is raised, and its user does the work again in the way that warns.
//!
//! Where to start: `Kernel::run`, then `walk.rs`.

mod ahead;
mod arithmetic;
mod kinds;
mod level;
mod ops;
mod reduce;
mod status;
mod tile;
mod view;
mod walk;

pub use arithmetic::{Arithmetic, Second};
pub use kinds::Kind;
pub use ops::{Op, UnitLoop, Values};
pub use reduce::Reduction;
pub use status::Watched;
pub use view::{View, ViewMut};

use crate::error::KernelError;
use level::Level;
use walk::Walk;

/// Elements of a tile: a few of them fit into the first cache of a core.
pub const TILE: usize = 1536;

/// Where an operand of a step, or the value of a kernel, comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An input of the kernel.
    Input(usize),
    /// One of its constants.
    Constant(usize),
    /// The result of a step.
    Step(usize),
}

/// One operation on operands of one type (of [`Op::Where`]: a condition and two of that type).
#[derive(Clone)]
pub struct Step {
    /// What is done.
    pub op: Op,
    /// The type of the operands.
    pub kind: Kind,
    /// The operands.
    pub args: Vec<Source>,
}

/// A constant: its bytes as they lie in memory.
#[derive(Clone, Copy, Debug)]
pub struct Constant {
    kind: Kind,
    bytes: [u8; 8],
}

impl Constant {
    /// A constant of some type from its bytes, which must be as many as an element has.
    pub fn new(kind: Kind, value: &[u8]) -> Result<Constant, KernelError> {
        if value.len() != kind.size() {
            let (given, size) = (value.len(), kind.size());
            return Err(KernelError::Block(format!("a constant of {given} bytes was given where {size} are expected")));
        }
        let mut bytes = [0; 8];
        bytes[..value.len()].copy_from_slice(value);
        Ok(Constant { kind, bytes })
    }
}

/// Steps in order; the last one's result, or the only input, is stored or reduced.
///
/// ```
/// use kask_kernels::fused::{Kernel, Kind, Op, Source, Step, View, ViewMut, Watched};
/// let step = Step { op: Op::Multiply, kind: Kind::F64, args: vec![Source::Input(0), Source::Input(0)] };
/// let kernel = Kernel::new(vec![Kind::F64], vec![], vec![step], None)?;
/// let numbers = [1.0_f64, 2.0, 3.0].map(f64::to_ne_bytes).concat();
/// # let mut room = [0_u64; 3];
/// # // Memory of elements must be aligned as they are.
/// # let source = [1.0_f64, 2.0, 3.0].map(f64::to_bits);
/// # let numbers: &[u8] = unsafe { source.align_to::<u8>().1 };
/// # let squares: &mut [u8] = unsafe { room.align_to_mut::<u8>().1 };
/// let input = View::new(numbers, 0, vec![8]);
/// let output = ViewMut::new(squares, 0, vec![8]);
/// assert!(kernel.run(&[3], &[false], &[input], &mut [output], Watched::default())?);
/// assert_eq!(f64::from_bits(room[2]), 9.0);
/// # Ok::<(), kask_kernels::KernelError>(())
/// ```
pub struct Kernel {
    inputs: Vec<Kind>,
    constants: Vec<Constant>,
    steps: Vec<Step>,
    reduction: Option<Reduction>,
    /// The register that each step writes to.
    registers: Vec<usize>,
    count: usize,
}

impl Kernel {
    /// Checks that each step has operands of its type, and gives it a register that no living value is in.
    pub fn new(
        inputs: Vec<Kind>,
        constants: Vec<Constant>,
        steps: Vec<Step>,
        reduction: Option<Reduction>,
    ) -> Result<Kernel, KernelError> {
        let mut kernel = Kernel { inputs, constants, steps, reduction, registers: Vec::new(), count: 0 };
        if kernel.steps.is_empty() && (kernel.reduction.is_none() || kernel.inputs.len() != 1) {
            return Err(KernelError::Block("a kernel without steps reduces one input".to_owned()));
        }
        for (at, step) in kernel.steps.iter().enumerate() {
            kernel.check(at, step)?;
        }
        if let Some(reduction) = kernel.reduction {
            reduction.check(kernel.kind_of(kernel.value()))?;
        }
        kernel.steps = arithmetic::paired(kernel.steps);
        kernel.allocate();
        Ok(kernel)
    }

    fn check(&self, at: usize, step: &Step) -> Result<(), KernelError> {
        if !step.op.takes(step.kind) || step.args.len() != step.op.arity() {
            let (op, kind, given) = (&step.op, step.kind, step.args.len());
            return Err(KernelError::Block(format!(
                "step {at} cannot be: {op:?} of {given} operands of type {kind:?}"
            )));
        }
        for (place, &arg) in step.args.iter().enumerate() {
            let exists = match arg {
                Source::Input(index) => index < self.inputs.len(),
                Source::Constant(index) => index < self.constants.len(),
                Source::Step(index) => index < at,
            };
            let wanted = step.op.operand_kind(place, step.kind);
            if !exists || self.kind_of(arg) != wanted {
                return Err(KernelError::Block(format!(
                    "operand {place} of step {at} is not a value of type {wanted:?}"
                )));
            }
        }
        Ok(())
    }

    /// What is stored or reduced.
    fn value(&self) -> Source {
        match self.steps.len() {
            0 => Source::Input(0),
            count => Source::Step(count - 1),
        }
    }

    fn kind_of(&self, source: Source) -> Kind {
        match source {
            Source::Input(index) => self.inputs[index],
            Source::Constant(index) => self.constants[index].kind,
            Source::Step(index) => self.steps[index].op.result_kind(self.steps[index].kind),
        }
    }

    /// A register is free again after the last step that reads it; a step never writes where it reads.
    fn allocate(&mut self) {
        let mut last_use: Vec<usize> = (0..self.steps.len()).collect();
        for (at, step) in self.steps.iter().enumerate() {
            for arg in &step.args {
                if let Source::Step(index) = *arg {
                    last_use[index] = at;
                }
            }
        }
        let mut free: Vec<usize> = Vec::new();
        for at in 0..self.steps.len() {
            let register = free.pop().unwrap_or_else(|| {
                self.count += 1;
                self.count - 1
            });
            self.registers.push(register);
            let dying = (0..at).filter(|&index| last_use[index] == at);
            free.extend(dying.map(|index| self.registers[index]));
            if last_use[at] == at && at + 1 < self.steps.len() {
                free.push(register);
            }
        }
    }

    /// Runs the kernel over arrays of one broadcast shape: inputs and outputs have a stride for each axis, 0 where they are stretched or
    /// reduced. Outputs are one array, or of [`Reduction::Moments`] the mean and the sum of squared deviations.
    ///
    /// False when a watched flag was raised: the outputs then hold nothing of use.
    pub fn run(
        &self,
        shape: &[usize],
        reduced: &[bool],
        inputs: &[View<'_>],
        outputs: &mut [ViewMut<'_>],
        watched: Watched,
    ) -> Result<bool, KernelError> {
        let wanted = self.reduction.map_or(1, Reduction::outputs);
        if inputs.len() != self.inputs.len() || outputs.len() != wanted || reduced.len() != shape.len() {
            let (given, made) = (inputs.len(), outputs.len());
            return Err(KernelError::Block(format!(
                "{given} inputs and {made} outputs were given to a kernel of {} and {wanted}",
                self.inputs.len()
            )));
        }
        if self.reduction.is_none() && reduced.contains(&true) {
            return Err(KernelError::Block("a kernel without a reduction reduces no axes".to_owned()));
        }
        for (view, kind) in inputs.iter().zip(&self.inputs) {
            view.check(shape, kind.size())?;
        }
        let kind = self.kind_of(self.value());
        let stored = self.reduction.map_or(kind, |reduction| reduction.result_kind(kind));
        for output in outputs.iter() {
            output.check(shape, stored.size(), reduced)?;
        }
        if shape.contains(&0) {
            return Err(KernelError::Block("a kernel needs at least one element".to_owned()));
        }
        let first_size = self.inputs.first().map(|kind| kind.size());
        let walk = Walk::new(shape, reduced, inputs, outputs, first_size, self.reduction.is_some());
        Ok(tile::Runner::new(self, &walk, Level::here(), watched).run(inputs, outputs))
    }
}

#[cfg(test)]
mod tests;
