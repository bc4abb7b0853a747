"""Blocks with other elements in some places. What is given is copied, never written to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kask.array.kernels.indexing import blocks_of, sorting

__all__ = ["Masked", "Targets", "put_field", "put_masked", "put_points", "put_ranked", "put_region"]


class Masked:
    """Stands for ``numpy.ma.masked``, which is no value that can be copied."""

    def __kask_tokenize__(self) -> Any:
        return "masked"


def _put(out: Any, index: Any, value: Any) -> None:
    out[index] = np.ma.masked if isinstance(value, Masked) else value


def put_region(
    block: Any, value: Any, position: tuple[int, ...], chunks: Any, taken: tuple[tuple[int, int, int], ...]
) -> Any:
    """A block of an array of which every so many elements along each axis (steps are positive) become ``value``: a number, or a list of
    the block that lies there."""
    region = []
    for at, length, (start, step, count) in zip(chunks.block_start(position), chunks.block_shape(position), taken):
        first = max(0, -(-(at - start) // step))
        last = min(count, max(0, -(-(at + length - start) // step)))
        if first >= last:
            return block[...]
        region.append(slice(start + first * step - at, start + (last - 1) * step - at + 1, step))
    while type(value) is list:
        (value,) = value
    out = block.copy()
    _put(out, tuple(region), value)
    return out


def put_masked(block: Any, mask: Any, value: Any) -> Any:
    """A block that is ``value`` where the mask is true; all broadcast to the block's shape."""
    out = block.copy()
    if not isinstance(out, np.ma.MaskedArray):
        np.copyto(out, value, where=mask, casting="unsafe")
        return out
    # Copying would leave the mask as it is.
    where = np.broadcast_to(np.ma.getdata(mask), out.shape)
    if not isinstance(value, Masked) and np.ndim(value):
        data, masks = np.ma.getdata(value), np.ma.getmaskarray(value)
        value = np.ma.masked_array(np.broadcast_to(data, out.shape)[where], np.broadcast_to(masks, out.shape)[where])
    _put(out, where, value)
    return out


def put_field(block: Any, value: Any, fields: Any) -> Any:
    """A block of records with other values in a field, or in some."""
    out = block.copy()
    out[fields] = value
    return out


class Targets:
    """Points that are assigned to, grouped by block.

    Parameters
    ----------
    coordinates : sequence of 1-D integer arrays
        Points that occur twice stay in their order.
    sizes : sequence of 1-D integer arrays
        The chunk sizes along these axes.
    """

    def __init__(self, coordinates: Sequence[np.ndarray], sizes: Sequence[np.ndarray]) -> None:
        starts = [np.cumsum(lengths) - lengths for lengths in sizes]
        along = [blocks_of(at, lengths) for at, lengths in zip(coordinates, sizes)]
        self.grid = tuple([len(lengths) for lengths in sizes])
        block = np.ravel_multi_index(along, self.grid)
        #: The points in the order in which their values are read.
        self.order = sorting(block)
        self.local = [(at - first[axis])[self.order] for at, first, axis in zip(coordinates, starts, along)]
        self.ends = np.searchsorted(block[self.order], np.arange(int(np.prod(self.grid))), side="right")
        #: How many there are in each row of blocks along the first axis.
        self.rows = np.bincount(along[0], minlength=self.grid[0])

    def own(self, position: Sequence[int]) -> tuple[slice, slice]:
        """The points of a block, and where their values are among those of its row."""
        block = int(np.ravel_multi_index(tuple(position), self.grid))
        row = position[0] * (len(self.ends) // self.grid[0])
        start, before = [int(self.ends[at - 1]) if at else 0 for at in (block, row)]
        end = int(self.ends[block])
        return slice(start, end), slice(start - before, end - before)

    def __kask_tokenize__(self) -> Any:
        return "targets", self.grid, self.local, self.ends


def put_points(
    block: Any,
    value: Any,
    position: tuple[int, ...],
    targets: Targets,
    axes: tuple[int, ...],
    many: bool,
    ufunc: Any = None,
) -> Any:
    """A block with other elements at points. ``value`` has a row for each of them if there are ``many``; otherwise it is for all. With a
    ufunc elements become what it makes of them and of the values, one after another."""
    own, rows = targets.own([position[axis] for axis in axes])
    if own.start == own.stop:
        return block[...]
    out = block.copy()
    inside = np.moveaxis(out, axes, range(len(axes)))
    places, value = tuple([local[own] for local in targets.local]), value[rows] if many else value
    if ufunc is None:
        _put(inside, places, value)
    else:
        ufunc.at(inside, places, *(value,) * (ufunc.nin - 1))
    return out


def put_ranked(block: Any, masks: list[Any], value: Any, position: tuple[int, ...], chunks: Any, axis: int) -> Any:
    """A block with other elements where a mask is true. ``masks`` are the blocks of the mask with the same first elements along the
    first of its axes; ``value`` has an element along axis ``axis`` for each that is true in them, in C order."""
    while type(value) is list:
        if not value:
            return block[...]
        (value,) = value
    ndim = chunks.ndim
    along = position[axis : axis + ndim]
    rows = chunks.block_shape(along)[0]
    whole = np.empty((rows, *chunks.shape[1:]), bool)
    _joined(whole, masks, chunks, along[0])
    places = tuple([slice(at, at + n) for at, n in zip((0, *chunks.block_start(along)[1:]), chunks.block_shape(along))])
    own = whole[places]
    if not own.any():
        return block[...]
    ranks = (np.cumsum(whole).reshape(whole.shape) - 1)[places][own]
    lead = (slice(None),) * axis
    out = block.copy()
    out[(*lead, own)] = np.take(value, ranks, axis=axis)
    return out


def _joined(whole: Any, blocks: Any, chunks: Any, row: int) -> None:
    """Put the blocks of one row into their places."""
    if chunks.ndim == 1:
        whole[...] = blocks
        return
    for number, block in enumerate(blocks):
        at = (row, *np.unravel_index(number, chunks.grid[1:]))
        start, shape = chunks.block_start(at), chunks.block_shape(at)
        whole[(slice(None), *[slice(first, first + n) for first, n in zip(start[1:], shape[1:])])] = block
