"""Functions of blocks that see some of their neighbours."""

from __future__ import annotations

from kask.array.base import ArrayBase


class OverlapMethods(ArrayBase):
    """Functions of blocks that see some of their neighbours."""

    __slots__ = ()
