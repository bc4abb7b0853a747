"""Arrays as one long row, with a value for each element, and some blocks of an array: what the editing functions are made of."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from kask.array.kernels import edits as kernels
from kask.array.node import ArrayExpr
from kask.array.ops.creation import Filled
from kask.array.ops.elementwise import elementwise
from kask.array.ops.indexing_fancy import one_each
from kask.engine import Chunks
from kask.expr.lower import BlockCall, Read

__all__ = ["SomeBlocks", "spread"]


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
        return Chunks.join([self.array.chunks.axis(axis).picked(numbers) for axis, numbers in enumerate(self.numbers)])

    @property
    def meta(self) -> Any:
        return self.array.meta

    def block_call(self) -> BlockCall:
        axes = tuple([one_each(axis, np.array(numbers, np.int64)) for axis, numbers in enumerate(self.numbers)])
        return BlockCall(kernels.view_of_one, (Read(self.array, axes),))
