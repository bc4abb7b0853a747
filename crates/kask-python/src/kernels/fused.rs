//! Fused chains of array operations on NumPy arrays, through the buffer protocol and without the GIL.

use super::arrays::Memory;
use super::numpy_loop::NumpyLoop;
use super::to_python;
use kask_kernels::fused::{Constant, Kernel, Kind, Op, Reduction, Source, Step, View, ViewMut, Watched};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::Arc;

/// A step: its name, the type of its operands, these, and what more it needs.
type Described<'py> = (String, String, Vec<(String, usize)>, Bound<'py, PyAny>);

/// A compiled chain: see `python/kask/expr/fused.py`, which makes it.
#[pyclass(module = "kask._kask", frozen)]
pub struct FusedKernel {
    kernel: Kernel,
}

#[pymethods]
impl FusedKernel {
    /// `constants` are pairs of a type and bytes; `steps` are (name, type, operands, more), where an operand is ("input" or
    /// "constant" or "step", number), and `more` the type to cast to, or (ufunc, number of its loop, types of its operands and result).
    #[new]
    fn new(
        inputs: Vec<String>,
        constants: Vec<(String, Vec<u8>)>,
        steps: Vec<Described<'_>>,
        reduction: Option<&str>,
    ) -> PyResult<FusedKernel> {
        let inputs = inputs.iter().map(|name| kind(name)).collect::<PyResult<Vec<_>>>()?;
        let constants = constants.iter().map(|(name, bytes)| Constant::new(kind(name)?, bytes).map_err(to_python));
        let constants = constants.collect::<PyResult<Vec<_>>>()?;
        let steps = steps.iter().map(|(name, of, args, more)| {
            let args = args.iter().map(|(what, index)| source(what, *index)).collect::<PyResult<Vec<_>>>()?;
            Ok(Step { op: op(name, more)?, kind: kind(of)?, args })
        });
        let steps = steps.collect::<PyResult<Vec<_>>>()?;
        let reduction = reduction.map(self::reduction).transpose()?;
        Ok(FusedKernel { kernel: Kernel::new(inputs, constants, steps, reduction).map_err(to_python)? })
    }

    /// Runs on arrays whose shapes broadcast, into new arrays: of the broadcast shape, or with one element along `axes`, which are
    /// reduced. False when one of the flags that are watched (divide, over, under, invalid) was raised.
    fn run(
        &self,
        py: Python<'_>,
        arrays: Vec<Bound<'_, PyAny>>,
        outputs: Vec<Bound<'_, PyAny>>,
        axes: Vec<usize>,
        watched: (bool, bool, bool, bool),
    ) -> PyResult<bool> {
        let exports = arrays.iter().map(PyUntypedBuffer::get).collect::<PyResult<Vec<_>>>()?;
        let targets = outputs.iter().map(PyUntypedBuffer::get).collect::<PyResult<Vec<_>>>()?;
        if targets.iter().any(PyUntypedBuffer::readonly) {
            return Err(PyValueError::new_err("what a kernel writes to must be writable"));
        }
        let shape = broadcast(&exports)?;
        if axes.iter().any(|&axis| axis >= shape.len()) {
            return Err(PyValueError::new_err(format!("there is an axis among {axes:?} that {shape:?} does not have")));
        }
        let reduced: Vec<bool> = (0..shape.len()).map(|axis| axes.contains(&axis)).collect();
        let inputs: Vec<(Memory, Vec<isize>)> =
            exports.iter().map(|export| (Memory::of(export), stretched(export, &shape))).collect();
        let mut results = Vec::with_capacity(targets.len());
        for target in &targets {
            let expected = shape.iter().zip(&reduced).map(|(&len, &is_reduced)| if is_reduced { 1 } else { len });
            if !expected.eq(target.shape().iter().copied()) {
                let given = target.shape();
                return Err(PyValueError::new_err(format!("{given:?} is not the shape of what comes of {shape:?}")));
            }
            results.push((Memory::of(target), stretched(target, &shape)));
        }
        let watched = Watched::new(watched.0, watched.1, watched.2, watched.3);
        let (kernel, shape, reduced) = (&self.kernel, &shape, &reduced);
        let done = py.detach(move || {
            let inputs: Vec<View<'_>> = inputs
                .iter()
                .map(|(memory, strides)| View::new(memory.as_slice(), memory.origin, strides.clone()))
                .collect();
            let mut views = Vec::with_capacity(results.len());
            for (memory, strides) in &mut results {
                let origin = memory.origin;
                views.push(ViewMut::new(memory.as_mut_slice(), origin, strides.clone()));
            }
            kernel.run(shape, reduced, &inputs, &mut views, watched)
        });
        for export in exports.into_iter().chain(targets) {
            export.release(py);
        }
        done.map_err(to_python)
    }
}

