"""Elements picked by masks that are arrays themselves: how many there are is known when the mask has been computed."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from kask.array.base import wrap
from kask.array.kernels import indexing as kernels
from kask.array.node import ArrayExpr
from kask.array.ops.indexing_fancy import one_each, sizes_along
from kask.array.ops.rechunk import rechunked
from kask.array.ops.slicing import _with_axes, transposed
from kask.array.ops.staged import Staged
from kask.engine import Chunks
from kask.expr.lower import AT, BlockCall, Read

__all__ = ["counted", "part_of_selected", "places", "row_major", "selected"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Selection(ArrayExpr):
    """The elements of each block where the mask is true; for :class:`Staged`."""

    family = "select"

    array: Any
    mask: Any
    axis: int

    @property
    def chunks(self) -> Chunks:
        return self.array.chunks

    @property
    def meta(self) -> Any:
        return self.array.meta

    def block_call(self) -> BlockCall:
        masked = tuple(range(self.axis, self.axis + self.mask.ndim))
        reads = Read(self.array, tuple(range(self.array.ndim))), Read(self.mask, masked)
        return BlockCall(kernels.select, (*reads, self.axis))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Places(ArrayExpr):
    """Where each block of a mask is true; for :class:`Staged`."""

    family = "argwhere"

    mask: Any

    @property
    def chunks(self) -> Chunks:
        return self.mask.chunks

    @functools.cached_property
    def meta(self) -> Any:
        return np.empty((0,) * self.mask.ndim, np.int64)

    @property
    def block_bytes(self) -> int:
        return math.prod(self.chunks.largest) * 8 * self.mask.ndim

    def block_call(self) -> BlockCall:
        return BlockCall(kernels.places_of, (Read(self.mask, tuple(range(self.mask.ndim))), AT, self.chunks))


def row_major(chunks: Chunks, most: int) -> Chunks:
    """Chunks whose blocks, one after another, hold the elements in C order: of at most so many elements, as far as possible."""
    shape, ndim = chunks.shape, chunks.ndim
    if chunks.axes(list(range(1, ndim))).is_single and chunks.largest[0] * math.prod(shape[1:]) <= most:
        return chunks
    specs: list[int] = []
    for axis, length in enumerate(shape):
        inner = math.prod(shape[axis + 1 :])
        # From the first axis on of which a block holds more than one element, it holds the others whole.
        is_whole = bool(specs) and specs[-1] > 1
        specs.append(max(1, length if is_whole else min(length, most // max(1, inner))))
    if max(specs[:-1], default=1) == 1:
        # Lone elements along all axes but the last: only that may be cut.
        specs[-1] = max(1, min(shape[-1], most))
    return Chunks.normalize(list(shape), specs, 1, 1)


def _aligned(array: ArrayExpr, mask: ArrayExpr, axis: int, place: int) -> tuple[ArrayExpr, ArrayExpr, list[int]]:
    """An array whose masked axes begin at ``place``, and its mask, cut so that blocks follow each other as the elements do in C order; and
    the other axes."""
    count = mask.ndim
    masked = list(range(axis, axis + count))
    if place != axis:
        others = [other for other in range(array.ndim) if other not in masked]
        array = transposed(array, (*others[:place], *masked, *others[place:]))
        masked = list(range(place, place + count))
    cuts = array.chunks.axes(masked)
    cuts = Chunks.join([Chunks.unify([cuts.axis(at), mask.chunks.axis(at)]) for at in range(count)])
    if count > 1:
        cuts = row_major(cuts, math.prod(cuts.largest))
    others = [other for other in range(array.ndim) if other not in masked]
    parts = [array.chunks.axes(others[:place]), cuts, array.chunks.axes(others[place:])]
    return rechunked(array, Chunks.join(parts)), rechunked(mask, cuts), others


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Counted(ArrayExpr):
    """The elements where a mask is true, for a mask of which it is known how many are true in each block. One of the result's axes
    stands for the axes of the mask; each of its chunks is made of one block."""

    family = "select"

    array: Any
    mask: Any
    axis: int
    #: For each chunk the block of the mask, along each of its axes, and how many elements there are true.
    blocks: tuple[tuple[int, ...], ...]
    lengths: tuple[int, ...]

    @functools.cached_property
    def chunks(self) -> Chunks:
        before = self.array.chunks.axes(list(range(self.axis)))
        after = self.array.chunks.axes(list(range(self.axis + self.mask.ndim, self.array.ndim)))
        return Chunks.join([before, Chunks([list(self.lengths)]), after])

    @functools.cached_property
    def meta(self) -> Any:
        return _with_axes(self.array.meta, self.array.ndim - self.mask.ndim + 1)

    def block_call(self) -> BlockCall:
        masked = [one_each(self.axis, np.array(along)) for along in self.blocks]
        after = range(self.axis + 1, self.ndim)
        reads = Read(self.array, (*range(self.axis), *masked, *after)), Read(self.mask, tuple(masked))
        return BlockCall(kernels.select, (*reads, self.axis))


def counted(array: ArrayExpr, values: np.ndarray, mask: ArrayExpr, axis: int, place: int) -> ArrayExpr:
    """As :func:`selected`, for a mask whose values are known."""
    array, mask, _ = _aligned(array, mask, axis, place)
    counts = values.astype(np.int64)
    numbers = []
    for at in range(mask.ndim):
        lengths = sizes_along(mask, at)
        numbers.append(np.flatnonzero(lengths))
        counts = np.add.reduceat(counts, (np.cumsum(lengths) - lengths)[numbers[at]], axis=at)
    found = counts.nonzero()
    blocks = tuple([tuple(along[at].tolist()) for along, at in zip(numbers, found)])
    return Counted(array, mask, place, blocks, tuple(counts[found].tolist()))


def selected(array: ArrayExpr, mask: ArrayExpr, axis: int, place: int) -> ArrayExpr:
    """The elements where a mask over axes from ``axis`` on is true, in C order; they are axis ``place`` of the result."""
    count = mask.ndim
    array, mask, others = _aligned(array, mask, axis, place)
    meta = _with_axes(array.meta, 1 + len(others))
    return Staged(Selection(array, mask, place), place, count, array.chunks.axes(others), meta)


def part_of_selected(expr: Any, index: Any) -> ArrayExpr | None:
    """A part of what a mask selects, where slices and integers say which part along axes that the mask is not of: then the mask selects from a part
    of the array, and the rest is not read. None for anything else."""
    if not isinstance(expr, Staged) or not isinstance(expr.blocks, Selection):
        return None
    items = _basic(index if type(index) is tuple else (index,), expr.ndim)
    if items is None or items[expr.axis] != slice(None) or all(item == slice(None) for item in items):
        return None
    selection, place = expr.blocks, expr.axis
    masked = [slice(None)] * expr.count
    try:
        part = wrap(selection.array)[(*items[:place], *masked, *items[place + 1 :])].expr
    except IndexError:
        # Told when it is computed, of the array that the user sees.
        return None
    place -= sum(type(item) is int for item in items[:place])
    return selected(part, selection.mask, place, place)


def _basic(items: tuple[Any, ...], ndim: int) -> list[Any] | None:
    """A slice or an integer for each axis, if an index says no more than that."""
    found: list[Any] = []
    if sum(item is Ellipsis for item in items) > 1:
        return None
    for item in items:
        if item is Ellipsis:
            found.extend([slice(None)] * (ndim - len(items) + 1))
        elif isinstance(item, np.integer) or type(item) is int:
            found.append(int(item))
        elif isinstance(item, slice) and all(
            bound is None or type(bound) is int for bound in (item.start, item.stop, item.step)
        ):
            found.append(item)
        else:
            return None
    return found + [slice(None)] * (ndim - len(found)) if len(found) <= ndim else None


def places(mask: ArrayExpr) -> ArrayExpr:
    """The places of what is not zero, a row for each, in C order (one axis or more)."""
    cuts = row_major(mask.chunks, math.prod(mask.chunks.largest))
    meta = np.empty((0, 0), np.int64)
    return Staged(Places(rechunked(mask, cuts)), 0, mask.ndim, Chunks.whole([mask.ndim]), meta)
