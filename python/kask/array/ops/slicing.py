"""Basic slices: every so many elements along each axis."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from kask.array.kernels.regions import gather_region
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import Elementwise
from kask.array.ops.rechunk import Rechunk
from kask.engine import Chunks, Interval
from kask.expr import Expr
from kask.expr.lower import AT, BlockCall, Read

__all__ = ["Slice", "Transpose", "sliced", "transposed"]

#: Along one axis: the first element, the step, and how many elements.
Taken = tuple[int, int, int]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Slice(ArrayExpr):
    """Every so many elements along each axis. Each block is a part of one block."""

    family = "getitem"

    array: Any
    taken: tuple[Taken, ...]

    @functools.cached_property
    def chunks(self) -> Chunks:
        return self.array.chunks.slice(list(self.taken))

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta

    def block_call(self) -> BlockCall:
        ours, theirs = self.chunks, self.array.chunks
        intervals = tuple(
            [
                Interval(theirs.axis(axis), ours.axis(axis), start if length else 0, step)
                for axis, (start, step, length) in enumerate(self.taken)
            ]
        )
        axes = tuple([("interval", axis, interval) for axis, interval in enumerate(intervals)])
        return BlockCall(gather_region, (Read(self.array, axes), AT, intervals, self.meta))

    def simplified(self) -> Expr | None:
        array, taken = self.array, self.taken
        if all(step == 1 and length == whole for (_, step, length), whole in zip(taken, array.shape)):
            return array
        if isinstance(array, Slice):
            return Slice(array.array, tuple(map(_composed, array.taken, taken)))
        if isinstance(array, Elementwise):
            return array.sliced(lambda arg, skipped: _cut(arg, taken[skipped:]), self.chunks)
        if isinstance(array, Transpose):
            inner = [taken[array.axes.index(axis)] for axis in range(self.ndim)]
            return Transpose(sliced(array.array, tuple(inner)), array.axes)
        if isinstance(array, Rechunk):
            return Rechunk(sliced(array.array, taken), self.chunks)
        push = getattr(array, "taking", None)
        return push(taken, self.chunks) if push is not None else None


def _composed(inner: Taken, outer: Taken) -> Taken:
    start, step, _ = inner
    return start + step * outer[0], step * outer[1], outer[2]


def _cut(array: ArrayExpr, taken: tuple[Taken, ...]) -> ArrayExpr:
    """The part of an array that takes part where all of them are cut so. An axis of one element is stretched afterwards as before."""
    own = [
        (0, 1, 1) if length == 1 and wanted > 0 else (start, step, wanted)
        for length, (start, step, wanted) in zip(array.shape, taken)
    ]
    return sliced(array, tuple(own))


def sliced(array: ArrayExpr, taken: tuple[Taken, ...]) -> ArrayExpr:
    """The array, but for what is not taken."""
    taken = tuple([axis if axis[2] else (0, 1, 0) for axis in taken])
    whole = all(
        step == 1 and start == 0 and length == there for (start, step, length), there in zip(taken, array.shape)
    )
    return array if whole else Slice(array, taken)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Transpose(ArrayExpr):
    """Axes in another order: axis ``i`` is axis ``axes[i]`` of the array."""

    array: Any
    axes: tuple[int, ...]

    @functools.cached_property
    def chunks(self) -> Chunks:
        return self.array.chunks.axes(list(self.axes))

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta.transpose(self.axes)

    def block_call(self) -> BlockCall:
        reads = tuple([self.axes.index(axis) for axis in range(self.ndim)])
        return BlockCall(np.transpose, (Read(self.array, reads), self.axes))

    def simplified(self) -> Expr | None:
        if self.axes == tuple(range(self.ndim)):
            return self.array
        if isinstance(self.array, Transpose):
            return Transpose(self.array.array, tuple([self.array.axes[axis] for axis in self.axes]))
        return None


def transposed(array: ArrayExpr, axes: tuple[int, ...]) -> ArrayExpr:
    """The array with its axes in this order."""
    return array if axes == tuple(range(array.ndim)) else Transpose(array, axes)
