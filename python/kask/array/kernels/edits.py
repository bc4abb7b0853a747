"""Blocks of arrays that are flattened or numbered."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kask.array.kernels.indexing import first_block

__all__ = [
    "cycled",
    "flat_index",
    "flattened",
    "of_mode",
    "put_along_axis",
    "spread",
    "truth",
    "unraveled",
    "view_of_one",
]


def flattened(block: Any) -> Any:
    """The elements of a block in C order."""
    return first_block(block).reshape(-1)


def view_of_one(block: Any) -> Any:
    """A block of some."""
    return first_block(block)


def spread(like: Any, value: Any) -> Any:
    """A value for each element of a block, in the block's type."""
    return np.broadcast_to(value, like.shape).astype(like.dtype)


def truth(block: Any) -> Any:
    """Which elements are not zero, or not empty."""
    return block.astype(bool)


def cycled(start: tuple[int, ...], shape: tuple[int, ...], values: np.ndarray, whole: tuple[int, ...]) -> np.ndarray:
    """A part of an array of shape ``whole`` that has the values again and again, in C order."""
    place = np.zeros((1,) * len(shape), np.int64)
    for axis, (first, length) in enumerate(zip(start, shape)):
        along = (np.arange(first, first + length) * math.prod(whole[axis + 1 :])) % len(values)
        place = place + along.reshape((-1, *(1,) * (len(shape) - axis - 1)))
    return values[place % len(values)]


def unraveled(indices: Any, shape: tuple[int, ...], order: Any, axis: int) -> Any:
    """Numbers of elements as one of their coordinates."""
    return np.asarray(np.unravel_index(indices, shape, order)[axis])


def flat_index(dims: tuple[int, ...], mode: Any, order: Any, *coordinates: Any) -> Any:
    """Coordinates as numbers of elements."""
    return np.asarray(np.ravel_multi_index(coordinates, dims, mode=mode, order=order))


def of_mode(indices: Any, length: int, mode: str) -> Any:
    """Numbers of elements, those beyond the end brought back."""
    return np.clip(indices, 0, length - 1) if mode == "clip" else np.mod(indices, length)


def put_along_axis(block: Any, places: Any, values: Any, axis: int) -> Any:
    """A copy of a block with values at places along an axis."""
    block = block.copy()
    np.put_along_axis(block, places, values, axis)
    return block
