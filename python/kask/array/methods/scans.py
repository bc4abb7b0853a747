"""Cumulative functions and differences."""

from __future__ import annotations

from kask.array.base import ArrayBase


class ScansMethods(ArrayBase):
    """Cumulative functions and differences."""

    __slots__ = ()
