"""Reductions: ``sum``, ``mean``, ``argmax``, moments."""

from __future__ import annotations

from kask.array.base import ArrayBase


class ReductionsMethods(ArrayBase):
    """Reductions: ``sum``, ``mean``, ``argmax``, moments."""

    __slots__ = ()
