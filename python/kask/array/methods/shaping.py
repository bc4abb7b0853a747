"""The same elements in other shapes and places: ``reshape``, ``concatenate``, ``roll``, ``rechunk``."""

from __future__ import annotations

from kask.array.base import ArrayBase


class ShapingMethods(ArrayBase):
    """The same elements in other shapes and places: ``reshape``, ``concatenate``, ``roll``, ``rechunk``."""

    __slots__ = ()
