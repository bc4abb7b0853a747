"""Elements picked from blocks by lists and masks, and put into them."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = [
    "Points",
    "blocks_of",
    "first_block",
    "merge_points",
    "pick_points",
    "places_of",
    "read_list",
    "select",
    "sorting",
    "take_list",
]


class Points:
    """Where elements are picked and where they go: points of an array, grouped into *pieces* of one input block and one output chunk.

    Parameters
    ----------
    coordinates : sequence of 1-D integer arrays
        The points, in the order of the output: a coordinate along each of the axes that are picked from.
    sizes : sequence of 1-D integer arrays
        The chunk sizes along these axes.
    cuts : 1-D integer array
        The chunk sizes of the output.
    """

    def __init__(self, coordinates: Sequence[np.ndarray], sizes: Sequence[np.ndarray], cuts: np.ndarray) -> None:
        starts = [np.cumsum(lengths) - lengths for lengths in sizes]
        along = [blocks_of(at, lengths) for at, lengths in zip(coordinates, sizes)]
        grid = [max(1, len(lengths)) for lengths in sizes]
        block = np.ravel_multi_index(along, grid) if len(along) > 1 else along[0]
        blocks = math.prod(grid)
        numbers = np.repeat(np.arange(len(cuts)) * blocks, cuts) + block
        order = sorting(numbers)
        pieces, counts = _counted(numbers, len(cuts) * blocks, order)
        #: Where each piece ends among the points in the order of the pieces.
        self.piece_ends = np.cumsum(counts)
        #: Which block each piece is of, along each axis.
        self.blocks = np.unravel_index(pieces % blocks, grid)
        #: Where the pieces of each chunk end.
        self.chunk_ends = np.searchsorted(pieces // blocks, np.arange(len(cuts)), side="right")
        #: For each point in this order: where it lies in its block, and where it goes in its chunk.
        self.local = [
            at[order] - np.repeat(first[own], counts) for at, first, own in zip(coordinates, starts, self.blocks)
        ]
        self.places = order - np.repeat(np.cumsum(cuts) - cuts, cuts)

    @property
    def most_pieces(self) -> int:
        """The most pieces that any chunk is made of."""
        return int(np.diff(self.chunk_ends, prepend=0).max(initial=0))

    @property
    def piece_sizes(self) -> np.ndarray:
        """Points of each piece."""
        return np.diff(self.piece_ends, prepend=0)

    def pieces(self, chunk: int) -> range:
        """The pieces of a chunk."""
        return range(int(self.chunk_ends[chunk - 1]) if chunk else 0, int(self.chunk_ends[chunk]))

    def points(self, piece: int) -> slice:
        """The points of a piece."""
        return slice(int(self.piece_ends[piece - 1]) if piece else 0, int(self.piece_ends[piece]))

    @functools.cached_property
    def hulls(self) -> tuple[np.ndarray, np.ndarray]:
        """For each piece of points along one axis the first place in the block, and how many places there are up to the last one."""
        starts = self.piece_ends - self.piece_sizes
        first = np.minimum.reduceat(self.local[0], starts)
        return first, np.maximum.reduceat(self.local[0], starts) - first + 1

    def in_hulls(self) -> Points:
        """The same where a piece is of its hull and not of the block."""
        found = copy.copy(self)
        found.local = [self.local[0] - np.repeat(self.hulls[0], self.piece_sizes)]
        return found

    def __kask_tokenize__(self) -> Any:
        return "points", self.piece_ends, self.chunk_ends, list(self.blocks), self.local, self.places


def blocks_of(places: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The chunk in which each place along an axis is."""
    if len(sizes) > 1 and sizes[0] > 0 and (sizes[:-1] == sizes[0]).all() and sizes[-1] <= sizes[0]:
        return places // sizes[0]
    return np.searchsorted(np.cumsum(sizes), places, side="right")


def sorting(keys: np.ndarray) -> np.ndarray:
    """The order that sorts numbers; equal ones stay as they are."""
    if (keys[1:] >= keys[:-1]).all():
        return np.arange(len(keys))
    # NumPy sorts small integers by their digits.
    most = keys.max()
    small = keys.astype(np.uint8) if most < 1 << 8 else keys.astype(np.uint16) if most < 1 << 16 else keys
    return np.argsort(small, kind="stable")


