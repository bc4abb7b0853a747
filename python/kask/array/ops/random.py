"""Random numbers that do not depend on how arrays are cut. What users see is ``kask.array.random``."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, as_expr, in_memory, wrap
from kask.array.kernels.random import (
    Constant,
    Draw,
    Key,
    draw_block,
    draw_with,
    index_of,
    take_from,
    tile_sides,
)
from kask.array.node import ArrayExpr
from kask.array.ops.chunks import normalized
from kask.array.ops.elementwise import broadcast_shapes, elementwise
from kask.array.ops.filling import shape_of
from kask.array.ops.indexing_fancy import listed
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reshaping import broadcast
from kask.array.ops.slicing import squeezed
from kask.engine import Chunks
from kask.expr.lower import AT, BlockCall, Read

__all__: list[str] = []


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Drawn(ArrayExpr):
    """Random numbers of one distribution. ``whole`` is the shape that was asked for, of which ``places`` tell what is taken; ``extra``
    are axes of each element, such as those of a vector."""

    draw: Draw
    key: Key
    whole: tuple[int, ...]
    places: tuple[tuple[int, int], ...]
    extra: tuple[int, ...]
    chunks: Chunks
    meta: Any

    @property
    def label(self) -> str:
        return self.draw.method

    def block_call(self) -> BlockCall:
        args = (AT, self.chunks, self.places, self.whole, self.key, self.draw, self.extra, self.dtype)
        return BlockCall(draw_block, args)

    def taking(self, taken: Any, chunks: Chunks) -> ArrayExpr | None:
        own = len(self.whole)
        if any(part != (0, 1, length) for part, length in zip(taken[own:], self.extra)):
            return None
        places = tuple([(first + step * start, step * by) for (first, step), (start, by, _) in zip(self.places, taken)])
        return dataclasses.replace(self, places=places, chunks=chunks)

    def recut(self, chunks: Chunks) -> ArrayExpr | None:
        if any(blocks != 1 for blocks in chunks.grid[len(self.whole) :]):
            return None
        return dataclasses.replace(self, chunks=chunks)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class DrawnWith(ArrayExpr):
    """Random numbers whose distributions have parameters by the element. Blocks are made of whole tiles."""

    draw: Draw
    key: Key
    params: tuple[Any, ...]
    chunks: Chunks
    meta: Any

    @property
    def label(self) -> str:
        return self.draw.method

    def block_call(self) -> BlockCall:
        reads = [Read(param, tuple(range(self.ndim))) for param in self.params]
        return BlockCall(draw_with, (AT, self.chunks, self.key, self.draw, self.dtype, *reads))


def drawn(
    key: Key,
    method: str,
    params: tuple[Any, ...],
    size: Any,
    chunks: Any,
    dtype: Any,
    kwargs: dict[str, Any],
    extra: tuple[int, ...] = (),
) -> Any:
    """An array of random numbers; parameters are numbers, arrays (where there are no ``extra`` axes), or constants of any kind."""
    if not extra:
        exprs = [as_expr(param) if not isinstance(param, str) else param for param in params]
        arrays = [expr for expr in exprs if isinstance(expr, ArrayExpr)]
        if arrays:
            return _drawn_with(key, method, exprs, arrays, size, chunks, np.dtype(dtype), kwargs)
    draw = Draw(method, params, kwargs)
    # NumPy says what is wrong with parameters also where nothing is drawn.
    draw(np.random.Generator(np.random.Philox(0)), 0)
    whole = () if size is None else shape_of(size)
    shape = (*whole, *extra)
    cut = normalized(chunks, whole, dtype)
    cut = Chunks.join([cut, Chunks.whole(list(extra))])
    meta = np.empty((0,) * len(shape), dtype)
    return wrap(Drawn(draw, key, whole, ((0, 1),) * len(whole), extra, cut, meta))


def _drawn_with(
    key: Key,
    method: str,
    exprs: list[Any],
    arrays: list[Any],
    size: Any,
    chunks: Any,
    dtype: Any,
    kwargs: dict[str, Any],
) -> Any:
    together = broadcast_shapes(*[array.shape for array in arrays])
    whole = together if size is None else shape_of(size)
    if size is not None and broadcast_shapes(together, whole) != whole:
        raise ValueError(f"size={size} does not fit parameters of shape {together}")
    if isinstance(chunks, str) and chunks == "auto" and arrays[0].shape == whole:
        wanted = arrays[0].chunks
    else:
        wanted = normalized(chunks, whole, dtype)
    sides = tile_sides(whole)
    # Whole tiles, as many as are in a block that is asked for, so that no number depends on the cuts.
    sizes = [max(1, -(-most // side)) * side for most, side in zip(wanted.largest, sides)]
    cut = Chunks.normalize(list(whole), sizes, 1, 1)
    params = tuple([broadcast(array, whole, cut) for array in arrays])
    slots = tuple([None if isinstance(expr, ArrayExpr) else expr for expr in exprs])
    meta = np.empty((0,) * len(whole), dtype)
    return wrap(rechunked(DrawnWith(Draw(method, slots, kwargs), key, params, cut, meta), wanted))


def permuted_index(key: Key, length: int) -> np.ndarray:
    """A permutation, which is as large as it is and made here."""
    return np.random.Generator(np.random.Philox(key=np.array(key, np.uint64))).permutation(length)


def chosen(key: Key, a: Any, size: Any, replace: bool, p: Any, axis: int, shuffle: bool, chunks: Any) -> Any:
    """Elements of ``a``, or of the numbers below it, with or without repetition."""
    is_number = isinstance(a, int | np.integer)
    if is_number:
        count = int(a)
    else:
        a = a if isinstance(a, ArrayBase) else np.asarray(a)
        axis = np.lib.array_utils.normalize_axis_index(axis, a.ndim)
        count = a.shape[axis]
    shape: tuple[int, ...] = () if size is None else shape_of(size)
    if count <= 0 and 0 not in shape:
        raise ValueError("there is nothing to choose from")
    weights = _weights(p, count)
    if not replace:
        generator = np.random.Generator(np.random.Philox(key=np.array(key, np.uint64)))
        index = wrap(in_memory(np.asarray(generator.choice(count, shape, False, weights, shuffle=shuffle)), chunks))
    elif weights is None:
        index = drawn(key, "integers", (0, count), size, chunks, np.int64, {})
    else:
        cumulative = np.cumsum(weights)
        cumulative /= cumulative[-1]
        uniform = drawn(key, "random", (), size, chunks, np.float64, {}).expr
        index = wrap(elementwise(index_of, uniform, Constant(cumulative), dtype=np.int64))
    if is_number:
        return index
    if not isinstance(a, ArrayBase) and a.ndim == 1:
        return wrap(elementwise(take_from, index.expr, Constant(a), dtype=a.dtype))
    if index.ndim > 1:
        raise NotImplementedError(f"size={size}, but of an array with several axes, or a lazy one, a row is chosen")
    # Which blocks are read must be known before anything runs, so the index is made here.
    places = np.atleast_1d(_value(index.expr))
    rows = wrap(listed(as_array(a).expr, axis, places))
    return rows if index.ndim else wrap(squeezed(rows.expr, (axis,)))


def _weights(p: Any, count: int) -> np.ndarray | None:
    if p is None:
        return None
    weights = np.asarray(p, np.float64)
    if weights.shape != (count,):
        raise ValueError(f"p has the shape {weights.shape}, but there are {count} elements to choose from")
    if np.isnan(weights).any() or (weights < 0).any() or abs(weights.sum() - 1) > 1e-8:
        raise ValueError("p must be probabilities: 0 or more, and 1 together")
    return weights


def _value(index: Any) -> np.ndarray:
    """All elements of an index that needs no other array, in one block, without running anything."""
    from kask.array.ops.creation import InMemory

    if isinstance(index, InMemory):
        return np.asarray(index.array)
    if not isinstance(index, Drawn):
        uniform, cumulative = index.args
        return index_of(_value(uniform), cumulative)
    whole = Chunks.whole(list(index.shape))
    return draw_block((0,) * index.ndim, whole, index.places, index.whole, index.key, index.draw, (), index.dtype)
