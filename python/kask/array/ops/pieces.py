"""Arrays one after another, as one long row, with a value for each element, and some blocks of an array: what the editing functions
are made of."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from kask.array.kernels import edits as kernels
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.creation import Filled
from kask.array.ops.elementwise import elementwise
from kask.array.ops.indexing_fancy import one_each
from kask.array.ops.masks import row_major
from kask.array.ops.rechunk import rechunked
from kask.engine import Chunks
from kask.expr.lower import BlockCall, Read

__all__ = ["SomeBlocks", "joined", "raveled", "spread"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Joined(ArrayExpr):
    """Arrays one after another along an axis, which are cut alike along the others."""

    family = "concatenate"

    arrays: tuple[Any, ...]
    axis: int
    meta: Any

    @functools.cached_property
    def chunks(self) -> Chunks:
        along = Chunks.concat([array.chunks.axis(self.axis) for array in self.arrays])
        return self.arrays[0].chunks.replace(self.axis, along)

    def block_call(self) -> BlockCall:
        reads = []
        places = np.arange(1, self.grid[self.axis] + 1)
        before = 0
        for array in self.arrays:
            count = array.grid[self.axis]
            axes: list[Any] = list(range(self.ndim))
            ends = np.clip(places - before, 0, count)
            axes[self.axis] = ("listed", self.axis, tuple(range(count)), tuple(ends.tolist()))
            reads.append(Read(array, tuple(axes)))
            before += count
        return BlockCall(kernels.joined, tuple(reads), {"dtype": self.dtype})


def joined(arrays: list[ArrayExpr], axis: int, dtype: Any) -> ArrayExpr:
    """Arrays one after another; along the other axes they are as long as each other."""
    others = [at for at in range(arrays[0].ndim) if at != axis]
    cuts = {at: Chunks.unify([array.chunks.axis(at) for array in arrays]) for at in others}
    ready = []
    for array in arrays:
        chunks = Chunks.join([array.chunks.axis(at) if at == axis else cuts[at] for at in range(array.ndim)])
        ready.append(rechunked(array, chunks))
    return Joined(tuple(ready), axis, empty_meta(dtype, arrays[0].ndim, arrays[0].meta))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Raveled(ArrayExpr):
    """The elements in C order, where that is also the order of the blocks."""

    family = "ravel"

    array: Any

    @functools.cached_property
    def chunks(self) -> Chunks:
        sizes = np.ones(1, np.int64)
        for along in self.array.chunks.tuples():
            sizes = np.multiply.outer(sizes, np.array(along, np.int64)).reshape(-1)
        return Chunks([sizes.tolist()])

    @functools.cached_property
    def meta(self) -> Any:
        return empty_meta(self.array.dtype, 1, self.array.meta)

    def block_call(self) -> BlockCall:
        blocks = np.unravel_index(np.arange(math.prod(self.array.grid)), self.array.grid) if self.array.ndim else ()
        return BlockCall(kernels.flattened, (Read(self.array, tuple([one_each(0, along) for along in blocks])),))


def raveled(array: ArrayExpr) -> ArrayExpr:
    """All elements in C order."""
    if array.ndim == 1:
        return array
    if array.ndim > 1:
        array = rechunked(array, row_major(array.chunks, math.prod(array.chunks.largest)))
    return Raveled(array)


def spread(value: Any, shape: tuple[int, ...], dtype: Any, chunks: Chunks | None = None) -> ArrayExpr:
    """A value (an array or a number), broadcast and cast."""
    if chunks is None:
        chunks = Chunks.whole(list(shape))
        if isinstance(value, ArrayExpr):
            extra = len(shape) - value.ndim
            along = [
                value.chunks.axis(at - extra)
                if at >= extra and value.shape[at - extra] == length
                else Chunks.whole([length])
                for at, length in enumerate(shape)
            ]
            chunks = Chunks.join(along)
    base = Filled(0, chunks, np.empty((0,) * len(shape), dtype))
    return elementwise(kernels.spread, base, value, dtype=dtype)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SomeBlocks(ArrayExpr):
    """Blocks of an array by their numbers along each axis."""

    family = "blocks"

    array: Any
    numbers: tuple[tuple[int, ...], ...]

    @functools.cached_property
    def chunks(self) -> Chunks:
        along = [np.array(sizes, np.int64) for sizes in self.array.chunks.tuples()]
        return Chunks([sizes[list(numbers)].tolist() for sizes, numbers in zip(along, self.numbers)])

    @property
    def meta(self) -> Any:
        return self.array.meta

    def block_call(self) -> BlockCall:
        axes = tuple([one_each(axis, np.array(numbers, np.int64)) for axis, numbers in enumerate(self.numbers)])
        return BlockCall(kernels.view_of_one, (Read(self.array, axes),))
