"""Names that programs import from ``kask.array.core``: chunks, and functions of blocks."""

from __future__ import annotations

from kask.array.base import PerformanceWarning
from kask.array.collection import Array
from kask.array.ops.blockwise import blockwise, unify_chunks
from kask.array.ops.chunks import normalize_chunks
from kask.array.ops.map_blocks import map_blocks
from kask.array.ops.storage import from_array

__all__ = ["Array", "PerformanceWarning", "blockwise", "from_array", "map_blocks", "normalize_chunks", "unify_chunks"]
