"""A node that many families share: one call per block with chunks that the caller knows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kask import config
from kask.array.node import ArrayExpr
from kask.array.ops.rechunk import rechunked
from kask.engine import Chunks
from kask.expr.lower import AT, BlockCall, Read

__all__ = ["Mapped", "cut_whole", "mapped", "one_by_one"]


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
