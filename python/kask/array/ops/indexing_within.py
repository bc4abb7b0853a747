"""What ``delete`` and ``insert`` do within each block: neither describes more than the places that it is told."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from kask.array.kernels import edits as kernels
from kask.array.kernels.edits import Places
from kask.array.node import ArrayExpr
from kask.array.ops.chunk_runs import ends_of
from kask.array.ops.creation import Filled
from kask.array.ops.indexing_fancy import one_each, sizes_along
from kask.array.ops.joining import alike, concatenated
from kask.array.ops.rechunk import rechunked
from kask.array.ops.slicing import Taken, sliced
from kask.engine import Chunks
from kask.expr.lower import AT, BlockCall, Read

__all__ = ["inserted", "removed"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Removed(ArrayExpr):
    """An array without the elements at some places, no two of them equal. Blocks of which nothing is left are not read."""

    family = "delete"

    array: Any
    axis: int
    places: Places

    @functools.cached_property
    def _left(self) -> np.ndarray:
        """How many elements of each block are left along the axis."""
        return sizes_along(self.array, self.axis) - _counts(self.places, self.array.chunks.axis(self.axis))

    @functools.cached_property
    def chunks(self) -> Chunks:
        return self.array.chunks.replace(self.axis, self._left[self._left > 0].tolist())

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta

    def block_call(self) -> BlockCall:
        axes: list[Any] = list(range(self.ndim))
        numbers = np.flatnonzero(self._left)
        is_each = len(numbers) == len(self._left)
        if not is_each:
            axes[self.axis] = one_each(self.axis, numbers)
        args = (self.array.chunks, self.axis, self.places, None if is_each else numbers)
        return BlockCall(kernels.without, (Read(self.array, tuple(axes)), AT, *args))

    def taking(self, taken: tuple[Taken, ...], chunks: Chunks) -> ArrayExpr | None:
        hull = _hull(taken, self.axis, self.shape)
        if hull is None:
            return None
        first, _, length = hull[self.axis]
        # Before the element that is left as number ``i`` are those places from which, less their own numbers, ``i`` is not far.
        before = self.places.moved_by_number(-1).before
        start = first + before(first + 1)
        stop = first + length + before(first + length)
        part = sliced(self.array, _with_axis(hull, self.axis, (start, 1, stop - start)))
        places = self.places.part(self.places.before(start), self.places.before(stop), start)
        return sliced(removed(part, self.axis, places), _inside(taken, hull, self.axis))


def removed(array: ArrayExpr, axis: int, places: Places) -> ArrayExpr:
    """An array without the elements at these places of an axis, no two of them equal."""
    if not len(places):
        return array
    if len(places) == array.shape[axis]:
        return Filled(0, array.chunks.replace(axis, [0]), array.meta)
    if not places.is_run:
        return Removed(array, axis, places)
    first, last = places.ends
    kept = [(0, 1, first), (last + 1, 1, array.shape[axis] - last - 1)]
    whole = tuple([(0, 1, length) for length in array.shape])
    return concatenated([sliced(array, _with_axis(whole, axis, part)) for part in kept], axis)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Inserted(ArrayExpr):
    """An array with values before the elements at some places. The values are cut like the array, and along the axis so that each block
    has those that go into the array's."""

    family = "insert"

    array: Any
    values: Any
    axis: int
    places: Places

    @functools.cached_property
    def chunks(self) -> Chunks:
        sizes = sizes_along(self.array, self.axis) + sizes_along(self.values, self.axis)
        return self.array.chunks.replace(self.axis, sizes.tolist())

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta

    def block_call(self) -> BlockCall:
        axes = tuple(range(self.ndim))
        reads = (Read(self.array, axes), Read(self.values, axes))
        return BlockCall(kernels.with_values, (*reads, AT, self.array.chunks, self.axis, self.places))

    def taking(self, taken: tuple[Taken, ...], chunks: Chunks) -> ArrayExpr | None:
        hull = _hull(taken, self.axis, self.shape)
        if hull is None:
            return None
        first, _, length = hull[self.axis]
        before = self.places.moved_by_number(1).before
        low, high = before(first), before(first + length)
        start, count = first - low, length - (high - low)
        part = sliced(self.array, _with_axis(hull, self.axis, (start, 1, count)))
        values = sliced(self.values, _with_axis(hull, self.axis, (low, 1, high - low)))
        found = inserted(part, self.axis, self.places.part(low, high, start), values)
        return sliced(found, _inside(taken, hull, self.axis))


def inserted(array: ArrayExpr, axis: int, places: Places, values: ArrayExpr) -> ArrayExpr:
    """An array with values of its type before the elements at these places of an axis."""
    if not len(places):
        return array
    array, values = alike([array, values], array.dtype, "same_kind")
    if not array.shape[axis]:
        return values
    largest = max(1, array.chunks.largest[axis])
    first, last = places.ends
    if first == last and len(places) > largest:
        whole = tuple([(0, 1, length) for length in array.shape])
        before = sliced(array, _with_axis(whole, axis, (0, 1, first)))
        after = sliced(array, _with_axis(whole, axis, (first, 1, array.shape[axis] - first)))
        return concatenated([before, values, after], axis)
    counts = _counts(places, array.chunks.axis(axis))
    # What is longer than the last element belongs to the last block.
    counts[-1] += len(places) - counts.sum()
    cut = rechunked(values, array.chunks.replace(axis, counts.tolist()))
    found = Inserted(array, cut, axis, places)
    if found.chunks.largest[axis] <= 2 * largest:
        return found
    return rechunked(found, found.chunks.replace(axis, Chunks.normalize([found.shape[axis]], [largest], 1, 1)))


def _counts(places: Places, along: Chunks) -> np.ndarray:
    """How many of the places are in each chunk of an axis."""
    return np.diff(places.before(ends_of(along)), prepend=0)


def _hull(taken: tuple[Taken, ...], axis: int, shape: tuple[int, ...]) -> tuple[Taken, ...] | None:
    """What is taken, and along the axis all from the first to the last; None if that is the whole array, or nothing along the axis."""
    start, step, length = taken[axis]
    if not length:
        return None
    ends = (start, start + step * (length - 1))
    hull = _with_axis(taken, axis, (min(ends), 1, max(ends) - min(ends) + 1))
    return None if hull == tuple([(0, 1, length) for length in shape]) else hull


def _inside(taken: tuple[Taken, ...], hull: tuple[Taken, ...], axis: int) -> tuple[Taken, ...]:
    """What is taken, as a part of its hull."""
    start, step, length = taken[axis]
    return _with_axis(tuple([(0, 1, count) for _, _, count in taken]), axis, (start - hull[axis][0], step, length))


def _with_axis(taken: tuple[Taken, ...], axis: int, part: Taken) -> tuple[Taken, ...]:
    return (*taken[:axis], part, *taken[axis + 1 :])
