"""Elements in other places, blocks in other sizes: ``flip``, ``roll``, ``split``, ``rechunk``, ``tile``, ``repeat``."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels.shaping import repeat_block
from kask.array.node import ArrayExpr
from kask.array.ops.axes import transpose
from kask.array.ops.chunk_runs import ends_of
from kask.array.ops.chunks import normalized
from kask.array.ops.joining import Concatenated, concatenated
from kask.array.ops.rechunk import Wish, rechunked
from kask.array.ops.reshaping import ravel
from kask.array.ops.slicing import expanded, sliced
from kask.engine import Chunks
from kask.expr.lower import AT, BlockCall, Read
from kask.units import parse_bytes

__all__ = [
    "array_split",
    "dsplit",
    "flip",
    "fliplr",
    "flipud",
    "hsplit",
    "rechunk",
    "repeat",
    "roll",
    "rot90",
    "split",
    "tile",
    "vsplit",
]

normalize_axis_index = np.lib.array_utils.normalize_axis_index
normalize_axis_tuple = np.lib.array_utils.normalize_axis_tuple


def part(array: ArrayExpr, axis: int, start: int, length: int, step: int = 1) -> ArrayExpr:
    """A slice along one axis."""
    taken = [(0, 1, whole) for whole in array.shape]
    taken[axis] = (start, step, length) if length else (0, 1, 0)
    return sliced(array, tuple(taken))


def flip(m: Any, axis: Any = None) -> Any:
    """The elements in the opposite order along an axis, along several, or along all.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.flip(ka.arange(4, chunks=3)).compute()
    array([3, 2, 1, 0])
    """
    m = as_array(m)
    axes = range(m.ndim) if axis is None else normalize_axis_tuple(axis, m.ndim)
    expr = m.expr
    for place in axes:
        length = expr.shape[place]
        expr = part(expr, place, max(0, length - 1), length, -1)
    return wrap(expr)


def flipud(m: Any) -> Any:
    """The elements in the opposite order along the first axis.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.flipud(ka.arange(3)).compute()
    array([2, 1, 0])
    """
    if as_array(m).ndim < 1:
        raise ValueError("flipud() needs an array with an axis")
    return flip(m, 0)


def fliplr(m: Any) -> Any:
    """The elements in the opposite order along the second axis.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.fliplr(ka.arange(4).reshape((2, 2))).compute()
    array([[1, 0],
           [3, 2]])
    """
    if as_array(m).ndim < 2:
        raise ValueError("fliplr() needs an array with two axes")
    return flip(m, 1)


def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """The array turned by 90 degrees ``k`` times, from the first of two axes towards the second.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.rot90(ka.arange(4).reshape((2, 2))).compute()
    array([[1, 3],
           [0, 2]])
    """
    m = as_array(m)
    if len(tuple(axes)) != 2:
        raise ValueError(f"axes={axes}, but an array is turned in the plane of two axes")
    first, second = (normalize_axis_index(axis, m.ndim) for axis in axes)
    if first == second:
        raise ValueError(f"axes={axes}, but two different ones are needed")
    order = list(range(m.ndim))
    order[first], order[second] = second, first
    k %= 4
    if k == 0:
        return m
    if k == 2:
        return flip(m, (first, second))
    return transpose(flip(m, second), tuple(order)) if k == 1 else flip(transpose(m, tuple(order)), second)


def roll(array: Any, shift: Any, axis: Any = None) -> Any:
    """The elements moved along an axis; those that leave at the end come in again in front.

    Parameters
    ----------
    array : array
        What is rolled.
    shift : int or tuple of int
        By how many places.
    axis : int or tuple of int, optional
        Along which axes; by default all elements are one row.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.roll(ka.arange(5, chunks=2), 2).compute()
    array([3, 4, 0, 1, 2])
    """
    array = as_array(array)
    if axis is None:
        return roll(ravel(array), shift, 0).reshape(array.shape)
    axes = normalize_axis_tuple(axis, array.ndim, allow_duplicate=True)
    shifts, places = np.broadcast_arrays(shift, axes)
    if shifts.ndim > 1:
        raise ValueError(f"shift={shift!r} and axis={axis!r} must be numbers, or sequences of the same length")
    expr = array.expr
    for by, place in zip(shifts.ravel().tolist(), places.ravel().tolist()):
        length = expr.shape[place]
        offset = int(by) % length if length else 0
        if offset:
            end, start = part(expr, place, length - offset, offset), part(expr, place, 0, length - offset)
            expr = concatenated([end, start], place)
    return wrap(expr)


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Parts of an array along an axis: so many of about equal lengths, or between these places.

    Examples
    --------
    >>> import kask.array as ka
    >>> [part.compute().tolist() for part in ka.array_split(ka.arange(5), 2)]
    [[0, 1, 2], [3, 4]]
    """
    ary = as_array(ary)
    axis = normalize_axis_index(axis, ary.ndim)
    length = ary.shape[axis]
    if np.ndim(indices_or_sections) == 0:
        sections = int(indices_or_sections)
        if sections <= 0:
            raise ValueError(f"indices_or_sections={indices_or_sections}, but there is one part at least")
        size, larger = divmod(length, sections)
        places = [0, *np.cumsum([size + 1] * larger + [size] * (sections - larger)).tolist()]
    else:
        places = [0, *(int(place) for place in indices_or_sections), length]
    found = []
    for low, high in itertools.pairwise(places):
        start, stop, _ = slice(low, high).indices(length)
        found.append(wrap(part(ary.expr, axis, start, max(0, stop - start))))
    return found


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """As :func:`array_split`, but so many parts must be equal.

    Examples
    --------
    >>> import kask.array as ka
    >>> [part.shape for part in ka.split(ka.ones((4, 2)), 2)]
    [(2, 2), (2, 2)]
    """
    ary = as_array(ary)
    if np.ndim(indices_or_sections) == 0:
        length = ary.shape[normalize_axis_index(axis, ary.ndim)]
        if int(indices_or_sections) > 0 and length % int(indices_or_sections):
            raise ValueError(f"{length} elements cannot be split into {indices_or_sections} equal parts")
    return array_split(ary, indices_or_sections, axis)


