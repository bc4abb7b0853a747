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
            return into(out, _dot_of_unmasked(self, other).expr)
        return products.dot(self, other, out)


def _dot_of_unmasked(a: Any, b: Any) -> Any:
    """A masked array, masked where no product of two elements that are not masked is in a sum."""
    from kask.array import ma

    counts = products.dot(*[(~ma.getmaskarray(one)).astype(np.intp) for one in (a, b)])
    return ma.masked_array(products.dot(ma.filled(a, 0), ma.filled(b, 0)), mask=counts == 0)
