"""``map_overlap``: a function of blocks that see the edges of their neighbours."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.kernels.blockwise import UserCall
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.blocks import Blocks
from kask.array.ops.blockwise import _label_of, _Labelled, _tried
from kask.array.ops.blockwise import _Result as _Made
from kask.array.ops.elementwise import unified
from kask.array.ops.inference import as_meta, ones_like_meta
from kask.array.ops.overlap import Overlapped, Trimmed, boundaries_of, depths_of, overlapped
from kask.engine import Chunks

__all__ = ["map_overlap"]


def _for_each(value: Any, count: int, what: str) -> list[Any]:
    """One value for each array; a list has them already."""
    if isinstance(value, list):
        if len(value) != count:
            raise ValueError(f"{what} is a list of {len(value)}, but there are {count} arrays")
        return value
    return [value] * count


def map_overlap(
    func: Any,
    *args: Any,
    depth: Any = None,
    boundary: Any = None,
    trim: bool = True,
    align_arrays: bool = True,
    allow_rechunk: bool = True,
    name: str | None = None,
    token: str | None = None,
    dtype: Any = None,
    meta: Any = None,
    chunks: Any = None,
    drop_axis: Any = None,
    new_axis: Any = None,
    enforce_ndim: bool = False,
    **kwargs: Any,
) -> Any:
    """A function of blocks that see the edges of their neighbours.

    Parameters
    ----------
    func : callable
        Called with a block of each array, larger by what is read beside it, and with ``block_id=`` and ``block_info=`` if it has such
        parameters (see :func:`map_blocks`; the places are those in the array that :func:`overlap` makes).
    *args : array or object
        Arrays, whose axes are lined up at the right, and other arguments, which are passed on.
    depth : int, tuple, dict or list of these
        Elements that are read beside a block along all axes or each of them; a pair says how many before and after. A list has
        one for each array. It may be larger than blocks are.
    boundary : str, number, tuple, dict or list of these, optional
        What is beyond the array: ``"periodic"``, ``"reflect"`` (the edge is repeated), ``"nearest"``, a number, or ``"none"``.
    trim : bool
        Whether what was read beside the block is taken off the result, which then must be as large as the argument. Otherwise the
        function does so itself, and its results are as large as the blocks of ``x``; or it gives all, which is found out by calling it with
        small arrays.
    align_arrays : bool
        Whether arrays are cut alike first. Otherwise they must have as many blocks.
    allow_rechunk : bool
        Accepted; no block has to be as large as the depth.
    name : str, optional
        The name of the result, which must be unique; ``token`` is only how it begins.
    dtype, meta : optional
        The type of the result, or an array of its kind; by default found out by calling the function with small arrays.
    chunks : tuple, optional
        The chunks of the result before trimming, where they are others.
    drop_axis, new_axis : int or tuple of int, optional
        Axes that the result has no more, which must be one block, or has besides.
    enforce_ndim : bool
        Accepted.
    **kwargs
        Further arguments of the function. Arrays among them are passed whole.

    Raises
    ------
    ValueError
        Depths and boundaries that do not fit; while computing, blocks that have not the shape that was said.

    Notes
    -----
    Ghost cells (Kjolstad, Snir, "Ghost cell pattern", 2010): each task reads its block and the edges of the blocks around it. What is beyond the
    array is put around it first, as by :func:`pad`.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.arange(6, chunks=3)
    >>> ka.map_overlap(lambda b: b[:-2] + b[2:], x, depth=1, boundary="nearest", trim=False).compute()
    array([1, 2, 4, 6, 8, 9])
    """
    if isinstance(func, ArrayBase) and args and callable(args[0]):
        # The order that the method has.
        func, args = args[0], (func, *args[1:])
    if not callable(func):
        raise TypeError(f"map_overlap() needs a function, got {func!r}")
    wide = _overlapped_arrays(args, depth, boundary, align_arrays)
    result = _Result(dtype, meta, chunks, drop_axis, new_axis, token or "", name or "")
    return wrap(_called(func, args, wide, kwargs, result, trim))


class _Result(NamedTuple):
    """What is said about the results of the function."""

    dtype: Any
    meta: Any
    chunks: Any
    drop_axis: Any
    new_axis: Any
    token: str
    name: str


def _overlapped_arrays(args: tuple[Any, ...], depth: Any, boundary: Any, align: bool) -> list[Overlapped]:
    given = [as_array(arg).expr for arg in args if isinstance(arg, ArrayBase | np.ndarray)]
    if not given:
        raise TypeError("map_overlap() needs an array at least")
    depths = [depths_of(d, array.ndim) for d, array in zip(_for_each(depth, len(given), "depth"), given)]
    bounds = [boundaries_of(b, array.ndim) for b, array in zip(_for_each(boundary, len(given), "boundary"), given)]
    return [overlapped(array, d, b) for array, d, b in zip(_cut_alike(given, align), depths, bounds)]


def _called(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    wide: list[Overlapped],
    kwargs: dict[str, Any],
    result: _Result,
    is_trimmed: bool,
) -> ArrayExpr:
    largest = max(wide, key=lambda array: array.ndim)
    kept, added = _changed_axes(largest, result.drop_axis, result.new_axis)
    ndim = len(kept) + len(added)
    places = [place for place in range(ndim) if place not in added]
    axes = tuple([places[kept.index(axis)] if axis in kept else -1 for axis in range(largest.ndim)])
    call, exprs, reads = _call(func, args, wide, kwargs, _cut(largest.chunks, kept, added), axes)
    small = _small(call, exprs, result, is_trimmed)
    meta = small.meta(result, ndim, call.__name__)
    if result.chunks is not None:
        chunks = _said_chunks(result.chunks, call.chunks)
    else:
        lengths = small.shape if len(small.shape) == ndim else (1,) * ndim
        own = [
            largest.own if not is_trimmed and lengths[place] != sum(largest.depth[axis]) + 1 else largest.chunks
            for axis, place in zip(kept, places)
        ]
        theirs = Chunks.join([chunks.axis(axis) for axis, chunks in zip(kept, own)])
        chunks = _cut(theirs, tuple(range(len(kept))), added, lengths)
    call.chunks, call.dtype = chunks, meta.dtype
    name = "" if is_trimmed else result.name
    made = Blocks(call, exprs, reads, chunks, meta, _label_of(call, result.token), True, name)
    if not is_trimmed:
        return made
    margins: list[Any] = [None] * ndim
    for axis, place in enumerate(axes):
        if place >= 0:
            margins[place] = largest.margins[axis]
    return Trimmed(made, tuple(margins), result.token or "trim", result.name)


def _call(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    wide: list[Overlapped],
    kwargs: dict[str, Any],
    chunks: Chunks,
    axes: tuple[int, ...],
) -> tuple[UserCall, tuple[ArrayExpr, ...], tuple[Any, ...]]:
    """The call that makes a block; ``axes`` are the output's axes that each axis of the largest array became, -1 where it was dropped."""
    labels = [place if place >= 0 else -1 - axis for axis, place in enumerate(axes)]
    values, arrays, remaining = list(args), [], list(wide)
    for place, arg in enumerate(args):
        if isinstance(arg, ArrayBase | np.ndarray):
            array = remaining.pop(0)
            arrays.append(_Labelled(array, tuple(labels[len(labels) - array.ndim :]), place))
            values[place] = None
    along = {axis: chunks.axis(axis) for axis in range(chunks.ndim)}
    return _Made(tuple(along), along, {}, {}).called(func, values, arrays, kwargs, True)


