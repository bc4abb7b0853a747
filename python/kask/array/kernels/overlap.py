"""Blocks with the edges of their neighbours, and blocks without them again."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.kernels.regions import gather_region
from kask.engine import Chunks, Interval

__all__ = ["EqualMargins", "Margins", "gather_margins", "trim"]


class Margins:
    """How many elements of the neighbours there are beside each block along an axis: those that an interval adds."""

    def __init__(self, interval: Interval, own: Chunks) -> None:
        self.interval, self.own = interval, own

    def of(self, block: int) -> tuple[int, int]:
        """In front of a block and behind it."""
        front = self.interval.margin(block)
        (size,) = self.own.block_shape((block,))
        return front, self.interval.length(block) - front - size

    def all(self) -> tuple[Chunks, Chunks]:
        """In front of all blocks and behind them, as sizes of chunks."""
        return self.interval.margins()

    def __kask_tokenize__(self) -> Any:
        return "margins", self.interval, self.own


class EqualMargins:
    """As many elements beside each block, but for the outer sides of the first and the last one where these are open."""

    def __init__(self, before: int, after: int, blocks: int, is_open: bool) -> None:
        self.before, self.after, self.blocks, self.is_open = before, after, blocks, is_open

    def of(self, block: int) -> tuple[int, int]:
        """In front of a block and behind it."""
        front = 0 if self.is_open and block == 0 else self.before
        return front, 0 if self.is_open and block == self.blocks - 1 else self.after

    def all(self) -> tuple[Chunks, Chunks]:
        """In front of all blocks and behind them, as sizes of chunks."""
        within = self.blocks - 1 if self.is_open else self.blocks
        open_end = [(0, 1)] if self.is_open else []
        front, back = (self.before, within), (self.after, within)
        return Chunks.of_runs([*open_end, front]), Chunks.of_runs([back, *open_end])

    def __kask_tokenize__(self) -> Any:
        return "equal margins", self.before, self.after, self.blocks, self.is_open


def gather_margins(
    blocks: list[Any], position: tuple[int, ...], intervals: tuple[Any, ...], chunks: Any, meta: Any
) -> Any:
    """A block with what is beside it; nothing where it has no elements itself."""
    shape = chunks.block_shape(position)
    if 0 in shape:
        return np.empty_like(meta, shape=shape)
    return gather_region(blocks, position, intervals, meta)


def trim(block: Any, position: tuple[int, ...], margins: tuple[Any, ...]) -> Any:
    """A block without what is beside it. Axes without margins have None."""
    place = [slice(None)] * block.ndim
    for axis, margin in enumerate(margins):
        if margin is not None:
            front, back = margin.of(position[axis])
            place[axis] = slice(front, block.shape[axis] - back)
    return block[tuple(place)]
