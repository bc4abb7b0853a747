"""Assignment through masks, whose number of true elements is known when they have been computed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kask.array.kernels import assignment as kernels
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import changed
from kask.array.ops.rechunk import rechunked
from kask.array.ops.slicing import expanded, squeezed, transposed
from kask.array.ops.staged import ByValue
from kask.engine import Chunks
from kask.expr.lower import AT, BlockCall, Read

__all__ = ["assigned_by_mask", "is_for_all"]


def is_for_all(value: Any, array: ArrayExpr, mask: Any, place: int) -> bool:
    """Whether a value does not tell the elements that a mask picks from each other, and has no axes too many."""
    if not isinstance(value, ArrayExpr):
        return True
    after = array.ndim - mask.ndim - place
    others = array.ndim - mask.ndim
    if value.ndim > others + 1:
        return False
    return value.ndim <= after or value.shape[value.ndim - after - 1] == 1


def assigned_by_mask(array: ArrayExpr, mask: ArrayExpr, axis: int, place: int, value: Any) -> ArrayExpr:
    """Assignment where a mask over axes from ``axis`` on is true; what it picks is axis ``place`` of what is assigned to."""
    others = array.ndim - mask.ndim
    masked = tuple(range(axis, axis + mask.ndim))
    beside = tuple([other for other in range(array.ndim) if other not in masked])
    if isinstance(value, ArrayExpr):
        extra = value.ndim - (others + 1)
        if extra > 0:
            _check(value.shape[:extra], (1,) * extra, value)
            value = squeezed(value, tuple(range(extra)))
    is_one = is_for_all(value, array, mask, place)
    if isinstance(value, ArrayExpr):
        value = expanded(value, tuple(range(others + 1 - value.ndim)))
        lengths = [array.shape[other] for other in beside]
        own = [length for at, length in enumerate(value.shape) if at != place]
        _check(own, [length if theirs != 1 else 1 for length, theirs in zip(lengths, own)], value)
    if is_one:
        if isinstance(value, ArrayExpr):
            value = expanded(squeezed(value, (place,)), masked)
        return changed(kernels.put_masked, array, expanded(mask, beside), value)
    order = [at for at in range(others + 1) if at != place]
    order.insert(axis, place)
    value = transposed(value, tuple(order))
    cuts = [Chunks.unify([array.chunks.axis(at), mask.chunks.axis(at - axis)]) for at in masked]
    array = rechunked(
        array,
        Chunks.join(
            [array.chunks.axes(list(range(axis))), *cuts, array.chunks.axes(list(range(axis + mask.ndim, array.ndim)))]
        ),
    )
    mask = rechunked(mask, Chunks.join(cuts))
    return ByValue(_assigned_ranks, (array, mask, value), (Trues(mask),), (axis,), array.meta, array.chunks, "setitem")


def _check(own: Any, wanted: Any, value: ArrayExpr) -> None:
    if tuple(own) != tuple(wanted):
        raise ValueError(
            f"shape mismatch: value array of shape {value.shape} could not be broadcast to indexing result"
        )


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Trues(ArrayExpr):
    """How many elements of each block are true."""

    mask: Any

    @property
    def chunks(self) -> Chunks:
        return Chunks.normalize(list(self.mask.grid), [1] * self.mask.ndim, 8, 8)

    @property
    def meta(self) -> Any:
        return np.empty((0,) * self.mask.ndim, np.int64)

    def block_call(self) -> BlockCall:
        return BlockCall(_trues, (Read(self.mask, tuple(range(self.mask.ndim))),))


def _trues(block: Any) -> np.ndarray:
    return np.full((1,) * block.ndim, np.count_nonzero(block), np.int64)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class AssignedRanks(ArrayExpr):
    """An array with other elements where a mask is true: the first of them gets the first value, and so on.

    Each block reads the mask's blocks in its row along the first axis of the mask, to know how many elements come before its own.
    """

    family = "setitem"

    array: Any
    mask: Any
    #: Cut along ``axis`` into the values for each row of blocks that has some.
    value: Any
    axis: int
    #: Rows that have some, for each row how many there are up to it.
    rows: tuple[int, ...]

    @property
    def chunks(self) -> Chunks:
        return self.array.chunks

    @property
    def meta(self) -> Any:
        return self.array.meta

    def block_call(self) -> BlockCall:
        axis, count = self.axis, self.mask.ndim
        blocks = tuple(range(self.value.grid[axis]))
        value = (*range(axis), ("listed", axis, blocks, self.rows), *range(axis + count, self.ndim))
        mask = (axis, *["all"] * (count - 1))
        reads = Read(self.array, tuple(range(self.ndim))), Read(self.mask, mask), Read(self.value, value)
        return BlockCall(kernels.put_ranked, (*reads, AT, self.mask.chunks, axis))


def _assigned_ranks(array: ArrayExpr, mask: ArrayExpr, value: ArrayExpr, trues: np.ndarray, axis: int) -> ArrayExpr:
    """Assignment when it is known how many elements of each block are true."""
    counts = trues.reshape(mask.grid).sum(axis=tuple(range(1, mask.ndim)))
    total = int(counts.sum())
    if value.shape[axis] != total:
        raise ValueError(
            f"NumPy boolean array indexing assignment cannot assign {value.shape[axis]} input values to the {total} "
            "output values where the mask is true"
        )
    if total == 0:
        return array
    # Values have one axis for the axes of the mask.
    beside = [at for at in range(array.ndim) if not axis <= at < axis + mask.ndim]
    others = [array.chunks.axis(at) for at in beside]
    lengths = [length for at, length in enumerate(value.shape) if at != axis]
    cuts = [theirs if length == theirs.shape[0] else Chunks.whole([1]) for theirs, length in zip(others, lengths)]
    cuts.insert(axis, Chunks([counts[counts > 0].tolist()]))
    return AssignedRanks(array, mask, rechunked(value, Chunks.join(cuts)), axis, tuple(np.cumsum(counts > 0).tolist()))
