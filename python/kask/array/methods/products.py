"""Products of arrays. The operator ``@`` is with the other operators."""

from __future__ import annotations

from typing import Any

from kask.array.base import ArrayBase
from kask.array.ops import products


class ProductsMethods(ArrayBase):
    """Products of arrays: ``dot``."""

    __slots__ = ()

    def dot(self, other: Any, out: Any = None) -> Any:
        """As :func:`kask.array.dot`."""
        return products.dot(self, other, out)
