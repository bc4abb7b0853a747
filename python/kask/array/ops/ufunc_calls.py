"""Calling ufuncs on arrays: results of several arrays, ``where=``, ``out=``, ``dtype=``, and the methods that ufuncs have."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, as_expr, demand_kask_out, is_array_like, wrap
from kask.array.kernels import ufuncs as kernels
from kask.array.node import ArrayExpr
from kask.array.ops.blocks import Blocks
from kask.array.ops.creation import Filled
from kask.array.ops.elementwise import Elementwise, elementwise, unified
from kask.array.ops.mapped import cut_whole
from kask.array.ops.reductions import reduced
from kask.engine import Chunks

__all__ = [
    "as_operand",
    "call_ufunc",
    "elementwise_of",
    "is_lazy",
    "mapped_to_several",
    "replace",
    "stand_in",
    "ufunc_accumulate",
    "ufunc_outer",
    "ufunc_reduce",
    "ufunc_reduceat",
]

#: Ufuncs that may be applied to parts first.
_ASSOCIATIVE = frozenset(
    [
        "add",
        "multiply",
        "maximum",
        "minimum",
        "fmax",
        "fmin",
        "logical_and",
        "logical_or",
        "logical_xor",
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "gcd",
        "lcm",
        "logaddexp",
        "logaddexp2",
        "hypot",
    ]
)
_NO_VALUE = np._NoValue


def is_lazy(*args: Any) -> bool:
    """Whether one of them is an array of Kask."""
    return any(isinstance(arg, ArrayBase) for arg in args)


def as_operand(x: Any) -> Any:
    """As :func:`as_expr`; what is neither an array nor a sequence (dates, strings, decimals) stays what it is, too."""
    if (
        isinstance(x, ArrayBase | list | tuple)
        or is_array_like(x)
        or (hasattr(x, "__array__") and not isinstance(x, np.generic))
    ):
        return as_expr(x)
    return x


def elementwise_of(func: Callable[..., Any], *args: Any, made: Any = None, **kwargs: Any) -> Elementwise:
    """:func:`~kask.array.ops.elementwise.elementwise` of what users give; at least one argument is made an array.
    ``made`` is the type of the result, where it is known."""
    exprs, chunks = _operands(args)
    if made is not None:
        return elementwise(func, *exprs, dtype=made, **kwargs)
    with np.errstate(all="ignore"):
        found = func(*[stand_in(arg) for arg in exprs], **kwargs)
    return Elementwise(func, tuple(exprs), tuple(sorted(kwargs.items())), chunks, _sized(found, chunks.ndim))


def mapped_to_several(func: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Elementwise]:
    """The same of a function that makes a tuple of each block: an expression for each of the results."""
    exprs, chunks = _operands(args)
    with np.errstate(all="ignore"):
        found = func(*[stand_in(arg) for arg in exprs], **kwargs)
    metas = [_sized(meta, chunks.ndim) for meta in found]
    # The blocks of this expression are tuples, which only ``pick`` reads; its type says how many bytes they have.
    meta = np.zeros((0,) * chunks.ndim, [(f"f{which}", meta.dtype) for which, meta in enumerate(metas)])
    several = Elementwise(func, tuple(exprs), tuple(sorted(kwargs.items())), chunks, meta)
    return [
        _Picked(kernels.pick, (several, which), (), chunks, meta, f"{several.label}_{which}")
        for which, meta in enumerate(metas)
    ]


def _operands(args: tuple[Any, ...]) -> tuple[list[Any], Chunks]:
    """What users give, arrays cut alike, and the chunks of the result."""
    exprs = [as_operand(arg) for arg in args]
    if not any(isinstance(arg, ArrayExpr) for arg in exprs):
        exprs[0] = as_array(args[0]).expr
    ready, chunks = unified([arg for arg in exprs if isinstance(arg, ArrayExpr)])
    replaced = iter(ready)
    return [next(replaced) if isinstance(arg, ArrayExpr) else arg for arg in exprs], chunks


def stand_in(arg: Any) -> Any:
    """What stands for an argument when only types matter."""
    if not isinstance(arg, ArrayExpr):
        return arg
    if arg.ndim == 0 and arg.dtype.hasobject:
        return np.zeros((), arg.dtype)
    return arg.meta


def _sized(meta: Any, ndim: int) -> Any:
    """A meta with this number of axes. What has no axes is 0, so that equal work has equal tokens."""
    if not hasattr(meta, "dtype"):
        meta = np.asarray(meta, object)
    if ndim == 0:
        return np.zeros((), meta.dtype)
    return meta if meta.shape == (0,) * ndim else np.empty_like(meta, shape=(0,) * ndim)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class _Picked(Elementwise):
    """Printed with the name of the function that makes the tuple."""

    label_: str = ""

    @property
    def label(self) -> str:
        return self.label_


def call_ufunc(func: Any, *inputs: Any, out: Any = None, where: Any = True, **kwargs: Any) -> Any:
    """The array, or the tuple of arrays, that a ufunc makes of these. ``func`` has ``nin`` and ``nout``."""
    kwargs = _checked(func, kwargs)
    outs = _outs(out, func.nout)
    if where is not True:
        results = [wrap(expr) for expr in _where_true(func, inputs, where, outs, kwargs)]
    else:
        results = [wrap(expr) for expr in _all_mapped(func, *inputs, **kwargs)]
    casting = kwargs.get("casting", "same_kind")
    done = [result if target is None else replace(target, result, casting) for target, result in zip(outs, results)]
    return done[0] if func.nout == 1 else tuple(done)


def _all_mapped(func: Any, *args: Any, **kwargs: Any) -> list[Elementwise]:
    return [elementwise_of(func, *args, **kwargs)] if func.nout == 1 else mapped_to_several(func, *args, **kwargs)


def _checked(func: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keywords of ufuncs that change the result; the others of NumPy's are accepted."""
    taken = {}
    for name, value in kwargs.items():
        if name not in ("dtype", "casting", "order", "subok", "sig", "signature"):
            raise TypeError(f"{func.__name__}() got an unexpected keyword argument {name!r}")
        if name in ("order", "subok") or value is None:
            continue
        taken[name] = np.dtype(value) if name == "dtype" else value
    return taken


