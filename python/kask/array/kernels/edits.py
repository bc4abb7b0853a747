"""Blocks of arrays that are flattened or numbered."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from kask.array.kernels.indexing import first_block

__all__ = [
    "Places",
    "cycled",
    "flat_index",
    "flattened",
    "of_mode",
    "put_along_axis",
    "spread",
    "truth",
    "unraveled",
    "view_of_one",
    "with_values",
    "without",
]


class Places:
    """Places along an axis, in ascending order.

    Parameters
    ----------
    found : range or 1-D array of int64
        A range ascends too; a place may occur again in an array.
    """

    def __init__(self, found: range | np.ndarray) -> None:
        self._found = found

    def __len__(self) -> int:
        return len(self._found)

    @property
    def ends(self) -> tuple[int, int]:
        """The first place and the last one."""
        return int(self._found[0]), int(self._found[-1])

    @property
    def is_run(self) -> bool:
        """Whether they are several, one right after another."""
        return isinstance(self._found, range) and self._found.step == 1

    def before(self, at: Any) -> Any:
        """How many of them are less than a place, or than each of several."""
        if not isinstance(self._found, range):
            return np.searchsorted(self._found, at)
        return np.clip(-((self._found.start - at) // self._found.step), 0, len(self._found))

    def part(self, first: int, last: int, start: int) -> Places:
        """Those of these numbers, counted from a place on."""
        found = self._found[first:last]
        if isinstance(found, range):
            return Places(range(found.start - start, found.stop - start, found.step))
        return Places(found - start)

    def moved_by_number(self, by: int) -> Places:
        """Each of them moved by its number times ``by``."""
        if isinstance(self._found, range):
            step = self._found.step + by
            return Places(range(self._found.start, self._found.start + step * len(self._found), step))
        return Places(self._found + by * np.arange(len(self._found)))

    def array(self) -> np.ndarray:
        """All of them."""
        if isinstance(self._found, range):
            return np.arange(self._found.start, self._found.stop, self._found.step)
        return self._found

    @functools.cached_property
    def _token(self) -> str:
        from kask.tokens import tokenize

        return tokenize(self._found)

    def __kask_tokenize__(self) -> Any:
        return "places", self._token


def without(
    block: Any, position: tuple[int, ...], chunks: Any, axis: int, places: Places, numbers: np.ndarray | None
) -> Any:
    """What is left of a block of an array cut so. Where only some blocks are read, ``numbers`` says which along the axis."""
    if numbers is not None:
        position = (*position[:axis], int(numbers[position[axis]]), *position[axis + 1 :])
    block = first_block(block)
    start, length = chunks.block_start(position)[axis], block.shape[axis]
    gone = places.part(places.before(start), places.before(start + length), start)
    if not len(gone):
        return block
    keep: Any = np.ones(length, bool)
    keep[gone.array()] = False
    return block[(*(slice(None),) * axis, keep)]


def with_values(block: Any, values: Any, position: tuple[int, ...], chunks: Any, axis: int, places: Places) -> Any:
    """A block of an array cut so, with the values that go into it."""
    count = values.shape[axis]
    if not count:
        return first_block(block)
    lead, start = (slice(None),) * axis, chunks.block_start(position)[axis]
    first = places.before(start)
    is_new: Any = np.zeros(block.shape[axis] + count, bool)
    is_new[places.part(first, first + count, start).moved_by_number(1).array()] = True
    if not hasattr(type(block), "__setitem__"):
        source: Any = np.empty(len(is_new), np.int64)
        source[is_new], source[~is_new] = np.arange(count) + block.shape[axis], np.arange(block.shape[axis])
        return np.concatenate([block, values], axis)[(*lead, source)]
    out = np.empty_like(block, shape=(*block.shape[:axis], len(is_new), *block.shape[axis + 1 :]))
    out[(*lead, is_new)] = values
    out[(*lead, ~is_new)] = block
    return out


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
