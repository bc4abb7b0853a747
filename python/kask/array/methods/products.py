"""Products of arrays: ``matmul``, ``tensordot``, ``einsum``."""

from __future__ import annotations

from kask.array.base import ArrayBase


class ProductsMethods(ArrayBase):
    """Products of arrays: ``matmul``, ``tensordot``, ``einsum``."""

    __slots__ = ()
