"""Slices, lists, masks, and assignment."""

from __future__ import annotations

from typing import Any

from kask.array.base import ArrayBase, wrap
from kask.array.ops import assignment, indexing


class IndexingMethods(ArrayBase):
    """Slices, lists, masks, and assignment."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        return wrap(indexing.getitem(self.expr, index))

    def __setitem__(self, index: Any, value: Any) -> None:
        self.expr = assignment.setitem(self, index, value).expr
