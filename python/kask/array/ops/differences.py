"""Differences of neighbours, gradients, and integrals and values between given points."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from kask import config
from kask.array.base import ArrayBase, as_array, wrap
from kask.array.kernels.interpolation import InterpolatedIn
from kask.array.kernels.products import PartAsItIs, add_parts
from kask.array.kernels.reductions import itself
from kask.array.kernels.scans import Gradient
from kask.array.node import ArrayExpr
from kask.array.ops.creation import Filled
from kask.array.ops.elementwise import elementwise
from kask.array.ops.filling import cast
from kask.array.ops.joining import concatenate, concatenated
from kask.array.ops.mapped import mapped, one_by_one
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reductions import normal_axes, reduced
from kask.array.ops.reshaping import broadcast, raveled
from kask.array.ops.slicing import sliced
from kask.engine import Chunks, Interval

__all__ = ["diff", "ediff1d", "gradient", "interp", "trapezoid"]


def _cut(array: ArrayExpr, axis: int, start: int, length: int) -> ArrayExpr:
    """Some neighbours along an axis."""
    taken = [(start, 1, length) if one == axis else (0, 1, whole) for one, whole in enumerate(array.shape)]
    return sliced(array, tuple(taken))


def _neighbours(array: ArrayExpr, axis: int) -> tuple[ArrayExpr, ArrayExpr]:
    """All elements but the first, and all but the last."""
    length = max(0, array.shape[axis] - 1)
    return _cut(array, axis, min(1, array.shape[axis]), length), _cut(array, axis, 0, length)


def _difference(array: ArrayExpr, axis: int) -> ArrayExpr:
    later, earlier = _neighbours(array, axis)
    func = np.not_equal if array.dtype == np.bool_ else np.subtract
    one = np.ones(1, array.dtype)
    return elementwise(func, later, earlier, dtype=func(one, one).dtype)


def _end(end: Any, array: ArrayExpr, axis: int) -> ArrayExpr | None:
    """What is put before or after the array."""
    if end is None or end is np._NoValue:
        return None
    end = as_array(end).expr
    if end.ndim == 0:
        shape = tuple([1 if one == axis else length for one, length in enumerate(array.shape)])
        return broadcast(end, shape, array.chunks.replace(axis, [1]))
    if end.ndim != array.ndim or any(a != b for one, (a, b) in enumerate(zip(end.shape, array.shape)) if one != axis):
        raise ValueError(
            f"an array of shape {end.shape} does not fit before or after one of shape {array.shape} along axis {axis}"
        )
    return end


def _with_ends(array: ArrayExpr, axis: int, before: ArrayExpr | None, after: ArrayExpr | None) -> ArrayExpr:
    parts = [wrap(part) for part in (before, array, after) if part is not None]
    return concatenate(parts, axis).expr


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along an axis.

    Parameters
    ----------
    a : array_like
        The array.
    n : int, optional
        How often differences are taken.
    axis : int, optional
        The axis.
    prepend, append : array_like, optional
        What is put before and after the array first.

    Returns
    -------
    Array
        With ``n`` elements less along the axis. Of booleans: whether neighbours differ.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.diff(ka.from_array([1, 4, 9, 16], chunks=2), prepend=0).compute()
    array([1, 3, 5, 7])
    """
    array = as_array(a).expr
    n = operator.index(n)
    if n == 0:
        return wrap(array)
    if n < 0:
        raise ValueError(f"n= must not be negative, but it is {n}")
    if array.ndim == 0:
        raise ValueError("diff requires input that is at least one dimensional")
    axis = normalize_axis_index(axis, array.ndim)
    array = _with_ends(array, axis, _end(prepend, array, axis), _end(append, array, axis))
    for _ in range(n):
        array = _difference(array, axis)
    return wrap(array)


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of neighbours of the flattened array.

    Parameters
    ----------
    ary : array_like
        The array.
    to_end, to_begin : array_like, optional
        What is put after and before the differences.

    Returns
    -------
    Array
        With one axis.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ediff1d(ka.from_array([1, 4, 9], chunks=2), to_end=[0, 0]).compute()
    array([3, 5, 0, 0])
    """
    array = raveled(as_array(ary).expr)
    later, earlier = _neighbours(array, 0)
    one = np.ones(1, array.dtype)
    result = elementwise(np.subtract, later, earlier, dtype=np.subtract(one, one).dtype)
    ends = [_beside(end, name, array.dtype) for end, name in ((to_begin, "to_begin"), (to_end, "to_end"))]
    return wrap(_with_ends(result, 0, *ends))


def _beside(end: Any, name: str, dtype: Any) -> ArrayExpr | None:
    if end is None:
        return None
    expr = raveled(as_array(end).expr)
    if not np.can_cast(expr.dtype, dtype, "same_kind"):
        raise TypeError(f"{name}= has the type {expr.dtype}, which cannot be cast to that of the array, {dtype}")
    return cast(expr, dtype)


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """The gradient, by second order accurate central differences, and by differences of order ``edge_order`` at the ends.

    Parameters
    ----------
    f : array_like
        The array.
    *varargs : scalar or array_like
        The distance of neighbours: one for all axes, or for each axis a distance or the places of the elements.
    axis : int or tuple of int, optional
        The axes; all of them if nothing is said.
    edge_order : {1, 2}, optional
        The order of accuracy at the ends.

    Returns
    -------
    Array or tuple of Array
        Of the shape of ``f``, one for each axis.

    Raises
    ------
    ValueError
        An axis with too few elements, or places that do not fit.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.gradient(ka.from_array([1.0, 2.0, 4.0, 7.0], chunks=2)).compute()
    array([1. , 1.5, 2.5, 3. ])
    """
    array = as_array(f).expr
    axes = normal_axes(None, array.ndim) if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, array.ndim)
    if edge_order not in (1, 2):
        raise ValueError(
            "'edge_order' greater than 2 not supported" if edge_order > 2 else "edge_order= must be 1 or 2"
        )
    if len(varargs) not in (0, 1, len(axes)):
        raise TypeError("invalid number of arguments")
    spacings = varargs if len(varargs) == len(axes) else (varargs or (1.0,)) * len(axes)
    if len(varargs) == 1 and len(axes) > 1 and np.ndim(varargs[0]) != 0:
        raise TypeError("invalid number of arguments")
    parts = tuple([_gradient(array, spacing, one, edge_order) for spacing, one in zip(spacings, axes)])
    return parts[0] if len(axes) == 1 else parts


def _gradient(array: ArrayExpr, spacing: Any, axis: int, edge_order: int) -> Any:
    length = array.shape[axis]
    if length < edge_order + 1:
        raise ValueError(
            "Shape of array too small to calculate a numerical gradient, at least (edge_order + 1) elements are required."
        )
    along = array.chunks.axis(axis)
    intervals = tuple(
        [
            Interval(
                array.chunks.axis(one), array.chunks.axis(one), 0, 1, *((edge_order,) * 2 if one == axis else (0, 0))
            )
            for one in range(array.ndim)
        ]
    )
    reads = [tuple([("interval", one, interval) for one, interval in enumerate(intervals)])]
    arrays, is_uneven = [array], False
    if isinstance(spacing, ArrayBase) or np.ndim(spacing) > 0:
        places = as_array(spacing).expr
        if places.ndim != 1:
            raise ValueError("distances must be either scalars or 1d")
        if places.shape[0] != length:
            raise ValueError("when 1d, distances must match the length of the corresponding dimension")
        if not isinstance(spacing, ArrayBase):
            # NumPy has another formula, with other last digits, where all distances are equal, not only those of a block.
            distances = np.diff(np.asarray(spacing))
            is_uneven = bool((distances != distances[0]).any())
        arrays.append(rechunked(places, along))
        reads.append((("interval", axis, intervals[axis]),))
        sample, spacing = np.arange(4.0).astype(places.dtype), None
        places_kind = places.dtype
    else:
        sample, places_kind = spacing, None
    with np.errstate(all="ignore"):
        one = np.ones(4, array.dtype)
        kind = np.gradient(one, np.arange(4).astype(places_kind) if places_kind is not None else sample).dtype
    return wrap(
        mapped(
            Gradient(intervals, array.chunks, axis, spacing, edge_order, kind, is_uneven),
            *arrays,
            reads=tuple(reads),
            chunks=array.chunks,
            dtype=kind,
            wants_position=True,
            label="gradient",
        )
    )


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral along an axis, by the trapezoidal rule.

    Parameters
    ----------
    y : array_like
        What is integrated.
    x : array_like, optional
        The places of the elements: with one axis, or of a shape that broadcasts with ``y``.
    dx : scalar, optional
        The distance of neighbours, where there is no ``x``.
    axis : int, optional
        The axis.

    Returns
    -------
    Array
        Without that axis.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.trapezoid(ka.from_array([1.0, 2.0, 3.0], chunks=2)).compute()
    np.float64(4.0)
    """
    from kask.array.ops.reductions_basic import sum as total_of

    array = as_array(y).expr
    axis = normalize_axis_index(axis, array.ndim)
    later, earlier = _neighbours(array, axis)
    distance: Any = dx
    if x is not None:
        places = as_array(x).expr
        if places.ndim == 1:
            distance = _lined_up(_difference(places, 0), axis, array.ndim)
        else:
            distance = _difference(places, normalize_axis_index(axis - array.ndim, places.ndim))
    elif isinstance(dx, ArrayBase) or np.ndim(dx) > 0:
        distance = as_array(dx).expr
    one = np.ones(1, array.dtype)
    step = np.ones(1, distance.dtype) if isinstance(distance, ArrayExpr) else distance
    kind = np.asarray(step * (one + one) / 2.0).dtype
    return total_of(wrap(elementwise(_trapezoids, distance, later, earlier, dtype=kind)), axis)


