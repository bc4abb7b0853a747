"""Functions of whole lines along an axis that are too long for one task: each line by itself, in blocks."""

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


def has_long_lines(array: ArrayExpr, axis: int) -> bool:
    """Whether a line along an axis has more than the bytes of a block, and there are not many of them."""
    length = array.shape[axis]
    if array.grid[axis] == 1 or length * array.dtype.itemsize <= int(config.get("array.chunk_size_bytes")):
        return False
    return 0 < math.prod(array.shape) // length <= _MOST_LINES


def by_lines(array: ArrayExpr, axis: int, func: Callable[[ArrayExpr], ArrayExpr]) -> ArrayExpr:
    """``func`` of each line along an axis, as an array with the other axes first, and then those of what it makes."""
    others = tuple([at for at in range(array.ndim) if at != axis])
    return _stacked(wrap(transposed(array, (*others, axis))), func).expr


def _stacked(lines: Any, func: Callable[[ArrayExpr], ArrayExpr]) -> Any:
    if lines.ndim == 1:
        return wrap(func(lines.expr))
    return stack([_stacked(lines[at], func) for at in range(len(lines))])
