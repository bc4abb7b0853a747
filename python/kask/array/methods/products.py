"""Products of arrays. The operator ``@`` is with the other operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import ArrayBase
from kask.array.ops import products
from kask.array.ops.reductions import into


class ProductsMethods(ArrayBase):
    """Products of arrays: ``dot``."""

    __slots__ = ()

    def dot(self, other: Any, out: Any = None) -> Any:
        """As :func:`kask.array.dot`; of masked arrays without what is masked, as in NumPy."""
        if any(isinstance(getattr(one, "meta", one), np.ma.MaskedArray) for one in (self, other)):
            from kask.array.ma import dot_of_unmasked

            return into(out, dot_of_unmasked(self, other).expr)
        return products.dot(self, other, out)
