"""Blocks with the edges of their neighbours, and without them again: ``overlap``, ``trim_overlap``."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels.overlap import BlockEdges, EqualMargins, Margins, gather_margins, put_between, trim
from kask.array.node import ArrayExpr
from kask.array.ops.mapped import one_by_one
from kask.array.ops.padding import pad
from kask.engine import Chunks, Interval
from kask.expr.lower import AT, BlockCall, Read

__all__ = ["trim_overlap"]

#: What a boundary is called here, and which mode of ``pad`` it is.
_MODES = {"periodic": "wrap", "reflect": "symmetric", "nearest": "edge"}

#: Of blocks of fewer bytes, neighbours are read themselves: one more task for each block takes longer.
_LARGE_BYTES = 1 << 18

Depth = tuple[int, int]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Edges(ArrayExpr):
    """What the neighbours of each block read of it: its ends along each axis. One element for each block."""

    family = "edges"

    array: Any
    depth: tuple[Depth, ...]

    @functools.cached_property
    def chunks(self) -> Chunks:
        return Chunks.join([one_by_one(blocks) for blocks in self.array.grid])

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta

    @property
    def block_bytes(self) -> int:
        thickness = [sum(depth) / max(1, size) for depth, size in zip(self.depth, self.array.chunks.largest)]
        return int(self.array.block_bytes * sum(thickness))

    def block_call(self) -> BlockCall:
        return BlockCall(BlockEdges, (Read(self.array, tuple(range(self.ndim))), self.depth))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Overlapped(ArrayExpr):
    """The blocks of an array with ``depth`` elements of their neighbours. ``array`` may be larger by what lies beyond the boundary:
    ``own`` are the blocks, the first of which begins ``starts`` elements after it. Neighbours are read themselves, or their ``edges``."""

    family = "overlap"

    array: Any
    own: Chunks
    starts: tuple[int, ...]
    depth: tuple[Depth, ...]
    edges: Any = None

    @functools.cached_property
    def intervals(self) -> tuple[Interval, ...]:
        """What the blocks read along each axis."""
        return self._intervals(self.depth)

    def _intervals(self, depths: tuple[Depth, ...]) -> tuple[Interval, ...]:
        return tuple(
            [
                Interval(self.array.chunks.axis(axis), self.own.axis(axis), start, 1, *depth)
                for axis, (start, depth) in enumerate(zip(self.starts, depths))
            ]
        )

    @functools.cached_property
    def margins(self) -> tuple[Any, ...]:
        """What is beside the blocks along each axis; None where that is nothing."""
        found: list[Any] = []
        for axis, depth in enumerate(self.depth):
            found.append(Margins(self.intervals[axis], self.own.axis(axis)) if any(depth) else None)
        return tuple(found)

    @functools.cached_property
    def chunks(self) -> Chunks:
        along = []
        for axis, margin in enumerate(self.margins):
            sizes = self.own.axis(axis)
            along.append(sizes if margin is None else sizes.plus(*margin.all()))
        return Chunks.join(along)

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta

    def block_call(self) -> BlockCall:
        if self.edges is None:
            read = Read(self.array, _along(self.intervals))
            return BlockCall(gather_margins, (read, AT, self.intervals, self.chunks, self.meta))
        inner = self._intervals(((0, 0),) * self.ndim)
        own, edges = Read(self.array, _along(inner)), Read(self.edges, _along(self.intervals))
        return BlockCall(put_between, (own, edges, AT, inner, self.intervals, self.chunks, self.meta))


def _along(intervals: tuple[Interval, ...]) -> tuple[Any, ...]:
    return tuple([("interval", axis, interval) for axis, interval in enumerate(intervals)])


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Trimmed(ArrayExpr):
    """Blocks without what is beside them."""

    family = "trim"

    array: Any
    margins: tuple[Any, ...]
    label_: str = "trim"
    #: The array's name, where the user chose it; the layer's begins with it.
    name_: str = ""

    @property
    def label(self) -> str:
        return self.name_ or self.label_

    @functools.cached_property
    def chunks(self) -> Chunks:
        chunks = self.array.chunks
        for axis, margin in enumerate(self.margins):
            if margin is None:
                continue
            try:
                chunks = chunks.replace(axis, chunks.axis(axis).minus(*margin.all()))
            except ValueError as error:
                raise ValueError(f"the overlap cannot be trimmed off axis {axis}: {error}") from None
        return chunks

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta

    def block_call(self) -> BlockCall:
        return BlockCall(trim, (Read(self.array, tuple(range(self.ndim))), AT, self.margins))


def depths_of(depth: Any, ndim: int) -> tuple[Depth, ...]:
    """What is read before and after a block along each axis."""
    if depth is None:
        depth = 0
    if isinstance(depth, Mapping):
        given = {np.lib.array_utils.normalize_axis_index(axis, ndim): value for axis, value in depth.items()}
        each = [given.get(axis, 0) for axis in range(ndim)]
    elif isinstance(depth, tuple | list):
        if len(depth) != ndim:
            raise ValueError(f"depth={depth!r} is for {len(depth)} axes, but the array has {ndim}")
        each = list(depth)
    else:
        each = [depth] * ndim
    found = []
    for value in each:
        sides = tuple(value) if isinstance(value, tuple | list) else (value, value)
        if len(sides) != 2 or not all(_is_length(side) for side in sides):
            raise ValueError(
                f"depth={depth!r}, but so many elements are read beside a block: whole numbers from 0 on, or pairs of them"
            )
        found.append((int(sides[0]), int(sides[1])))
    return tuple(found)


def _is_length(value: Any) -> bool:
    return bool(isinstance(value, int | float | np.integer | np.floating) and value >= 0 and value == int(value))


def boundaries_of(boundary: Any, ndim: int) -> tuple[Any, ...]:
    """What is beyond the array along each axis: None for nothing."""
    if isinstance(boundary, Mapping):
        given = {np.lib.array_utils.normalize_axis_index(axis, ndim): value for axis, value in boundary.items()}
        each = [given.get(axis) for axis in range(ndim)]
    elif isinstance(boundary, tuple | list):
        if len(boundary) != ndim:
            raise ValueError(f"boundary={boundary!r} is for {len(boundary)} axes, but the array has {ndim}")
        each = list(boundary)
    else:
        each = [boundary] * ndim
    for value in each:
        if isinstance(value, str) and value not in ("none", *_MODES):
            raise ValueError(f"boundary={value!r} is not one of 'none', 'periodic', 'reflect', 'nearest', or a number")
    return tuple([None if isinstance(value, str) and value == "none" else value for value in each])


def overlapped(array: ArrayExpr, depth: tuple[Depth, ...], boundary: tuple[Any, ...]) -> Overlapped:
    """Blocks with so many elements of their neighbours, and of what is beyond the boundary."""
    own, starts = array.chunks, [0] * array.ndim
    for axis, (width, kind) in enumerate(zip(depth, boundary)):
        if kind is None or not any(width):
            continue
        sides = {axis: width}
        if isinstance(kind, str):
            array = pad(wrap(array), sides, _MODES[kind]).expr
        else:
            array = pad(wrap(array), sides, constant_values=kind).expr
        starts[axis] = width[0]
    return Overlapped(array, own, tuple(starts), depth, _edges_worth_while(array, depth))


def _edges_worth_while(array: ArrayExpr, depth: tuple[Depth, ...]) -> Edges | None:
    """The edges of the blocks, where reading them costs much less than reading the blocks."""
    edges = Edges(array, depth)
    has_neighbours = any(any(width) and blocks > 1 for width, blocks in zip(depth, array.grid))
    if not has_neighbours or array.block_bytes < _LARGE_BYTES or edges.block_bytes > array.block_bytes // 4:
        return None
    return edges if type(array.meta) is np.ndarray else None


def overlap(x: Any, depth: Any, boundary: Any = None, *, allow_rechunk: bool = True) -> Any:
    """The array whose blocks have elements of their neighbours too; its shape is larger by what is there twice.

    Parameters
    ----------
    x : array
        What is cut.
    depth : int, tuple or dict
        Elements of the neighbours along all axes or each of them; a pair says how many before and after.
    boundary : str, number, tuple or dict, optional
        What is beyond the array: ``"periodic"``, ``"reflect"`` (the edge is repeated), ``"nearest"``, a number, or ``"none"``.
    allow_rechunk : bool
        Accepted; no block has to be as large as the depth.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.overlap.overlap(ka.arange(6, chunks=3), 1, "periodic").compute()
    array([5, 0, 1, 2, 3, 2, 3, 4, 5, 0])
    """
    x = as_array(x)
    return wrap(overlapped(x.expr, depths_of(depth, x.ndim), boundaries_of(boundary, x.ndim)))


def trim_internal(x: Any, axes: Any, boundary: Any = None) -> Any:
    """The array whose blocks have lost elements at their ends.

    Parameters
    ----------
    x : array
        Such as :func:`overlap` makes.
    axes : dict
        Elements to take off along each axis; a pair says how many before and after.
    boundary : str, number, tuple or dict, optional
        Where it is ``"none"`` the outer sides of the first and the last block keep all.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.overlap.trim_internal(ka.arange(6, chunks=3), {0: 1}, "periodic").compute()
    array([1, 4])
    """
    x = as_array(x)
    depth, boundaries = depths_of(axes, x.ndim), boundaries_of(boundary, x.ndim)
    margins = tuple(
        [
            EqualMargins(*width, blocks, kind is None) if any(width) else None
            for width, kind, blocks in zip(depth, boundaries, x.numblocks)
        ]
    )
    return wrap(Trimmed(x.expr, margins))


def trim_overlap(x: Any, depth: Any, boundary: Any = None) -> Any:
    """The array without what :func:`overlap` added.

    Parameters
    ----------
    x : array
        Such as :func:`overlap` makes, of blocks that were not smaller than the depth.
    depth, boundary
        As they were given to :func:`overlap`.

    Examples
    --------
    >>> import kask.array as ka
    >>> wide = ka.overlap.overlap(ka.arange(6, chunks=3), 1, "reflect")
    >>> ka.trim_overlap(wide, 1, "reflect").compute()
    array([0, 1, 2, 3, 4, 5])
    """
    return trim_internal(x, depth, boundary)
