"""Chains of elementwise steps, and perhaps a reduction of what comes out, as one kernel in Rust.

A *run* is a row of steps of a program of which only the last result is needed afterwards. When it is first called with arrays of
some types, NumPy says in which types each step computes (NEP 50 included), and a ``FusedKernel`` is made of that. What a kernel cannot do, or
what is too small to be worth one, is left to NumPy; so is a block in which something has to be warned of.

Steps qualify that are ufuncs of NumPy with one result, ``where``, ``clip``, or functions with an attribute ``__kask_fused__``: ``"cast"``, or
a method that says of an array's type which reduction a block's part of it is: (its name, the type to compute in, and a function of the
results, the block's shape and the axes, or None where the result is the only array).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.engine import FusedKernel
from kask.expr.steps import Position, Step, Use

__all__ = ["Run", "runs_of"]

#: Smaller blocks are in the cache all the time.
_WORTH_FUSING = 1 << 13

_KINDS = {np.dtype(name).str: name for name in ("bool", "int32", "int64", "float32", "float64")}

#: Steps of the kernel's own, by the ufunc's name and the kinds of its operands; for all others NumPy's loops are called.
_OWN = {
    "add": ("add", "if"),
    "subtract": ("subtract", "if"),
    "multiply": ("multiply", "if"),
    "divide": ("divide", "f"),
    "negative": ("negative", "if"),
    "absolute": ("absolute", "if"),
    "square": ("square", "if"),
    "sqrt": ("sqrt", "f"),
    "equal": ("equal", "bif"),
    "not_equal": ("not_equal", "bif"),
    "less": ("less", "bif"),
    "less_equal": ("less_equal", "bif"),
    "greater": ("greater", "bif"),
    "greater_equal": ("greater_equal", "bif"),
    "bitwise_and": ("and", "bi"),
    "bitwise_or": ("or", "bi"),
    "bitwise_xor": ("xor", "bi"),
    "invert": ("not", "bi"),
    "logical_and": ("and", "b"),
    "logical_or": ("or", "b"),
    "logical_xor": ("xor", "b"),
    "logical_not": ("not", "b"),
}

_clip: np.ufunc = np._core.umath.clip  # type: ignore[attr-defined]


class _Unfit(Exception):
    """A kernel cannot do this."""


def _is_candidate(step: Step) -> bool:
    func, args = step.func, step.args
    if step.kwargs or any(type(arg) is Position for arg in args):
        return False
    if type(func) is np.ufunc:
        return func.nout == 1 and func.signature is None and getattr(np, func.__name__, None) is func
    return (func in (np.where, np.clip) and len(args) == 3) or hasattr(func, "__kask_fused__")


def _fused(step: Step) -> Any:
    """What the step's function says of itself."""
    return getattr(step.func, "__kask_fused__", None)


def _reduces(step: Step) -> bool:
    return callable(_fused(step))


def runs_of(inputs: int, steps: tuple[Step, ...]) -> dict[int, Run]:
    """The runs among the steps, by the first step of each."""
    found: dict[int, Run] = {}
    last_use = {arg.place: at for at, step in enumerate(steps) for arg in step.args if type(arg) is Use}
    begin = 0
    while begin < len(steps):
        end = begin
        while end < len(steps) and _is_candidate(steps[end]):
            end += 1
            if _reduces(steps[end - 1]):
                break
        after = max(end, begin + 1)
        while end > begin:
            first = begin
            while first < end and any(last_use.get(inputs + at, -1) >= end for at in range(first, end - 1)):
                first += 1
            if end - first > 1 or getattr(steps[first].func, "__kask_fuses_alone__", False):
                found[first] = Run(inputs, first, steps[first:end])
                end = first
            else:
                end -= 1
        begin = after
    return found


