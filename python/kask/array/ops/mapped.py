"""What many families begin with: arrays made by one call per block, and axes in one block."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kask import config
from kask.array.node import ArrayExpr
from kask.array.ops.blocks import Blocks
from kask.array.ops.rechunk import rechunked
from kask.engine import Chunks

__all__ = ["cut_whole", "mapped", "one_by_one"]


def mapped(
    func: Callable[..., Any],
    *arrays: ArrayExpr,
    chunks: Chunks,
    dtype: Any = None,
    meta: Any = None,
    reads: tuple[tuple[Any, ...], ...] | None = None,
    constants: tuple[Any, ...] = (),
    wants_position: bool = False,
    label: str = "",
) -> Blocks:
    """The array whose blocks ``func`` makes of blocks of some arrays, by default those at the same place, and of constants; with the
    block's position first if wanted. Its blocks are like ``meta``, or NumPy's of this type."""
    if reads is None:
        reads = tuple([tuple(range(array.ndim)) for array in arrays])
    if meta is None:
        meta = np.empty((0,) * chunks.ndim, dtype)
    label = label or getattr(func, "__name__", type(func).__name__).strip("_<>").lower()
    return Blocks(func, (*arrays, *constants), (*reads, *[None] * len(constants)), chunks, meta, label, wants_position)


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
