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
    #: The array's name, where the user chose it. Parts of it are other arrays.
    name_: str = ""

    def block_call(self) -> BlockCall:
        return BlockCall(_filled, (AT, self.chunks, self.value, self.meta))

    def turned(self, axes: tuple[int, ...]) -> Filled:
        return dataclasses.replace(self, chunks=self.chunks.axes(list(axes)), meta=self.meta.transpose(axes))

    def taking(self, taken: Any, chunks: Chunks) -> Filled:
        return dataclasses.replace(self, chunks=chunks, name_="")

    def picking(self, take: Any) -> Filled:
        return dataclasses.replace(self, chunks=take.chunks, name_="")

    def recut(self, chunks: Chunks) -> Filled:
        return dataclasses.replace(self, chunks=chunks, name_="")


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
    #: The order in which it has the axes of the content, which is sent to workers once however they are ordered.
    axes: tuple[int, ...] | None = None

    @property
    def array(self) -> Any:
        """All of it."""
        array = self.content.array
        return array if self.axes is None else array.transpose(self.axes)

    @functools.cached_property
    def meta(self) -> Any:
        # The ellipsis keeps an array without axes an array.
        return self.array[(..., *(slice(0, 0),) * self.array.ndim)]

    def block_call(self) -> BlockCall:
        order = () if self.axes is None else (self.axes,)
        return BlockCall(_view, (AT, self.chunks, self.content.array, *order))

    def taking(self, taken: Any, chunks: Chunks) -> InMemory:
        from kask.array.kernels.regions import slice_of

        return InMemory(Content(self.array[tuple([slice_of(*axis) for axis in taken])]), chunks)

    def recut(self, chunks: Chunks) -> InMemory:
        return dataclasses.replace(self, chunks=chunks)

    def turned(self, axes: tuple[int, ...]) -> InMemory | None:
        if not isinstance(self.content.array, np.ndarray):
            return None
        own = axes if self.axes is None else tuple([self.axes[axis] for axis in axes])
        return InMemory(self.content, self.chunks.axes(list(axes)), None if own == tuple(range(len(own))) else own)


def _view(position: tuple[int, ...], chunks: Chunks, array: Any, axes: tuple[int, ...] | None = None) -> Any:
    if axes is not None:
        array = array.transpose(axes)
    start, shape = chunks.block_start(position), chunks.block_shape(position)
    return array[(..., *[slice(first, first + length) for first, length in zip(start, shape)])]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Indexed(ArrayExpr):
    """``func(*vectors, *args)`` for each block: along each axis a vector of indices, shaped so that they broadcast against each other.

    ``places`` are the first index and the step along each axis, so any slice of it can be made directly. With ``axes``, what ``func`` makes
    is transposed so.
    """

    is_cheap = True

    func: Callable[..., Any]
    args: tuple[Any, ...]
    places: tuple[tuple[int, int], ...]
    chunks: Chunks
    meta: Any
    label_: str
    axes: tuple[int, ...] | None = None

    @property
    def label(self) -> str:
        return self.label_

    def block_call(self) -> BlockCall:
        return BlockCall(_indexed, (AT, self.chunks, self.places, self.axes, self.func, *self.args))

    def turned(self, axes: tuple[int, ...]) -> Indexed:
        return dataclasses.replace(
            self,
            places=tuple([self.places[axis] for axis in axes]),
            chunks=self.chunks.axes(list(axes)),
            meta=self.meta.transpose(axes),
            axes=axes if self.axes is None else tuple([self.axes[axis] for axis in axes]),
        )

    def taking(self, taken: Any, chunks: Chunks) -> Indexed:
        places = tuple([(first + step * start, step * by) for (first, step), (start, by, _) in zip(self.places, taken)])
        return dataclasses.replace(self, places=places, chunks=chunks)

    def recut(self, chunks: Chunks) -> Indexed:
        return dataclasses.replace(self, chunks=chunks)


def _indexed(
    position: tuple[int, ...],
    chunks: Chunks,
    places: tuple[tuple[int, int], ...],
    axes: tuple[int, ...] | None,
    func: Callable[..., Any],
    *args: Any,
) -> Any:
    starts, shape = chunks.block_start(position), chunks.block_shape(position)
    ndim = len(shape)
    vectors = []
    for own in range(ndim):
        axis = own if axes is None else axes.index(own)
        first, step = places[axis]
        vector = np.arange(shape[axis]) * step + (first + step * starts[axis])
        vectors.append(vector.reshape((1,) * own + (shape[axis],) + (1,) * (ndim - own - 1)))
    block = func(*vectors, *args)
    return block if axes is None else block.transpose(axes)


def indexed(func: Callable[..., Any], args: tuple[Any, ...], chunks: Chunks, dtype: Any, label: str) -> Indexed:
    """What ``func`` makes of the indices of an array cut so."""
    return Indexed(func, args, ((0, 1),) * chunks.ndim, chunks, np.empty((0,) * chunks.ndim, dtype), label)
