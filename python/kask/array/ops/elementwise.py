"""Calls of one function on the blocks of arrays that are cut alike: ufuncs, operators, ``where``, ``clip``, ``astype``."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.turning import Turn
from kask.engine import Chunks
from kask.expr import walk
from kask.expr.lower import BlockCall, Read

__all__ = ["Elementwise", "broadcast_shapes", "changed", "elementwise", "unified"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Elementwise(ArrayExpr):
    """``func`` on arrays of shapes that broadcast, and on constants. Arrays are cut alike: see :func:`unified`."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]
    chunks: Chunks
    meta: Any

    @property
    def label(self) -> str:
        return getattr(self.func, "__name__", "elementwise").strip("_<>")

    @property
    def is_light(self) -> bool:
        return isinstance(self.func, np.ufunc)

    def block_call(self) -> BlockCall:
        return BlockCall(self.func, tuple([_read(arg, self.ndim) for arg in self.args]), dict(self.kwargs))

    def sliced(self, cut: Callable[[ArrayExpr, int], ArrayExpr], chunks: Chunks) -> Elementwise:
        """The same on parts of the arrays; ``cut(array, skipped)`` takes the part of an array that has that many axes fewer."""
        args = tuple([cut(arg, self.ndim - arg.ndim) if isinstance(arg, ArrayExpr) else arg for arg in self.args])
        return dataclasses.replace(self, args=args, chunks=chunks)

    def turning(self, axes: tuple[int, ...]) -> Turn:
        """All arrays are turned; one of fewer axes gets axes of one element where others are moved before its own."""
        arrays = [arg for arg in self.args if isinstance(arg, ArrayExpr)]
        skipped = [self.ndim - array.ndim for array in arrays]
        wanted = [tuple([axis - less for axis in axes if axis >= less]) for less in skipped]

        def rebuild(parts: list[ArrayExpr]) -> ArrayExpr:
            ready = iter([_widened(part, axes, less) for part, less in zip(parts, skipped)])
            args = tuple([next(ready) if isinstance(arg, ArrayExpr) else arg for arg in self.args])
            chunks = self.chunks.axes(list(axes))
            return dataclasses.replace(self, args=args, chunks=chunks, meta=self.meta.transpose(axes))

        return Turn(list(zip(arrays, wanted)), rebuild)


def _widened(part: ArrayExpr, axes: tuple[int, ...], less: int) -> ArrayExpr:
    """An operand that had ``less`` axes fewer than the result, turned as its axes are in ``axes``, lined up with the others again."""
    from kask.array.ops.slicing import expanded

    first = next((place for place, axis in enumerate(axes) if axis >= less), len(axes))
    return expanded(part, tuple([place - first for place in range(first, len(axes)) if axes[place] < less]))


