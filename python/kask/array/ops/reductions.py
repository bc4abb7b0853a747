"""Reductions: a function of each block, and a tree that combines what it gives.

A reduction has three functions: ``part(block, axes)`` makes a partial result that keeps the reduced axes as axes of one element,
``combine(parts)`` makes one partial result of several, and ``finish(partial)`` makes the result. Partial results are arrays or tuples of
arrays. A block without elements along the reduced axes may give a partial result that has no elements there either.

What a partial result can be used for besides its own reduction, its part tells in ``contains``. Who looks for that tells it in
``is_contained_as``, and in ``taken_from`` how its own reduction goes on from there.

Modules beside this one have the functions: ``reductions_basic`` sums and extremes, ``reductions_arg`` positions, ``moments`` means and
variances, ``reductions_general`` what users reduce with functions of their own.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from kask import config
from kask.array.base import demand_kask_out, wrap
from kask.array.kernels.moments import MeanPart, MomentsPart
from kask.array.kernels.reductions import Part
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.elementwise import cut_at_source, unified
from kask.array.ops.filling import cast
from kask.array.ops.turning import Turn
from kask.engine import Chunks, Hole
from kask.expr import Lowering
from kask.expr.lower import AT, BlockCall, Read

# What users see is in the modules beside this one.
__all__: list[str] = []

#: Parts of sums, extremes, means and moments: it does not matter in which order the other axes are.
_TURNING = (Part, MeanPart, MomentsPart)
#: Blocks that one node of a tree combines at most, unless the user says otherwise.
_FAN_IN = 16
#: More blocks than this, of fewer bytes than that on the average, cost more time for their tasks than for what these do.
_MANY, _TINY_BYTES = 1000, 1 << 13
#: How large blocks are made instead.
_READY_BYTES = 1 << 20
#: Blocks with fewer elements for each of the result are made as large as this, so that there is less to combine.
_THIN, _THICK_BYTES = 4, 1 << 25


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Partial(ArrayExpr):
    """What each block contributes to a reduction over ``axes``."""

    array: Any
    part: Callable[..., Any]
    axes: tuple[int, ...]
    bytes_each: int
    #: Arrays cut as ``array`` is, or of one element along an axis, whose blocks ``part`` gets as well.
    others: tuple[Any, ...] = ()
    #: What ``part`` gets first: "start", how many elements lie before the block along each axis, or "position", or nothing.
    place: str = ""

    @property
    def label(self) -> str:
        return f"{_name_of(self.part)}-part"

    @functools.cached_property
    def chunks(self) -> Chunks:
        chunks = self.array.chunks
        for axis in self.axes:
            chunks = chunks.replace(axis, Chunks.normalize([chunks.grid[axis]], [1], 1, 1))
        return chunks

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta

    @property
    def block_bytes(self) -> int:
        return math.prod(self.chunks.largest) * self.bytes_each

    def simplified(self) -> Partial | None:
        """The same of fewer blocks, where they may as well be made larger: there are very many tiny ones, or thin ones of which nearly as much
        is left as they are."""
        chunks, itemsize = self.array.chunks, max(1, self.array.dtype.itemsize)
        is_ours = type(self.part).__module__.startswith("kask.")
        if not is_ours or self.others or self.place or 0 in chunks.shape:
            return None
        size_bytes = math.prod(self.array.shape) * itemsize
        if chunks.nblocks > _MANY and size_bytes < _TINY_BYTES * chunks.nblocks:
            wanted_bytes = _READY_BYTES
        elif self._leaves_much(size_bytes):
            wanted_bytes = min(_THICK_BYTES, size_bytes // _FAN_IN)
        else:
            return None
        specs = ["auto" if axis in self.axes else chunks.axis(axis) for axis in range(self.ndim)]
        larger = Chunks.normalize(list(chunks.shape), specs, itemsize, wanted_bytes)
        if larger.nblocks >= chunks.nblocks:
            return None
        array = cut_at_source(self.array, larger)
        return None if array is None else dataclasses.replace(self, array=array)

    def _leaves_much(self, size_bytes: int) -> bool:
        """Whether partial results are many, and hardly smaller than the array."""
        lengths = [self.array.shape[axis] / self.array.grid[axis] for axis in self.axes]
        if type(self.part) not in _TURNING or math.prod(lengths) > _THIN:
            return False
        return self.array.chunks.nblocks > _FAN_IN and size_bytes > _FAN_IN * _READY_BYTES

    def holding(self, what: Any) -> Any:
        """What says that something, such as a mean, is in a partial result of the same elements."""
        return what, self.array.token, self.axes, tuple([other.token for other in self.others]), self.place

    @property
    def offers(self) -> Any:
        contains = getattr(self.part, "contains", None)
        return None if contains is None else self.holding(contains)

    def block_call(self) -> BlockCall:
        ndim = self.ndim
        others = [Read(other, tuple(range(ndim - other.ndim, ndim))) for other in self.others]
        args = (Read(self.array, tuple(range(ndim))), self.axes, *others)
        if self.place == "position":
            return BlockCall(self.part, (AT, *args))
        if self.place == "start":
            return BlockCall(_with_start, (AT, self.array.chunks, self.part, *args))
        return BlockCall(self.part, args)

    def taking_of_array(self, taken: tuple[tuple[int, int, int], ...]) -> Partial:
        """The same of a part of the array, which has all elements along the reduced axes."""
        from kask.array.ops.slicing import _cut, sliced

        array = sliced(self.array, taken)
        others = [_cut(other, taken[self.ndim - other.ndim :], array.chunks) for other in self.others]
        return dataclasses.replace(self, array=array, others=tuple(others))

    def picking_of_array(self, take: Any, axis: int) -> Partial:
        """The same of what a list picks of the array along an axis that is not reduced."""
        array, others = self.array, []
        for other in self.others:
            own = axis - (self.ndim - other.ndim)
            is_stretched = own < 0 or other.shape[own] != array.shape[axis]
            others.append(other if is_stretched else take.of(other, own))
        return dataclasses.replace(self, array=take.of(array, axis), others=tuple(others))


def _with_start(position: tuple[int, ...], chunks: Chunks, part: Callable[..., Any], *args: Any) -> Any:
    return part(chunks.block_start(position), *args)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Tree(ArrayExpr):
    """Combines the partial results along the reduced axes."""

    partial: Any
    combine: Callable[..., Any]
    finish: Callable[..., Any]
    split_every: tuple[tuple[int, int], ...]
    keepdims: bool
    meta: Any
    label_: str
    #: Elements of the result along each reduced axis, where they are kept.
    output_size: int = 1
    #: Whether ``finish`` gets the list of partial results that are left, rather than one.
    of_list: bool = False
    #: Whether an element of the result depends on more than what is at its place along the axes that stay.
    mixes: bool = False

    @property
    def label(self) -> str:
        return self.label_

    @functools.cached_property
    def chunks(self) -> Chunks:
        axes, chunks = self.partial.axes, self.partial.chunks
        single = Chunks.whole([self.output_size])
        kept = [chunks.axis(axis) if axis not in axes else single for axis in range(chunks.ndim)]
        return Chunks.join([one for axis, one in enumerate(kept) if self.keepdims or axis not in axes])

    @property
    def key_grid(self) -> tuple[int, ...]:
        # A tree's tasks are printed by their number.
        return self.grid if self._is_one_block else (math.prod(self.grid),)

    @property
    def _is_one_block(self) -> bool:
        return all(self.partial.grid[axis] == 1 for axis in self.partial.axes)

    def block_call(self) -> BlockCall | None:
        if not self._is_one_block:
            return None
        kept = [axis for axis in range(self.partial.ndim) if axis not in self.partial.axes]
        places = (
            range(self.partial.ndim)
            if self.keepdims
            else [kept.index(a) if a in kept else -1 for a in range(self.partial.ndim)]
        )
        reads = tuple([place if place >= 0 else ("fixed", 0) for place in places])
        return BlockCall(self._finish, (Read(self.partial, reads),))

    @property
    def _finish(self) -> Finish:
        dropped = () if self.keepdims or self.of_list else self.partial.axes
        return Finish(self.combine, self.finish, dropped, self.of_list)

    def served(self, offers: Mapping[Any, Any]) -> Tree | None:
        partial = self.partial
        wanted = getattr(partial.part, "is_contained_as", None)
        other = None if wanted is None else offers.get(partial.holding(wanted))
        # What is annotated otherwise runs elsewhere, or later.
        if other is None or other.options is not partial.options:
            return None
        combine, finish = partial.part.taken_from(other.part, partial.array.dtype, partial.axes, self.finish)
        splits = _splits(None, other) if self.split_every == _splits(None, partial) else self.split_every
        return dataclasses.replace(self, partial=other, combine=combine, finish=finish, split_every=splits)

    def taking(self, taken: Any, chunks: Chunks) -> ArrayExpr | None:
        """A part of the result is the reduction of a part of the array; what is left of an axis that is reduced to several elements is taken
        afterwards."""
        partial = self.partial
        if self.mixes or partial.place == "position" or 0 in chunks.shape:
            return None
        array, rest = partial.array, iter(taken)
        inner = []
        after = []
        for axis, length in enumerate(array.shape):
            if axis not in partial.axes:
                inner.append(next(rest))
                after.append((0, 1, inner[-1][2]))
                continue
            inner.append((0, 1, length))
            if self.keepdims:
                here = next(rest)
                after.append(here if self.output_size != 1 else (0, 1, 1))
        if self.output_size != 1 and all(one == (0, 1, length) for one, length in zip(inner, array.shape)):
            return None
        from kask.array.ops.slicing import sliced

        part = dataclasses.replace(self, partial=partial.taking_of_array(tuple(inner)))
        return sliced(part, tuple(after)) if self.keepdims else part

    def picking(self, take: Any) -> ArrayExpr | None:
        """Elements of the result that a list picks are the reduction of what it picks of the array."""
        partial = self.partial
        kept = [axis for axis in range(partial.ndim) if self.keepdims or axis not in partial.axes]
        axis = kept[take.axis]
        if self.mixes or partial.place == "position" or axis in partial.axes:
            return None
        return dataclasses.replace(self, partial=partial.picking_of_array(take, axis))

    def turning(self, axes: tuple[int, ...]) -> Turn | None:
        """The array is turned so that the reduced axes stay where they are."""
        partial = self.partial
        if type(partial.part) not in _TURNING or partial.place or partial.others or self.of_list:
            return None
        if self.keepdims:
            own = axes
            if any(axes[axis] != axis for axis in partial.axes):
                return None
        else:
            kept = [axis for axis in range(partial.ndim) if axis not in partial.axes]
            moved = iter([kept[axis] for axis in axes])
            own = tuple([axis if axis in partial.axes else next(moved) for axis in range(partial.ndim)])

        def rebuild(parts: list[ArrayExpr]) -> ArrayExpr:
            part = dataclasses.replace(partial, array=parts[0])
            return dataclasses.replace(self, partial=part, meta=self.meta.transpose(axes))

        return Turn([(partial.array, own)], rebuild)

    def lower(self, lowering: Lowering) -> None:
        # What parts are combined to, and what is made of that; users' functions tell nothing of theirs.
        made_bytes = 0 if self.of_list else self.partial.block_bytes + self.block_bytes
        lowering.builder.add_tree_reduce(
            self.name,
            self.combine,
            self._finish,
            (Hole(0),),
            self.partial.name,
            list(self.partial.grid),
            dict(self.split_every),
            options=lowering.options(self, made_bytes),
        )


class Finish:
    """The last node of a tree: combines what is left, makes the result, and drops the reduced axes."""

    def __init__(
        self, combine: Callable[..., Any], finish: Callable[..., Any], dropped: tuple[int, ...], of_list: bool = False
    ) -> None:
        self.combine, self.finish, self.dropped, self.of_list = combine, finish, dropped, of_list
        self.__name__ = _name_of(finish)

    def __call__(self, parts: Any) -> Any:
        parts = parts if type(parts) is list else [parts]
        if self.of_list:
            return self.finish(parts)
        result = self.finish(self.combine(parts) if len(parts) > 1 else parts[0])
        return np.squeeze(result, axis=self.dropped) if self.dropped else result

    def __kask_tokenize__(self) -> Any:
        return "finish", self.combine, self.finish, self.dropped, self.of_list


def reduced(
    array: ArrayExpr,
    part: Callable[..., Any],
    combine: Callable[..., Any],
    finish: Callable[..., Any],
    axes: tuple[int, ...],
    dtype: Any,
    *,
    keepdims: bool = False,
    split_every: int | dict[int, int] | None = None,
    bytes_each: int | None = None,
    label: str = "",
    others: tuple[ArrayExpr, ...] = (),
    place: str = "",
    output_size: int = 1,
    of_list: bool = False,
    mixes: bool = False,
) -> ArrayExpr:
    """The reduction of an array over some axes (none twice, none negative).

    ``others`` are arrays that broadcast to it and are cut as it is (:func:`aligned`); ``part`` gets their blocks after the axes. Before
    the block it gets its ``place``: see :class:`Partial`. With ``of_list``, ``finish`` gets a list of
    partial results and drops the axes itself. With ``keepdims`` reduced axes have ``output_size`` elements. What ``mixes`` needs the
    whole array for each part of the result.
    """
    dtype = np.dtype(dtype)
    partial = Partial(array, part, axes, bytes_each or max(1, dtype.itemsize), others, place)
    meta = empty_meta(dtype, array.ndim if keepdims else array.ndim - len(axes), array.meta)
    splits = _splits(split_every, partial)
    return Tree(
        partial, combine, finish, splits, keepdims, meta, label or _name_of(finish), output_size, of_list, mixes
    )


def normal_axes(axis: Any, ndim: int, *, of_number: bool = False) -> tuple[int, ...]:
    """The axes that ``axis=`` names, none negative, in order; all of them for None. With ``of_number`` an array without axes has the axes 0
    and -1, as in NumPy's sums and extremes but not in its means."""
    if axis is None:
        return tuple(range(ndim))
    try:
        axes = tuple(map(operator.index, axis)) if isinstance(axis, Iterable) else operator.index(axis)
    except TypeError:
        raise TypeError(f"axis={axis!r}, but an axis is an integer: give one, several in a tuple, or None") from None
    if of_number and ndim == 0 and axes in (0, -1):
        return ()
    return tuple(sorted(normalize_axis_tuple(axes, ndim)))


