"""Elements picked by lists of integers: along one axis, or at points of several axes.

Each output block reads the blocks that hold its elements, and no others. Where an output block is made of many blocks, what it needs is
first picked from each of them (:class:`Picked`), so that no task holds more than it makes.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from kask.annotations import using
from kask.array.kernels import indexing as kernels
from kask.array.kernels.indexing import Points
from kask.array.node import ArrayExpr
from kask.array.ops.chunk_runs import ends_of, sizes_of
from kask.array.ops.creation import Content, Filled, InMemory
from kask.array.ops.elementwise import Elementwise
from kask.array.ops.rechunk import Rechunk, rechunked
from kask.array.ops.slicing import (
    ExpandDims,
    Slice,
    Squeeze,
    Taken,
    Transpose,
    _with_axes,
    sliced,
    squeezed,
    transposed,
)
from kask.array.ops.storage import FromStore
from kask.engine import Chunks
from kask.expr import Expr
from kask.expr.lower import AT, BlockCall, Read
from kask.expr.rewrite import Readers

__all__ = ["listed", "one_each", "pointwise", "sizes_along"]

#: Blocks that a task may read whole to pick some elements of each.
_MOST_BLOCKS = 4


def sizes_along(array: ArrayExpr, axis: int) -> np.ndarray:
    """The chunk sizes along an axis."""
    return sizes_of(array.chunks.axis(axis))


def one_each(axis: int, blocks: np.ndarray) -> tuple[Any, ...]:
    """The axis specification of an input of which position ``i`` reads block ``blocks[i]``."""
    return ("listed", axis, tuple(blocks.tolist()), tuple(range(1, len(blocks) + 1)))


class _Index:
    """A constant array in an expression, whose token is made once."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    @functools.cached_property
    def _token(self) -> str:
        from kask.tokens import tokenize

        return tokenize(self.values)

    def __kask_tokenize__(self) -> Any:
        return "index", self._token


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Take(ArrayExpr):
    """``array.take(index, axis)``, whose chunks along the axis are ``along``. Each block reads at most a few."""

    array: Any
    axis: int
    index: _Index
    along: Chunks

    @functools.cached_property
    def chunks(self) -> Chunks:
        return self.array.chunks.replace(self.axis, self.along)

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta

    @functools.cached_property
    def points(self) -> Points:
        """Where elements are picked and where they go."""
        return Points([self.index.values], [sizes_along(self.array, self.axis)], sizes_of(self.along))

    def block_call(self) -> BlockCall:
        points = self.points
        axes: list[Any] = list(range(self.ndim))
        axes[self.axis] = ("listed", self.axis, tuple(points.blocks[0].tolist()), tuple(points.chunk_ends.tolist()))
        return BlockCall(kernels.take_list, (Read(self.array, tuple(axes)), AT, points, self.axis))

    def simplified(self) -> Expr | None:
        """The list nearer to where the elements come from, where that is less work."""
        array, length = self.array, self.array.shape[self.axis]
        if isinstance(array, Elementwise) and 2 * len(self.index.values) <= length:
            return array.sliced(self._of_operand, self.chunks)
        if isinstance(array, Transpose):
            return Transpose(dataclasses.replace(self, array=array.array, axis=array.axes[self.axis]), array.axes)
        if isinstance(array, Squeeze):
            axis = [at for at in range(array.array.ndim) if at not in array.axes][self.axis]
            return Squeeze(dataclasses.replace(self, array=array.array, axis=axis), array.axes)
        if isinstance(array, ExpandDims) and self.axis not in array.axes:
            axis = self.axis - len([at for at in array.axes if at < self.axis])
            return ExpandDims(dataclasses.replace(self, array=array.array, axis=axis), array.axes)
        if isinstance(array, InMemory) and 4 * len(self.index.values) <= length:
            picked = array.array[(*(slice(None),) * self.axis, self.index.values)]
            return InMemory(Content(picked), self.chunks)
        if isinstance(array, FromStore) and self._reads_less:
            return Listed(array.source, array.places, array.chunks, array.meta, self.axis, self.index, self.along)
        return None

    def settled(self, readers: Readers) -> Expr | None:
        """The list nearer to where the elements come from, unless others need more than half of what would be made for them anew."""
        array = self.array
        push = getattr(array, "picking", None)
        if push is None and not isinstance(array, Rechunk):
            return None
        takers = readers.together(array, _short_lists)
        if not takers or takers < readers.counts.get(array.token, 0):
            return None
        with using(array.options):
            found = self.of(array.array, self.axis) if push is None else push(self)
            return None if found is None else rechunked(found, self.chunks)

    def of(self, array: ArrayExpr, axis: int, index: np.ndarray | None = None) -> ArrayExpr:
        """The same elements of another array along one of its axes, cut as they are here; or others, cut as they lie there."""
        return listed(array, axis, self.index.values, self.along) if index is None else listed(array, axis, index)

    @property
    def _reads_less(self) -> bool:
        """Whether from the first to the last element that each piece needs are at most half of the blocks."""
        blocks = sizes_along(self.array, self.axis)[np.unique(self.points.blocks[0])]
        return bool(2 * self.points.hulls[1].sum() <= blocks.sum())

    def _of_operand(self, array: ArrayExpr, skipped: int) -> ArrayExpr:
        axis = self.axis - skipped
        is_stretched = axis < 0 or array.shape[axis] != self.array.shape[self.axis]
        return array if is_stretched else dataclasses.replace(self, array=array, axis=axis)

    def taking(self, taken: tuple[Taken, ...], chunks: Chunks) -> ArrayExpr:
        """A slice of it: of the list, and of the array's other axes."""
        start, step, length = taken[self.axis]
        index = self.index.values[start + step * np.arange(length)]
        inner = (*taken[: self.axis], (0, 1, self.array.shape[self.axis]), *taken[self.axis + 1 :])
        return listed(sliced(self.array, inner), self.axis, index, chunks.axis(self.axis))


