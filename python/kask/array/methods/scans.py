"""Cumulative functions and differences."""

from __future__ import annotations

from typing import Any

from kask.array.base import ArrayBase
from kask.array.ops import scans


class ScansMethods(ArrayBase):
    """Cumulative functions and differences."""

    __slots__ = ()

    def cumsum(self, axis: Any = None, dtype: Any = None, out: Any = None, method: str = "sequential") -> Any:
        """See :func:`kask.array.cumsum`."""
        return scans.cumsum(self, axis, dtype, out, method)

    def cumprod(self, axis: Any = None, dtype: Any = None, out: Any = None, method: str = "sequential") -> Any:
        """See :func:`kask.array.cumprod`."""
        return scans.cumprod(self, axis, dtype, out, method)
