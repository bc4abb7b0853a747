"""Arrays made of nothing, and arrays that are there already."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.node import ArrayExpr
from kask.engine import Chunks
from kask.expr.lower import AT, BlockCall
from kask.tokens import tokenize

__all__ = ["Content", "Filled", "InMemory", "Indexed", "Made", "indexed"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Filled(ArrayExpr):
    """One value everywhere."""

    family = "full"
    is_cheap = True

    value: Any
    chunks: Chunks
    meta: Any

    def block_call(self) -> BlockCall:
        return BlockCall(_filled, (AT, self.chunks, self.value, self.meta))

    def taking(self, taken: Any, chunks: Chunks) -> Filled:
        return dataclasses.replace(self, chunks=chunks)

    def recut(self, chunks: Chunks) -> Filled:
        return dataclasses.replace(self, chunks=chunks)


def _filled(position: tuple[int, ...], chunks: Chunks, value: Any, meta: Any) -> Any:
    return np.full_like(meta, value, shape=chunks.block_shape(position))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Made(ArrayExpr):
    """``func(start, shape, *args)`` for each block, where ``start`` says how many elements lie before it along each axis."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    chunks: Chunks
    meta: Any
    label_: str = "make"

    @property
    def is_light(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return self.label_

    def block_call(self) -> BlockCall:
        return BlockCall(_made, (AT, self.chunks, self.func, *self.args))

    def recut(self, chunks: Chunks) -> Made:
        return dataclasses.replace(self, chunks=chunks)


def _made(position: tuple[int, ...], chunks: Chunks, func: Callable[..., Any], *args: Any) -> Any:
    return func(chunks.block_start(position), chunks.block_shape(position), *args)


class Content:
    """An array, which is hashed once however it is cut."""

    def __init__(self, array: Any) -> None:
        self.array = array

    @functools.cached_property
    def token(self) -> str:
        """32 hexadecimal digits, equal for equal arrays."""
        return tokenize(self.array)

    def __kask_tokenize__(self) -> Any:
        return self.token


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class InMemory(ArrayExpr):
    """An array that is in memory, whose blocks are views of it."""

    is_view = True
    family = "array"
    is_cheap = True

    content: Content
    chunks: Chunks

    @property
    def array(self) -> Any:
        """All of it."""
        return self.content.array

    @functools.cached_property
    def meta(self) -> Any:
        # The ellipsis keeps an array without axes an array.
        return self.array[(..., *(slice(0, 0),) * self.array.ndim)]

    def block_call(self) -> BlockCall:
        return BlockCall(_view, (AT, self.chunks, self.array))

    def taking(self, taken: Any, chunks: Chunks) -> InMemory:
        from kask.array.kernels.regions import slice_of

        return InMemory(Content(self.array[tuple([slice_of(*axis) for axis in taken])]), chunks)

    def recut(self, chunks: Chunks) -> InMemory:
        return InMemory(self.content, chunks)


def _view(position: tuple[int, ...], chunks: Chunks, array: Any) -> Any:
    start, shape = chunks.block_start(position), chunks.block_shape(position)
    return array[(..., *[slice(first, first + length) for first, length in zip(start, shape)])]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Indexed(ArrayExpr):
    """``func(*vectors, *args)`` for each block: along each axis a vector of indices, shaped so that they broadcast against each other.

    ``places`` are the first index and the step along each axis, so any slice of it can be made directly.
    """

    is_cheap = True

    func: Callable[..., Any]
    args: tuple[Any, ...]
    places: tuple[tuple[int, int], ...]
    chunks: Chunks
    meta: Any
    label_: str

    @property
    def label(self) -> str:
        return self.label_

    def block_call(self) -> BlockCall:
        return BlockCall(_indexed, (AT, self.chunks, self.places, self.func, *self.args))

    def taking(self, taken: Any, chunks: Chunks) -> Indexed:
        places = tuple([(first + step * start, step * by) for (first, step), (start, by, _) in zip(self.places, taken)])
        return dataclasses.replace(self, places=places, chunks=chunks)

    def recut(self, chunks: Chunks) -> Indexed:
        return dataclasses.replace(self, chunks=chunks)


def _indexed(
    position: tuple[int, ...], chunks: Chunks, places: tuple[tuple[int, int], ...], func: Callable[..., Any], *args: Any
) -> Any:
    starts, shape = chunks.block_start(position), chunks.block_shape(position)
    ndim = len(shape)
    vectors = []
    for axis, (start, length, (first, step)) in enumerate(zip(starts, shape, places)):
        low = first + step * start
        vector = np.arange(length) * step + low
        vectors.append(vector.reshape((1,) * axis + (length,) + (1,) * (ndim - axis - 1)))
    return func(*vectors, *args)


def indexed(func: Callable[..., Any], args: tuple[Any, ...], chunks: Chunks, dtype: Any, label: str) -> Indexed:
    """What ``func`` makes of the indices of an array cut so."""
    return Indexed(func, args, ((0, 1),) * chunks.ndim, chunks, np.empty((0,) * chunks.ndim, dtype), label)
