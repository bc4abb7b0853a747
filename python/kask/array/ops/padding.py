"""``pad``: an array with something around it, axis by axis as NumPy does."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.kernels import padding as kernels
from kask.array.kernels.reductions import itself
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.creation import Filled, indexed
from kask.array.ops.elementwise import elementwise
from kask.array.ops.filling import cast
from kask.array.ops.joining import concatenated
from kask.array.ops.mapped import cut_whole, mapped
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reductions import reduced
from kask.array.ops.reshaping import broadcast
from kask.array.ops.shaping import part
from kask.engine import Chunks

__all__ = ["pad"]

#: The options that each mode has.
_OPTIONS: dict[str, tuple[str, ...]] = {
    "constant": ("constant_values",),
    "edge": (),
    "empty": (),
    "linear_ramp": ("end_values",),
    "maximum": ("stat_length",),
    "mean": ("stat_length",),
    "median": ("stat_length",),
    "minimum": ("stat_length",),
    "reflect": ("reflect_type",),
    "symmetric": ("reflect_type",),
    "wrap": (),
}


def _as_pairs(value: Any, ndim: int, what: str, *, whole: bool = False) -> list[tuple[Any, Any]]:
    """Something for the front and the back of each axis, from a value, a pair, or pairs for all axes."""
    try:
        array = np.asarray(value)
        if whole:
            array = np.round(array).astype(np.intp, copy=False)
        return (
            [tuple(pair) for pair in np.broadcast_to(array, (ndim, 2)).tolist()]
            if whole
            else [tuple(pair) for pair in np.broadcast_to(array, (ndim, 2))]
        )
    except (TypeError, ValueError):
        raise ValueError(
            f"{what}={value!r} does not fit an array of {ndim} axes; give a value, a pair, or a pair for each"
        ) from None


def _widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, dict):
        widths = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            pair = (width, width) if np.ndim(width) == 0 else tuple(width)
            widths[np.lib.array_utils.normalize_axis_index(axis, ndim)] = (int(pair[0]), int(pair[1]))
    else:
        if np.asarray(pad_width).dtype.kind not in "iu":
            raise TypeError(f"pad_width={pad_width!r} must be whole numbers")
        widths = _as_pairs(pad_width, ndim, "pad_width", whole=True)
    if any(width < 0 for pair in widths for width in pair):
        raise ValueError(f"pad_width={pad_width!r}, but nothing can be taken away by padding")
    return widths


def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """The array with something around it.

    Parameters
    ----------
    array : array
        What is padded.
    pad_width : int, pair, sequence of pairs, or dict
        Elements in front of and behind each axis; a dict names axes.
    mode : str or callable
        ``"constant"``, ``"edge"``, ``"linear_ramp"``, ``"maximum"``, ``"mean"``, ``"median"``, ``"minimum"``, ``"reflect"``,
        ``"symmetric"``, ``"wrap"``, ``"empty"`` (which are zeros), or a function that writes to the margins of a line. ``"median"``
        and functions need whole lines in a block.
    **kwargs
        ``constant_values``, ``end_values``, ``stat_length``, ``reflect_type``, as for :func:`numpy.pad`; of a function, its own.

    Raises
    ------
    ValueError
        An unknown mode, an option that the mode has not, or an empty axis that has nothing to be padded with.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.pad(ka.arange(3, chunks=2), (1, 2), "edge").compute()
    array([0, 0, 1, 2, 2, 2])
    """
    expr = as_array(array).expr
    widths = _widths(pad_width, expr.ndim)
    if callable(mode):
        return wrap(_by_function(expr, widths, mode, kwargs))
    if mode not in _OPTIONS:
        raise ValueError(f"mode={mode!r} is not one of {', '.join(_OPTIONS)}, or a function")
    unknown = [name for name in kwargs if name not in _OPTIONS[mode]]
    if unknown:
        raise ValueError(f"mode {mode!r} has no option {unknown[0]!r}")
    if mode not in ("constant", "empty") and 0 in expr.shape:
        for axis, (length, width) in enumerate(zip(expr.shape, widths)):
            if length == 0 and any(width):
                raise ValueError(
                    f"axis {axis} has no elements to be extended with mode {mode!r}; use 'constant' or 'empty'"
                )
    ends = _ends_of(mode, kwargs, expr.ndim)
    for axis, width in enumerate(widths):
        if any(width):
            expr = _padded(expr, axis, width, mode, ends[axis], kwargs)
    return wrap(expr)


def _ends_of(mode: str, kwargs: dict[str, Any], ndim: int) -> list[Any]:
    """What each axis's front and back are filled with, or made of."""
    if mode in ("constant", "linear_ramp"):
        name = "constant_values" if mode == "constant" else "end_values"
        value = kwargs.get(name, 0)
        if isinstance(value, ArrayBase) and value.ndim == 0:
            return [(value.expr, value.expr)] * ndim
        return _as_pairs(value, ndim, name)
    if "stat_length" in kwargs and kwargs["stat_length"] is not None:
        lengths = _as_pairs(kwargs["stat_length"], ndim, "stat_length", whole=True)
        if any(length < 0 for pair in lengths for length in pair):
            raise ValueError(f"stat_length={kwargs['stat_length']!r}, but a part has no fewer than 0 elements")
        if mode in ("maximum", "minimum") and any(0 in pair for pair in lengths):
            raise ValueError(f"stat_length={kwargs['stat_length']!r}, but mode {mode!r} needs one element at least")
        return lengths
    return [(None, None)] * ndim


