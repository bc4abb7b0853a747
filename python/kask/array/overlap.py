"""``kask.array.overlap``: blocks that see the edges of their neighbours."""

from kask.array.ops.map_overlap import map_overlap
from kask.array.ops.overlap import overlap, trim_internal, trim_overlap

__all__ = ["map_overlap", "overlap", "trim_internal", "trim_overlap"]
