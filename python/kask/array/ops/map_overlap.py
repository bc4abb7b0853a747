"""``map_overlap``: a function of blocks that see the edges of their neighbours."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.kernels.blockwise import OfUser
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.elementwise import unified
from kask.array.ops.overlap import Overlapped, Trimmed, boundaries_of, depths_of, overlapped
from kask.engine import Chunks
from kask.expr.lower import AT, BlockCall, Read

__all__ = ["map_overlap"]


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
    token_: str = ""
    name_: str = ""

    @property
    def label(self) -> str:
        own = getattr(self.func, "__name__", "map_overlap").strip("_<>") or "map_overlap"
        return self.name_ or self.token_ or own

    def block_call(self) -> BlockCall:
        reads = iter([_right_read(array, self.axes) for array in self.arrays])
        args = tuple([next(reads) if arg is _ARRAY else arg for arg in self.args])
        if self.wants_position:
            return BlockCall(OfUser(self.func, True), (AT, *args), self.kwargs)
        # Kernels know ufuncs, which write to no argument.
        func = self.func if isinstance(self.func, np.ufunc) else OfUser(self.func)
        return BlockCall(func, args, self.kwargs)


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
    name : str, optional
        The name of the result, which must be unique; ``token`` is only how it begins.
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

    Notes
    -----
    Ghost cells (Kjolstad, Snir, "Ghost cell pattern", 2010): each task reads its block and the edges of the blocks around it. What is beyond the
    array is put around it first, as by :func:`pad`.

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
    rest = tuple([_ARRAY if isinstance(arg, ArrayBase | np.ndarray) else arg for arg in args])
    kept, added = _changed_axes(largest, result.drop_axis, result.new_axis)
    ndim = len(kept) + len(added)
    places = [place for place in range(ndim) if place not in added]
    axes = tuple([places[kept.index(axis)] if axis in kept else -1 for axis in range(largest.ndim)])
    wants_position = _takes(func, "block_id")
    sample = _sample(func, rest, wide, kwargs, result.dtype, result.meta, ndim, wants_position)
    cut = _result_chunks(result.chunks, largest.chunks, kept, added, sample)
    meta = empty_meta(sample.dtype, ndim, sample)
    call = OverlapCall(tuple(wide), func, rest, kwargs, axes, cut, meta, wants_position, result.token)
    if not is_trimmed:
        return dataclasses.replace(call, name_=result.name)
    margins: list[Any] = [None] * ndim
    for axis, place in enumerate(axes):
        if place >= 0:
            margins[place] = largest.margins[axis]
    return Trimmed(call, tuple(margins), result.token or "trim", result.name)


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


def _result_chunks(chunks: Any, theirs: Chunks, kept: tuple[int, ...], added: tuple[int, ...], sample: Any) -> Chunks:
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
                raise ValueError(
                    f"chunks={chunks!r} has {len(sizes)} chunks for axis {axis}, which has {blocks} blocks"
                )
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
        except Exception as error:
            failed = error
    raise ValueError(
        f"what {getattr(func, '__name__', func)!r} gives could not be found with small arrays ({failed}); give dtype= or meta="
    ) from failed
