"""Functions of blocks that see the edges of their neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kask.array.base import ArrayBase


class OverlapMethods(ArrayBase):
    """Functions of blocks that see the edges of their neighbours."""

    __slots__ = ()

    def map_overlap(
        self, func: Callable[..., Any], depth: Any, boundary: Any = None, trim: bool = True, **kwargs: Any
    ) -> Any:
        """See :func:`kask.array.map_overlap`."""
        from kask.array.ops.map_overlap import map_overlap

        return map_overlap(func, self, depth=depth, boundary=boundary, trim=trim, **kwargs)