class Run:
    """Steps that one kernel can run.

    Parameters
    ----------
    inputs : int
        How many values come before the first step's of the program.
    first : int
        Which step of the program is the first.
    steps : tuple of Step
        The steps.
    """

    def __init__(self, inputs: int, first: int, steps: tuple[Step, ...]) -> None:
        self.steps, self.length, self.begin = steps, len(steps), inputs + first
        places = [arg.place for step in steps for arg in step.args if type(arg) is Use]
        #: The values that come from outside.
        self.places = tuple(dict.fromkeys([place for place in places if place < self.begin]))
        self.last = tuple([place for step in steps for place in step.last if place < self.begin])
        self.reduces = _reduces(steps[-1])
        #: What comes before the reduction.
        self._before = Run(inputs, first, steps[:-1]) if self.reduces and len(steps) > 2 else None
        self._kernels: dict[tuple[Any, ...], Any] = {}

    def __call__(self, values: list[Any]) -> Any:
        """The result of the last step, or NotImplemented."""
        arrays = [values[place] for place in self.places]
        for array in arrays:
            if type(array) is not np.ndarray or not array.flags.aligned:
                return NotImplemented
        if not arrays:
            return NotImplemented
        shape = arrays[0].shape
        if any(array.shape != shape for array in arrays):
            try:
                shape = np.broadcast_shapes(*[array.shape for array in arrays])
            except ValueError:
                return NotImplemented
        if math.prod(shape) < _WORTH_FUSING:
            return NotImplemented
        if self.reduces and self._keeps_all(shape):
            return self._of_each(values)
        # The buffer of an array without axes has no shape.
        arrays = [array if array.ndim else array.reshape(1) for array in arrays]
        kinds = tuple([array.dtype for array in arrays])
        try:
            compiled = self._kernels[kinds]
        except KeyError:
            compiled = self._kernels[kinds] = self._compiled(kinds)
        return NotImplemented if compiled is None else compiled(arrays, shape)

    def _keeps_all(self, shape: tuple[int, ...]) -> bool:
        """Whether nothing is reduced: each element is the only one of its kind."""
        args = self.steps[-1].args
        return len(args) == 2 and all(axis < len(shape) and shape[axis] == 1 for axis in args[1])

    def _of_each(self, values: list[Any]) -> Any:
        """What the reduction's function makes of what comes before it: it knows best what to do with single elements."""
        if self._before is None:
            return NotImplemented
        block = self._before(values)
        return block if block is NotImplemented else self.steps[-1].func(block, *self.steps[-1].args[1:])

    def _compiled(self, kinds: tuple[Any, ...]) -> _Compiled | None:
        try:
            return _Compiled(self, kinds)
        except (_Unfit, TypeError, ValueError, OverflowError):
            return None


class _Compiled:
    """A kernel, and how its results are made."""

    def __init__(self, run: Run, kinds: tuple[Any, ...]) -> None:
        listing = _Listing(dict(zip(run.places, kinds)))
        steps = run.steps[:-1] if run.reduces else run.steps
        for at, step in enumerate(steps):
            listing.add(run.begin + at, step)
        self.axes: tuple[int, ...] = ()
        self.finish: Callable[..., Any] | None = None
        self.outputs, name = 1, None
        self._sums: Any = None
        if run.reduces:
            use, self.axes = run.steps[-1].args
            described = _fused(run.steps[-1])(listing.dtype(use))
            if described is None or not self.axes:
                raise _Unfit
            name, self.dtype, self.finish = described
            listing.ends_with(use, self.dtype)
            self.outputs = 2 if name == "moments" else 1
            self._description = [_kind(dtype) for dtype in kinds], listing.constants, listing.steps
        else:
            self.dtype = listing.last_dtype
            if listing.last != ("step", len(listing.steps) - 1):
                raise _Unfit
        self.kernel = FusedKernel([_kind(dtype) for dtype in kinds], listing.constants, listing.steps, name)

    def __call__(self, arrays: list[Any], shape: tuple[int, ...]) -> Any:
        if self.axes:
            made_shape = tuple([1 if axis in self.axes else length for axis, length in enumerate(shape)])
            made = [np.empty(made_shape, self.dtype) for _ in range(self.outputs)]
        else:
            model = next((array for array in arrays if array.shape == shape), None)
            made = [np.empty(shape, self.dtype) if model is None else np.empty_like(model, self.dtype)]
        errors = np.geterr()
        watched = tuple([errors[name] != "ignore" for name in ("divide", "over", "under", "invalid")])
        if not self.kernel.run(arrays, made, list(self.axes), watched):
            return NotImplemented
        if self.outputs == 2 and np.isnan(made[0]).any():
            self._add_up(arrays, made[0], math.prod([shape[axis] for axis in self.axes]), watched)
        return made[0] if self.finish is None else self.finish(made, shape, self.axes)

    def _add_up(self, arrays: list[Any], means: Any, count: int, watched: tuple[bool, ...]) -> None:
        """Means that are not numbers, by sums: beside deviations from it no mean is infinite."""
        if self._sums is None:
            self._sums = FusedKernel(*self._description, "sum")
        totals = np.empty_like(means)
        self._sums.run(arrays, [totals], list(self.axes), watched)
        np.divide(totals, count, out=means, where=np.isnan(means))


