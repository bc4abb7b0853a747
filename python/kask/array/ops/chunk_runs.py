"""Chunk sizes as runs of equal sizes, for functions of chunk sizes that users give."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kask.engine import Chunks

__all__ = ["chunks_of_runs", "mapped_sizes", "runs_of"]


def runs_of(chunks: Chunks) -> list[tuple[int, int]]:
    """Sizes along the only axis, and how often each comes in a row."""
    (runs,) = chunks.__kask_tokenize__()[1]
    return list(runs)


def chunks_of_runs(runs: Iterable[tuple[int, int]]) -> Chunks:
    """Chunks of one axis, from sizes and how often each comes in a row."""
    parts = [Chunks.normalize([size * count], [size], 1, 1) if size else Chunks([[0] * count]) for size, count in runs]
    return parts[0] if len(parts) == 1 else Chunks.concat(parts)


def mapped_sizes(chunks: Chunks, func: Callable[[int], int]) -> Chunks:
    """Chunks of one axis whose sizes are a function of these; it is called once for a run of equal ones."""
    return chunks_of_runs([(int(func(size)), count) for size, count in runs_of(chunks)])
