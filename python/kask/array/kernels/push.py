"""What the tasks of ``push`` run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = [
    "LatestPlace",
    "Limited",
    "UserScan",
    "UserTotal",
    "last_of",
    "last_place",
    "latest",
    "latest_places",
    "pushed",
]


def is_missing(array: Any) -> Any:
    """Where NaN or NaT is, which alone differ from themselves."""
    return array != array


def pushed(block: Any, axis: int, dtype: Any = None) -> Any:
    """A block with the last valid element before each missing one in its place."""
    missing = is_missing(block)
    shape = tuple([-1 if one == axis else 1 for one in range(block.ndim)])
    places = np.arange(block.shape[axis]).reshape(shape)
    # Place 0 stays what it is: nothing lies before it.
    return np.take_along_axis(block, np.maximum.accumulate(np.where(missing, 0, places), axis=axis), axis)


def last_of(block: Any, axis: int, keepdims: bool = True, dtype: Any = None) -> Any:
    """The last valid element of a block, and a missing one if there is none."""
    if block.shape[axis] == 0:
        shape = tuple([1 if one == axis else length for one, length in enumerate(block.shape)])
        return np.full_like(block, missing_of(block.dtype), shape=shape)
    end = tuple([slice(-1, None) if one == axis else slice(None) for one in range(block.ndim)])
    return pushed(block, axis)[end]


def latest(before: Any, block: Any) -> Any:
    """A block, with what lies before it where nothing of its own has come yet."""
    return np.where(is_missing(block), before, block)


def missing_of(dtype: Any) -> Any:
    """The missing element of a type."""
    return np.array("NaT", dtype)[()] if dtype.kind in "mM" else np.nan


class LatestPlace:
    """Where along an axis of the whole array each valid element of a block is; -1 for the missing ones."""

    def __init__(self, chunks: Any, axis: int) -> None:
        self.chunks, self.axis = chunks, axis
        self.__name__ = "places"

    def __call__(self, position: tuple[int, ...], block: Any) -> Any:
        return np.where(is_missing(block), -1, places_along(self.chunks, self.axis, position))

    def __kask_tokenize__(self) -> Any:
        return "latest place", self.chunks, self.axis


def places_along(chunks: Any, axis: int, position: tuple[int, ...]) -> Any:
    """Where along an axis of the whole array the elements of a block are."""
    start, shape = chunks.block_start(position)[axis], chunks.block_shape(position)
    places = np.arange(start, start + shape[axis])
    return places.reshape(tuple([-1 if one == axis else 1 for one in range(len(shape))]))


def latest_places(block: Any, axis: int, dtype: Any = None) -> Any:
    """The largest place so far."""
    return np.maximum.accumulate(block, axis=axis)


def last_place(block: Any, axis: int, keepdims: bool = True, dtype: Any = None) -> Any:
    """The largest place of a block."""
    return np.max(block, axis=axis, keepdims=True, initial=-1)


class Limited:
    """A block that was filled, with those missing again that are too far from what they were filled with."""

    def __init__(self, chunks: Any, axis: int, most: int) -> None:
        self.chunks, self.axis, self.most = chunks, axis, most
        self.__name__ = "limited"

    def __call__(self, position: tuple[int, ...], filled: Any, places: Any) -> Any:
        far = places_along(self.chunks, self.axis, position) - places > self.most
        return np.where(far, missing_of(filled.dtype), filled).astype(filled.dtype, copy=False)

    def __kask_tokenize__(self) -> Any:
        return "limited", self.chunks, self.axis, self.most


class UserScan:
    """A cumulative function that a user gave."""

    def __init__(self, func: Callable[..., Any], options: dict[str, Any]) -> None:
        self.func, self.options = func, options
        self.__name__ = getattr(func, "__name__", "scan").strip("_<>")

    def __call__(self, block: Any, axis: int, dtype: Any = None) -> Any:
        return self.func(block, axis=axis, **self.options)

    def __kask_tokenize__(self) -> Any:
        return "user scan", self.func, self.options


class UserTotal:
    """The last element of a scan of a block, or what changes nothing if there is none."""

    def __init__(self, scan: UserScan, identity: Any) -> None:
        self.scan, self.identity = scan, identity

    def __call__(self, block: Any, axis: int, keepdims: bool = True, dtype: Any = None) -> Any:
        shape = tuple([1 if one == axis else length for one, length in enumerate(block.shape)])
        if block.shape[axis] == 0:
            return np.full_like(block, self.identity, dtype=dtype, shape=shape)
        return np.take(self.scan(block, axis), [-1], axis)

    def __kask_tokenize__(self) -> Any:
        return "user total", self.scan, self.identity
