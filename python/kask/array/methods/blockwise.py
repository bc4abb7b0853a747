"""The user's own functions on blocks: ``map_blocks``, ``blockwise``, ``apply_gufunc``, ``apply_along_axis``."""

from __future__ import annotations

from kask.array.base import ArrayBase


class BlockwiseMethods(ArrayBase):
    """The user's own functions on blocks: ``map_blocks``, ``blockwise``, ``apply_gufunc``, ``apply_along_axis``."""

    __slots__ = ()