def _short_lists(array: ArrayExpr, readers: list[Any]) -> int:
    """How many they are who read an array, if they take some parts of it that are at most half of it together; otherwise none."""
    parts = [_share_of(reader, array.shape) for reader in readers]
    return len(parts) if 2 * sum(parts) <= 1 else 0


def _share_of(reader: Any, shape: tuple[int, ...]) -> float:
    if isinstance(reader, Take):
        return len(reader.index.values) / shape[reader.axis]
    if isinstance(reader, Slice):
        return math.prod(reader.shape) / max(1, math.prod(shape))
    return 1


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Listed(ArrayExpr):
    """A :class:`Take` from something that is read block by block: of each block from the first element that is needed to the last one."""

    family = "from_array"

    source: Any
    places: tuple[tuple[int, int], ...]
    cut: Chunks
    meta: Any
    axis: int
    index: _Index
    along: Chunks

    @functools.cached_property
    def chunks(self) -> Chunks:
        return self.cut.replace(self.axis, self.along)

    @functools.cached_property
    def _take(self) -> Take:
        return Take(FromStore(self.source, self.places, self.cut, self.meta), self.axis, self.index, self.along)

    def block_call(self) -> BlockCall:
        points = self._take.points
        first, lengths = points.hulls
        starts = ends_of(self.cut.axis(self.axis)) - sizes_of(self.cut.axis(self.axis))
        hulls = starts[points.blocks[0]] + first, lengths
        args = (self.chunks, self.places, self.source, points.in_hulls(), hulls, self.axis)
        return BlockCall(kernels.read_list, (AT, *args))

    def taking(self, taken: tuple[Taken, ...], chunks: Chunks) -> ArrayExpr:
        return self._take.taking(taken, chunks)


def listed(array: ArrayExpr, axis: int, index: np.ndarray, along: Chunks | None = None) -> ArrayExpr:
    """The elements at these places (none negative, none too large) along an axis, in this order."""
    if along is None:
        along = _cut_like(array, axis, index)
    if not len(index) or 0 in array.shape:
        return Filled(0, array.chunks.replace(axis, along), array.meta)
    step = int(index[1] - index[0]) if len(index) > 1 else 1
    if step and (index[1:] - index[:-1] == step).all():
        taken = [(0, 1, length) for length in array.shape]
        taken[axis] = (int(index[0]), step, len(index))
        found = sliced(array, tuple(taken))
        return rechunked(found, found.chunks.replace(axis, along))
    expr = Take(array, axis, _Index(index), along)
    if expr.points.most_pieces <= _MOST_BLOCKS:
        return expr
    if len(index) <= array.chunks.largest[axis]:
        # What one block may hold is picked in order first: of each block once, and near to where it comes from.
        ordered, places = np.unique(index, return_inverse=True)
        return Take(listed(array, axis, ordered), axis, _Index(places), along)
    merged = _merged(array, (axis,), expr.points, along, ())
    order = [*range(1, axis + 1), 0, *range(axis + 1, array.ndim)]
    return transposed(merged, tuple(order))


