"""``x[index] = value``: the array with other elements in some places."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_expr, wrap
from kask.array.kernels import assignment as kernels
from kask.array.kernels.assignment import Targets
from kask.array.kernels.indexing import Points
from kask.array.node import ArrayExpr
from kask.array.ops.assignment_masks import assigned_by_mask, is_for_all
from kask.array.ops.deferring import called, called_like
from kask.array.ops.elementwise import changed
from kask.array.ops.indexing import known_indices
from kask.array.ops.indexing_fancy import Merged, Picked, sizes_along
from kask.array.ops.indexing_parse import Picks, field_axes, fields_of, in_bounds, parsed
from kask.array.ops.mapped import mapped
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reshaping import broadcast_to
from kask.array.ops.slicing import Taken, expanded, sliced, squeezed, transposed
from kask.array.ops.staged import ByValue, Open
from kask.engine import Chunks
from kask.expr.lower import AT, BlockCall, Read

__all__ = ["assigned", "setitem"]


def assigned(array: ArrayExpr, index: Any, value: Any) -> ArrayExpr:
    """The array after ``array[index] = value``, by NumPy's rules.

    Raises
    ------
    IndexError, ValueError, TypeError
        Whatever NumPy refuses.
    """
    if value is np.ma.masked and not isinstance(array.meta, np.ma.MaskedArray):
        raise TypeError("only elements of masked arrays can become masked: make it one with ka.ma.masked_array(x)")
    fields = fields_of(index, array.dtype)
    if fields is not None:
        part = array.dtype[fields] if isinstance(fields, str) else array.meta[fields].dtype
        more = field_axes(array.dtype, fields)
        value = taken_value(value, part.base)
        _check_basic(value, (*array.shape, *more))
        if more and isinstance(value, ArrayExpr):
            return _with_field_of_arrays(array, value, fields, more)
        if isinstance(value, ArrayExpr):
            value = _without_leading(value, array.ndim)
        return changed(kernels.put_field, array, value, fields)
    picks = parsed(index, array.shape)
    value = taken_value(value, array.dtype)
    if not picks.arrays:
        return assigned_part(array, picks, value)
    part = picks.basic(array)
    made = assigned_by_arrays(part, picks, value)
    if part is array:
        return made
    if isinstance(made, Open) and any(length == 0 for _, _, length in picks.taken):
        # Nothing changes, but indices and values that do not fit are refused as soon as it is known.
        return ByValue(_unchanged, (array, made), (), (), array.meta, array.chunks, "setitem")
    return assigned_part(array, picks, made)


def _unchanged(array: ArrayExpr, checked: ArrayExpr) -> ArrayExpr:
    return array


def setitem(array: Any, index: Any, value: Any) -> Any:
    """The ``Array`` after ``array[index] = value``."""
    if array.expr.is_unknown:
        return called(_assigned_array, (array, index, value), {})
    if isinstance(value, ArrayBase):
        return called_like(_assigned_array, array, array, index, value)
    return _assigned_array(array, index, value)


def _assigned_array(array: Any, index: Any, value: Any) -> Any:
    return wrap(assigned(array.expr, index, value))


def _with_field_of_arrays(array: ArrayExpr, value: ArrayExpr, field: str, more: tuple[int, ...]) -> ArrayExpr:
    """Records with another field that has an array in each of them: its axes come last."""
    value = broadcast_to(wrap(_without_leading(value, array.ndim + len(more))), (*array.shape, *more)).expr
    value = rechunked(value, Chunks.join([array.chunks, Chunks.whole(list(more))]))
    reads = (tuple(range(array.ndim)), (*range(array.ndim), *[("fixed", 0)] * len(more)))
    return mapped(
        kernels.put_field,
        array,
        value,
        chunks=array.chunks,
        meta=array.meta,
        reads=reads,
        constants=(field,),
        label="setitem",
    )


def taken_value(value: Any, dtype: np.dtype) -> Any:
    """A value to assign: an array expression, or one element of this type."""
    if value is np.ma.masked:
        return kernels.Masked()
    if isinstance(value, np.ndarray):
        # A copy: the user may change the array later, and the assignment has been made.
        value = value.copy() if value.ndim else value[()]
    if not isinstance(value, bool | int | float | complex | np.generic | str | bytes | None):
        if isinstance(value, tuple) and dtype.names is not None:
            value = np.array(value, dtype)[()]
        else:
            value = as_expr(np.asarray(value, dtype if dtype.hasobject else None) if _is_sequence(value) else value)
    if isinstance(value, ArrayExpr):
        return value
    # NumPy says what is wrong with it, if anything is.
    cell = np.empty((), dtype)
    cell[()] = value
    return cell[()]


def _is_sequence(value: Any) -> bool:
    return not hasattr(value, "dtype")


def _shape(value: Any) -> tuple[int, ...]:
    return value.shape if isinstance(value, ArrayExpr) else ()


def _without_leading(value: ArrayExpr, ndim: int) -> ArrayExpr:
    """A value without axes of one element that there are too many of."""
    extra = max(0, value.ndim - ndim)
    return squeezed(value, tuple(range(extra)))


def _fits(value: Any, shape: tuple[int, ...]) -> bool:
    own = _shape(value)
    extra = max(0, len(own) - len(shape))
    if any(length != 1 for length in own[:extra]):
        return False
    own = own[extra:]
    return all(ours in (1, theirs) for ours, theirs in zip(own, shape[len(shape) - len(own) :]))


def _check_basic(value: Any, shape: tuple[int, ...]) -> None:
    if not _fits(value, shape):
        raise ValueError(f"could not broadcast input array from shape {_text(_shape(value))} into shape {_text(shape)}")


def _text(shape: tuple[int, ...]) -> str:
    """A shape as NumPy's messages have it."""
    return "(" + ",".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Assigned(ArrayExpr):
    """An array of which every so many elements along each axis (``taken``, with positive steps) are others."""

    family = "setitem"

    array: Any
    #: One element, or an array that is cut as these elements are along axes where it has more than one.
    value: Any
    taken: tuple[Taken, ...]

    @property
    def chunks(self) -> Chunks:
        return self.array.chunks

    @property
    def meta(self) -> Any:
        return self.array.meta

    def block_call(self) -> BlockCall:
        value = self.value
        if isinstance(value, ArrayExpr):
            value = Read(value, tuple([self._along(axis) for axis in range(self.ndim)]))
        reads = Read(self.array, tuple(range(self.ndim)))
        return BlockCall(kernels.put_region, (reads, value, AT, self.chunks, self.taken))

    def _along(self, axis: int) -> Any:
        """Which block of the value each block reads along an axis: none where nothing is assigned."""
        start, step, length = self.taken[axis]
        is_one = self.value.shape[axis] != length
        return ("listed", axis, self.array.chunks.axis(axis).touched(start, step, length, is_one))