def _padded(
    expr: ArrayExpr, axis: int, width: tuple[int, int], mode: str, ends: Any, kwargs: dict[str, Any]
) -> ArrayExpr:
    if mode in ("reflect", "symmetric", "wrap"):
        odd = kwargs.get("reflect_type", "even")
        if odd not in ("even", "odd"):
            raise ValueError(f"reflect_type={odd!r}, but it must be 'even' or 'odd'")
        return _periodic(expr, axis, width, mode, odd == "odd")
    sides: list[ArrayExpr | None] = []
    for side in (0, 1):
        if width[side]:
            sides.append(_side(expr, axis, width[side], side, mode, ends[side]))
        else:
            sides.append(None)
    return concatenated([side for side in (sides[0], expr, sides[1]) if side is not None], axis)


def _side(expr: ArrayExpr, axis: int, width: int, side: int, mode: str, end: Any) -> ArrayExpr:
    shape = (*expr.shape[:axis], width, *expr.shape[axis + 1 :])
    chunks = expr.chunks.replace(axis, [width])
    if mode == "empty":
        return Filled(np.zeros((), expr.dtype)[()], chunks, expr.meta)
    if mode == "constant":
        if isinstance(end, ArrayExpr):
            return broadcast(cast(end, expr.dtype), shape, chunks)
        return Filled(np.asarray(end).astype(expr.dtype)[()], chunks, expr.meta)
    length = expr.shape[axis]
    edge = part(expr, axis, 0 if side == 0 else length - 1, 1)
    if mode == "edge":
        return broadcast(edge, shape, chunks)
    if mode == "linear_ramp":
        line = Chunks.whole([width if place == axis else 1 for place in range(expr.ndim)])
        index = indexed(_along, (axis, width, side), line, np.intp, "ramp")
        level = elementwise(kernels.is_level, edge, end, width, dtype=bool)
        any_level = _tree(level, tuple(range(expr.ndim)), np.any, np.logical_or, bool, "is_level")
        return elementwise(kernels.ramp, index, edge, end, any_level, width, expr.dtype, dtype=expr.dtype)
    count = length if end is None else min(end, length)
    source = expr if count == length else part(expr, axis, 0 if side == 0 else length - count, count)
    return broadcast(_statistic(source, axis, mode), shape, chunks)


def _along(*vectors_and_place: Any) -> Any:
    *vectors, axis, width, side = vectors_and_place
    return vectors[axis] if side == 0 else width - 1 - vectors[axis]