class _Listing:
    """The steps of a kernel, as they are found."""

    def __init__(self, inputs: dict[int, Any]) -> None:
        self.values = {place: (("input", at), dtype) for at, (place, dtype) in enumerate(inputs.items())}
        self.constants: list[tuple[str, bytes]] = []
        self.steps: list[tuple[str, str, list[tuple[str, int]], Any]] = []
        self.last_dtype: Any = None
        self.last: tuple[str, int] | None = None
        self._casts: dict[tuple[tuple[str, int], str], tuple[str, int]] = {}

    def dtype(self, arg: Any) -> Any:
        """The type of an argument; Python's own for numbers without one."""
        if type(arg) is Use:
            return self.values[arg.place][1]
        if isinstance(arg, np.generic):
            return arg.dtype
        if type(arg) is bool:
            return np.dtype(np.bool_)
        if type(arg) in (int, float):
            return type(arg)
        raise _Unfit

    def add(self, place: int, step: Step) -> None:
        """One step of the program, whose result is the value ``place``."""
        func = step.func
        if type(func) is np.ufunc:
            source, dtype = self._ufunc(func, step.args)
        elif func is np.where:
            condition, *choices = step.args
            dtype = np.where(np.empty(0, np.bool_), *map(self._stand_in, choices)).dtype
            args = [self._operand(condition, np.dtype(np.bool_)), *[self._operand(arg, dtype) for arg in choices]]
            source = self._step("where", dtype, args)
        elif func is np.clip:
            dtype = np.clip(*map(self._stand_in, step.args)).dtype
            source = self._loop(_clip, [self._operand(arg, dtype) for arg in step.args], (dtype,) * 4)
        elif _fused(step) == "cast":
            arg, dtype, casting = step.args
            dtype = np.dtype(dtype)
            if not np.can_cast(self.dtype(arg), dtype, casting):
                raise _Unfit
            source = self._operand(arg, dtype)
        else:
            raise _Unfit
        self.values[place] = (source, dtype)
        self.last, self.last_dtype = source, dtype
        if source[0] != "step":
            raise _Unfit

    def ends_with(self, use: Any, dtype: Any) -> None:
        """What is reduced: the last step, or the only input."""
        source = self._operand(use, dtype)
        is_last = source == ("step", len(self.steps) - 1)
        if not is_last and (self.steps or len(self.values) != 1):
            raise _Unfit

    def _stand_in(self, arg: Any) -> Any:
        return np.empty(0, self.dtype(arg)) if type(arg) is Use else arg

    def _ufunc(self, func: np.ufunc, args: tuple[Any, ...]) -> tuple[tuple[str, int], Any]:
        dtypes = func.resolve_dtypes((*map(self.dtype, args), None))
        name, kinds = _OWN.get(func.__name__, ("", ""))
        if func is np.power and not _is_harmless(args[1], dtypes[0]):
            raise _Unfit
        if func is np.power and dtypes[0].kind == "f" and type(args[1]) in (int, float) and args[1] == 2:
            name, kinds, args = "square", "f", args[:1]
        operands = [self._operand(arg, dtype) for arg, dtype in zip(args, dtypes)]
        if name and all(dtype.kind in kinds and dtype == dtypes[0] for dtype in dtypes[: len(args)]):
            return self._step(name, dtypes[0], operands), dtypes[-1]
        return self._loop(func, operands, dtypes), dtypes[-1]

    def _step(self, name: str, dtype: Any, args: list[tuple[str, int]], more: Any = None) -> tuple[str, int]:
        self.steps.append((name, _kind(dtype), args, more))
        return "step", len(self.steps) - 1

    def _loop(self, func: np.ufunc, args: list[tuple[str, int]], dtypes: tuple[Any, ...]) -> tuple[str, int]:
        signature = f"{''.join([dtype.char for dtype in dtypes[:-1]])}->{dtypes[-1].char}"
        if signature not in func.types:
            raise _Unfit
        more = (func, func.types.index(signature), [_kind(dtype) for dtype in dtypes])
        return self._step("loop", dtypes[0], args, more)

    def _operand(self, arg: Any, dtype: Any) -> tuple[str, int]:
        """Where an argument is, in the type that a step computes in."""
        kind = _kind(dtype)
        if type(arg) is not Use:
            constant = np.asarray(arg).astype(dtype) if isinstance(arg, np.generic) else np.asarray(arg, dtype)
            if dtype.kind == "f" and np.isfinite(arg) and not np.isfinite(constant):
                raise _Unfit
            self.constants.append((kind, constant.tobytes()))
            return "constant", len(self.constants) - 1
        source, own = self.values[arg.place]
        if own == dtype:
            return source
        if (source, kind) not in self._casts:
            self._casts[source, kind] = self._step("cast", own, [source], kind)
        return self._casts[source, kind]


def _kind(dtype: Any) -> str:
    try:
        return _KINDS[dtype.str]
    except KeyError:
        raise _Unfit from None


def _is_harmless(exponent: Any, dtype: Any) -> bool:
    """Whether no power raises: NumPy refuses negative powers of integers."""
    return dtype.kind == "f" or (isinstance(exponent, int | np.integer) and bool(exponent >= 0))