def _trapezoids(distance: Any, later: Any, earlier: Any) -> Any:
    return distance * (later + earlier) / 2.0


def _lined_up(line: ArrayExpr, axis: int, ndim: int) -> ArrayExpr:
    """An array of one axis as one of several, of which the others have one element."""
    chunks = Chunks.join([line.chunks if one == axis else Chunks.whole([1]) for one in range(ndim)])
    others = tuple([one for one in range(ndim) if one != axis])
    return mapped(np.expand_dims, line, reads=((axis,),), constants=(others,), chunks=chunks, dtype=line.dtype)


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """Values between given points, by straight lines.

    Parameters
    ----------
    x : array_like
        Where values are wanted.
    xp, fp : array_like
        The given points, in the order of ``xp``; with a ``period``, in any order. They are one block in each task, unless they are more than a
        block may be: then each block of them makes the values between its points.
    left, right : scalar, optional
        The values before the first and after the last point.
    period : float, optional
        The period of ``xp``.

    Returns
    -------
    Array
        Of the shape of ``x``.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.interp(ka.from_array([0.5, 1.5], chunks=1), [0, 1, 2], [0, 10, 30]).compute()
    array([ 5., 20.])
    """
    array = as_array(x).expr
    points = [as_array(one).expr for one in (xp, fp)]
    for name, one in zip(("xp", "fp"), points):
        if one.ndim != 1:
            raise ValueError(f"{name}= must have one axis, but its shape is {one.shape}")
    if points[0].shape != points[1].shape:
        raise ValueError(f"fp and xp are not of the same length: {points[1].shape[0]} and {points[0].shape[0]}")
    if points[0].shape[0] == 0:
        raise ValueError("array of sample points is empty")
    if period is not None and period == 0:
        raise ValueError("period must be a non-zero value")
    kind = np.complex128 if points[1].dtype.kind == "c" else np.float64
    if array.dtype.kind in "biuf" and _are_many(points):
        if period is not None:
            array, *points = _within_a_period(abs(period), array, *points)
            left = right = None
        return wrap(_interpolated_in_pieces(cast(array, np.float64), points[0], points[1], left, right, kind))
    whole = [rechunked(one, Chunks.whole(list(one.shape))) for one in points]
    return wrap(
        mapped(
            _interpolated,
            array,
            *whole,
            reads=(tuple(range(array.ndim)), (("fixed", 0),), (("fixed", 0),)),
            constants=(left, right, period),
            chunks=array.chunks,
            dtype=kind,
            label="interp",
        )
    )


