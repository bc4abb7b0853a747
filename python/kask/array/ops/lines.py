"""Functions of whole lines along an axis, or several, that are too long for one task: each line by itself, in blocks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kask import config
from kask.array.base import wrap
from kask.array.node import ArrayExpr
from kask.array.ops.joining import stack
from kask.array.ops.slicing import transposed

__all__ = ["by_lines", "has_long_lines"]

#: What is described for each line is described so often at most.
_MOST_LINES = 64


def has_long_lines(array: ArrayExpr, axes: tuple[int, ...]) -> bool:
    """Whether what lies along some axes has more than the bytes of a block for each place along the others, of which there are not many."""
    length = math.prod([array.shape[axis] for axis in axes])
    if all(array.grid[axis] == 1 for axis in axes) or length * array.dtype.itemsize <= int(
        config.get("array.chunk_size_bytes")
    ):
        return False
    return 0 < math.prod(array.shape) // length <= _MOST_LINES


def by_lines(array: ArrayExpr, axes: tuple[int, ...], func: Callable[[ArrayExpr], ArrayExpr]) -> ArrayExpr:
    """``func`` of what lies along some axes, for each place along the others, as an array with these first and then those of what it
    makes."""
    others = tuple([at for at in range(array.ndim) if at not in axes])
    return _stacked(wrap(transposed(array, (*others, *axes))), len(axes), func).expr


def _stacked(lines: Any, ndim: int, func: Callable[[ArrayExpr], ArrayExpr]) -> Any:
    if lines.ndim == ndim:
        return wrap(func(lines.expr))
    return stack([_stacked(lines[at], ndim, func) for at in range(len(lines))])
