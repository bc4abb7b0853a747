"""Functions of blocks that see the edges of their neighbours: ``map_overlap``, ``overlap``, ``trim_overlap``."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.kernels.overlap import EqualMargins, Margins, gather_margins, trim
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.elementwise import unified
from kask.array.ops.padding import pad
from kask.engine import Chunks, Interval
from kask.expr.lower import AT, BlockCall, Read

__all__ = ["map_overlap", "trim_overlap"]

#: What a boundary is called here, and which mode of ``pad`` it is.
_MODES = {"periodic": "wrap", "reflect": "symmetric", "nearest": "edge"}

Depth = tuple[int, int]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Overlapped(ArrayExpr):
    """The blocks of an array with ``depth`` elements of their neighbours. ``array`` may be larger by what lies beyond the boundary:
    ``own`` are the blocks, the first of which begins ``starts`` elements after it."""

    family = "overlap"

    array: Any
    own: Chunks
    starts: tuple[int, ...]
    depth: tuple[Depth, ...]

    @functools.cached_property
    def intervals(self) -> tuple[Interval, ...]:
        """What the blocks read along each axis."""
        places = zip(self.starts, self.depth)
        return tuple(
            [
                Interval(self.array.chunks.axis(axis), self.own.axis(axis), start, 1, *depth)
                for axis, (start, depth) in enumerate(places)
            ]
        )

    @functools.cached_property
    def margins(self) -> tuple[Any, ...]:
        """What is beside the blocks along each axis; None where that is nothing."""
        found: list[Any] = []
        for axis, depth in enumerate(self.depth):
            interval, along = self.intervals[axis], self.own.axis(axis)
            total = self.array.shape[axis]
            found.append(Margins(interval, along, self.starts[axis], *depth, total) if any(depth) else None)
        return tuple(found)

    @functools.cached_property
    def chunks(self) -> Chunks:
        along = []
        for axis, margin in enumerate(self.margins):
            sizes = self.own.axis(axis)
            if margin is not None:
                front, back = margin.all()
                sizes = Chunks([(np.asarray(sizes.tuples()[0], np.int64) + front + back).tolist()])
            along.append(sizes)
        return Chunks.join(along)

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta

    def block_call(self) -> BlockCall:
        axes = tuple([("interval", axis, interval) for axis, interval in enumerate(self.intervals)])
        return BlockCall(gather_margins, (Read(self.array, axes), AT, self.intervals, self.chunks, self.meta))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Trimmed(ArrayExpr):
    """Blocks without what is beside them."""

    family = "trim"

    array: Any
    margins: tuple[Any, ...]

    @functools.cached_property
    def chunks(self) -> Chunks:
        chunks = self.array.chunks
        for axis, margin in enumerate(self.margins):
            if margin is not None:
                front, back = margin.all()
                sizes = np.asarray(chunks.axis(axis).tuples()[0], np.int64) - front - back
                if sizes.size and sizes.min() < 0:
                    raise ValueError(f"a block of axis {axis} is smaller than the overlap that shall be trimmed off it")
                chunks = chunks.replace(axis, sizes.tolist())
        return chunks

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta

    def block_call(self) -> BlockCall:
        return BlockCall(trim, (Read(self.array, tuple(range(self.ndim))), AT, self.margins))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class OverlapCall(ArrayExpr):
    """A user's function of the blocks of arrays with equal grids; ``axes`` are the output's axes that each axis of the largest array
    became, -1 where it was dropped."""

    arrays: tuple[Any, ...]
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    axes: tuple[int, ...]
    chunks: Chunks
    meta: Any
    wants_position: bool

    @property
    def label(self) -> str:
        return getattr(self.func, "__name__", "map_overlap").strip("_<>") or "map_overlap"

    def block_call(self) -> BlockCall:
        reads = iter([_right_read(array, self.axes) for array in self.arrays])
        args = tuple([next(reads) if arg is _ARRAY else arg for arg in self.args])
        if self.wants_position:
            return BlockCall(_with_block_id, (self.func, self.kwargs, AT, *args))
        return BlockCall(self.func, args, self.kwargs)


class _Array:
    """The place of an array among the arguments."""

    def __kask_tokenize__(self) -> Any:
        return "array"


_ARRAY = _Array()


def _right_read(array: ArrayExpr, axes: tuple[int, ...]) -> Read:
    skipped = len(axes) - array.ndim
    reads = [
        ("fixed", 0) if axes[skipped + axis] < 0 or blocks == 1 else axes[skipped + axis]
        for axis, blocks in enumerate(array.grid)
    ]
    return Read(array, tuple(reads))


def _with_block_id(func: Callable[..., Any], kwargs: dict[str, Any], position: tuple[int, ...], *args: Any) -> Any:
    return func(*args, block_id=position, **kwargs)


def _depths(depth: Any, ndim: int) -> tuple[Depth, ...]:
    """What is read before and after a block along each axis."""
    if depth is None:
        depth = 0
    if isinstance(depth, Mapping):
        given = {np.lib.array_utils.normalize_axis_index(axis, ndim): value for axis, value in depth.items()}
        each = [given.get(axis, 0) for axis in range(ndim)]
    elif isinstance(depth, tuple | list):
        if len(depth) != ndim:
            raise ValueError(f"depth={depth!r} is for {len(depth)} axes, but the array has {ndim}")
        each = list(depth)
    else:
        each = [depth] * ndim
    found = []
    for value in each:
        before, after = value if isinstance(value, tuple | list) else (value, value)
        if before != int(before) or after != int(after) or before < 0 or after < 0:
            raise ValueError(f"depth={depth!r}, but so many elements are read beside a block: whole numbers from 0 on")
        found.append((int(before), int(after)))
    return tuple(found)


def _boundaries(boundary: Any, ndim: int) -> tuple[Any, ...]:
    """What is beyond the array along each axis: None for nothing."""
    if isinstance(boundary, Mapping):
        given = {np.lib.array_utils.normalize_axis_index(axis, ndim): value for axis, value in boundary.items()}
        each = [given.get(axis) for axis in range(ndim)]
    elif isinstance(boundary, tuple | list):
        if len(boundary) != ndim:
            raise ValueError(f"boundary={boundary!r} is for {len(boundary)} axes, but the array has {ndim}")
        each = list(boundary)
    else:
        each = [boundary] * ndim
    for value in each:
        if isinstance(value, str) and value not in ("none", *_MODES):
            raise ValueError(f"boundary={value!r} is not one of 'none', 'periodic', 'reflect', 'nearest', or a number")
    return tuple([None if isinstance(value, str) and value == "none" else value for value in each])


def overlapped(array: ArrayExpr, depth: tuple[Depth, ...], boundary: tuple[Any, ...]) -> Overlapped:
    """Blocks with so many elements of their neighbours, and of what is beyond the boundary."""
    own, starts = array.chunks, [0] * array.ndim
    for axis, (width, kind) in enumerate(zip(depth, boundary)):
        if kind is None or not any(width):
            continue
        sides = {axis: width}
        if isinstance(kind, str):
            array = pad(wrap(array), sides, _MODES[kind]).expr
        else:
            array = pad(wrap(array), sides, constant_values=kind).expr
        starts[axis] = width[0]
    return Overlapped(array, own, tuple(starts), depth)


def overlap(x: Any, depth: Any, boundary: Any = None, *, allow_rechunk: bool = True) -> Any:
    """The array whose blocks have elements of their neighbours too; its shape is larger by what is there twice.

    Parameters
    ----------
    x : array
        What is cut.
    depth : int, tuple or dict
        Elements of the neighbours along all axes or each of them; a pair says how many before and after.
    boundary : str, number, tuple or dict, optional
        What is beyond the array: ``"periodic"``, ``"reflect"`` (the edge is repeated), ``"nearest"``, a number, or ``"none"``.
    allow_rechunk : bool
        Accepted; no block has to be as large as the depth.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.overlap.overlap(ka.arange(6, chunks=3), 1, "periodic").compute()
    array([5, 0, 1, 2, 3, 2, 3, 4, 5, 0])
    """
    x = as_array(x)
    return wrap(overlapped(x.expr, _depths(depth, x.ndim), _boundaries(boundary, x.ndim)))


def trim_internal(x: Any, axes: Any, boundary: Any = None) -> Any:
    """The array whose blocks have lost elements at their ends.

    Parameters
    ----------
    x : array
        Such as :func:`overlap` makes.
    axes : dict
        Elements to take off along each axis; a pair says how many before and after.
    boundary : str, number, tuple or dict, optional
        Where it is ``"none"`` the outer sides of the first and the last block keep all.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.overlap.trim_internal(ka.arange(6, chunks=3), {0: 1}, "periodic").compute()
    array([1, 4])
    """
    x = as_array(x)
    depth, boundaries = _depths(axes, x.ndim), _boundaries(boundary, x.ndim)
    margins = tuple(
        [
            EqualMargins(*width, blocks, kind is None) if any(width) else None
            for width, kind, blocks in zip(depth, boundaries, x.numblocks)
        ]
    )
    return wrap(Trimmed(x.expr, margins))


def trim_overlap(x: Any, depth: Any, boundary: Any = None) -> Any:
    """The array without what :func:`overlap` added.

    Parameters
    ----------
    x : array
        Such as :func:`overlap` makes, of blocks that were not smaller than the depth.
    depth, boundary
        As they were given to :func:`overlap`.

    Examples
    --------
    >>> import kask.array as ka
    >>> wide = ka.overlap.overlap(ka.arange(6, chunks=3), 1, "reflect")
    >>> ka.trim_overlap(wide, 1, "reflect").compute()
    array([0, 1, 2, 3, 4, 5])
    """
    return trim_internal(x, depth, boundary)


def _for_each(value: Any, count: int, what: str) -> list[Any]:
    """One value for each array; a list has them already."""
    if isinstance(value, list):
        if len(value) != count:
            raise ValueError(f"{what} is a list of {len(value)}, but there are {count} arrays")
        return value
    return [value] * count


def map_overlap(
    func: Callable[..., Any],
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
        Called with a block of each array, larger by what is read beside it, and with ``block_id=`` if it has such a parameter.
    *args : array or object
        Arrays, whose axes are lined up at the right, and other arguments, which are passed on.
    depth : int, tuple, dict or list of these
        Elements that are read beside a block along all axes or each of them; a pair says how many before and after. A list has
        one for each array. It may be larger than blocks are.
    boundary : str, number, tuple, dict or list of these, optional
        What is beyond the array: ``"periodic"``, ``"reflect"`` (the edge is repeated), ``"nearest"``, a number, or ``"none"``.
    trim : bool
        Whether what was read beside the block is taken off the result, which then must be as large as the argument.
    align_arrays : bool
        Whether arrays are cut alike first. Otherwise they must have as many blocks.
    allow_rechunk : bool
        Accepted; no block has to be as large as the depth.
    name, token : str, optional
        Accepted; names are made of the content.
    dtype, meta : optional
        The type of the result, or an array of its kind; otherwise ``func`` is tried on small arrays.
    chunks : tuple, optional
        The chunks of the result before trimming, where they are others.
    drop_axis, new_axis : int or tuple of int, optional
        Axes that the result has no more, which must be one block, or has besides.
    enforce_ndim : bool
        Accepted.
    **kwargs
        Passed on to the function.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.arange(6, chunks=3)
    >>> ka.map_overlap(lambda b: b[:-2] + b[2:], x, depth=1, boundary="nearest", trim=False, chunks=x.chunks).compute()
    array([1, 2, 4, 6, 8, 9])
    """
    if isinstance(func, ArrayBase) and args and callable(args[0]):
        # The order that the method has.
        func, args = args[0], (func, *args[1:])
    if not callable(func):
        raise TypeError(f"map_overlap() needs a function, got {func!r}")
    given = [as_array(arg).expr for arg in args if isinstance(arg, ArrayBase | np.ndarray)]
    if not given:
        raise TypeError("map_overlap() needs an array at least")
    depths = [_depths(d, array.ndim) for d, array in zip(_for_each(depth, len(given), "depth"), given)]
    bounds = [_boundaries(b, array.ndim) for b, array in zip(_for_each(boundary, len(given), "boundary"), given)]
    given = _cut_alike(given, align_arrays)
    wide = [overlapped(array, d, b) for array, d, b in zip(given, depths, bounds)]
    largest = max(wide, key=lambda array: array.ndim)
    rest = tuple([_ARRAY if isinstance(arg, ArrayBase | np.ndarray) else arg for arg in args])
    kept, added = _changed_axes(largest, drop_axis, new_axis)
    axes = tuple([kept.index(axis) if axis in kept else -1 for axis in range(largest.ndim)])
    places = [place for place in range(len(kept) + len(added)) if place not in added]
    axes = tuple([places[axis] if axis >= 0 else -1 for axis in axes])
    wants_position = _takes(func, "block_id")
    sample = _sample(func, rest, wide, kwargs, dtype, meta, len(kept) + len(added), wants_position)
    cut = _result_chunks(chunks, largest.chunks, kept, added, sample)
    call = OverlapCall(
        tuple(wide), func, rest, kwargs, axes, cut, empty_meta(sample.dtype, cut.ndim, sample), wants_position
    )
    if not trim:
        return wrap(call)
    margins: list[Any] = [None] * cut.ndim
    for axis, place in enumerate(axes):
        if place >= 0:
            margins[place] = largest.margins[axis]
    return wrap(Trimmed(call, tuple(margins)))


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