def _are_many(points: list[ArrayExpr]) -> bool:
    """Whether points are numbers in several blocks, and too many for one."""
    size_bytes = sum([math.prod(one.shape) * one.dtype.itemsize for one in points])
    is_long = points[0].grid[0] > 1 and size_bytes > int(config.get("array.chunk_size_bytes"))
    return is_long and points[0].dtype.kind in "biuf" and points[1].dtype.kind in "biufc"


def _within_a_period(period: Any, x: ArrayExpr, xp: ArrayExpr, fp: ArrayExpr) -> list[ArrayExpr]:
    """All three for a function that is periodic: in the first period, with the points in order and one more of them at either end."""
    from kask.array.ops.sorting import argsort

    inside, places = [wrap(cast(one, np.float64)) % period for one in (x, xp)]
    order = argsort(places)
    places, values = places[order].expr, wrap(fp)[order].expr
    length = xp.shape[0]
    last, first = ((length - 1, 1, 1),), ((0, 1, 1),)
    before, after = (wrap(sliced(places, last)) - period).expr, (wrap(sliced(places, first)) + period).expr
    along = [
        concatenated([before, places, after], 0),
        concatenated([sliced(values, last), values, sliced(values, first)], 0),
    ]
    return [inside.expr, *along]


def _interpolated_in_pieces(
    array: ArrayExpr, xp: ArrayExpr, fp: ArrayExpr, left: Any, right: Any, dtype: Any
) -> ArrayExpr:
    """The values that each block of points, with the first point of the next one, makes of the elements between these, added up."""
    along = Chunks.unify([xp.chunks, fp.chunks]).slice([(0, 1, xp.shape[0])])
    xp, fp = [rechunked(one, along) for one in (xp, fp)]
    pieces = along.grid[0]
    ones = one_by_one(pieces)
    axes = tuple(range(1, array.ndim + 1))
    nexts = []
    for one in (xp, fp):
        firsts = mapped(_first, one, chunks=ones, dtype=one.dtype)
        end = Filled(0, one_by_one(1), one.meta)
        nexts.append(concatenated([sliced(firsts, ((1, 1, pieces - 1),)), end], 0))
    # Read by an interval, so that tasks do not read the whole next block for its first point.
    after = [(("interval", 0, Interval(one.chunks, ones)),) for one in nexts]
    rows = mapped(
        InterpolatedIn(left, right, pieces, dtype),
        array,
        xp,
        fp,
        *nexts,
        reads=(axes, (0,), (0,), *after),
        chunks=Chunks.join([ones, array.chunks]),
        dtype=dtype,
        wants_position=True,
        label="interp",
    )
    return reduced(rows, PartAsItIs("interp"), add_parts, itself, (0,), dtype, label="interp-sum")


def _first(block: Any) -> Any:
    return block[:1]


def _interpolated(block: Any, xp: Any, fp: Any, left: Any, right: Any, period: Any) -> Any:
    return np.asarray(np.interp(block, xp, fp, left, right, period))
