"""The different elements of arrays. What is made of those of two arrays is in ``unique_sets``.

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
    UniqueCombine,
    UniquePart,
    inverse_of,
    part_of,
    row_of,
    size_along,
)
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import elementwise
from kask.array.ops.mapped import cut_whole, mapped
from kask.array.ops.reductions import reduced
from kask.array.ops.reshaping import raveled
from kask.array.ops.staged import Open, Stage, with_length
from kask.engine import Chunks

__all__ = ["unique"]


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
            func,
            self.source,
            found,
            reads=(reads, ()),
            constants=(self.chunks, constant),
            chunks=self.chunks,
            meta=self.meta,
            wants_position=True,
        )


def meta_of_found(source: ArrayExpr, ndim: int = 1) -> Any:
    """The meta of the different elements of an array: only of masked arrays are they of another kind than NumPy's."""
    like = source.meta if isinstance(source.meta, np.ma.MaskedArray) else None
    return np.empty((0,) * ndim, source.dtype) if like is None else np.ravel(like)[:0]


def _kept(kept: tuple[ArrayExpr, list[Any]]) -> ArrayExpr:
    found, futures = kept
    return Persisted(found.name, found.chunks, found.meta, _Blocks(found.name, futures))


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
        The axis whose slices are compared instead of elements. Tasks have the other axes whole. Masks are ignored, as in NumPy.
    equal_nan : bool, optional
        Whether all NaN are taken for one. Slices with NaN are always different ones, as in NumPy.
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

    All masked elements are taken for one, which comes last. NumPy does that too, but not where the values under masks are in its way: there it finds
    several, or puts them elsewhere, as with booleans, NaN and text.

    Examples
    --------
    >>> import kask.array as ka
    >>> values, counts = ka.unique(ka.from_array([3, 1, 3, 2], chunks=2), return_counts=True)
    >>> values.compute(), counts.compute()
    (array([1, 2, 3]), array([1, 1, 2]))
    """
    source = as_array(ar).expr
    if axis is None:
        array, along = raveled(source), None
    else:
        if isinstance(source.meta, np.ma.MaskedArray):
            source = elementwise(np.ma.getdata, source)
        along = normalize_axis_index(operator.index(axis), source.ndim)
        array = cut_whole(source, tuple([one for one in range(source.ndim) if one != along]))
    # Places tell NaN apart.
    by_place = return_inverse and source.dtype.kind in "fcmM" and not (equal_nan and along is None)
    found = unique_found(array, along, return_index or by_place, return_counts, equal_nan)
    place = along or 0
    others = array.chunks.axes([one for one in range(array.ndim) if one != place])
    results: list[Open] = [FoundPart(found, 0, place, others, meta_of_found(source, array.ndim))]
    line, numbers = Chunks([]), np.empty(0, np.intp)
    if return_index:
        results.append(FoundPart(found, 1, 0, line, numbers))
    if return_inverse:
        results.append(_inverse(source, array, found, along, equal_nan))
    if return_counts:
        results.append(FoundPart(found, 2, 0, line, numbers))
    arrays = tuple([wrap(result) for result in results])
    return arrays if len(arrays) > 1 else arrays[0]


def _inverse(source: ArrayExpr, array: ArrayExpr, found: ArrayExpr, along: int | None, equal_nan: bool) -> Inverse:
    if along is None:
        return Inverse(source, found, None, equal_nan, np.empty((0,) * source.ndim, np.intp), source.chunks)
    return Inverse(array, found, along, equal_nan, np.empty(0, np.intp), array.chunks.axis(along))