/// The shape that arrays broadcast to.
fn broadcast(exports: &[PyUntypedBuffer]) -> PyResult<Vec<usize>> {
    let ndim = exports.iter().map(PyUntypedBuffer::dimensions).max().unwrap_or(0);
    let mut shape = vec![1; ndim];
    for export in exports {
        for (len, &own) in shape.iter_mut().rev().zip(export.shape().iter().rev()) {
            if *len == 1 {
                *len = own;
            } else if own != 1 && own != *len {
                let own = export.shape();
                return Err(PyValueError::new_err(format!(
                    "the shape {own:?} does not broadcast with those before it"
                )));
            }
        }
    }
    Ok(shape)
}

/// Strides along the axes of a broadcast shape: 0 where there is one element for many, or no axis.
fn stretched(export: &PyUntypedBuffer, shape: &[usize]) -> Vec<isize> {
    let skipped = shape.len() - export.dimensions();
    let own = export.shape().iter().zip(export.strides());
    let own = own.map(|(&len, &stride)| if len == 1 { 0 } else { stride });
    std::iter::repeat_n(0, skipped).chain(own).collect()
}

fn kind(name: &str) -> PyResult<Kind> {
    match name {
        "bool" => Ok(Kind::Bool),
        "int32" => Ok(Kind::I32),
        "int64" => Ok(Kind::I64),
        "float32" => Ok(Kind::F32),
        "float64" => Ok(Kind::F64),
        other => Err(PyValueError::new_err(format!("kernels know no elements of type {other}"))),
    }
}

fn source(what: &str, index: usize) -> PyResult<Source> {
    match what {
        "input" => Ok(Source::Input(index)),
        "constant" => Ok(Source::Constant(index)),
        "step" => Ok(Source::Step(index)),
        other => Err(PyValueError::new_err(format!("an operand is an input, a constant or a step, not {other:?}"))),
    }
}

fn op(name: &str, more: &Bound<'_, PyAny>) -> PyResult<Op> {
    Ok(match name {
        "add" => Op::Add,
        "subtract" => Op::Subtract,
        "multiply" => Op::Multiply,
        "divide" => Op::Divide,
        "negative" => Op::Negative,
        "absolute" => Op::Absolute,
        "square" => Op::Square,
        "sqrt" => Op::Sqrt,
        "equal" => Op::Equal,
        "not_equal" => Op::NotEqual,
        "less" => Op::Less,
        "less_equal" => Op::LessEqual,
        "greater" => Op::Greater,
        "greater_equal" => Op::GreaterEqual,
        "and" => Op::And,
        "or" => Op::Or,
        "xor" => Op::Xor,
        "not" => Op::Not,
        "where" => Op::Where,
        "cast" => Op::Cast(kind(&more.extract::<String>()?)?),
        "loop" => {
            let (ufunc, index, kinds): (Bound<'_, PyAny>, usize, Vec<String>) = more.extract()?;
            let kinds = kinds.iter().map(|name| kind(name)).collect::<PyResult<Vec<_>>>()?;
            let sizes = kinds.iter().map(|kind| kind.size() as isize).collect();
            let unit = NumpyLoop::of(&ufunc, index, sizes)?;
            let (&result, operands) =
                kinds.split_last().ok_or_else(|| PyValueError::new_err("a loop has at least a result"))?;
            Op::Loop(Arc::new(unit), operands.into(), result)
        }
        other => return Err(PyValueError::new_err(format!("kernels have no operation {other:?}"))),
    })
}

fn reduction(name: &str) -> PyResult<Reduction> {
    match name {
        "sum" => Ok(Reduction::Sum),
        "prod" => Ok(Reduction::Product),
        "min" => Ok(Reduction::Min),
        "max" => Ok(Reduction::Max),
        "any" => Ok(Reduction::Any),
        "all" => Ok(Reduction::All),
        "moments" => Ok(Reduction::Moments),
        other => Err(PyValueError::new_err(format!("kernels have no reduction {other:?}"))),
    }
}