def _part(block: Any, axes: tuple[int, ...], func: Callable[..., Any]) -> Any:
    return func(block, axis=axes, keepdims=True)


def _of_parts(parts: list[Any], func: Callable[..., Any]) -> Any:
    return functools.reduce(func, parts)


def _tree(source: ArrayExpr, axes: tuple[int, ...], func: Any, join: Any, dtype: Any, label: str) -> ArrayExpr:
    """A reduction that keeps the axes as axes of one element."""
    part_of, join_all = functools.partial(_part, func=func), functools.partial(_of_parts, func=join)
    return reduced(source, part_of, join_all, itself, axes, dtype, keepdims=True, label=label)


def _statistic(source: ArrayExpr, axis: int, mode: str) -> ArrayExpr:
    """One element of the axis: the maximum, minimum, mean or median of it."""
    dtype = source.dtype
    if mode == "median":
        whole = cut_whole(source, (axis,))
        meta = empty_meta(np.median(np.ones(1, dtype)).dtype, source.ndim, source.meta)
        chunks = whole.chunks.replace(axis, [1])
        middle = mapped(kernels.median, whole, constants=(axis,), chunks=chunks, meta=meta)
        return elementwise(kernels.as_type, middle, dtype, dtype=dtype)
    if source.shape[axis] == 0:
        return Filled(np.array(np.nan).astype(dtype)[()], source.chunks.replace(axis, [1]), source.meta)
    # A block without elements has no maximum; it is put to its neighbour.
    filled = source.chunks.axis(axis).slice([(0, 1, source.shape[axis])])
    source = rechunked(source, source.chunks.replace(axis, filled))
    func, join = {"maximum": (np.max, np.maximum), "minimum": (np.min, np.minimum), "mean": (np.sum, np.add)}[mode]
    kind = dtype if mode != "mean" else np.sum(np.ones(1, dtype)).dtype
    found = _tree(source, (axis,), func, join, kind, mode)
    if mode != "mean":
        return found
    return elementwise(kernels.mean_of_sum, found, source.shape[axis], dtype, dtype=dtype)


def _periodic(expr: ArrayExpr, axis: int, width: tuple[int, int], mode: str, odd: bool) -> ArrayExpr:
    """The array continued beyond its ends: run after run of it, forwards or, in a mirror, backwards."""
    length = expr.shape[axis]
    if mode == "reflect" and length == 1:
        # NumPy has nothing to mirror here and repeats the edge.
        return _padded(expr, axis, width, "edge", (None, None), {})
    # The edge is not repeated by "reflect": a run is one element shorter than the array.
    run_length = length - 1 if mode == "reflect" else length
    first, last = part(expr, axis, 0, 1), part(expr, axis, length - 1, 1)

    def runs(low: int, high: int) -> list[ArrayExpr]:
        """The elements at places from ``low`` to before ``high``, counted from the first of the array."""
        found = []
        while low < high:
            run, inside = divmod(low, run_length)
            count = min(high - low, run_length - inside)
            if mode == "wrap" or run % 2 == 0:
                piece = part(expr, axis, inside, count)
            else:
                piece = part(expr, axis, (length - 1) - inside, count, -1)
            if odd and mode != "wrap" and run:
                piece = elementwise(kernels.odd_reflection, piece, first, last, run, dtype=expr.dtype)
            found.append(piece)
            low += count
        return found

    front = runs(-width[0], 0)
    # What follows the last element: the run of "reflect" ends before it.
    back = runs(length, length + width[1])
    return concatenated([*front, expr, *back], axis)


def _by_function(
    expr: ArrayExpr, widths: list[tuple[int, int]], func: Callable[..., Any], kwargs: dict[str, Any]
) -> ArrayExpr:
    for axis, width in enumerate(widths):
        expr = _padded(expr, axis, width, "empty", (None, None), {}) if any(width) else expr
    for axis, width in enumerate(widths):
        whole, constants = cut_whole(expr, (axis,)), (func, axis, width, kwargs)
        expr = mapped(kernels.pad_lines, whole, constants=constants, chunks=whole.chunks, meta=expr.meta)
    return expr
