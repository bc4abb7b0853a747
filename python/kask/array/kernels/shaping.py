"""Blocks of other shapes, and blocks put together."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.kernels.regions import gather_region

__all__ = ["Coarsen", "repeat_block", "stretch", "view_block", "windows"]


def stretch(block: Any, position: tuple[int, ...], chunks: Any) -> Any:
    """The block, repeated along axes of one element and along new ones."""
    return np.broadcast_to(block, chunks.block_shape(position))


def view_block(block: Any, position: tuple[int, ...], chunks: Any) -> Any:
    """The elements of a block in another shape."""
    block = block[0] if type(block) is list else block
    return block.reshape(chunks.block_shape(position))


def repeat_block(block: Any, position: tuple[int, ...], starts: Any, repeats: Any, axis: int) -> Any:
    """Each element several times; ``starts`` are the chunks along the axis, where there are as many numbers as elements."""
    if np.ndim(repeats):
        (first,) = starts.block_start((position[axis],))
        repeats = repeats[first : first + block.shape[axis]]
    return np.repeat(block, repeats, axis)


class Coarsen:
    """A function of every group of so many neighbours along some axes."""

    def __init__(self, func: Callable[..., Any], groups: tuple[int, ...], kwargs: dict[str, Any]) -> None:
        self.func, self.groups, self.kwargs = func, groups, kwargs
        self.__name__ = "coarsen"

    def __call__(self, block: Any) -> Any:
        shape = tuple(itertools.chain.from_iterable((n // by, by) for n, by in zip(block.shape, self.groups)))
        return self.func(block.reshape(shape), axis=tuple(range(1, 2 * block.ndim, 2)), **self.kwargs)

    def __kask_tokenize__(self) -> Any:
        return "coarsen", self.func, self.groups, self.kwargs


def windows(
    blocks: list[Any],
    position: tuple[int, ...],
    intervals: tuple[Any, ...],
    chunks: Any,
    window: tuple[int, ...],
    axes: tuple[int, ...],
    meta: Any,
) -> Any:
    """All windows that begin in a block."""
    shape = chunks.block_shape(position)
    if 0 in shape:
        return np.empty_like(meta, shape=shape)
    region = gather_region(blocks, position[: len(intervals)], intervals, meta)
    return np.lib.stride_tricks.sliding_window_view(region, window, axes)
