"""Diagonals of an array."""

from __future__ import annotations

from typing import Any

from kask.array.base import ArrayBase


class CreationMethods(ArrayBase):
    """Diagonals of an array."""

    __slots__ = ()

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
        """See :func:`kask.array.diagonal`."""
        from kask.array.ops.diagonals import diagonal

        return diagonal(self, offset, axis1, axis2)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
        """See :func:`kask.array.trace`."""
        from kask.array.ops.diagonals import trace

        return trace(self, offset, axis1, axis2, dtype, out)
