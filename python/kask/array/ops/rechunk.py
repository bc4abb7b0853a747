"""Other chunks for the same array."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from kask import config, engine
from kask.array.kernels.regions import gather_region
from kask.array.node import ArrayExpr
from kask.array.ops.turning import Turn
from kask.engine import Chunks, Interval
from kask.expr import Expr, Lowering
from kask.expr.lower import AT, BlockCall, Read
from kask.merges import merge_groups
from kask.shuffle import MergeBlocks, SplitBlock, take_block

__all__ = ["Rechunk", "rechunked"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Rechunk(ArrayExpr):
    """The same elements, cut otherwise: each new block reads the blocks under it, or, where that would be most of the array for each,
    all blocks are taken apart and put together (see ``kask_graph::chunks::plan_rechunk``)."""

    array: Any
    chunks: Chunks

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta

    @functools.cached_property
    def way(self) -> str:
        """ "nothing", "direct" or "shuffle"."""
        limit = config.get("array.chunk_size_bytes")
        can_shuffle = type(self.meta) is np.ndarray and not self.dtype.hasobject and self.dtype.itemsize > 0
        way = self.array.chunks.plan_rechunk(self.chunks, max(1, self.dtype.itemsize), limit)
        return way if can_shuffle else "direct"

    def block_call(self) -> BlockCall | None:
        if self.way == "shuffle":
            return None
        intervals = tuple([Interval(self.array.chunks.axis(axis), self.chunks.axis(axis)) for axis in range(self.ndim)])
        axes = tuple([("interval", axis, interval) for axis, interval in enumerate(intervals)])
        return BlockCall(gather_region, (Read(self.array, axes), AT, intervals, self.meta))

    @property
    def reads_joined(self) -> bool:
        return True

    def lower(self, lowering: Lowering) -> None:
        outputs = math.prod(self.grid)
        groups = merge_groups(outputs)
        template = (engine.Hole(0), engine.Hole(1))
        lowering.builder.add_shuffle(
            self.name,
            SplitBlock(self.array.chunks, self.chunks, groups),
            MergeBlocks(self.chunks, groups),
            take_block,
            template,
            template,
            template,
            lowering.source(self.array),
            list(self.array.grid),
            list(self.grid),
            groups,
            wants_position=True,
            options=lowering.options(self),
        )

    def simplified(self) -> Expr | None:
        if self.chunks == self.array.chunks:
            return self.array
        if isinstance(self.array, Rechunk):
            return Rechunk(self.array.array, self.chunks)
        recut = getattr(self.array, "recut", None)
        return recut(self.chunks) if recut is not None else None

    def turning(self, axes: tuple[int, ...]) -> Turn:
        return Turn([(self.array, axes)], lambda parts: rechunked(parts[0], self.chunks.axes(list(axes))))


def rechunked(array: ArrayExpr, chunks: Chunks) -> ArrayExpr:
    """The array, cut so."""
    return array if array.chunks == chunks else Rechunk(array, chunks)
