"""``x[index]``, and the functions that pick elements by their place."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import elementwise
from kask.array.ops.indexing_fancy import pointwise
from kask.array.ops.indexing_parse import Picks, fields_of, parsed

__all__: list[str] = []


def getitem(array: ArrayExpr, index: Any) -> ArrayExpr:
    """The part of an array that an index says, by NumPy's rules.

    Raises
    ------
    IndexError
        Whatever NumPy refuses, in its words.
    """
    fields = fields_of(index, array.dtype)
    if fields is not None:
        return elementwise(operator.getitem, array, fields)
    picks = parsed(index, array.shape)
    return picked(picks.basic(array), picks)


def picked(array: ArrayExpr, picks: Picks) -> ArrayExpr:
    """What the arrays of an index pick of what its slices left."""
    if not picks.arrays:
        return array
    axes, indices = known_indices(picks)
    return pointwise(array, axes, indices, picks.place)


def known_indices(picks: Picks) -> tuple[tuple[int, ...], list[np.ndarray]]:
    """The axes that NumPy arrays pick from, and the places, after broadcasting.

    Raises
    ------
    IndexError
        They cannot be broadcast together.
    """
    axes: list[int] = []
    indices: list[np.ndarray] = []
    for axis, index in picks.arrays:
        along = index.nonzero() if index.dtype.kind == "b" else (index,)
        axes.extend(range(axis, axis + len(along)))
        indices.extend(along)
    try:
        np.broadcast_shapes(*[index.shape for index in indices])
    except ValueError:
        shapes = " ".join([str(index.shape) for index in indices])
        raise IndexError(
            f"shape mismatch: indexing arrays could not be broadcast together with shapes {shapes} "
        ) from None
    return tuple(axes), indices