def _read(arg: Any, ndim: int) -> Any:
    """Arrays with fewer axes are lined up at the right."""
    return Read(arg, tuple(range(ndim - arg.ndim, ndim))) if isinstance(arg, ArrayExpr) else arg


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """As ``numpy.broadcast_shapes``, whose message names the shapes."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(f"shapes {' and '.join(map(str, shapes))} cannot be broadcast together") from None


def unified(arrays: list[ArrayExpr]) -> tuple[list[ArrayExpr], Chunks]:
    """Arrays cut alike, as far as they are not of one element along an axis, and the chunks of what they broadcast to."""
    from kask.array.ops.rechunk import rechunked

    shape = broadcast_shapes(*[array.shape for array in arrays])
    ndim = len(shape)
    along: list[Chunks] = []
    for axis, length in enumerate(shape):
        cuts = [
            array.chunks.axis(axis - ndim + array.ndim)
            for array in arrays
            if axis >= ndim - array.ndim and array.shape[axis - ndim + array.ndim] == length
        ]
        along.append(Chunks.unify(cuts))
    chunks = Chunks.join(along)
    ready = []
    for array in arrays:
        skipped = ndim - array.ndim
        # An axis of one element that others stretch stays one block.
        wanted = [
            along[skipped + axis] if length == shape[skipped + axis] else Chunks.whole([length])
            for axis, length in enumerate(array.shape)
        ]
        ready.append(rechunked(array, Chunks.join(wanted)))
    return ready, chunks


def cut_at_source(array: ArrayExpr, chunks: Chunks) -> ArrayExpr | None:
    """The array cut otherwise, if all that it is made of elementwise can be made so in the first place; None if not."""
    order = walk([array])
    wanted = {array.token: chunks}
    for one in reversed(order):
        if type(one) is Elementwise and one.token in wanted:
            for arg in one.args:
                if isinstance(arg, ArrayExpr):
                    wanted[arg.token] = _lined_up(arg, wanted[one.token])
    parts: dict[str, ArrayExpr] = {}
    for one in order:
        if one.token not in wanted:
            continue
        if type(one) is Elementwise:
            args = tuple([parts[arg.token] if isinstance(arg, ArrayExpr) else arg for arg in one.args])
            parts[one.token] = dataclasses.replace(one, args=args, chunks=wanted[one.token])
            continue
        recut = getattr(one, "recut", None)
        found = recut(wanted[one.token]) if recut is not None else None
        if found is None:
            return None
        parts[one.token] = found
    return parts[array.token]


def _lined_up(arg: ArrayExpr, chunks: Chunks) -> Chunks:
    """What an operand's chunks are where the result has these: whole along an axis that is stretched."""
    skipped = chunks.ndim - arg.ndim
    return Chunks.join(
        [
            chunks.axis(skipped + axis) if length == chunks.shape[skipped + axis] else Chunks.whole([length])
            for axis, length in enumerate(arg.shape)
        ]
    )


def meta_of(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What ``func`` makes of arrays without elements."""
    stand_ins = [arg.meta if isinstance(arg, ArrayExpr) else arg for arg in args]
    with np.errstate(all="ignore"):
        return func(*stand_ins, **kwargs)


def elementwise(func: Callable[..., Any], *args: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """``func`` of array expressions and constants, block by block. ``dtype`` is the result's, where it is known."""
    arrays = [arg for arg in args if isinstance(arg, ArrayExpr)]
    if any(array.is_unknown for array in arrays):
        return _later(func, args, dtype, kwargs)
    ready, chunks = unified(arrays)
    replaced = iter(ready)
    args = tuple([next(replaced) if isinstance(arg, ArrayExpr) else arg for arg in args])
    if dtype is None:
        meta = meta_of(func, args, kwargs)
        if meta.ndim != chunks.ndim:
            meta = np.empty((0,) * chunks.ndim, meta.dtype)
    else:
        # Ufuncs of masked arrays, or of another library's, make such arrays.
        kinds = [array.meta for array in arrays if type(array.meta) is not np.ndarray]
        meta = empty_meta(dtype, chunks.ndim, kinds[0] if kinds and isinstance(func, np.ufunc) else None)
    return Elementwise(func, args, tuple(sorted(kwargs.items())), chunks, meta)


def changed(func: Callable[..., Any], array: ArrayExpr, *args: Any, dtype: Any = None) -> Any:
    """``func`` of an array and other operands, whose blocks are arrays of the same kind as those of the first, of its type or another one."""
    kind = np.dtype(array.dtype if dtype is None else dtype)
    made = elementwise(func, array, *args, dtype=kind)
    return dataclasses.replace(made, meta=empty_meta(kind, made.meta.ndim, array.meta))


def _later(func: Callable[..., Any], args: tuple[Any, ...], dtype: Any, kwargs: dict[str, Any]) -> Any:
    """The same, when the size of all arrays is known."""
    from kask.array.ops.staged import LaterElementwise

    ndim = max([arg.ndim for arg in args if isinstance(arg, ArrayExpr)])
    kind = meta_of(func, args, kwargs).dtype if dtype is None else dtype
    return LaterElementwise(func, args, tuple(sorted(kwargs.items())), dtype, np.empty((0,) * ndim, kind))


@functools.lru_cache(maxsize=1024)
def resolved(func: np.ufunc, kinds: tuple[Any, ...]) -> tuple[np.dtype, ...]:
    """The types that a ufunc computes in."""
    return func.resolve_dtypes((*kinds, *(None,) * func.nout))