def aligned(array: ArrayExpr, *others: ArrayExpr) -> tuple[ArrayExpr, ...]:
    """The array, and others that broadcast to it, cut alike."""
    for other in others:
        try:
            fits = np.broadcast_shapes(array.shape, other.shape) == array.shape
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(f"an array of shape {other.shape} cannot be broadcast to the shape {array.shape}")
    if not others:
        return (array,)
    return tuple(unified([array, *others])[0])


def into(out: Any, result: ArrayExpr) -> Any:
    """The array of an expression, or ``out`` (a Kask array of the same shape), which then is that array."""
    if isinstance(out, tuple) and len(out) == 1:
        out = out[0]
    if out is None:
        return wrap(result)
    demand_kask_out(out)
    if out.shape != result.shape:
        raise ValueError(f"out= has the shape {out.shape}, but the result has {result.shape}")
    if out.dtype != result.dtype:
        if not np.can_cast(result.dtype, out.dtype, "same_kind"):
            raise TypeError(f"out= has the type {out.dtype}, to which {result.dtype} cannot be cast")
        result = cast(result, out.dtype)
    out.expr = result
    return out


def is_combined(array: ArrayExpr, axes: tuple[int, ...]) -> bool:
    """Whether a block that has one element along these axes is never all that there is."""
    return math.prod([array.shape[axis] for axis in axes]) > 1


