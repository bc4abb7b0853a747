"""Sample sort of an array with one axis that is larger than a block may be.

Each block is sorted; regular samples of all of them say where buckets begin (Shi and Schaeffer, Parallel sorting by regular sampling,
1992), with equal elements told apart by where they were; buckets are gathered and sorted. Their sizes are known only then, so they are
taken apart once more, at the places where the blocks of the result begin. All elements move twice; nothing larger than about two
blocks is ever in one task.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kask import engine
from kask.array.kernels.sorting import (
    Cut,
    CutAtRanks,
    MergeParts,
    Sample,
    Sorted,
    SplitParts,
    size_of,
    sizes_of,
    splitters_of,
    take_only,
)
from kask.array.node import ArrayExpr
from kask.array.ops.mapped import mapped, one_by_one
from kask.engine import Chunks
from kask.expr import Lowering

__all__ = ["sample_sorted"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Exchange(ArrayExpr):
    """Blocks made of one part of each block of an array whose blocks say where they are to be cut."""

    family = "exchange"

    array: Any
    sorts: bool
    chunks: Chunks
    meta: Any

    def lower(self, lowering: Lowering) -> None:
        outputs = self.grid[0]
        template = (engine.Hole(0), engine.Hole(1))
        lowering.builder.add_shuffle(
            self.name,
            SplitParts(outputs),
            MergeParts(self.sorts),
            take_only,
            template,
            template,
            template,
            self.array.name,
            list(self.array.grid),
            [outputs],
            outputs,
            wants_position=True,
            options=lowering.options(self),
        )


def sample_sorted(array: ArrayExpr, wants_places: bool) -> ArrayExpr:
    """The sorted elements of an array with one axis, or where they were; equal ones in the order in which they were."""
    blocks = array.grid[0]
    ones = one_by_one(blocks)
    kind = np.dtype(np.intp) if wants_places else array.dtype
    every, one = ("all",), (("fixed", 0),)
    ready = mapped(Sorted(array.chunks, wants_places), array, chunks=ones, dtype=array.dtype, wants_position=True)
    samples = mapped(Sample(blocks), ready, chunks=ones, dtype=array.dtype)
    single = one_by_one(1)
    splitters = mapped(splitters_of, samples, reads=(every,), constants=(blocks,), chunks=single, dtype=array.dtype)
    cut = mapped(Cut(), ready, splitters, reads=((0,), one), chunks=ones, dtype=array.dtype, wants_position=True)
    buckets = Exchange(cut, True, ones, array.meta)
    sizes = mapped(size_of, buckets, chunks=ones, dtype=np.intp)
    all_sizes = mapped(sizes_of, sizes, reads=(every,), chunks=single, dtype=np.intp)
    ranked = mapped(
        CutAtRanks(array.chunks, int(wants_places)),
        buckets,
        all_sizes,
        reads=((0,), one),
        chunks=ones,
        dtype=kind,
        wants_position=True,
    )
    return Exchange(ranked, False, array.chunks, np.empty(0, kind))