def _counted(numbers: np.ndarray, most: int, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which numbers below ``most`` there are, and how often; ``order`` sorts them."""
    if most <= len(numbers):
        counts = np.bincount(numbers, minlength=most)
        found = np.flatnonzero(counts)
        return found, counts[found]
    ordered = numbers[order]
    is_last = np.ones(len(ordered), bool)
    is_last[:-1] = ordered[1:] != ordered[:-1]
    last = np.flatnonzero(is_last)
    return ordered[last], np.diff(last, prepend=-1)


def take_list(blocks: list[Any], position: tuple[int, ...], points: Points, axis: int) -> Any:
    """The chunk at ``position``: elements along one axis, of the blocks that hold some of them."""
    lead = (slice(None),) * axis
    pieces = points.pieces(position[axis])
    if not hasattr(type(blocks[0]), "__setitem__"):
        parts = [
            block[(*lead, points.local[0][points.points(piece)])] for block, piece in zip(blocks, pieces, strict=True)
        ]
        whole: Any = parts[0] if len(parts) == 1 else np.concatenate(parts, axis)
        own = slice(points.points(pieces[0]).start, points.points(pieces[-1]).stop)
        return whole[(*lead, np.argsort(points.places[own]))]
    out: Any = None
    for block, piece in zip(blocks, pieces, strict=True):
        own = points.points(piece)
        part = block[(*lead, points.local[0][own])]
        if len(pieces) == 1 and is_ascending(points.places[own]):
            return part
        if out is None:
            count = points.points(pieces[-1]).stop - own.start
            out = np.empty_like(part, shape=(*part.shape[:axis], count, *part.shape[axis + 1 :]))
        out[(*lead, points.places[own])] = part
    return out


def read_list(
    position: tuple[int, ...],
    chunks: Any,
    places: tuple[tuple[int, int], ...],
    source: Any,
    points: Points,
    hulls: tuple[np.ndarray, np.ndarray],
    axis: int,
) -> Any:
    """The chunk at ``position``: elements along one axis of what is taken of a source, of which the hull of each piece is read."""
    starts, shape = chunks.block_start(position), chunks.block_shape(position)
    parts = []
    for piece in points.pieces(position[axis]):
        along = list(zip(starts, shape))
        along[axis] = int(hulls[0][piece]), int(hulls[1][piece])
        parts.append(
            source.read(tuple([(first + step * at, step, n) for (at, n), (first, step) in zip(along, places)]))
        )
    return take_list(parts, position, points, axis)


def is_ascending(places: np.ndarray) -> bool:
    """Whether numbers, none of which occurs twice, are in order."""
    return bool((places[1:] > places[:-1]).all())


def pick_points(block: Any, position: tuple[int, ...], points: Points, axes: tuple[int, ...]) -> Any:
    """The points of a piece; they become the first axis."""
    while type(block) is list:
        (block,) = block
    own = points.points(position[0])
    return np.moveaxis(block, axes, range(len(axes)))[tuple([local[own] for local in points.local])]


def merge_points(parts: list[Any], position: tuple[int, ...], points: Points, inner: tuple[int, ...]) -> Any:
    """A chunk of points, whose first axis is cut into one of so many rows and these further axes."""
    pieces = points.pieces(position[0])
    if not parts:
        # A chunk without points, which nobody looks at.
        return None
    own = slice(points.points(pieces[0]).start, points.points(pieces[-1]).stop)
    part = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if hasattr(type(part), "__setitem__"):
        out = np.empty_like(part)
        out[points.places[own]] = part
    else:
        out = part[np.argsort(points.places[own])]
    return out.reshape((len(out) // math.prod(inner), *inner, *part.shape[1:]))


def select(block: Any, mask: Any, axis: int) -> Any:
    """The elements of a block where a mask over some of its axes, from this one on, is true. Both may be the only ones of lists."""
    return first_block(block)[(*(slice(None),) * axis, first_block(mask))]


def places_of(mask: Any, position: tuple[int, ...], chunks: Any) -> np.ndarray:
    """Where a block of a whole array is true, or not zero: a row for each such element."""
    return np.argwhere(mask) + np.array(chunks.block_start(position), np.int64).reshape(1, -1)


def first_block(blocks: Any) -> Any:
    """The only block of a list, as a view: what a task gives back must not be its input itself."""
    while type(blocks) is list:
        (blocks,) = blocks
    return blocks[...]