def _outs(out: Any, nout: int) -> tuple[Any, ...]:
    outs = (None,) * nout if out is None else out if isinstance(out, tuple) else (out,)
    if len(outs) != nout:
        raise ValueError(f"out= has {len(outs)} arrays, the function has {nout} results")
    for one in outs:
        if one is not None:
            demand_kask_out(one)
    return outs


def _where_true(func: Any, inputs: tuple, where: Any, outs: tuple, kwargs: dict[str, Any]) -> list[Elementwise]:
    metas = [expr.meta for expr in _all_mapped(func, *inputs, **kwargs)]
    dtypes = tuple([meta.dtype if old is None else old.dtype for meta, old in zip(metas, outs)])
    for meta, dtype in zip(metas, dtypes):
        _demand_cast(meta.dtype, dtype, kwargs.get("casting", "same_kind"))
    masked = kernels.MaskedUfunc(func, dtypes, tuple([old is not None for old in outs]), kwargs)
    mask = where if isinstance(where, ArrayBase) else np.asarray(where)
    if mask.dtype != bool:
        raise TypeError(f"where= must be an array of bool, got {mask.dtype}")
    return _all_mapped(masked, *inputs, mask, *[old for old in outs if old is not None])


def _demand_cast(source: np.dtype, target: np.dtype, casting: Any) -> None:
    if not np.can_cast(source, target, casting):
        raise TypeError(
            f"a result of type {source} cannot be put into an array of type {target} with casting {casting!r}"
        )


def replace(target: Any, result: Any, casting: Any = "same_kind") -> Any:
    """Makes ``target`` the array that ``result`` is, in its own shape and type; what ``out=`` does.

    Raises
    ------
    ValueError
        Shapes that do not fit.
    TypeError
        A target that is no Kask array, or types that ``casting`` forbids.
    """
    (target,) = target if isinstance(target, tuple) else (target,)
    demand_kask_out(target)
    _demand_cast(result.dtype, target.dtype, casting)
    expr = result.expr
    if result.shape != target.shape:
        try:
            fits = np.broadcast_shapes(result.shape, target.shape) == target.shape
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(f"out= has the shape {target.shape}, the result has {result.shape}")
        wider = Filled(False, target.expr.chunks, np.zeros((0,) * target.ndim, bool))
        expr = elementwise_of(kernels.stretched, wrap(expr), wrap(wider))
    if expr.dtype != target.dtype:
        expr = elementwise_of(kernels.cast, wrap(expr), target.dtype, "unsafe", made=target.dtype)
    target.expr = expr
    return target


def ufunc_outer(func: Any, a: Any, b: Any, **kwargs: Any) -> Any:
    """``func`` of all pairs: an array with the axes of ``a`` and then those of ``b``."""
    if func.nin != 2 or func.nout != 1:
        raise ValueError(f"outer is for functions of two arguments with one result, {func.__name__} is not one")
    left, right = as_array(a).expr, as_array(b).expr
    kernel = kernels.Outer(func, _checked(func, kwargs))
    with np.errstate(all="ignore"):
        meta = kernel(stand_in(left), stand_in(right))
    chunks = Chunks.join([left.chunks, right.chunks])
    reads = (tuple(range(left.ndim)), tuple(range(left.ndim, chunks.ndim)))
    return wrap(Blocks(kernel, (left, right), reads, chunks, _sized(meta, chunks.ndim), kernel.__name__))