def assigned_part(array: ArrayExpr, picks: Picks, value: Any) -> ArrayExpr:
    """Assignment to what slices, integers and new axes leave."""
    shape = [length for axis, (_, _, length) in enumerate(picks.taken) if axis not in picks.dropped]
    for axis in picks.added:
        shape.insert(axis, 1)
    _check_basic(value, tuple(shape))
    if any(length == 0 for _, _, length in picks.taken):
        return array
    if isinstance(value, ArrayExpr):
        value = _without_leading(value, len(shape))
        value = expanded(value, tuple(range(len(shape) - value.ndim)))
        value = expanded(squeezed(value, picks.added), picks.dropped)
        value = _turned(value, picks.taken)
    taken = tuple(
        [(start, step, n) if step > 0 else (start + step * (n - 1), -step, n) for start, step, n in picks.taken]
    )
    if isinstance(value, ArrayExpr):
        region = array.chunks.slice(list(taken))
        value = rechunked(value, _cut_like(value, region))
    return Assigned(array, value, taken)


def _cut_like(value: ArrayExpr, chunks: Chunks) -> Chunks:
    """These chunks, along axes that are as long; elsewhere there is one element."""
    return Chunks.join(
        [
            chunks.axis(at) if length == chunks.shape[at] else Chunks.whole([length])
            for at, length in enumerate(value.shape)
        ]
    )


def _turned(value: ArrayExpr, taken: tuple[Taken, ...]) -> ArrayExpr:
    """A value, backwards along axes that are taken backwards."""
    turns = [
        (length - 1, -1, length) if step < 0 and length > 1 else (0, 1, length)
        for (_, step, _), length in zip(taken, value.shape)
    ]
    return sliced(value, tuple(turns))


def assigned_by_arrays(array: ArrayExpr, picks: Picks, value: Any, ufunc: Any = None) -> ArrayExpr:
    """Assignment to what lists and masks pick; or ``ufunc`` of the elements there and values, again for each time that one is picked."""
    lazy = tuple([index for _, index in picks.arrays if isinstance(index, ArrayExpr)])
    if ufunc is None and len(picks.arrays) == 1 and picks.arrays[0][1].dtype.kind == "b":
        axis, mask = picks.arrays[0]
        if lazy or is_for_all(value, array, mask, picks.place):
            return assigned_by_mask(array, mask if lazy else as_expr(mask.copy()), axis, picks.place, value)
    if not lazy:
        return _assigned_points(array, picks, value, ufunc)
    template = tuple([(axis, None if isinstance(index, ArrayExpr) else index) for axis, index in picks.arrays])
    given = (value,) if isinstance(value, ArrayExpr) else ()
    args = (template, picks.place, None if given else value, ufunc)
    return ByValue(_assigned_now, (array, *given), lazy, args, array.meta, array.chunks, "setitem")


