"""Blocks made of parts of other blocks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from kask.array.kernels.blockwise import can_be_filled, joined

__all__ = ["common_dtype", "gather_copied", "gather_region", "slice_of"]


def slice_of(start: int, step: int, length: int) -> slice:
    """The slice that takes ``length`` elements from ``start`` on, every ``step``-th."""
    stop = start + step * length
    return slice(start, stop if stop >= 0 else None, step)


def gather_region(blocks: list[Any], position: tuple[int, ...], intervals: tuple[Any, ...], meta: Any) -> Any:
    """The block at ``position``, made of the input blocks under it.

    ``blocks`` are in C order; along each axis an interval (``kask.engine.Interval``) says what each of them gives. ``meta`` is the kind
    of a block that is made of none.
    """
    if not blocks:
        return np.empty_like(meta, shape=tuple([interval.length(at) for interval, at in zip(intervals, position)]))
    along = [interval.pieces(at) for interval, at in zip(intervals, position)]
    if len(blocks) == 1:
        return blocks[0][tuple([slice_of(*pieces[0][:3]) for pieces in along])]
    shape = tuple([sum([piece[2] for piece in pieces]) for pieces in along])
    if not can_be_filled(blocks[0]):
        parts = [
            block[tuple([slice_of(*piece[:3]) for piece in pieces])]
            for block, pieces in zip(blocks, itertools.product(*along))
        ]
        return joined(parts, [len(pieces) for pieces in along], list(range(len(along))))
    out: Any = None
    for block, pieces in zip(blocks, itertools.product(*along)):
        part = block[tuple([slice_of(start, step, length) for start, step, length, _ in pieces])]
        if out is None:
            out = np.empty_like(part, shape=shape, dtype=common_dtype(blocks))
        out[tuple([slice(at, at + length) for _, _, length, at in pieces])] = part
    return out


def common_dtype(blocks: list[Any], *others: Any) -> Any:
    """The type of blocks, and these types. Users' functions may make blocks of several, whatever was said: the one that holds all, if there
    is one."""
    first = blocks[0].dtype
    kinds = {*others, *[block.dtype for block in blocks]}
    if len(kinds) == 1:
        return first
    try:
        return np.result_type(*kinds)
    except TypeError:
        return first


def gather_copied(blocks: list[Any], position: tuple[int, ...], intervals: tuple[Any, ...], meta: Any) -> Any:
    """The same, but no view of a larger block, which would be kept for the sake of a part of it."""
    found = gather_region(blocks, position, intervals, meta)
    is_part = len(blocks) == 1 and isinstance(found, np.ndarray) and found.size < blocks[0].size
    return found.copy() if is_part else found
