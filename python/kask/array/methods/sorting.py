"""Sorts, and the largest elements."""

from __future__ import annotations

from typing import Any

from kask.array.base import ArrayBase
from kask.array.ops import sorting, topk


class SortingMethods(ArrayBase):
    """Sorts, and the largest elements."""

    __slots__ = ()

    def sort(self, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> None:
        """Puts the elements in order, in place; see :func:`kask.array.sort`."""
        self.expr = sorting.sort(self, axis, kind, order, stable=stable).expr

    def partition(self, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> None:
        """Arranges the elements, in place; see :func:`kask.array.partition`."""
        self.expr = sorting.partition(self, kth, axis, kind, order).expr

    def argsort(self, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
        """See :func:`kask.array.argsort`."""
        return sorting.argsort(self, axis, kind, order, stable=stable)

    def argpartition(self, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
        """See :func:`kask.array.argpartition`."""
        return sorting.argpartition(self, kth, axis, kind, order)

    def searchsorted(self, v: Any, side: str = "left", sorter: Any = None) -> Any:
        """See :func:`kask.array.searchsorted`."""
        return sorting.searchsorted(self, v, side, sorter)

    def topk(self, k: int, axis: int = -1, split_every: Any = None) -> Any:
        """See :func:`kask.array.topk`."""
        return topk.topk(self, k, axis, split_every)

    def argtopk(self, k: int, axis: int = -1, split_every: Any = None) -> Any:
        """See :func:`kask.array.argtopk`."""
        return topk.argtopk(self, k, axis, split_every)