def ufunc_reduce(
    func: Any,
    array: Any,
    axis: Any = 0,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = _NO_VALUE,
    where: Any = True,
) -> Any:
    """``func.reduce``: in a tree of partial results where ``func`` is associative; otherwise the axis is made one block."""
    expr = as_array(array).expr
    axes = _axes(axis, expr.ndim)
    sample = func.reduce(np.ones_like(stand_in(expr), shape=(1,) * expr.ndim), axis=axes, dtype=dtype)
    # Of objects one element is no array.
    result_dtype = getattr(sample, "dtype", np.dtype(object))
    has_initial = initial is not _NO_VALUE and initial is not None
    if where is not True:
        identity = func.identity if func.identity is not None else initial if has_initial else None
        if identity is None:
            raise ValueError(f"{func.__name__} has no identity: where= needs initial=")
        expr = elementwise_of(np.where, where, wrap(expr), identity)
    is_empty = any(expr.shape[axis] == 0 for axis in axes)
    if is_empty and not has_initial:
        if func.identity is None:
            raise ValueError(
                f"{func.__name__} of no elements has no value: axis {axis} of shape {expr.shape}; give initial="
            )
        initial, has_initial = func.identity, True
    if func.__name__ not in _ASSOCIATIVE or type(func) is not np.ufunc or is_empty:
        options = {"axis": axes, "dtype": dtype, "keepdims": keepdims}
        if has_initial:
            options["initial"] = initial
        result = _on_one_block(func, "reduce", expr, axes, keepdims, result_dtype, options)
    else:
        finish = kernels.FinishReduction(func, (initial,) if has_initial else (), result_dtype)
        part = kernels.ReducePart(func, np.dtype(dtype) if dtype is not None else None)
        result = wrap(reduced(expr, part, kernels.CombineParts(func), finish, axes, finish.dtype, keepdims=keepdims))
    return result if out is None else replace(out, result)


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    if ndim == 0 and axis in (0, -1):
        return ()
    axes = axis if isinstance(axis, tuple) else (axis,)
    return tuple(np.lib.array_utils.normalize_axis_tuple(axes, ndim, "axis"))


def _on_one_block(
    func: Any, method: str, expr: ArrayExpr, axes: tuple[int, ...], keepdims: bool, dtype: Any, options: dict[str, Any]
) -> Any:
    """A method of a ufunc on an array whose ``axes`` are made one block."""
    expr = cut_whole(expr, axes)
    kept = [axis for axis in range(expr.ndim) if axis not in axes or keepdims]
    ones = [Chunks.whole([1]) if axis in axes else expr.chunks.axis(axis) for axis in kept]
    reads = tuple([kept.index(a) if a in kept and a not in axes else ("fixed", 0) for a in range(expr.ndim)])
    kernel = kernels.OneBlock(func, method, options)
    meta = _sized(np.empty_like(expr.meta, dtype=dtype), len(kept))
    return wrap(Blocks(kernel, (expr,), (reads,), Chunks.join(ones), meta, kernel.__name__))


def ufunc_accumulate(func: Any, array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
    """``func.accumulate``: scans for sums and products; otherwise the axis is made one block."""
    import kask.array as ka

    x = as_array(array)
    if x.ndim == 0:
        raise TypeError("accumulate needs an array with axes")
    (axis,) = _axes(axis, x.ndim)
    scan = getattr(ka, {"add": "cumsum", "multiply": "cumprod"}.get(func.__name__, ""), None)
    if scan is not None:
        result = scan(x, axis=axis, dtype=dtype)
    else:
        expr = x.expr
        whole = cut_whole(expr, (axis,))
        kernel = kernels.OneBlock(func, "accumulate", {"axis": axis, "dtype": dtype})
        with np.errstate(all="ignore"):
            meta = kernel(np.ones_like(stand_in(expr), shape=(1,) * x.ndim))[(slice(0, 0),) * x.ndim]
        reads = (tuple(range(x.ndim)),)
        result = wrap(Blocks(kernel, (whole,), reads, whole.chunks, meta, kernel.__name__))
    return result if out is None else replace(out, result)


def ufunc_reduceat(func: Any, array: Any, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
    """``func.reduceat``, for which the axis is made one block. ``indices`` must be in memory."""
    expr = as_array(array).expr
    (axis,) = _axes(axis, expr.ndim)
    if isinstance(indices, ArrayBase):
        raise TypeError("indices of reduceat() must be known before: compute them")
    places = np.asarray(indices)
    if places.ndim != 1 or places.dtype.kind not in "iu":
        raise TypeError(
            f"indices of reduceat() must be integers along one axis, got {places.dtype} of shape {places.shape}"
        )
    length = expr.shape[axis]
    if places.size and not 0 <= places.min() <= places.max() < length:
        raise IndexError(f"indices of reduceat() must be from 0 to {length - 1}, got {places.min()} to {places.max()}")
    whole = cut_whole(expr, (axis,))
    kernel = kernels.OneBlock(func, "reduceat", {"indices": places, "axis": axis, "dtype": dtype})
    sample = func.reduceat(np.ones_like(stand_in(expr), shape=(1,) * expr.ndim), [0], axis=axis, dtype=dtype)
    chunks = whole.chunks.replace(axis, Chunks.whole([places.size]))
    meta = _sized(np.empty_like(expr.meta, dtype=sample.dtype), expr.ndim)
    result = wrap(Blocks(kernel, (whole,), (tuple(range(expr.ndim)),), chunks, meta, kernel.__name__))
    return result if out is None else replace(out, result)
