"""``x.vindex[...]``, ``x.blocks[...]`` and ``x.flat[...]``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, wrap
from kask.array.ops.deferring import called
from kask.array.ops.indexing import picked
from kask.array.ops.indexing_parse import parsed
from kask.array.ops.pieces import SomeBlocks

__all__ = ["Blocks", "Flat", "PointIndex"]


class PointIndex:
    """Indexing by points, whose axes come first in the result."""

    def __init__(self, array: ArrayBase) -> None:
        self._array = array

    def __getitem__(self, index: Any) -> Any:
        array = self._array.expr
        picks = parsed(index, array.shape)._replace(place=0)
        return wrap(picked(picks.basic(array), picks))


class Blocks:
    """An array as an array of its blocks: indexing picks blocks, and gives the array that they make."""

    def __init__(self, array: ArrayBase) -> None:
        self._array = array

    @property
    def shape(self) -> tuple[int, ...]:
        """Blocks along each axis."""
        return self._array.numblocks

    @property
    def size(self) -> int:
        """Blocks in all."""
        return math.prod(self.shape)

    def __getitem__(self, index: Any) -> Any:
        picks = parsed(index, self.shape)
        if picks.added or len(picks.arrays) > 1 or any(getattr(item, "ndim", 1) != 1 for _, item in picks.arrays):
            raise ValueError(
                f"blocks are picked by integers, slices, and a list of integers or booleans along one axis, not by {index!r}"
            )
        numbers = [start + step * np.arange(length) for start, step, length in picks.taken]
        for axis, item in picks.arrays:
            # Axes of integers stay here, as the blocks do.
            place = [at for at in range(len(numbers)) if at not in picks.dropped][axis]
            listed = np.asarray(item)
            numbers[place] = listed.nonzero()[0] if listed.dtype.kind == "b" else listed
        return wrap(SomeBlocks(self._array.expr, tuple([tuple(along.tolist()) for along in numbers])))

    def ravel(self) -> list[Any]:
        """An array for each block, in C order."""
        return [self[position] for position in itertools.product(*map(range, self.shape))]


class Flat:
    """An array as a row of its elements in C order, to read and to assign to."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __getitem__(self, index: Any) -> Any:
        return self._array.ravel()[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._array.expr = called(_assigned_in_a_row, (self._array, index, value), {}).expr

    def __len__(self) -> int:
        return int(self._array.size)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._array.ravel())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._array.ravel().__array__(dtype, copy))


def _assigned_in_a_row(array: Any, index: Any, value: Any) -> Any:
    row = array.ravel()
    row[index] = value
    return row.reshape(array.shape)