def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts along the second axis, or along the only one; see :func:`split`.

    Examples
    --------
    >>> import kask.array as ka
    >>> [part.shape for part in ka.hsplit(ka.ones((4, 2)), 2)]
    [(4, 1), (4, 1)]
    """
    ary = as_array(ary)
    if ary.ndim == 0:
        raise ValueError("hsplit() needs an array with an axis")
    return split(ary, indices_or_sections, 1 if ary.ndim > 1 else 0)


def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts along the first axis of an array with two at least; see :func:`split`.

    Examples
    --------
    >>> import kask.array as ka
    >>> [part.shape for part in ka.vsplit(ka.ones((4, 2)), 2)]
    [(2, 2), (2, 2)]
    """
    if as_array(ary).ndim < 2:
        raise ValueError("vsplit() needs an array with two axes")
    return split(ary, indices_or_sections, 0)


def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts along the third axis; see :func:`split`.

    Examples
    --------
    >>> import kask.array as ka
    >>> [part.shape for part in ka.dsplit(ka.ones((1, 2, 4)), 2)]
    [(1, 2, 2), (1, 2, 2)]
    """
    if as_array(ary).ndim < 3:
        raise ValueError("dsplit() needs an array with three axes")
    return split(ary, indices_or_sections, 2)


def rechunk(
    x: Any,
    chunks: Any = "auto",
    threshold: Any = None,
    block_size_limit: Any = None,
    balance: bool = False,
    method: str | None = None,
) -> Any:
    """The same array, cut otherwise.

    Parameters
    ----------
    x : array
        What is cut.
    chunks : int, str, tuple or dict
        The new chunks; see :func:`normalize_chunks`. Axes that a dict does not name, and those with None in a tuple, stay as they are.
    threshold : float, optional
        How many pieces there may be for each old and each new block so that all are moved in one step, without looking for anything cheaper;
        by default steps are chosen by what they cost alone.
    block_size_limit : int or str, optional
        Bytes of a block where its size is left open, and of the blocks on the way; by default the setting ``array.chunk_size_bytes``.
    balance : bool
        Whether chunks shall be about equally large, as many as there would be otherwise.
    method : {None, "tasks", "p2p"}
        "tasks" make blocks of whole blocks, in one or more steps; "p2p" takes all blocks apart once and puts the parts together (a shuffle). By
        default each step is what costs less. Python objects, and blocks that are no NumPy arrays, are always moved by tasks.

    Raises
    ------
    ValueError
        Chunks that are not of this array, another ``method``, or a ``threshold`` below 0.

    Notes
    -----
    Where each new block needs a little of many old ones, the blocks are merged first along the axes that get longer chunks, as far as memory allows,
    and what comes out is split at last. Every chain of steps has an estimated cost in tasks, inputs, bytes read and bytes copied, and the
    most that one task holds; the cheapest whose tasks fit is taken. A task may hold the memory of a worker divided by its threads, or without a memory
    limit ``block_size_limit``, and a few of the blocks that there are before or after in any case. :func:`kask.explain` shows the steps.

    The idea of merging before splitting is that of Dask's ``plan_rechunk``, that of chunks for reading, between and for writing that of
    Abernathey and others, "Rechunker" (https://rechunker.readthedocs.io); the path is found by Dijkstra's algorithm.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.rechunk(ka.ones((4, 4), chunks=2), {0: -1}).chunks
    ((4,), (2, 2))
    >>> columns = ka.ones((1000, 1000), chunks=(1000, 1)) + ka.arange(1000)
    >>> [row.chunks for row in columns.rechunk((1, 1000)).explain().after.rows[:2]]
    [(1, 1000), (1000, 1000)]
    """
    if method not in (None, "tasks", "p2p"):
        raise ValueError(f"method={method!r}, but it must be 'tasks', 'p2p' or None")
    if threshold is not None and not threshold >= 0:
        raise ValueError(f"threshold={threshold!r}, but it must be a number of pieces (0 or more), or None")
    x = as_array(x)
    wanted = normalized(chunks, x.shape, x.dtype, previous=x.expr.chunks, limit=block_size_limit)
    if balance:
        equal = [max(1, -(-length // max(1, count))) for length, count in zip(wanted.shape, wanted.grid)]
        wanted = Chunks.normalize(list(wanted.shape), equal, 1, 1)
    limit_bytes = None if block_size_limit is None else parse_bytes(block_size_limit)
    wish = Wish(method, None if threshold is None else float(threshold), limit_bytes)
    return wrap(rechunked(x.expr, wanted, wish))


def tile(A: Any, reps: Any) -> Any:
    """The array again and again, so many times along each axis.

    Parameters
    ----------
    A : array
        What is repeated.
    reps : int or tuple of int
        How often along each axis; axes are lined up at the right.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.tile(ka.arange(2), (2, 2)).compute()
    array([[0, 1, 0, 1],
           [0, 1, 0, 1]])
    """
    expr = as_array(A).expr
    times = tuple(reps) if isinstance(reps, list | tuple | np.ndarray) else (reps,)
    if any(time < 0 for time in times):
        raise ValueError(f"reps={reps}, but an array cannot be repeated less than 0 times")
    ndim = max(expr.ndim, len(times))
    times = (1,) * (ndim - len(times)) + times
    expr = expanded(expr, tuple(range(ndim - expr.ndim)))
    for axis, time in enumerate(times):
        if time == 0:
            expr = part(expr, axis, 0, 0)
        elif time > 1:
            expr = Concatenated((expr,) * int(time), axis)
    return wrap(expr)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Repeated(ArrayExpr):
    """Each element of a block several times along an axis."""

    family = "repeat"

    array: Any
    repeats: Any
    axis: int

    @functools.cached_property
    def chunks(self) -> Chunks:
        along = self.array.chunks.axis(self.axis)
        if np.ndim(self.repeats) == 0:
            return self.array.chunks.replace(self.axis, along.scaled([self.repeats]))
        # There is a number for each element, and so no more work to do for each chunk.
        reached = np.concatenate([[0], np.cumsum(self.repeats)])
        return self.array.chunks.replace(self.axis, np.diff(reached[ends_of(along)], prepend=0).tolist())

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta

    def block_call(self) -> BlockCall:
        along = self.array.chunks.axis(self.axis)
        read = Read(self.array, tuple(range(self.ndim)))
        return BlockCall(repeat_block, (read, AT, along, self.repeats, self.axis))


def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each element several times in a row.

    Parameters
    ----------
    a : array
        Whose elements are repeated.
    repeats : int or sequence of int
        How often, for all elements along the axis or each of them.
    axis : int, optional
        By default all elements are one row.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.repeat(ka.arange(3, chunks=2), 2).compute()
    array([0, 0, 1, 1, 2, 2])
    """
    a = as_array(a)
    if axis is None or (a.ndim == 0 and axis in (0, -1)):
        # NumPy takes a single element for a row.
        a, axis = ravel(a), 0
    axis = normalize_axis_index(axis, a.ndim)
    counts = np.asarray(repeats)
    if counts.dtype.kind not in "iub":
        raise TypeError(f"repeats={repeats!r}, but elements are repeated a whole number of times")
    if counts.size and counts.min() < 0:
        raise ValueError(f"repeats={repeats!r}, but an element cannot be repeated less than 0 times")
    if counts.size == 1:
        number: Any = int(counts.reshape(()))
    elif counts.shape != (a.shape[axis],):
        raise ValueError(f"repeats has shape {counts.shape}, but axis {axis} has {a.shape[axis]} elements")
    else:
        number = counts.astype(np.int64)
    expr = Repeated(a.expr, number, axis)
    most = max(1, math.prod(expr.chunks.largest))
    limit = normalized("auto", expr.shape, expr.dtype).largest
    # Blocks that have grown too large are cut again.
    if most > math.prod(limit) and most > math.prod(a.expr.chunks.largest):
        size = max(1, expr.chunks.largest[axis] * math.prod(limit) // most)
        return wrap(rechunked(expr, normalized({axis: size}, expr.shape, expr.dtype, previous=expr.chunks)))
    return wrap(expr)
