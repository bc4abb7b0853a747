"""Arrays put together along an axis: ``concatenate``, ``stack``, ``block``."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.kernels.edits import view_of_one
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import elementwise
from kask.array.ops.filling import cast
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reshaping import expanded, reshaped
from kask.array.ops.slicing import sliced
from kask.array.ops.turning import Turn
from kask.engine import Chunks
from kask.expr import Expr
from kask.expr.lower import BlockCall, Joined, Read

__all__ = ["block", "column_stack", "concat", "concatenate", "dstack", "hstack", "stack", "vstack"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Concatenated(ArrayExpr):
    """Arrays one after another along an axis; they are cut alike along the others. Each block is a block of one of them, so that
    whoever reads this reads them; tasks of its own it has only where its blocks are wanted themselves."""

    family = "concatenate"

    arrays: tuple[Any, ...]
    axis: int

    @functools.cached_property
    def chunks(self) -> Chunks:
        along = Chunks.concat([array.chunks.axis(self.axis) for array in self.arrays])
        return self.arrays[0].chunks.replace(self.axis, along)

    @functools.cached_property
    def meta(self) -> Any:
        return self.arrays[0].meta

    @functools.cached_property
    def joined(self) -> Joined:
        return Joined(self.axis, self.arrays)

    def block_call(self) -> BlockCall:
        return BlockCall(view_of_one, (Read(self.joined, tuple(range(self.ndim))),))

    def taking(self, taken: Any, chunks: Chunks) -> ArrayExpr | None:
        start, step, length = taken[self.axis]
        parts, first = [], 0
        for array in self.arrays:
            part = _share(start - first, step, length, array.shape[self.axis])
            if part[2]:
                parts.append(sliced(array, (*taken[: self.axis], part, *taken[self.axis + 1 :])))
            first += array.shape[self.axis]
        if not parts:
            parts.append(sliced(self.arrays[0], (*taken[: self.axis], (0, 1, 0), *taken[self.axis + 1 :])))
        if step < 0:
            parts.reverse()
        # Along the other axes all are cut alike, also where a part was taken whole and kept empty chunks.
        along = [part.chunks.axis(self.axis) for part in parts]
        parts = [rechunked(part, chunks.replace(self.axis, own)) for part, own in zip(parts, along)]
        return rechunked(parts[0] if len(parts) == 1 else Concatenated(tuple(parts), self.axis), chunks)

    def picking(self, take: Any) -> ArrayExpr:
        """What a list picks of each of the arrays."""
        axis = self.axis
        if take.axis != axis:
            return Concatenated(tuple([take.of(array, take.axis) for array in self.arrays]), axis)
        ordered, places = np.unique(take.index.values, return_inverse=True)
        ends = np.cumsum([array.shape[axis] for array in self.arrays])
        parts = []
        for array, end, own in zip(self.arrays, ends, np.split(ordered, np.searchsorted(ordered, ends[:-1]))):
            if len(own):
                parts.append(take.of(array, axis, own - (end - array.shape[axis])))
        return take.of(concatenated(parts, axis), axis, places)

    def simplified(self) -> Expr | None:
        if len(self.arrays) == 1:
            return self.arrays[0]
        inner = [array.arrays if self._continues(array) else (array,) for array in self.arrays]
        flat = tuple(itertools.chain.from_iterable(inner))
        return Concatenated(flat, self.axis) if len(flat) > len(self.arrays) else None

    def turning(self, axes: tuple[int, ...]) -> Turn:
        wanted = [(array, axes) for array in self.arrays]
        return Turn(wanted, lambda parts: Concatenated(tuple(parts), axes.index(self.axis)))

    def _continues(self, array: Any) -> bool:
        return isinstance(array, Concatenated) and array.axis == self.axis


def _share(start: int, step: int, length: int, there: int) -> tuple[int, int, int]:
    """What a slice takes of an array with so many elements, where ``start`` is counted from its first one."""
    if step > 0:
        low, high = max(0, -(start // step)), min(length, -((start - there) // step))
    else:
        low, high = max(0, -((there - 1 - start) // -step)), min(length, start // -step + 1)
    return (start + step * low, step, high - low) if high > low else (0, 1, 0)


def concatenated(arrays: list[ArrayExpr], axis: int) -> ArrayExpr:
    """Arrays of one type and number of axes, as long as each other along the other axes, put together."""
    kept = [place for place in range(arrays[0].ndim) if place != axis]
    common = Chunks.join([Chunks.unify([array.chunks.axis(place) for array in arrays]) for place in kept])
    # An array without elements takes no part, unless all are.
    some = [array for array in arrays if array.shape[axis]] or arrays[:1]
    ready = []
    for array in some:
        if array.chunks.axes(kept) != common:
            along = [common.axes([place]) for place in range(len(kept))]
            along.insert(axis, array.chunks.axis(axis))
            array = rechunked(array, Chunks.join(along))
        ready.append(array)
    return Concatenated(tuple(ready), axis) if len(ready) > 1 else ready[0]


def _operands(seq: Any, what: str) -> list[ArrayExpr]:
    if isinstance(seq, ArrayBase):
        seq = list(iter_rows(seq))
    arrays = [as_array(array).expr for array in seq]
    if not arrays:
        raise ValueError(f"{what}() of no arrays; it needs one at least")
    return arrays


def iter_rows(x: Any) -> list[Any]:
    """The parts of an array along its first axis."""
    from kask.array.ops.reshaping import squeezed

    rest = tuple([(0, 1, length) for length in x.shape[1:]])
    return [wrap(squeezed(sliced(x.expr, ((at, 1, 1), *rest)), (0,))) for at in range(len(x))]


def alike(arrays: list[ArrayExpr], dtype: Any, casting: str) -> list[ArrayExpr]:
    """Arrays of the type that they have together, or of the one that is asked for."""
    kind: Any = casting
    common = np.result_type(*[array.dtype for array in arrays]) if dtype is None else np.dtype(dtype)
    for array in arrays:
        if not np.can_cast(array.dtype, common, kind):
            raise TypeError(f"an array of {array.dtype} cannot be cast to {common} with casting={casting!r}")
    ready = [cast(array, common) for array in arrays]
    is_masked = [isinstance(array.meta, np.ma.MaskedArray) for array in ready]
    if not any(is_masked):
        return ready
    return [array if one else elementwise(np.ma.asanyarray, array) for one, array in zip(is_masked, ready)]


def concatenate(
    seq: Any,
    axis: int | None = 0,
    allow_unknown_chunksizes: bool = False,
    *,
    dtype: Any = None,
    casting: str = "same_kind",
) -> Any:
    """Arrays put together along an axis that they have.

    Parameters
    ----------
    seq : sequence of arrays
        Of equal shapes but along the axis.
    axis : int, optional
        None: all elements in a row.
    allow_unknown_chunksizes : bool
        Accepted; there are no unknown chunk sizes.
    dtype : data-type, optional
        The result's; by default the one that the arrays have together.
    casting : str
        Which casts are allowed, as for :func:`numpy.can_cast`.

    Raises
    ------
    ValueError
        Shapes that do not fit.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.concatenate([ka.ones(2, dtype=int), ka.zeros(1, dtype=int)]).compute()
    array([1, 1, 0])
    """
    arrays = _operands(seq, "concatenate")
    if axis is None:
        arrays = [reshaped(array, (math.prod(array.shape),)) for array in arrays]
        axis = 0
    ndim = arrays[0].ndim
    if ndim == 0:
        raise ValueError("arrays without axes cannot be concatenated; stack() puts them along a new one")
    axis = np.lib.array_utils.normalize_axis_index(axis, ndim)
    first = arrays[0].shape
    for number, array in enumerate(arrays):
        if array.ndim != ndim or array.shape[:axis] != first[:axis] or array.shape[axis + 1 :] != first[axis + 1 :]:
            raise ValueError(
                f"arrays to concatenate along axis {axis} differ elsewhere: array 0 has shape {first}, "
                f"array {number} has shape {array.shape}"
            )
    return wrap(concatenated(alike(arrays, dtype, casting), axis))


def concat(arrays: Any, /, axis: int | None = 0, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """The name that the array API standard has for :func:`concatenate`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.concat([ka.ones(2), ka.ones(1)]).shape
    (3,)
    """
    return concatenate(arrays, axis, dtype=dtype, casting=casting)


def stack(
    seq: Any, axis: int = 0, allow_unknown_chunksizes: bool = False, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    """Arrays of one shape put together along a new axis.

    Parameters
    ----------
    seq : sequence of arrays
        Of equal shapes.
    axis : int
        The place of the new axis.
    allow_unknown_chunksizes, dtype, casting
        As for :func:`concatenate`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.stack([ka.zeros(2), ka.ones(2)], axis=1).compute()
    array([[0., 1.],
           [0., 1.]])
    """
    arrays = _operands(seq, "stack")
    shapes = {array.shape: None for array in arrays}
    if len(shapes) > 1:
        raise ValueError(f"arrays to stack must have one shape, these have {', '.join(map(str, shapes))}")
    axis = np.lib.array_utils.normalize_axis_index(axis, arrays[0].ndim + 1)
    arrays = alike(arrays, dtype, casting)
    return wrap(concatenated([expanded(array, (axis,)) for array in arrays], axis))


def vstack(tup: Any, allow_unknown_chunksizes: bool = False, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Arrays put together along the first axis; those of one axis are rows.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.vstack([ka.zeros(2), ka.ones((3, 2))]).shape
    (4, 2)
    """
    from kask.array.ops.axes import atleast_2d

    rows = [atleast_2d(wrap(array)) for array in _operands(tup, "vstack")]
    return concatenate(rows, 0, dtype=dtype, casting=casting)


