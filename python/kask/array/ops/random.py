"""Random numbers that do not depend on how arrays are cut. What users see is ``kask.array.random``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, as_expr, in_memory, wrap
from kask.array.kernels.random import (
    Constant,
    Draw,
    Key,
    bits_of,
    draw_block,
    draw_with,
    index_of,
    take_from,
    tile_sides,
)
from kask.array.node import ArrayExpr
from kask.array.ops.chunks import normalized
from kask.array.ops.elementwise import broadcast_shapes, elementwise
from kask.array.ops.filling import cast, shape_of
from kask.array.ops.indexing_edits import take
from kask.array.ops.indexing_fancy import listed
from kask.array.ops.joining import concatenated
from kask.array.ops.places_along import take_along_axis
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reshaping import broadcast, reshaped
from kask.array.ops.slicing import expanded, squeezed
from kask.array.ops.sorting import argsort
from kask.engine import Chunks
from kask.expr.lower import AT, BlockCall, Read

__all__: list[str] = []

#: Permutations of more elements are made by tasks.
LONG = 2**20


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
    whole = () if size is None else shape_of(size)
    # NumPy says what is wrong with parameters; of integers only where it draws one.
    draw(np.random.Generator(np.random.Philox(0)), min(1, math.prod(whole)))
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
    whole = _shape_for(size, together, "parameters")
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


def _shape_for(size: Any, together: tuple[int, ...], what: str) -> tuple[int, ...]:
    """The shape that is asked for, to which parameters of one shape together must broadcast."""
    if size is None:
        return together
    whole = shape_of(size)
    lined_up = (1,) * (len(whole) - len(together)) + together
    if len(lined_up) > len(whole) or any(ours not in (1, length) for ours, length in zip(lined_up, whole)):
        raise ValueError(f"size={size} does not fit {what} of shape {together}")
    return whole


def permutation_of(key: Key, length: int, chunks: Any) -> Any:
    """The numbers below ``length`` in another order. A long one is made by tasks: it is what sorts random numbers."""
    if length > LONG:
        return argsort(drawn(key, "random", (), length, chunks, np.float64, {}))
    return wrap(in_memory(_permuted(key, length), chunks))


def permutation_along(key: Key, array: ArrayExpr, axis: int) -> ArrayExpr:
    """The elements of an array in another order along an axis."""
    length = array.shape[axis]
    if length > LONG:
        return take(wrap(array), permutation_of(key, length, (array.chunks.tuples()[axis],)), axis).expr
    return listed(array, axis, _permuted(key, length))


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
    wanted = math.prod(shape)
    # NumPy needs all numbers for more than a fiftieth of them; a few it finds one by one.
    if not replace and weights is None and count > LONG and count // 50 < wanted <= count:
        drawn_first = permutation_of(key, count, "auto")[:wanted]
        index = wrap(rechunked(reshaped(drawn_first.expr, shape), normalized(chunks, shape, np.int64)))
    elif not replace:
        generator = np.random.Generator(bits_of(key))
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
    source = as_array(a).expr
    if wanted > LONG:
        return take(wrap(source), index, axis)
    # Which blocks are read must be known before anything runs, so the index is made here.
    rows = listed(source, axis, np.ravel(_value(index.expr)))
    if index.ndim == 1:
        return wrap(rows)
    if index.ndim == 0:
        return wrap(squeezed(rows, (axis,)))
    return wrap(reshaped(rows, (*source.shape[:axis], *shape, *source.shape[axis + 1 :])))


def permuted_lines(key: Key, array: ArrayExpr, axis: int) -> ArrayExpr:
    """The elements of each line along an axis in an order of its own: that of random numbers."""
    numbers = drawn(key, "random", (), array.shape, array.chunks.tuples(), np.float64, {})
    return take_along_axis(wrap(array), argsort(numbers, axis=axis), axis=axis).expr


def _permuted(key: Key, length: int) -> np.ndarray:
    return np.random.Generator(bits_of(key)).permutation(length)


def multinomials(next_key: Callable[[], Key], n: Any, pvals: np.ndarray, size: Any, chunks: Any) -> Any:
    """How often each outcome comes, where numbers of trials and probabilities differ: each outcome is binomial in what those before it left."""
    trials = n if isinstance(n, ArrayBase) else np.asarray(n)
    if not np.issubdtype(trials.dtype, np.integer):
        raise TypeError(f"n= must be whole numbers, got {trials.dtype}")
    if not isinstance(trials, ArrayBase) and (trials < 0).any():
        raise ValueError("n= must not be negative")
    if not pvals.ndim or not pvals.shape[-1]:
        raise ValueError("pvals= must have the probabilities of one outcome at least along its last axis")
    if np.isnan(pvals).any() or (pvals < 0).any() or (pvals > 1).any():
        raise ValueError("pvals= must be probabilities, from 0 to 1")
    if (pvals[..., :-1].sum(axis=-1) > 1 + 1e-12).any():
        raise ValueError("pvals= must be 1 together, but those of all outcomes but the last are more")
    together = broadcast_shapes(trials.shape, pvals.shape[:-1])
    whole = _shape_for(size, together, "n and pvals")
    left = wrap(broadcast(as_array(trials).expr, whole, normalized(chunks, whole, np.int64)))
    rest, counts = np.ones(pvals.shape[:-1]), []
    for outcome in range(pvals.shape[-1] - 1):
        share = np.divide(pvals[..., outcome], rest, out=np.zeros_like(rest), where=rest > 0)
        share = np.broadcast_to(np.minimum(share, 1.0), whole)
        counts.append(drawn(next_key(), "binomial", (left, share), whole, left.chunks, np.int64, {}))
        left = left - counts[-1]
        rest = np.maximum(rest - pvals[..., outcome], 0.0)
    counts.append(left)
    parts = [expanded(as_array(count).expr, (len(whole),)) for count in counts]
    found = concatenated([cast(part, np.dtype(np.int64)) for part in parts], len(whole))
    return wrap(rechunked(found, found.chunks.replace(len(whole), Chunks.whole([len(parts)]))))


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
