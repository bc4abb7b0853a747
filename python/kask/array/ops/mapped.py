"""Nodes that many families share: one call per block with chunks that the caller knows, arrays made longer, arrays made flat."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kask import config
from kask.array.kernels.pieces import Extend
from kask.array.node import ArrayExpr
from kask.array.ops.rechunk import rechunked
from kask.engine import Chunks, Hole
from kask.expr import Lowering
from kask.expr.lower import AT, BlockCall, Read

__all__ = ["Mapped", "cut_whole", "extended", "flattened", "mapped", "one_by_one"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Mapped(ArrayExpr):
    """``func`` of blocks of some arrays, each read as ``reads`` says, and of constants; with the block's position first if wanted."""

    func: Callable[..., Any]
    arrays: tuple[Any, ...]
    reads: tuple[tuple[Any, ...], ...]
    constants: tuple[Any, ...]
    chunks: Chunks
    meta: Any
    wants_position: bool = False
    label_: str = ""

    @property
    def label(self) -> str:
        return self.label_ or getattr(self.func, "__name__", type(self.func).__name__).strip("_<>").lower()

    def block_call(self) -> BlockCall:
        reads = [Read(array, axes) for array, axes in zip(self.arrays, self.reads)]
        return BlockCall(self.func, (*([AT] if self.wants_position else []), *reads, *self.constants))


def mapped(
    func: Callable[..., Any],
    *arrays: ArrayExpr,
    chunks: Chunks,
    dtype: Any,
    reads: tuple[tuple[Any, ...], ...] | None = None,
    constants: tuple[Any, ...] = (),
    wants_position: bool = False,
    label: str = "",
) -> Mapped:
    """The array whose blocks ``func`` makes, by default of the blocks at the same place."""
    if reads is None:
        reads = tuple([tuple(range(array.ndim)) for array in arrays])
    meta = np.empty((0,) * chunks.ndim, dtype)
    return Mapped(func, arrays, reads, constants, chunks, meta, wants_position, label)


def one_by_one(blocks: int) -> Chunks:
    """Chunks of one axis, so many of one element each."""
    return Chunks.normalize([blocks], [1], 1, 1) if blocks else Chunks.whole([0])


def cut_whole(array: ArrayExpr, axes: tuple[int, ...]) -> ArrayExpr:
    """The array with one chunk along these axes. The other axes are cut finer where blocks would get too large otherwise."""
    if all(array.grid[axis] == 1 for axis in axes):
        return array
    limit = int(config.get("array.chunk_size_bytes"))
    item = max(1, array.dtype.itemsize)
    chunks = array.chunks
    for axis in axes:
        chunks = chunks.replace(axis, Chunks.whole([array.shape[axis]]))
    if math.prod(chunks.largest) * item <= limit:
        return rechunked(array, chunks)
    specs: list[Any] = [None if axis in axes else "auto" for axis in range(array.ndim)]
    if "auto" in specs:
        chunks = Chunks.normalize(list(array.shape), specs, item, max(1, limit), array.chunks)
    return rechunked(array, chunks)


def extended(array: ArrayExpr, axis: int, before: ArrayExpr | None, after: ArrayExpr | None) -> ArrayExpr:
    """The array with a few elements more before and after it along an axis: the first and the last block get longer."""
    ends = [end for end in (before, after) if end is not None]
    if not ends:
        return array
    lengths = [0 if end is None else end.shape[axis] for end in (before, after)]
    along = array.chunks.axis(axis)
    grown = along.grown(*lengths)
    ready = [rechunked(end, array.chunks.replace(axis, Chunks.whole([end.shape[axis]]))) for end in ends]
    reads = tuple([tuple([("fixed", 0) if a == axis else a for a in range(array.ndim)]) for _ in ends])
    dtype = np.result_type(array.dtype, *[end.dtype for end in ends])
    func = Extend(axis, array.grid[axis], before is not None, after is not None, dtype)
    return mapped(
        func,
        array,
        *ready,
        reads=(tuple(range(array.ndim)), *reads),
        chunks=array.chunks.replace(axis, grown),
        dtype=dtype,
        wants_position=True,
        label="extend",
    )


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Flatten(ArrayExpr):
    """The elements in C order, along one axis. Blocks of the array are stretches of it, in order."""

    family = "flatten"

    array: Any
    chunks: Chunks

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta.reshape((0,))

    def lower(self, lowering: Lowering) -> None:
        # Blocks are numbered in C order, whatever the grid: the same layer is read as one with a single axis.
        reads = [(self.array.name, list(self.grid), [0])]
        lowering.builder.add_blockwise(
            self.name, np.ravel, (Hole(0),), list(self.grid), reads, options=lowering.options(self)
        )


def flattened(array: ArrayExpr) -> ArrayExpr:
    """The array with a single axis, its elements in C order."""
    if array.ndim == 1:
        return array
    size = math.prod(array.shape)
    if size == 0 or array.ndim == 0:
        whole = Chunks.whole([size])
        return mapped(
            np.ravel,
            rechunked(array, Chunks.whole(list(array.shape))),
            reads=((("fixed", 0),) * array.ndim,),
            chunks=whole,
            dtype=array.dtype,
        )
    limit = max(1, int(config.get("array.chunk_size_bytes")) // max(1, array.dtype.itemsize))
    before, merged, _, _ = array.chunks.plan_reshape([size], limit)
    return Flatten(rechunked(array, before), merged)
