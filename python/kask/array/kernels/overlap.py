"""Blocks with the edges of their neighbours, and blocks without them again."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from kask.array.kernels.regions import gather_region, slice_of
from kask.engine import Chunks, Interval

__all__ = ["BlockEdges", "EqualMargins", "Margins", "gather_margins", "put_between", "trim"]


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


class BlockEdges:
    """What the neighbours of a block read of it, ``depth`` elements before and after them along each axis: copies of its ends, so that the
    block itself can go. They are found by the same indices as in the block."""

    __slots__ = ("backs", "fronts", "shape")

    def __init__(self, block: Any, depth: tuple[tuple[int, int], ...]) -> None:
        self.shape = block.shape
        self.fronts: list[Any] = []
        self.backs: list[Any] = []
        for axis, (before, after) in enumerate(depth):
            along = (slice(None),) * axis
            # Who comes before this block reads what is after itself.
            self.fronts.append(block[(*along, slice(after))].copy() if after else None)
            self.backs.append(
                block[(*along, slice(max(0, block.shape[axis] - before), None))].copy() if before else None
            )

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        for axis, (place, front, back) in enumerate(zip(index, self.fronts, self.backs)):
            if front is not None and place.stop <= front.shape[axis]:
                return front[index]
            if back is not None and (first := self.shape[axis] - back.shape[axis]) <= place.start:
                moved = slice(place.start - first, place.stop - first)
                return back[(*index[:axis], moved, *index[axis + 1 :])]
        raise IndexError(f"{index} is not at an edge of a block of the shape {self.shape}")

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + sum([end.nbytes for end in (*self.fronts, *self.backs) if end is not None])


def put_between(
    own: list[Any],
    edges: list[BlockEdges],
    position: tuple[int, ...],
    inner: tuple[Any, ...],
    intervals: tuple[Any, ...],
    chunks: Any,
    meta: Any,
) -> Any:
    """A block between the edges of its neighbours; ``inner`` and ``intervals`` say what it reads without them and with them."""
    shape = chunks.block_shape(position)
    out = np.empty_like(meta, shape=shape)
    if 0 in shape:
        return out
    block = gather_region(own, position, inner, meta)
    fronts = [interval.margin(at) for interval, at in zip(intervals, position)]
    ends = [front + size for front, size in zip(fronts, block.shape)]
    out[tuple(map(slice, fronts, ends))] = block
    along = [interval.pieces(at) for interval, at in zip(intervals, position)]
    for edge, pieces in zip(edges, itertools.product(*along)):
        if all(front <= at and at + size <= end for (_, _, size, at), front, end in zip(pieces, fronts, ends)):
            continue
        target = tuple([slice_of(at, 1, size) for _, _, size, at in pieces])
        out[target] = edge[tuple([slice_of(*piece[:3]) for piece in pieces])]
    return out


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
