"""Chunk sizes as runs of equal sizes, for functions of chunk sizes that users give."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from kask.engine import Chunks

__all__ = ["chunks_of_runs", "ends_of", "has_nan", "is_nan", "mapped_sizes", "runs_of", "sizes_of"]


def is_nan(size: Any) -> bool:
    """Whether a size is NaN, which says that it is not known before running."""
    return isinstance(size, float | np.floating) and bool(size != size)


def has_nan(sizes: Any) -> bool:
    """Whether a size, or one of several, is NaN."""
    return any(map(is_nan, sizes)) if isinstance(sizes, list | tuple) else is_nan(sizes)


def runs_of(chunks: Chunks) -> list[tuple[int, int]]:
    """Sizes along the only axis, and how often each comes in a row."""
    (runs,) = chunks.runs
    return runs


def chunks_of_runs(runs: Iterable[tuple[int, int]]) -> Chunks:
    """Chunks of one axis, from sizes and how often each comes in a row."""
    return Chunks.of_runs(list(runs))


def ends_of(chunks: Chunks) -> np.ndarray:
    """Where each chunk along the only axis ends."""
    return np.frombuffer(chunks.ends(), np.int64)


def sizes_of(chunks: Chunks) -> np.ndarray:
    """The size of each chunk along the only axis, for what is as large as there are chunks anyway."""
    return np.diff(ends_of(chunks), prepend=0)


def mapped_sizes(chunks: Chunks, func: Callable[[int], int]) -> Chunks:
    """Chunks of one axis whose sizes are a function of these; it is called once for a run of equal ones."""
    return chunks_of_runs([(int(func(size)), count) for size, count in runs_of(chunks)])
