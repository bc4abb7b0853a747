"""What tasks of ``unique`` run: ``(values, first places, counts)``, of which the last two may be None.

Masked elements are one more element, the last of the values.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kask.engine import Chunks

__all__ = [
    "UniqueCombine",
    "UniquePart",
    "count_of_there",
    "inverse_of",
    "part_of",
    "row_of",
    "size_along",
    "unique_block",
    "with_masked",
]


def unique_block(values: Any, places: Any, counts: Any, axis: int | None, equal_nan: bool) -> tuple[Any, Any, Any]:
    """The different elements (or, along an axis, slices), the least of their places, and the sum of their counts."""
    if isinstance(values, np.ma.MaskedArray):
        return _masked_block(values, places, counts, equal_nan)
    options: dict[str, Any] = {"return_index": places is not None, "return_inverse": counts is not None}
    found = np.unique(values, axis=axis, equal_nan=equal_nan, **options)
    if places is None and counts is None:
        return found, None, None
    unique, *rest = found
    size = unique.shape[axis or 0]
    if places is not None:
        # Blocks come in the order of their places, and NumPy tells of the first.
        places = places[rest.pop(0)]
    if counts is not None:
        counts = np.bincount(np.ravel(rest[0]), weights=None if counts is True else counts, minlength=size).astype(
            np.intp
        )
    return unique, places, counts


def _masked_block(values: Any, places: Any, counts: Any, equal_nan: bool) -> tuple[Any, Any, Any]:
    """The same of a masked array with one axis, whose masked elements are taken for one."""
    mask = np.ma.getmaskarray(values)
    if counts is True:
        counts = np.ones(mask.size, np.intp)
    there = ~mask
    found, first, often = unique_block(
        np.ma.getdata(values)[there],
        None if places is None else places[there],
        None if counts is None else counts[there],
        None,
        equal_nan,
    )
    if mask.any():
        first = None if places is None else np.append(first, places[mask].min())
        often = None if counts is None else np.append(often, counts[mask].sum())
    return with_masked(found, bool(mask.any()), values), first, often


def with_masked(values: Any, has_masked: bool, like: Any) -> Any:
    """A masked array of values, after which comes a masked one or not, with the fill value of another masked array."""
    data = np.append(values, np.zeros(int(has_masked), values.dtype))
    return np.ma.masked_array(data, mask=np.arange(data.size) >= values.size, fill_value=like.fill_value)


def count_of_there(values: Any) -> int:
    """How many of the different elements are not masked."""
    mask = np.ma.getmask(values)
    return values.size if mask is np.ma.nomask else values.size - int(mask.sum())


class UniquePart:
    """The different elements of a block."""

    __name__ = "unique"

    def __init__(self, wants_places: bool, wants_counts: bool, axis: int | None, equal_nan: bool) -> None:
        self.wants_places, self.wants_counts, self.axis, self.equal_nan = wants_places, wants_counts, axis, equal_nan

    def __call__(self, start: tuple[int, ...], block: Any, axes: tuple[int, ...]) -> tuple[Any, Any, Any]:
        along = self.axis or 0
        places = np.arange(block.shape[along]) + start[along] if self.wants_places else None
        if block.size == 0 and self.axis is None:
            nothing = np.empty(0, np.intp)
            return np.ravel(block), nothing if self.wants_places else None, nothing if self.wants_counts else None
        return unique_block(block, places, True if self.wants_counts else None, self.axis, self.equal_nan)

    def __kask_tokenize__(self) -> Any:
        return "uniquepart", self.wants_places, self.wants_counts, self.axis, self.equal_nan


class UniqueCombine:
    """The different elements of several blocks."""

    __name__ = "unique"

    def __init__(self, axis: int | None, equal_nan: bool) -> None:
        self.axis, self.equal_nan = axis, equal_nan

    def __call__(self, parts: list[tuple[Any, Any, Any]]) -> tuple[Any, Any, Any]:
        values = [part[0] for part in parts]
        if isinstance(values[0], np.ma.MaskedArray):
            fill_value = values[0].fill_value
            joined = np.ma.concatenate(values)
            joined.fill_value = fill_value
        else:
            # It has the machine's order of bytes otherwise.
            joined = np.concatenate(values, axis=self.axis or 0, dtype=values[0].dtype)
        rest = [None if ones[0] is None else np.concatenate(ones) for ones in list(zip(*parts))[1:]]
        return unique_block(joined, rest[0], rest[1], self.axis, self.equal_nan)

    def __kask_tokenize__(self) -> Any:
        return "uniquecombine", self.axis, self.equal_nan


def size_along(found: tuple[Any, Any, Any], part: int, axis: int) -> int:
    """How many different elements there are: the length of a part of what was found."""
    return found[part].shape[axis]


def part_of(found: tuple[Any, Any, Any], part: int) -> Any:
    """The values, places or counts."""
    return found[part]


def inverse_of(position: Any, block: Any, found: tuple[Any, Any, Any], chunks: Chunks, equal_nan: bool) -> Any:
    """Which of the different elements each element of a block is; of NaN that differ their places tell."""
    values, places, _ = found
    mask, last = np.ma.getmask(block), count_of_there(values)
    data = np.ma.getdata(block)
    result = np.asarray(np.searchsorted(np.ma.getdata(values)[:last], data), np.intp)
    if data.dtype.kind in "fcmM":
        missing = np.isnan(data) & ~mask
        if equal_nan:
            # Of complex numbers there are several kinds of NaN, the first of which stands for all.
            result = np.where(missing, last - 1, result)
        elif missing.any():
            steps = [math.prod(chunks.shape[axis + 1 :]) for axis in range(data.ndim)]
            at = np.argwhere(missing) + np.array(chunks.block_start(position), np.intp)
            result = result.copy()
            result[missing] = _at_places(places, at @ np.array(steps, np.intp))
    return result if mask is np.ma.nomask else np.where(mask, last, result)


def row_of(position: Any, block: Any, found: tuple[Any, Any, Any], chunks: Chunks, axis: int) -> Any:
    """Which of the different slices each slice of a block is; slices with NaN are all different, and their places tell."""
    values, places, _ = found
    others = tuple([other for other in range(block.ndim) if other != axis])
    missing = np.zeros(block.shape[axis], bool)
    if block.dtype.kind in "fcmM":
        missing = np.isnan(block).any(axis=others)
    whole = np.compress(~missing, block, axis=axis) if missing.any() else block
    inverse = np.ravel(np.unique(np.concatenate([values, whole], axis=axis), return_inverse=True, axis=axis)[1])
    result = np.empty(block.shape[axis], np.intp)
    result[~missing] = inverse[values.shape[axis] :]
    if missing.any():
        result[missing] = _at_places(places, np.flatnonzero(missing) + chunks.block_start(position)[0])
    return result


def _at_places(places: Any, wanted: Any) -> Any:
    """The numbers of the elements that are at these places."""
    order = np.argsort(places)
    return order[np.searchsorted(places[order], wanted)]
