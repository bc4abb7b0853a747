"""Slices, lists, masks, and assignment."""

from __future__ import annotations

from kask.array.base import ArrayBase


class IndexingMethods(ArrayBase):
    """Slices, lists, masks, and assignment."""

    __slots__ = ()
