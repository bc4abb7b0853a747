"""Arrays whose blocks the process that asks for them writes, as they come: into files that cannot be open in several."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np

from kask.array.base import _STEP_BYTES, ArrayBase
from kask.array.kernels.storage import HereOnly, Target, locked, write_block
from kask.array.ops.staged import closed_so_far
from kask.base import compute
from kask.engine import Chunks

__all__ = ["Written", "store_here"]


class Written(ArrayBase):
    """An array of which nothing comes back: its blocks are written, as they come."""

    __slots__ = ("target",)

    def __init__(self, expr: Any, target: Target) -> None:
        super().__init__(expr)
        self.target = target

    def __kask_collector__(self) -> Any:
        expr: Any = closed_so_far(self.expr)
        nbytes = math.prod(expr.shape) * expr.dtype.itemsize
        step = max(1, expr.chunks.nblocks * _STEP_BYTES // max(1, nbytes))
        return (_Filler if isinstance(self.target.array, np.ndarray | HereOnly) else _Writer)(
            expr.chunks, self.target, step
        )


class _Writer:
    """Writes blocks."""

    value = None

    def __init__(self, chunks: Chunks, target: Target, step: int) -> None:
        self._chunks, self._target, self.step = chunks, target, step

    def place(self, first: int, blocks: list[Any]) -> None:
        positions = np.unravel_index(np.arange(first, first + len(blocks)), self._chunks.grid)
        # Each block passes through this process, so there is no way around a loop.
        for block, position in zip(blocks, np.transpose(positions).tolist()):
            write_block(block, tuple(position), self._chunks, self._target)


class _Filler(_Writer):
    """Writes them into memory."""

    def place(self, first: int, blocks: list[Any]) -> None:
        with locked(self._target.lock, self._target.token):
            self._chunks.place(self._target.part(self._chunks.shape), blocks, first)


def store_here(arrays: Sequence[Any], targets: Sequence[Any], lock: Any, regions: Sequence[Any], **kwargs: Any) -> None:
    """Write arrays into targets from this process, all as one graph. What is done before it is written waits in the workers' memory, or on
    their disks.

    Parameters
    ----------
    arrays : sequence of arrays
        What is written.
    targets : sequence of array-like
        Where to: what takes ``target[slices] = block``.
    lock : bool or lock
        What to hold while writing a block.
    regions : sequence of tuples of slices or None
        For each array the part of the target; None is all of it.
    **kwargs
        For :func:`kask.compute`.
    """
    works = [
        Written(array.expr, Target(target, uuid.uuid4().hex, lock, _places_of(region)))
        for array, target, region in zip(arrays, targets, regions, strict=True)
    ]
    compute(*works, traverse=False, **kwargs)


def _places_of(region: Any) -> tuple[tuple[int, int], ...] | None:
    return None if region is None else tuple([(part.start or 0, part.step or 1) for part in region])
