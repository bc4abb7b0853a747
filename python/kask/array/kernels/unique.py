"""What tasks of ``unique`` run: ``(values, first places, counts)``, of which the last two may be None."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["SetOperation", "UniqueCombine", "UniquePart", "among", "left_of", "row_of", "unique_block"]


def unique_block(values: Any, places: Any, counts: Any, axis: int | None, equal_nan: bool) -> tuple[Any, Any, Any]:
    """The different elements (or, along an axis, slices), the least of their places, and the sum of their counts."""
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
        values = np.concatenate([part[0] for part in parts], axis=self.axis or 0)
        rest = [None if ones[0] is None else np.concatenate(ones) for ones in list(zip(*parts))[1:]]
        return unique_block(values, rest[0], rest[1], self.axis, self.equal_nan)

    def __kask_tokenize__(self) -> Any:
        return "uniquecombine", self.axis, self.equal_nan


def size_along(found: tuple[Any, Any, Any], part: int, axis: int) -> int:
    """How many different elements there are: the length of a part of what was found."""
    return found[part].shape[axis]


class SetOperation:
    """A function of NumPy of the different elements of two arrays: ``(values, places in the one, places in the other)``."""

    def __init__(self, name: str, wants_places: bool = False) -> None:
        self.__name__, self.wants_places = name, wants_places

    def __call__(self, first: tuple[Any, Any, Any], second: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        func = getattr(np, self.__name__)
        if not self.wants_places:
            return func(first[0], second[0], assume_unique=True), None, None
        values, here, there = func(first[0], second[0], assume_unique=True, return_indices=True)
        return values, first[1][here], second[1][there]

    def __kask_tokenize__(self) -> Any:
        return "setoperation", self.__name__, self.wants_places


def among(block: Any, found: tuple[Any, Any, Any]) -> Any:
    """Which of the different elements are in a block."""
    return np.isin(found[0], block)


def either(parts: list[Any]) -> Any:
    """Where one of several arrays is true."""
    return np.logical_or.reduce(parts)


def left_of(found: tuple[Any, Any, Any], taken: Any) -> tuple[Any, Any, Any]:
    """The different elements without those that are taken away."""
    return found[0][~taken], None, None


def part_of(found: tuple[Any, Any, Any], part: int) -> Any:
    """The values, places or counts."""
    return found[part]


def inverse_of(block: Any, found: tuple[Any, Any, Any], equal_nan: bool) -> Any:
    """Which of the different elements each element of a block is."""
    values = found[0]
    if block.dtype.kind in "fcmM" and not equal_nan:
        raise NotImplementedError("return_inverse=True with equal_nan=False")
    return np.searchsorted(values, block).astype(np.intp)


def row_of(block: Any, found: tuple[Any, Any, Any], axis: int) -> Any:
    """Which of the different slices each slice of a block is."""
    values = found[0]
    both = np.concatenate([values, block], axis=axis)
    inverse = np.ravel(np.unique(both, return_inverse=True, axis=axis)[1])
    return inverse[values.shape[axis] :].astype(np.intp)