def _cut_alike(arrays: list[ArrayExpr], align: bool) -> list[ArrayExpr]:
    if len(arrays) == 1:
        return arrays
    if align:
        return unified(arrays)[0]
    grid = max((array.grid for array in arrays), key=len)
    for array in arrays:
        if any(ours not in (1, theirs) for ours, theirs in zip(array.grid[::-1], grid[::-1])):
            raise ValueError(f"align_arrays=False, but arrays have grids of {array.grid} and {grid} blocks")
    return arrays


def _changed_axes(array: ArrayExpr, drop_axis: Any, new_axis: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes that stay, and the places of new ones."""
    normal = np.lib.array_utils.normalize_axis_tuple
    dropped = () if drop_axis is None or drop_axis == [] else normal(drop_axis, array.ndim)
    for axis in dropped:
        if array.grid[axis] != 1:
            raise ValueError(f"drop_axis={drop_axis}, but axis {axis} has {array.grid[axis]} blocks; rechunk it to one")
    kept = tuple([axis for axis in range(array.ndim) if axis not in dropped])
    if new_axis is None or new_axis == []:
        return kept, ()
    many = tuple(new_axis) if isinstance(new_axis, tuple | list) else (new_axis,)
    return kept, normal(many, len(kept) + len(many))


def _cut(theirs: Chunks, kept: tuple[int, ...], added: tuple[int, ...], lengths: Sequence[int] = ()) -> Chunks:
    """How the results of the function are cut: as its largest argument, and not along new axes, which have these lengths."""
    remaining = list(kept)
    return Chunks.join(
        [
            Chunks.whole([lengths[axis] if lengths else 1]) if axis in added else theirs.axis(remaining.pop(0))
            for axis in range(len(kept) + len(added))
        ]
    )


def _said_chunks(chunks: Any, theirs: Chunks) -> Chunks:
    """How the results of the function are cut, as was said; there are as many blocks as ``theirs``."""
    specs = list(chunks) if isinstance(chunks, tuple | list) else [chunks]
    if len(specs) != theirs.ndim:
        raise ValueError(f"chunks={chunks!r} are for {len(specs)} axes, but the result has {theirs.ndim}")
    along = []
    for axis, (sizes, blocks) in enumerate(zip(specs, theirs.grid)):
        each = list(sizes) if isinstance(sizes, tuple | list) else [sizes] * blocks
        if len(each) != blocks:
            raise ValueError(f"chunks={chunks!r} has {len(each)} chunks for axis {axis}, which has {blocks} blocks")
        along.append(Chunks([each]))
    return Chunks.join(along)


class _Small(NamedTuple):
    """What the function makes of small arrays, or why it makes nothing of them."""

    made: Any
    #: Of what it makes of arrays of one element and its neighbours; empty if it makes nothing of these.
    shape: tuple[int, ...]
    trouble: Any

    def meta(self, result: _Result, ndim: int, name: str) -> Any:
        """The kind of the result: what was said of it, or what was found."""
        if result.meta is not None:
            return as_meta(result.meta, ndim, result.dtype)
        if self.made is not None:
            return as_meta(self.made, ndim, result.dtype)
        if result.dtype is not None:
            return empty_meta(result.dtype, ndim)
        raise ValueError(
            f"what {name!r} gives could not be found with small arrays ({self.trouble}); give dtype= or meta="
        ) from (self.trouble if isinstance(self.trouble, Exception) else None)


def _small(call: UserCall, exprs: tuple[ArrayExpr, ...], result: _Result, is_trimmed: bool) -> _Small:
    if result.meta is not None and (result.chunks is not None or (is_trimmed and result.new_axis is None)):
        return _Small(None, (), None)
    if not all(array.is_array for array in call.arrays):
        return _Small(None, (), "an argument is delayed")
    trouble: Exception | None = None
    for least in (1, 0):

        def stand_in(expr: ArrayExpr, least: int = least) -> Any:
            if not isinstance(expr, Overlapped):
                return ones_like_meta(expr)
            return ones_like_meta(expr, tuple([least * (sum(depth) + 1) for depth in expr.depth]))

        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                made = _tried(call, exprs, stand_in)
        except Exception as error:
            trouble = error
            continue
        return _Small(made, np.shape(made) if least else (), None)
    return _Small(None, (), trouble)
