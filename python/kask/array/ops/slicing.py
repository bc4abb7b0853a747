"""Basic slices, and axes in another order, fewer or more of them: what needs no look at the elements."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from kask.annotations import using
from kask.array.kernels.regions import gather_region
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import Elementwise
from kask.array.ops.rechunk import Rechunk, rechunked
from kask.array.ops.turning import Turn, turned_at_sources
from kask.engine import Chunks, Interval
from kask.expr import Expr
from kask.expr.lower import AT, BlockCall, Read
from kask.expr.rewrite import Readers

__all__ = ["ExpandDims", "Slice", "Squeeze", "Transpose", "expanded", "sliced", "squeezed", "transposed"]

#: Along one axis: the first element, the step, and how many elements.
Taken = tuple[int, int, int]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Slice(ArrayExpr):
    """Every so many elements along each axis. Each block is a part of one block."""

    is_view = True
    family = "getitem"

    array: Any
    taken: tuple[Taken, ...]

    @property
    def is_light(self) -> bool:
        return True

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
        if _is_whole(array, taken):
            return array
        if isinstance(array, Slice):
            return self._instead(Slice(array.array, tuple(map(_composed, array.taken, taken))))
        if isinstance(array, Transpose):
            inner = [taken[array.axes.index(axis)] for axis in range(self.ndim)]
            return self._instead(Transpose(sliced(array.array, tuple(inner)), array.axes))
        return None

    def settled(self, readers: Readers) -> Expr | None:
        """The slice nearer to where the elements come from. If others take nearly the same, that happens with what all of them take."""
        with using(self.array.options):
            return self._moved(readers.together(self.array, _common))

    def _moved(self, hull: tuple[Taken, ...] | None) -> Any:
        if hull is None:
            return self._instead(self._pushed())
        if hull == tuple([(0, 1, length) for length in self.array.shape]):
            return None
        common = Slice(self.array, hull)
        pushed = common._instead(common._pushed())
        if pushed is None:
            return None
        inner = [(start - first, step, length) for (start, step, length), (first, _, _) in zip(self.taken, hull)]
        return self._instead(sliced(pushed, tuple(inner)))

    def _instead(self, better: Any) -> Any:
        # A slice drops empty chunks, and what is left whole keeps them; but whoever reads this counts on its chunks.
        return better if better is None or better.chunks == self.chunks else Rechunk(better, self.chunks)

    def _pushed(self) -> Any:
        """The same made of slices of what the array is made of, or made in the first place; None if it is neither."""
        array, taken = self.array, self.taken
        if isinstance(array, Elementwise):
            return array.sliced(lambda arg, skipped: _cut(arg, taken[skipped:], self.chunks), self.chunks)
        if isinstance(array, Rechunk):
            return dataclasses.replace(array, array=sliced(array.array, taken), chunks=self.chunks)
        push = getattr(array, "taking", None)
        return push(taken, self.chunks) if push is not None else None


def _common(array: ArrayExpr, readers: list[Any]) -> tuple[Taken, ...] | None:
    """What these take of an array together, if it is better made once for all of them: they take more than a quarter of it twice, and
    in step, so that no block of it has to be kept for long."""
    if len(readers) < 2 or not _is_costly(array):
        return None
    whole = tuple([(0, 1, length) for length in array.shape])
    parts = [reader.taken if isinstance(reader, Slice) else whole for reader in readers]
    if any(step != 1 for part in parts for _, step, length in part if length > 1):
        return None
    parts = [part for part in parts if all(length for _, _, length in part)]
    if len(parts) < 2:
        return None
    firsts = [min([part[axis][0] for part in parts]) for axis in range(array.ndim)]
    ends = [max([part[axis][0] + part[axis][2] for part in parts]) for axis in range(array.ndim)]
    sizes = [math.prod([length for _, _, length in part]) for part in parts]
    size = math.prod([end - first for first, end in zip(firsts, ends)])
    large = [part for part, own in zip(parts, sizes) if 2 * own >= size]
    is_in_step = all(
        part[axis][0] - firsts[axis] <= most for part in large for axis, most in enumerate(array.chunks.largest)
    )
    if 4 * sum(sizes) <= 5 * size or not is_in_step:
        return None
    return tuple([(first, 1, end - first) for first, end in zip(firsts, ends)])


def _is_costly(array: ArrayExpr) -> bool:
    """Whether it costs more than to look at what is in memory anyway, and a little arithmetic."""
    stack: list[Any] = [array]
    seen: set[str] = set()
    while stack:
        one = stack.pop()
        if one.token in seen:
            continue
        seen.add(one.token)
        if isinstance(one, Elementwise | Rechunk | Slice | Transpose | Squeeze | ExpandDims):
            stack.extend(one.operands)
        elif not (one.is_light or one.held):
            return True
    return False


def _composed(inner: Taken, outer: Taken) -> Taken:
    start, step, _ = inner
    return start + step * outer[0], step * outer[1], outer[2]


def _cut(array: ArrayExpr, taken: tuple[Taken, ...], chunks: Chunks) -> ArrayExpr:
    """The part of an array that takes part where all of them are cut so. An axis of one element is stretched afterwards as before."""
    own = [
        (0, 1, 1) if length == 1 and wanted > 0 else (start, step, wanted)
        for length, (start, step, wanted) in zip(array.shape, taken)
    ]
    part, skipped = sliced(array, tuple(own)), chunks.ndim - array.ndim
    along = [
        chunks.axis(skipped + axis) if length == chunks.shape[skipped + axis] else Chunks.whole([length])
        for axis, length in enumerate(part.shape)
    ]
    return rechunked(part, Chunks.join(along))


def sliced(array: ArrayExpr, taken: tuple[Taken, ...]) -> ArrayExpr:
    """The array, but for what is not taken."""
    taken = tuple([axis if axis[2] else (0, 1, 0) for axis in taken])
    return array if _is_whole(array, taken) else Slice(array, taken)


def _is_whole(array: ArrayExpr, taken: tuple[Taken, ...]) -> bool:
    """Whether a slice leaves an array as it is. Slicing drops empty chunks: an array that has some is cut otherwise afterwards."""
    if any(step != 1 or length != there for (_, step, length), there in zip(taken, array.shape)):
        return False
    return array.chunks.slice(list(taken)) == array.chunks


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Transpose(ArrayExpr):
    """Axes in another order: axis ``i`` is axis ``axes[i]`` of the array."""

    is_view = True

    array: Any
    axes: tuple[int, ...]

    @property
    def is_light(self) -> bool:
        return True

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

    def settled(self, readers: Readers) -> Expr | None:
        """What it is of, made with its axes in this order, where that is no more work."""
        with using(self.array.options):
            return turned_at_sources(self.array, self.axes, readers.counts)

    def turned(self, axes: tuple[int, ...]) -> ArrayExpr:
        return transposed(self.array, tuple([self.axes[axis] for axis in axes]))

    def recut(self, chunks: Chunks) -> ArrayExpr | None:
        """The array is cut otherwise in the first place, or a rechunk of it is merged with this one."""
        inner = chunks.axes([self.axes.index(axis) for axis in range(self.ndim)])
        if isinstance(self.array, Rechunk):
            return Transpose(rechunked(self.array.array, inner), self.axes)
        recut = getattr(self.array, "recut", None)
        found = recut(inner) if recut is not None else None
        return None if found is None else Transpose(found, self.axes)


def transposed(array: ArrayExpr, axes: tuple[int, ...]) -> ArrayExpr:
    """The array with its axes in this order."""
    return array if axes == tuple(range(array.ndim)) else Transpose(array, axes)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Squeeze(ArrayExpr):
    """The array without these axes (ascending), each of which has one element in one chunk."""

    is_view = True

    array: Any
    axes: tuple[int, ...]

    @property
    def is_light(self) -> bool:
        return True

    @functools.cached_property
    def chunks(self) -> Chunks:
        return self.array.chunks.axes(self._kept)

    @functools.cached_property
    def meta(self) -> Any:
        return _with_axes(self.array.meta, len(self._kept))

    @property
    def _kept(self) -> list[int]:
        return [axis for axis in range(self.array.ndim) if axis not in self.axes]

    def block_call(self) -> BlockCall:
        kept = self._kept
        reads = tuple([kept.index(axis) if axis in kept else ("fixed", 0) for axis in range(self.array.ndim)])
        return BlockCall(np.squeeze, (Read(self.array, reads), self.axes))

    def simplified(self) -> Expr | None:
        if not self.axes:
            return self.array
        if isinstance(self.array, ExpandDims) and self.array.axes == self.axes:
            return self.array.array
        return None

    def taking(self, taken: tuple[Taken, ...], chunks: Chunks) -> ArrayExpr:
        """A slice of it, as a slice of the array."""
        inner = list(taken)
        for axis in self.axes:
            inner.insert(axis, (0, 1, 1))
        return Squeeze(sliced(self.array, tuple(inner)), self.axes)

    def turning(self, axes: tuple[int, ...]) -> Turn:
        kept = self._kept
        own = (*[kept[axis] for axis in axes], *self.axes)
        dropped = tuple(range(self.ndim, self.array.ndim))
        return Turn([(self.array, own)], lambda parts: Squeeze(parts[0], dropped))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ExpandDims(ArrayExpr):
    """The array with new axes of one element, which are these axes (ascending) of the result."""

    is_view = True

    array: Any
    axes: tuple[int, ...]

    @property
    def is_light(self) -> bool:
        return True

    @functools.cached_property
    def chunks(self) -> Chunks:
        old = iter(range(self.array.ndim))
        ndim = self.array.ndim + len(self.axes)
        one = Chunks.whole([1])
        return Chunks.join([one if axis in self.axes else self.array.chunks.axis(next(old)) for axis in range(ndim)])

    @functools.cached_property
    def meta(self) -> Any:
        return _with_axes(self.array.meta, self.array.ndim + len(self.axes))

    def block_call(self) -> BlockCall:
        reads = tuple([axis for axis in range(self.ndim) if axis not in self.axes])
        return BlockCall(np.expand_dims, (Read(self.array, reads), self.axes))

    def simplified(self) -> Expr | None:
        return self.array if not self.axes else None

    def taking(self, taken: tuple[Taken, ...], chunks: Chunks) -> ArrayExpr | None:
        """A slice of it, as a slice of the array, unless it leaves nothing of a new axis."""
        if any(taken[axis][2] != 1 for axis in self.axes):
            return None
        inner = tuple([one for axis, one in enumerate(taken) if axis not in self.axes])
        return ExpandDims(sliced(self.array, inner), self.axes)

    def turning(self, axes: tuple[int, ...]) -> Turn:
        kept = [axis for axis in range(self.ndim) if axis not in self.axes]
        own = tuple([kept.index(axis) for axis in axes if axis in kept])
        new = tuple([place for place, axis in enumerate(axes) if axis in self.axes])
        return Turn([(self.array, own)], lambda parts: ExpandDims(parts[0], new))


def _with_axes(meta: Any, ndim: int) -> Any:
    """A meta with another number of axes."""
    return meta if meta.ndim == ndim else np.empty_like(meta, shape=(0,) * ndim)


def squeezed(array: ArrayExpr, axes: tuple[int, ...]) -> ArrayExpr:
    """The array without these axes of one element (none negative)."""
    if not axes:
        return array
    for axis in axes:
        if array.grid[axis] != 1:
            array = Rechunk(array, array.chunks.replace(axis, [1]))
    return Squeeze(array, tuple(sorted(axes)))


def expanded(array: ArrayExpr, axes: tuple[int, ...]) -> ArrayExpr:
    """The array with new axes of one element at these places of the result (none negative)."""
    return ExpandDims(array, tuple(sorted(axes))) if axes else array
