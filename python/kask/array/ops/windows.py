"""Groups of neighbours: those that follow each other, and windows that overlap."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels.shaping import Coarsen, windows
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.mapped import mapped
from kask.array.ops.rechunk import rechunked
from kask.array.ops.shaping import normalize_axis_index, part
from kask.engine import Chunks, Interval
from kask.expr.lower import AT, BlockCall, Read

__all__ = ["coarsen"]


def coarsen(
    reduction: Callable[..., Any], x: Any, axes: Mapping[int, int], trim_excess: bool = False, **kwargs: Any
) -> Any:
    """A reduction of groups of neighbours.

    Parameters
    ----------
    reduction : callable
        Such as ``numpy.sum``: it is called with ``axis=``.
    x : array
        What is reduced.
    axes : dict of int to int
        Elements of a group along each axis.
    trim_excess : bool
        Whether elements that do not fill a group are left out; otherwise there must be none.
    **kwargs
        Passed on to the reduction.

    Examples
    --------
    >>> import numpy as np, kask.array as ka
    >>> ka.coarsen(np.sum, ka.arange(6, chunks=4), {0: 2}).compute()
    array([1, 5, 9])
    """
    if not callable(reduction):
        raise TypeError(f"reduction must be callable, got {type(reduction).__name__}")
    x = as_array(x)
    groups = [1] * x.ndim
    for axis, size in axes.items():
        if operator.index(size) < 1:
            raise ValueError(f"axes= has groups of {size} elements along axis {axis}; a group has one at least")
        groups[normalize_axis_index(axis, x.ndim)] = operator.index(size)
    expr = x.expr
    for axis, size in enumerate(groups):
        length = expr.shape[axis]
        if length % size and not trim_excess:
            raise ValueError(
                f"axis {axis} has {length} elements, which is no multiple of {size}; trim_excess=True leaves the rest out"
            )
        expr = part(expr, axis, 0, length - length % size)
    return wrap(coarsened(expr, Coarsen(reduction, tuple(groups), kwargs)))


def coarsened(array: ArrayExpr, func: Coarsen) -> ArrayExpr:
    """A function of groups, none of which is cut."""
    chunks = array.chunks.coarsened(list(func.groups))
    ready = rechunked(array, chunks.scaled(list(func.groups)))
    with np.errstate(all="ignore"):
        sample = func(np.ones_like(array.meta, shape=func.groups))
    return mapped(func, ready, chunks=chunks, meta=empty_meta(sample.dtype, array.ndim, array.meta))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Windowed(ArrayExpr):
    """All windows of an array; those that begin in a block are a block."""

    is_view = True
    family = "sliding_window_view"
    # The windows are views: as much as they seem to be is never there.
    is_cheap = True

    array: Any
    window: tuple[int, ...]
    axes: tuple[int, ...]
    chunks: Chunks

    @functools.cached_property
    def meta(self) -> Any:
        return empty_meta(self.array.dtype, self.chunks.ndim, self.array.meta)

    def block_call(self) -> BlockCall:
        theirs = self.array.chunks
        reach = [0] * self.array.ndim
        for axis, size in zip(self.axes, self.window):
            reach[axis] += size - 1
        intervals = tuple(
            [Interval(theirs.axis(axis), self.chunks.axis(axis), 0, 1, 0, after) for axis, after in enumerate(reach)]
        )
        axes = tuple([("interval", axis, interval) for axis, interval in enumerate(intervals)])
        return BlockCall(
            windows, (Read(self.array, axes), AT, intervals, self.chunks, self.window, self.axes, self.meta)
        )


def windowed(array: ArrayExpr, window: tuple[int, ...], axes: tuple[int, ...], automatic_rechunk: bool) -> ArrayExpr:
    """All windows of an array; see ``kask.array.lib.stride_tricks``."""
    places = [(0, 1, length) for length in array.shape]
    for axis, size in zip(axes, window):
        places[axis] = (0, 1, places[axis][2] - size + 1)
    along = array.chunks.slice(places)
    return Windowed(array, window, axes, Chunks.join([along, Chunks.whole(list(window))]))