def hstack(tup: Any, allow_unknown_chunksizes: bool = False, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Arrays put together along the second axis; those of one axis along that.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.hstack([ka.zeros(2), ka.ones(3)]).shape
    (5,)
    """
    from kask.array.ops.axes import atleast_1d

    arrays = [atleast_1d(wrap(array)) for array in _operands(tup, "hstack")]
    return concatenate(arrays, 0 if arrays[0].ndim == 1 else 1, dtype=dtype, casting=casting)


def dstack(tup: Any, allow_unknown_chunksizes: bool = False) -> Any:
    """Arrays put together along the third axis, after :func:`atleast_3d`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.dstack([ka.zeros(2), ka.ones(2)]).shape
    (1, 2, 2)
    """
    from kask.array.ops.axes import atleast_3d

    return concatenate([atleast_3d(wrap(array)) for array in _operands(tup, "dstack")], 2)


def column_stack(tup: Any, allow_unknown_chunksizes: bool = False) -> Any:
    """Arrays put together as columns: those of one axis become one, others are taken as they are.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.column_stack([ka.zeros(2), ka.ones((2, 3))]).shape
    (2, 4)
    """
    arrays = _operands(tup, "column_stack")
    columns = [
        wrap(expanded(array, tuple(range(array.ndim, 2)))) if array.ndim == 1 else wrap(_as_columns(array))
        for array in arrays
    ]
    return concatenate(columns, 1)


def _as_columns(array: ArrayExpr) -> ArrayExpr:
    return expanded(array, (0, 1)) if array.ndim == 0 else array


def block(arrays: Any, allow_unknown_chunksizes: bool = False) -> Any:
    """An array of nested lists of arrays: the innermost lists are put together along the last axis, and so on outwards.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.block([[ka.ones((1, 1)), ka.zeros((1, 2))], [ka.zeros((1, 3))]]).compute()
    array([[1., 0., 0.],
           [0., 0., 0.]])
    """
    depth, most = _depths(arrays, ())
    ndim = max(depth, most)

    def joined(item: Any, level: int) -> ArrayExpr:
        if not isinstance(item, list):
            array = as_array(item).expr
            return expanded(array, tuple(range(ndim - array.ndim)))
        parts = [joined(part, level + 1) for part in item]
        return concatenate([wrap(part) for part in parts], ndim - depth + level).expr

    return wrap(joined(arrays, 0))


def _depths(item: Any, path: tuple[int, ...]) -> tuple[int, int]:
    """How deep lists are nested, which must be the same everywhere, and how many axes an array has at most."""
    if isinstance(item, tuple):
        raise TypeError("block() takes nested lists, and found a tuple; use lists only")
    if not isinstance(item, list):
        return 0, as_array(item).ndim
    if not item:
        raise ValueError(f"block() found an empty list at {list(path)}")
    found = [_depths(part, (*path, at)) for at, part in enumerate(item)]
    if len({depth for depth, _ in found}) > 1:
        raise ValueError(f"block() needs lists that are nested equally deep; those at {list(path)} are not")
    return found[0][0] + 1, max(most for _, most in found)