def fan_in(block_bytes: int, most: int) -> int:
    """Blocks of this size that a task may have as inputs: together half of what a block may have, but two at least and ``most`` at most."""
    return max(2, min(most, int(config.get("array.chunk_size_bytes")) // 2 // max(1, block_bytes)))


def _splits(split_every: int | dict[int, int] | None, partial: Partial) -> tuple[tuple[int, int], ...]:
    axes = partial.axes
    if split_every is None:
        cut = len([axis for axis in axes if partial.grid[axis] > 1])
        each = max(2, int(fan_in(partial.block_bytes, _FAN_IN) ** (1 / max(1, cut))))
        return tuple([(axis, each) for axis in axes])
    if isinstance(split_every, dict):
        return tuple([(axis, max(2, split_every.get(axis, 2))) for axis in axes])
    if not isinstance(split_every, int | np.integer) or split_every is True:
        raise TypeError(f"split_every= must be a number of blocks, or a dict of these by axis, not {split_every!r}")
    if split_every is False:
        return tuple([(axis, 1 << 31) for axis in axes])
    each = max(2, int(int(split_every or _FAN_IN) ** (1 / max(1, len(axes)))))
    return tuple([(axis, each) for axis in axes])


def _name_of(func: Any) -> str:
    name = getattr(func, "__name__", None) or type(func).__name__
    return name.strip("_<>")