def _cut_like(array: ArrayExpr, axis: int, index: np.ndarray) -> Chunks:
    """Chunks for a list: those of the array if the list is sorted, otherwise as large as the array's largest."""
    largest = max(1, array.chunks.largest[axis])
    if len(index) > 1 and (index[1:] >= index[:-1]).all():
        ends = ends_of(array.chunks.axis(axis))
        counts = np.diff(np.searchsorted(index, ends, side="left"), prepend=0)
        counts = counts[counts > 0]
        if counts.max(initial=0) <= 2 * largest:
            return Chunks([counts.tolist()])
    return Chunks.normalize([len(index)], [largest], 1, 1)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Picked(ArrayExpr):
    """Points of an array, piece by piece (see :class:`Points`); they are the first axis."""

    array: Any
    axes: tuple[int, ...]
    points: Points

    @functools.cached_property
    def chunks(self) -> Chunks:
        return Chunks.join([Chunks([self.points.piece_sizes.tolist()]), self.array.chunks.axes(self._others)])

    @functools.cached_property
    def meta(self) -> Any:
        return _with_axes(self.array.meta, 1 + len(self._others))

    @property
    def _others(self) -> list[int]:
        return [axis for axis in range(self.array.ndim) if axis not in self.axes]

    def block_call(self) -> BlockCall:
        axes: list[Any] = [0] * self.array.ndim
        for axis, blocks in zip(self.axes, self.points.blocks):
            axes[axis] = one_each(0, blocks)
        for place, axis in enumerate(self._others):
            axes[axis] = 1 + place
        return BlockCall(kernels.pick_points, (Read(self.array, tuple(axes)), AT, self.points, self.axes))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Merged(ArrayExpr):
    """Picked points in their order, cut along the first axis; each of its elements becomes an array of shape ``inner``."""

    picked: Any
    rows: Chunks
    inner: tuple[int, ...]

    @functools.cached_property
    def chunks(self) -> Chunks:
        others = self.picked.chunks.axes(list(range(1, self.picked.ndim)))
        return Chunks.join([self.rows, Chunks.whole(list(self.inner)), others])

    @functools.cached_property
    def meta(self) -> Any:
        return _with_axes(self.picked.meta, self.picked.ndim + len(self.inner))

    def block_call(self) -> BlockCall:
        points = self.picked.points
        pieces = tuple(range(len(points.piece_ends)))
        skipped = 1 + len(self.inner)
        others = range(skipped, skipped + self.picked.ndim - 1)
        axes = (("listed", 0, pieces, tuple(points.chunk_ends.tolist())), *others)
        return BlockCall(kernels.merge_points, (Read(self.picked, axes), AT, points, self.inner))


def _merged(array: ArrayExpr, axes: tuple[int, ...], points: Points, rows: Chunks, inner: tuple[int, ...]) -> Merged:
    return Merged(Picked(array, axes, points), rows, inner)


def pointwise(array: ArrayExpr, axes: tuple[int, ...], indices: list[np.ndarray], place: int) -> ArrayExpr:
    """NumPy's rule for several lists at once.

    Parameters
    ----------
    array : ArrayExpr
        Any array.
    axes : tuple of int
        The axes that are indexed.
    indices : list of integer arrays
        For each of them, of one shape after broadcasting; no number is negative or too large.
    place : int
        Where the axes of that shape go among those that are left.
    """
    shape = np.broadcast_shapes(*[index.shape for index in indices])
    others = [axis for axis in range(array.ndim) if axis not in axes]
    order = tuple(
        [len(shape) + axis for axis in range(place)]
        + list(range(len(shape)))
        + [len(shape) + axis for axis in range(place, len(others))]
    )
    if not shape:
        only = dict(zip(axes, indices))
        taken = [(int(only[axis]), 1, 1) if axis in only else (0, 1, length) for axis, length in enumerate(array.shape)]
        return squeezed(sliced(array, tuple(taken)), axes)
    if _is_outer(indices, shape):
        for axis, index in zip(axes, indices):
            array = listed(array, axis, index.reshape(-1))
        return transposed(transposed(array, (*axes, *others)), order)
    rows, *inner = shape
    each = max(1, math.prod(inner))
    about = math.prod([array.chunks.largest[axis] for axis in axes])
    along = Chunks.normalize([rows], [max(1, about // each)], 1, 1)
    if 0 in shape or 0 in array.shape:
        chunks = Chunks.join([along, Chunks.whole(inner), array.chunks.axes(others)])
        return transposed(Filled(0, chunks, _with_axes(array.meta, chunks.ndim)), order)
    cuts = sizes_of(along) * each
    flat = [np.broadcast_to(index, shape).reshape(-1) for index in indices]
    points = Points(flat, [sizes_along(array, axis) for axis in axes], cuts)
    return transposed(_merged(array, axes, points, along, tuple(inner)), order)


def _is_outer(indices: list[np.ndarray], shape: tuple[int, ...]) -> bool:
    """Whether each index is the only one that varies along one axis of the result, in order, as those that ``ix_`` makes."""
    if len(indices) != len(shape):
        return False
    wanted = [tuple([shape[at] if axis == at else 1 for axis in range(len(shape))]) for at in range(len(shape))]
    return [(1,) * (len(shape) - index.ndim) + index.shape for index in indices] == wanted
