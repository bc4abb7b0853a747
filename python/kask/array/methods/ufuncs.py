"""Functions of single elements: ufuncs, operators, ``where``, ``clip``, ``astype``."""

from __future__ import annotations

from kask.array.base import ArrayBase


class UfuncsMethods(ArrayBase):
    """Functions of single elements: ufuncs, operators, ``where``, ``clip``, ``astype``."""

    __slots__ = ()
