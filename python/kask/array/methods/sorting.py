"""Order: ``sort``, ``unique``, ``searchsorted``, ``topk``."""

from __future__ import annotations

from kask.array.base import ArrayBase


class SortingMethods(ArrayBase):
    """Order: ``sort``, ``unique``, ``searchsorted``, ``topk``."""

    __slots__ = ()
