"""Names that programs import from ``kask.array.api``."""

from __future__ import annotations

from kask.array.ops.chunks import normalize_chunks

__all__ = ["normalize_chunks", "normalize_chunks_cached"]

#: Chunks are kept as runs of equal sizes, and cost nothing that a cache would save.
normalize_chunks_cached = normalize_chunks