def _result_chunks(
    chunks: Any, theirs: Chunks, kept: tuple[int, ...], added: tuple[int, ...], sample: Any
) -> Chunks:
    """How the results of the function are cut: as its largest argument, or as is said."""
    ndim = len(kept) + len(added)
    if chunks is not None:
        specs = list(chunks) if isinstance(chunks, tuple | list) else [chunks]
        if len(specs) != ndim:
            raise ValueError(f"chunks={chunks!r} are for {len(specs)} axes, but the result has {ndim}")
    remaining = list(kept)
    along = []
    for axis in range(ndim):
        own = None if axis in added else theirs.axis(remaining.pop(0))
        blocks = 1 if own is None else own.grid[0]
        if chunks is not None:
            sizes = specs[axis] if isinstance(specs[axis], tuple | list) else (specs[axis],) * blocks
            if len(sizes) != blocks:
                raise ValueError(f"chunks={chunks!r} has {len(sizes)} chunks for axis {axis}, which has {blocks} blocks")
            along.append(Chunks([list(sizes)]))
        else:
            along.append(Chunks.whole([sample.shape[axis] if sample.ndim == ndim else 1]) if own is None else own)
    return Chunks.join(along)


def _takes(func: Any, keyword: str) -> bool:
    try:
        return keyword in inspect.signature(func).parameters
    except (TypeError, ValueError):
        return False


def _sample(
    func: Any, args: tuple[Any, ...], arrays: list[Any], kwargs: Any, dtype: Any, meta: Any, ndim: int, wants: bool
) -> Any:
    """A small result: of the kind that is said, or what the function makes of small arguments."""
    if meta is not None:
        return meta if dtype is None else meta.astype(dtype)
    if dtype is not None:
        return np.empty((1,) * ndim, dtype)
    more = {**kwargs, "block_id": (0,) * ndim} if wants else kwargs
    failed: Exception | None = None
    for least in (1, 0):
        small = iter(
            [
                np.ones_like(array.meta, shape=tuple([least * (sum(depth) + 1) for depth in array.depth]))
                for array in arrays
            ]
        )
        try:
            with np.errstate(all="ignore"):
                return np.asanyarray(func(*[next(small) if arg is _ARRAY else arg for arg in args], **more))
        except Exception as error:  # noqa: BLE001
            failed = error
    raise ValueError(
        f"what {getattr(func, '__name__', func)!r} gives could not be found with small arrays ({failed}); give dtype= or meta="
    ) from failed
