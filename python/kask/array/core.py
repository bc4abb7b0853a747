"""Names that programs import from ``kask.array.core``: chunks, and functions of blocks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from kask.array.base import PerformanceWarning
from kask.array.collection import Array
from kask.array.ops.blockwise import blockwise, unify_chunks
from kask.array.ops.chunks import normalize_chunks
from kask.array.ops.map_blocks import map_blocks
from kask.array.ops.storage import from_array

__all__ = [
    "Array",
    "PerformanceWarning",
    "blockwise",
    "from_array",
    "map_blocks",
    "normalize_chunks",
    "slices_from_chunks",
    "unify_chunks",
]


def slices_from_chunks(chunks: Sequence[Sequence[int]]) -> list[tuple[slice, ...]]:
    """Where each block is in an array with these chunks, in C order; a list as long as there are blocks.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.core.slices_from_chunks(((2, 1), (3,)))
    [(slice(0, 2, None), slice(0, 3, None)), (slice(2, 3, None), slice(0, 3, None))]
    """
    ends = [list(itertools.accumulate(sizes)) for sizes in chunks]
    along = [[slice(end - size, end) for end, size in zip(last, sizes)] for last, sizes in zip(ends, chunks)]
    return list(itertools.product(*along))
