"""Reductions: a function of each block, and a tree that combines what it gives.

A reduction has three functions: ``part(block, axes)`` makes a partial result that keeps the reduced axes as axes of one element,
``combine(parts)`` makes one partial result of several, and ``finish(partial)`` makes the result. Partial results are arrays or tuples of
arrays.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.node import ArrayExpr, empty_meta
from kask.engine import Chunks, Hole
from kask.expr import Lowering
from kask.expr.lower import BlockCall, Read

__all__ = ["Partial", "Tree", "reduced"]

#: Blocks that one node of a tree combines, unless the user says otherwise.
_FAN_IN = 16


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Partial(ArrayExpr):
    """What each block contributes to a reduction over ``axes``."""

    array: Any
    part: Callable[..., Any]
    axes: tuple[int, ...]
    bytes_each: int

    @property
    def label(self) -> str:
        return f"{_name_of(self.part)}-part"

    @functools.cached_property
    def chunks(self) -> Chunks:
        chunks = self.array.chunks
        for axis in self.axes:
            chunks = chunks.replace(axis, Chunks.normalize([chunks.grid[axis]], [1], 1, 1))
        return chunks

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta

    @property
    def block_bytes(self) -> int:
        return math.prod(self.chunks.largest) * self.bytes_each

    def block_call(self) -> BlockCall:
        return BlockCall(self.part, (Read(self.array, tuple(range(self.ndim))), self.axes))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Tree(ArrayExpr):
    """Combines the partial results along the reduced axes."""

    partial: Any
    combine: Callable[..., Any]
    finish: Callable[..., Any]
    split_every: tuple[tuple[int, int], ...]
    keepdims: bool
    meta: Any
    label_: str

    @property
    def label(self) -> str:
        return self.label_

    @functools.cached_property
    def chunks(self) -> Chunks:
        axes, chunks = self.partial.axes, self.partial.chunks
        kept = [chunks.axis(axis) if axis not in axes else Chunks.whole([1]) for axis in range(chunks.ndim)]
        return Chunks.join([one for axis, one in enumerate(kept) if self.keepdims or axis not in axes])

    @property
    def key_grid(self) -> tuple[int, ...]:
        # A tree's tasks are printed by their number.
        return self.grid if self._is_one_block else (math.prod(self.grid),)

    @property
    def _is_one_block(self) -> bool:
        return all(self.partial.grid[axis] == 1 for axis in self.partial.axes)

    def block_call(self) -> BlockCall | None:
        if not self._is_one_block:
            return None
        kept = [axis for axis in range(self.partial.ndim) if axis not in self.partial.axes]
        places = (
            range(self.partial.ndim)
            if self.keepdims
            else [kept.index(a) if a in kept else -1 for a in range(self.partial.ndim)]
        )
        reads = tuple([place if place >= 0 else ("fixed", 0) for place in places])
        return BlockCall(Finish(self.combine, self.finish, self._dropped), (Read(self.partial, reads),))

    @property
    def _dropped(self) -> tuple[int, ...]:
        return () if self.keepdims else self.partial.axes

    def lower(self, lowering: Lowering) -> None:
        lowering.builder.add_tree_reduce(
            self.name,
            self.combine,
            Finish(self.combine, self.finish, self._dropped),
            (Hole(0),),
            self.partial.name,
            list(self.partial.grid),
            dict(self.split_every),
            options=lowering.options(self),
        )


class Finish:
    """The last node of a tree: combines what is left, makes the result, and drops the reduced axes."""

    def __init__(self, combine: Callable[..., Any], finish: Callable[..., Any], dropped: tuple[int, ...]) -> None:
        self.combine, self.finish, self.dropped = combine, finish, dropped
        self.__name__ = _name_of(finish)

    def __call__(self, parts: Any) -> Any:
        parts = parts if type(parts) is list else [parts]
        result = self.finish(self.combine(parts) if len(parts) > 1 else parts[0])
        return np.squeeze(result, axis=self.dropped) if self.dropped else result

    def __kask_tokenize__(self) -> Any:
        return "finish", self.combine, self.finish, self.dropped


def reduced(
    array: ArrayExpr,
    part: Callable[..., Any],
    combine: Callable[..., Any],
    finish: Callable[..., Any],
    axes: tuple[int, ...],
    dtype: Any,
    *,
    keepdims: bool = False,
    split_every: int | dict[int, int] | None = None,
    bytes_each: int | None = None,
    label: str = "",
) -> ArrayExpr:
    """The reduction of an array over some axes (none twice, none negative)."""
    dtype = np.dtype(dtype)
    partial = Partial(array, part, axes, bytes_each or max(1, dtype.itemsize))
    meta = empty_meta(dtype, array.ndim if keepdims else array.ndim - len(axes), array.meta)
    splits = _splits(split_every, axes)
    return Tree(partial, combine, finish, splits, keepdims, meta, label or _name_of(finish))


def _splits(split_every: int | dict[int, int] | None, axes: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    if isinstance(split_every, dict):
        return tuple([(axis, max(2, split_every.get(axis, 2))) for axis in axes])
    total = split_every or _FAN_IN
    each = max(2, int(total ** (1 / max(1, len(axes)))))
    return tuple([(axis, each) for axis in axes])


def _name_of(func: Any) -> str:
    name = getattr(func, "__name__", None) or type(func).__name__
    return name.strip("_<>")