def _assigned_now(array: ArrayExpr, *rest: Any) -> ArrayExpr:
    *found, template, place, value, ufunc = rest
    if value is None:
        value, *found = found
    given = iter(found)
    arrays = [(axis, next(given) if index is None else index) for axis, index in template]
    checked = [
        (axis, index if index.dtype.kind == "b" else in_bounds(index, axis, array.shape[axis]))
        for axis, index in arrays
    ]
    return _assigned_points(array, Picks((), (), (), tuple(checked), place), value, ufunc)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class AssignedPoints(ArrayExpr):
    """An array with other elements at points of some of its axes."""

    family = "setitem"

    array: Any
    #: One element; or an array whose first axis has the elements of each row of blocks (``many``) or one, and then the other axes.
    value: Any
    targets: Targets
    axes: tuple[int, ...]
    many: bool
    #: What is made of an element and a value, in place of the value.
    ufunc: Any = None

    @property
    def label(self) -> str:
        return "setitem" if self.ufunc is None else f"{self.ufunc.__name__}-at"

    @property
    def chunks(self) -> Chunks:
        return self.array.chunks

    @property
    def meta(self) -> Any:
        return self.array.meta

    def block_call(self) -> BlockCall:
        value = self.value
        if isinstance(value, ArrayExpr):
            others = [axis for axis in range(self.ndim) if axis not in self.axes]
            first = (self.axes[0],) if self.many else ()
            value = Read(value, (*first, *others))
        reads = Read(self.array, tuple(range(self.ndim)))
        return BlockCall(kernels.put_points, (reads, value, AT, self.targets, self.axes, self.many, self.ufunc))


def _assigned_points(array: ArrayExpr, picks: Picks, value: Any, ufunc: Any = None) -> ArrayExpr:
    axes, indices = known_indices(picks)
    shape = np.broadcast_shapes(*[index.shape for index in indices])
    others = [axis for axis in range(array.ndim) if axis not in axes]
    lengths = [array.shape[axis] for axis in others]
    _check_points(value, picks, shape, lengths)
    # The axis with most blocks comes first: the values are cut along it.
    ranked = sorted(range(len(axes)), key=lambda at: -array.grid[axes[at]])
    axes, indices = tuple([axes[at] for at in ranked]), [indices[at] for at in ranked]
    coordinates = [np.broadcast_to(index, shape).reshape(-1) for index in indices]
    if 0 in shape or 0 in array.shape:
        return array
    if ufunc is None:
        last = _last_of_each(coordinates, [array.shape[axis] for axis in axes])
    else:
        last = np.arange(len(coordinates[0]))
    targets = Targets([along[last] for along in coordinates], [sizes_along(array, axis) for axis in axes])
    many = False
    if isinstance(value, ArrayExpr):
        full = len(lengths) + len(shape)
        value = _without_leading(value, full)
        value = expanded(value, tuple(range(full - value.ndim)))
        points = list(range(picks.place, picks.place + len(shape)))
        rest = [axis for axis in range(full) if axis not in points]
        value = transposed(value, (*points, *rest))
        value, many = _values_of_rows(value, shape, last[targets.order], targets)
        beside = array.chunks.axes(others)
        cuts = Chunks.join([value.chunks.axis(0), beside]) if many else beside
        value = rechunked(value, _cut_like(value, cuts))
    return AssignedPoints(array, value, targets, axes, many, ufunc)


def _check_points(value: Any, picks: Picks, shape: tuple[int, ...], lengths: list[int]) -> None:
    result = (*lengths[: picks.place], *shape, *lengths[picks.place :])
    if _fits(value, result):
        return
    own = _shape(value)
    if len(picks.arrays) == 1 and picks.arrays[0][1].dtype.kind == "b" and len(own) == len(result) == 1:
        raise ValueError(
            f"NumPy boolean array indexing assignment cannot assign {own[0]} input values to the {result[0]} output "
            "values where the mask is true"
        )
    raise ValueError(
        f"shape mismatch: value array of shape {_text(own)} could not be broadcast to indexing result of shape {_text(result)}"
    )


def _last_of_each(coordinates: list[np.ndarray], lengths: list[int]) -> np.ndarray:
    """Of points that occur several times the last, as the last assignment is the one that stays."""
    flat = np.ravel_multi_index(coordinates, lengths)
    _, first = np.unique(flat[::-1], return_index=True)
    return np.sort(len(flat) - 1 - first)


def _values_of_rows(
    value: ArrayExpr, shape: tuple[int, ...], order: np.ndarray, targets: Targets
) -> tuple[ArrayExpr, bool]:
    """The values for the points in this order, whose places are the first axes; or, if there is one for all, that."""
    count = len(shape)
    if all(length == 1 for length in value.shape[:count]):
        return squeezed(value, tuple(range(count))), False
    places = np.unravel_index(order, shape)
    along = [at if length > 1 else np.zeros_like(at) for at, length in zip(places, value.shape)]
    points = Points(along, [sizes_along(value, axis) for axis in range(count)], targets.rows)
    return Merged(Picked(value, tuple(range(count)), points), Chunks([targets.rows.tolist()]), ()), True
