"""The different elements of arrays.

A tree finds them, at whose end there is one block. How many there are is only known then: what is given back are parts of that block,
whose size is resolved while running (see ``kask.array.ops.staged``).
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from kask.array.base import Persisted, _Blocks, as_array, wrap
from kask.array.kernels.reductions import itself
from kask.array.kernels.unique import (
    SetOperation,
    UniqueCombine,
    UniquePart,
    among,
    either,
    inverse_of,
    left_of,
    part_of,
    row_of,
    size_along,
)
from kask.array.node import ArrayExpr
from kask.array.ops.choices import isin
from kask.array.ops.elementwise import elementwise
from kask.array.ops.joining import concatenate
from kask.array.ops.mapped import cut_whole, mapped, one_by_one
from kask.array.ops.reductions import reduced
from kask.array.ops.reshaping import raveled
from kask.array.ops.staged import Open, Stage, with_length
from kask.engine import Chunks

__all__ = ["intersect1d", "setdiff1d", "setxor1d", "union1d", "unique"]


def unique_found(array: ArrayExpr, axis: int | None, places: bool, counts: bool, equal_nan: bool) -> ArrayExpr:
    """One block: the different elements (along an axis, slices), where they are first, how often. ``array`` has one axis without ``axis``."""
    along = axis or 0
    tree = reduced(
        array,
        UniquePart(places, counts, axis, equal_nan),
        UniqueCombine(axis, equal_nan),
        itself,
        (along,),
        array.dtype,
        keepdims=True,
        place="start",
        label="unique",
    )
    reads = (tuple([("fixed", 0)] * array.ndim),)
    return mapped(itself, tree, reads=reads, chunks=Chunks([]), dtype=array.dtype, label="unique")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class FoundPart(Open):
    """The values, places or counts of what was found, whose axis ``axis`` has as many elements as were found."""

    found: Any
    part: int
    axis: int
    #: The chunks of the other axes, each of which is in one.
    others: Chunks
    meta: Any

    @property
    def label(self) -> str:
        return "unique"

    @property
    def dims(self) -> tuple[int | None, ...]:
        return with_length(self.others.shape, self.axis, None)

    def stage(self) -> Stage:
        along = self.axis if self.part == 0 else 0
        constants, none = (self.part, along), Chunks([])
        size = mapped(size_along, self.found, reads=((),), constants=constants, chunks=none, dtype=np.intp)
        return Stage((self.found,), (size,))

    def finish(self, kept: list[tuple[ArrayExpr, list[Any]]], read: list[Any]) -> ArrayExpr:
        chunks = Chunks.whole(list(with_length(self.others.shape, self.axis, int(read[0]))))
        return mapped(
            part_of, _kept(*kept), reads=((),), constants=(self.part,), chunks=chunks, meta=self.meta, label="unique"
        )


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Inverse(Open):
    """Which of what was found each element (along an axis: each slice) is."""

    source: Any
    found: Any
    along: int | None
    equal_nan: bool
    meta: Any
    known: Chunks | None = None

    @property
    def label(self) -> str:
        return "inverse"

    def stage(self) -> Stage:
        # What was found stays for whoever wants another part of it.
        return Stage((self.found,), ())

    def finish(self, kept: list[tuple[ArrayExpr, list[Any]]], read: list[Any]) -> ArrayExpr:
        source, along, found = self.source, self.along, _kept(*kept)
        if along is None:
            reads: tuple[Any, ...] = tuple(range(source.ndim))
            return self._of(inverse_of, found, reads, self.equal_nan)
        return self._of(
            row_of, found, tuple([0 if one == along else ("fixed", 0) for one in range(source.ndim)]), along
        )

    def _of(self, func: Callable[..., Any], found: ArrayExpr, reads: tuple[Any, ...], constant: Any) -> ArrayExpr:
        return mapped(
            func, self.source, found, reads=(reads, ()), constants=(constant,), chunks=self.chunks, meta=self.meta
        )


def _kept(kept: tuple[ArrayExpr, list[Any]]) -> ArrayExpr:
    found, futures = kept
    return Persisted(found.name, found.chunks, found.meta, _Blocks(futures))


def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: Any = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    """The different elements of an array, in order.

    Parameters
    ----------
    ar : array_like
        The array; flattened unless there is an ``axis``.
    return_index : bool, optional
        Whether to tell where each is first.
    return_inverse : bool, optional
        Whether to tell which of them each element of ``ar`` is.
    return_counts : bool, optional
        Whether to tell how often each occurs.
    axis : int, optional
        The axis whose slices are compared instead of elements. Tasks have the other axes whole.
    equal_nan : bool, optional
        Whether all NaN are taken for one.
    sorted : bool, optional
        Has no influence: the result is always in order.

    Returns
    -------
    unique, index, inverse, counts : Array
        A tuple, if more than the first are asked for. All but ``inverse`` are in one block.

    Notes
    -----
    The different elements of blocks are sorted and put together by a tree. How many there are is resolved while running; asking for the shape
    of a result finds them, and they stay where they were found. They have to fit into one task, together with those of a few blocks.

    Examples
    --------
    >>> import kask.array as ka
    >>> values, counts = ka.unique(ka.from_array([3, 1, 3, 2], chunks=2), return_counts=True)
    >>> values.compute(), counts.compute()
    (array([1, 2, 3]), array([1, 1, 2]))
    """
    source = as_array(ar).expr
    if return_inverse and not equal_nan and source.dtype.kind in "fcmM":
        raise NotImplementedError("return_inverse=True is not supported with equal_nan=False")
    if isinstance(source.meta, np.ma.MaskedArray):
        if return_index or return_inverse or return_counts or axis is not None:
            raise NotImplementedError(
                "unique() of a masked array gives its different elements only, without axis= and return_...="
            )
        return _unmasked(source, equal_nan)
    if axis is None:
        array, along = raveled(source), None
    else:
        along = normalize_axis_index(operator.index(axis), source.ndim)
        array = cut_whole(source, tuple([one for one in range(source.ndim) if one != along]))
    found = unique_found(array, along, return_index, return_counts, equal_nan)
    place = along or 0
    others = array.chunks.axes([one for one in range(array.ndim) if one != place])
    results: list[Open] = [FoundPart(found, 0, place, others, np.empty((0,) * array.ndim, source.dtype))]
    line, numbers = Chunks([]), np.empty(0, np.intp)
    if return_index:
        results.append(FoundPart(found, 1, 0, line, numbers))
    if return_inverse:
        results.append(_inverse(source, array, found, along, equal_nan))
    if return_counts:
        results.append(FoundPart(found, 2, 0, line, numbers))
    arrays = tuple([wrap(result) for result in results])
    return arrays if len(arrays) > 1 else arrays[0]


def _unmasked(source: ArrayExpr, equal_nan: bool) -> Any:
    """The different elements that are not masked; and a masked one at the end, if there is any."""
    flat = raveled(source)
    mask = wrap(elementwise(np.ma.getmaskarray, flat))
    values = unique(wrap(elementwise(np.ma.getdata, flat))[~mask], equal_nan=equal_nan)
    is_any = bool(mask.any().compute())
    masks = np.arange(values.size + is_any) >= values.size
    if is_any:
        values = concatenate([values, np.zeros(1, source.dtype)])
    return wrap(elementwise(np.ma.masked_array, values.rechunk(-1).expr, as_array(masks).rechunk(-1).expr))


def _inverse(source: ArrayExpr, array: ArrayExpr, found: ArrayExpr, along: int | None, equal_nan: bool) -> Inverse:
    if along is None:
        return Inverse(source, found, None, equal_nan, np.empty((0,) * source.ndim, np.intp), source.chunks)
    return Inverse(array, found, along, equal_nan, np.empty(0, np.intp), array.chunks.axis(along))


def union1d(ar1: Any, ar2: Any) -> Any:
    """The different elements of two arrays together, in order.

    Parameters
    ----------
    ar1, ar2 : array_like
        The arrays; they are flattened.

    Returns
    -------
    Array
        In one block.

    Notes
    -----
    See :func:`unique`; its size is resolved while running.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.union1d(ka.from_array([3, 1], chunks=1), [2, 3]).compute()
    array([1, 2, 3])
    """
    return unique(concatenate([as_array(ar1), as_array(ar2)], axis=None))


def _found(ar: Any, places: bool = False, equal_nan: bool = True) -> ArrayExpr:
    """One block: the different elements of an array, flattened, and where they are first."""
    return unique_found(raveled(as_array(ar).expr), None, places, False, equal_nan)


def _paired(operation: SetOperation, first: ArrayExpr, second: ArrayExpr) -> tuple[ArrayExpr, Any]:
    """One block: what a set operation makes of the different elements of two arrays; and its meta."""
    nothing = np.empty(0, np.intp)
    metas = [(np.ravel(one.meta)[:0], nothing, None) for one in (first, second)]
    chunks = Chunks([])
    found = mapped(operation, first, second, reads=((), ()), chunks=chunks, dtype=first.dtype, label=operation.__name__)
    return found, operation(*metas)[0]


def _part(found: ArrayExpr, part: int, meta: Any) -> Any:
    return wrap(FoundPart(found, part, 0, Chunks([]), meta))


def intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    """The different elements that are in both of two arrays, in order.

    Parameters
    ----------
    ar1, ar2 : array_like
        The arrays; they are flattened.
    assume_unique : bool, optional
        Accepted; different elements are found in any case.
    return_indices : bool, optional
        Whether to give, too, where each of them is first in the one and in the other array.

    Returns
    -------
    Array, or three of them
        In one block.

    Notes
    -----
    The different elements of both arrays have to fit into one task: see :func:`unique`. How many are in both is resolved while running.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.intersect1d(ka.from_array([3, 1, 3], chunks=1), [2, 3]).compute()
    array([3])
    """
    both = [_found(one, bool(return_indices)) for one in (ar1, ar2)]
    found, meta = _paired(SetOperation("intersect1d", bool(return_indices)), *both)
    values = _part(found, 0, meta)
    return (values, *[_part(found, part, np.empty(0, np.intp)) for part in (1, 2)]) if return_indices else values


def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """The different elements of an array that are not in another one, in order.

    Parameters
    ----------
    ar1, ar2 : array_like
        The arrays; they are flattened.
    assume_unique : bool, optional
        That no element of ``ar1`` comes twice; they stay in their order, and in as many blocks as they were in.

    Returns
    -------
    Array

    Notes
    -----
    The different elements of the first array have to fit into one task (see :func:`unique`), unless they are said to be unique. Each block of
    the second one tells which of them it has, and what they tell is put together by a tree.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.setdiff1d(ka.from_array([3, 1, 3, 0], chunks=3), [2, 3]).compute()
    array([0, 1])
    """
    source = as_array(ar1)
    if assume_unique:
        first = wrap(raveled(source.expr))
        return first[isin(first, ar2, invert=True)]
    found, others = _found(source), as_array(ar2).expr
    axes = tuple(range(others.ndim))
    ones = Chunks.join([one_by_one(blocks) for blocks in others.grid])
    has = mapped(among, others, found, reads=(axes, ()), chunks=ones, dtype=np.bool_)
    tree = reduced(has, _told, either, itself, axes, np.bool_, keepdims=True, label="among")
    left = mapped(left_of, found, tree, reads=((), (("fixed", 0),) * others.ndim), chunks=Chunks([]), dtype=found.dtype)
    return _part(left, 0, np.empty(0, source.dtype))


def _told(block: Any, axes: tuple[int, ...]) -> Any:
    return block


def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """The different elements that are in one of two arrays only, in order.

    Parameters
    ----------
    ar1, ar2 : array_like
        The arrays; they are flattened.
    assume_unique : bool, optional
        That no element of an array comes twice in it. Different elements are found in any case; NaN are all taken for different ones.

    Returns
    -------
    Array
        In one block.

    Notes
    -----
    The different elements of both arrays have to fit into one task: see :func:`unique`. How many are left is resolved while running.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.setxor1d(ka.from_array([3, 1, 3], chunks=1), [2, 3]).compute()
    array([1, 2])
    """
    both = [_found(one, equal_nan=not assume_unique) for one in (ar1, ar2)]
    found, meta = _paired(SetOperation("setxor1d"), *both)
    return _part(found, 0, meta)
