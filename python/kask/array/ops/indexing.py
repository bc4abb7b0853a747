"""``x[index]``, and the functions that pick elements by their place."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from kask.array.base import in_memory
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.elementwise import elementwise
from kask.array.ops.indexing_fancy import pointwise
from kask.array.ops.indexing_parse import Picks, field_axes, fields_of, in_bounds, parsed
from kask.array.ops.mapped import mapped
from kask.array.ops.masks import counted, selected
from kask.array.ops.slicing import _with_axes
from kask.array.ops.staged import ByValue
from kask.engine import Chunks

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
        more = field_axes(array.dtype, fields)
        return _field_of_arrays(array, fields, more) if more else elementwise(operator.getitem, array, fields)
    picks = parsed(index, array.shape)
    return picked(picks.basic(array), picks)


def _field_of_arrays(array: ArrayExpr, field: str, more: tuple[int, ...]) -> ArrayExpr:
    """A field that has an array in each record: its axes come last."""
    chunks = Chunks.join([array.chunks, Chunks.whole(list(more))])
    meta = empty_meta(array.dtype[field].base, chunks.ndim, array.meta)
    return mapped(operator.getitem, array, chunks=chunks, meta=meta, constants=(field,), label="getitem")


def picked(array: ArrayExpr, picks: Picks) -> ArrayExpr:
    """What the arrays of an index pick of what its slices left."""
    if not picks.arrays:
        return array
    if any(isinstance(index, ArrayExpr) for _, index in picks.arrays):
        return _picked_later(array, picks)
    if len(picks.arrays) == 1:
        axis, index = picks.arrays[0]
        if index.dtype.kind == "b" and index.ndim > 1 and index.any():
            return counted(array, index, in_memory(index.copy()), axis, picks.place)
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
    _broadcast_indices([index.shape for index in indices])
    return tuple(axes), indices


def _broadcast_indices(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        text = " ".join(map(str, shapes))
        message = f"shape mismatch: indexing arrays could not be broadcast together with shapes {text} "
        raise IndexError(message) from None


def _picked_later(array: ArrayExpr, picks: Picks) -> ArrayExpr:
    """What an index picks that has arrays of Kask. A mask alone stays where it is; anything else has to be brought here, to
    know which blocks to read."""
    if len(picks.arrays) == 1 and picks.arrays[0][1].dtype.kind == "b":
        axis, mask = picks.arrays[0]
        return selected(array, mask, axis, picks.place)
    values = tuple([index for _, index in picks.arrays if isinstance(index, ArrayExpr)])
    template = tuple([(axis, None if isinstance(index, ArrayExpr) else index) for axis, index in picks.arrays])
    count = sum([index.ndim if index.dtype.kind == "b" else 1 for _, index in picks.arrays])
    if any(index.dtype.kind == "b" for _, index in picks.arrays):
        shapes = [(1,) if index.dtype.kind == "b" else (1,) * index.ndim for _, index in picks.arrays]
        ndim = array.ndim - count + len(np.broadcast_shapes(*shapes))
        return ByValue(_picked_now, (array,), values, (template, picks.place), _with_axes(array.meta, ndim))
    shape = _broadcast_indices([index.shape for _, index in picks.arrays])
    axes = [axis for axis, _ in picks.arrays]
    others = [axis for axis in range(array.ndim) if axis not in axes]
    about = max(1, math.prod([array.chunks.largest[axis] for axis in axes]) // max(1, math.prod(shape[1:])))
    cut = [Chunks.normalize([shape[0]], [about], 1, 1), Chunks.whole(shape[1:])] if shape else []
    chunks = Chunks.join([array.chunks.axes(others[: picks.place]), *cut, array.chunks.axes(others[picks.place :])])
    meta = _with_axes(array.meta, chunks.ndim)
    return ByValue(_picked_now, (array,), values, (template, picks.place), meta, chunks)


def _picked_now(array: ArrayExpr, *rest: Any) -> ArrayExpr:
    *values, template, place = rest
    given = iter(values)
    arrays = tuple([(axis, next(given) if index is None else index) for axis, index in template])
    checked = [
        (axis, index if index.dtype.kind == "b" else in_bounds(index, axis, array.shape[axis]))
        for axis, index in arrays
    ]
    return picked(array, Picks((), (), (), tuple(checked), place))
