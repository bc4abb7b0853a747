"""What users write in ``x[...]``, said in terms of axes: NumPy's rules and NumPy's messages."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np

from kask.array.base import ArrayBase, is_array_like
from kask.array.node import ArrayExpr
from kask.array.ops.slicing import Taken, expanded, sliced, squeezed

__all__ = ["Picks", "field_axes", "fields_of", "in_bounds", "parsed"]

_KINDS = "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and integer or boolean arrays are valid indices"


class Picks(NamedTuple):
    """An index, taken apart."""

    #: For each axis of the array the slice that is taken; an integer takes one element.
    taken: tuple[Taken, ...]
    #: Axes of integers, which are dropped after that.
    dropped: tuple[int, ...]
    #: Axes that are added after that, numbered in the result.
    added: tuple[int, ...]
    #: What is picked from the result of all this: the first axis, and an integer or boolean array (of NumPy or an expression).
    arrays: tuple[tuple[int, Any], ...]
    #: Where the axes of what is picked go among the others.
    place: int

    def basic(self, array: ArrayExpr) -> ArrayExpr:
        """The part of an array that slices, integers and new axes leave."""
        return expanded(squeezed(sliced(array, self.taken), self.dropped), self.added)


def fields_of(index: Any, dtype: np.dtype) -> Any:
    """The name or names of fields that an index is, or None."""
    if isinstance(index, str):
        if dtype.names is None:
            raise IndexError(_KINDS)
        if index not in dtype.names:
            raise ValueError(f"no field of name {index}")
        return index
    if isinstance(index, list) and index and all(isinstance(name, str) for name in index):
        if dtype.names is None:
            raise IndexError(_KINDS)
        for name in index:
            if name not in dtype.names:
                raise KeyError(f"no field of name {name}")
        return list(index)
    return None


def field_axes(dtype: np.dtype, fields: Any) -> tuple[int, ...]:
    """The lengths of the axes that a field has in each record."""
    return dtype[fields].shape if isinstance(fields, str) else ()


def parsed(index: Any, shape: tuple[int, ...]) -> Picks:
    """An index of an array of this shape.

    Raises
    ------
    IndexError
        Whatever NumPy refuses, in its words.
    """
    items = _complete([_item(item) for item in (index if isinstance(index, tuple) else (index,))], len(shape))
    taken: list[Taken] = []
    dropped: list[int] = []
    added: list[int] = []
    arrays: list[tuple[int, Any]] = []
    #: Axes before the arrays are applied, and those of them that no array picks from.
    axes = kept = 0
    marks: list[tuple[int, int]] = []
    for at, item in enumerate(items):
        axis = len(taken)
        if item is None:
            added.append(axes)
            axes, kept = axes + 1, kept + 1
        elif item is Ellipsis:
            continue
        elif isinstance(item, slice):
            taken.append(_slice(item, shape[axis]))
            axes, kept = axes + 1, kept + 1
        elif isinstance(item, int):
            taken.append((_integer(item, axis, shape[axis]), 1, 1))
            dropped.append(axis)
            marks.append((at, kept))
        else:
            marks.append((at, kept))
            if _is_flag(item):
                # An axis of its own, of which the flag keeps all or nothing.
                added.append(axes)
                item = expanded(item, (0,)) if isinstance(item, ArrayExpr) else item.reshape(1)
                count = 0
            else:
                count = item.ndim if item.dtype.kind == "b" else 1
            item = _fitting(item, axis, shape) if count else item
            arrays.append((axes, item))
            taken.extend((0, 1, length) for length in shape[axis : axis + count])
            axes += max(1, count)
    place = 0
    if arrays:
        first, last = marks[0][0], marks[-1][0]
        place = marks[0][1] if last - first + 1 == len(marks) else 0
    return Picks(tuple(taken), tuple(dropped), tuple(added), tuple(arrays), place)


def _is_flag(item: Any) -> bool:
    return bool(item.dtype.kind == "b") and item.ndim == 0


def _item(item: Any) -> Any:
    """One item of an index: None, Ellipsis, a slice, an int, or an array of integers or booleans."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, bool | np.bool_):
        return np.array(item)
    is_list = not isinstance(item, ArrayBase) and not is_array_like(item)
    if isinstance(item, ArrayBase):
        item = item.expr
    elif is_list:
        try:
            return operator.index(item)
        except TypeError:
            pass
        if not isinstance(item, list | tuple | range) and not hasattr(item, "__array__"):
            raise IndexError(_KINDS)
        item = np.asarray(item)
        if item.size == 0:
            item = item.astype(np.intp)
    if item.dtype.kind not in "biu":
        raise IndexError(_KINDS if is_list else "arrays used as indices must be of integer (or boolean) type")
    if isinstance(item, ArrayExpr):
        return item
    item = np.asarray(item)
    return operator.index(item[()]) if item.ndim == 0 and item.dtype.kind != "b" else item


def _complete(items: list[Any], ndim: int) -> list[Any]:
    """As many slices as the ellipsis, or the lack of one, stands for. The ellipsis stays: it parts arrays even if it stands for nothing."""
    if sum(item is Ellipsis for item in items) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    counts = [_axes_of(item) for item in items]
    if sum(counts) > ndim:
        raise IndexError(f"too many indices for array: array is {ndim}-dimensional, but {sum(counts)} were indexed")
    rest = [slice(None)] * (ndim - sum(counts))
    for at, item in enumerate(items):
        if item is Ellipsis:
            return [*items[: at + 1], *rest, *items[at + 1 :]]
    return [*items, *rest]


def _axes_of(item: Any) -> int:
    """How many axes of the array an item is for."""
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, slice | int):
        return 1
    return item.ndim if item.dtype.kind == "b" else 1


def _slice(item: slice, length: int) -> Taken:
    start, stop, step = item.indices(length)
    count = len(range(start, stop, step))
    return (start, step, count) if count else (0, 1, 0)


def _integer(item: int, axis: int, length: int) -> int:
    if not -length <= item < length:
        raise IndexError(f"index {item} is out of bounds for axis {axis} with size {length}")
    return item + length if item < 0 else item


def _fitting(item: Any, axis: int, shape: tuple[int, ...]) -> Any:
    """An array for the axes from this one on; NumPy's integers are checked, and made positive."""
    if item.dtype.kind == "b":
        for place, (there, length) in enumerate(zip(shape[axis:], item.shape)):
            if there != length:
                raise IndexError(
                    f"boolean index did not match indexed array along axis {axis + place}; size of axis is {there} "
                    f"but size of corresponding boolean axis is {length}"
                )
        return item
    return item if isinstance(item, ArrayExpr) else in_bounds(item, axis, shape[axis])


def in_bounds(index: np.ndarray, axis: int, length: int) -> np.ndarray:
    """Integers, none of them negative.

    Raises
    ------
    IndexError
        One is beyond the axis.
    """
    # A copy: the user may change the array later.
    index = index.astype(np.int64)
    if not index.size:
        return index
    if index.min() >= 0 and index.max() < length:
        return index
    wrong = (index < -length) | (index >= length)
    if wrong.any():
        raise IndexError(f"index {index[wrong][0]} is out of bounds for axis {axis} with size {length}")
    return np.where(index < 0, index + length, index)
