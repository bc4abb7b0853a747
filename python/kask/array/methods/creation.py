"""Arrays made of nothing: ``ones``, ``arange``, ``eye``, ``fromfunction``."""

from __future__ import annotations

from kask.array.base import ArrayBase


class CreationMethods(ArrayBase):
    """Arrays made of nothing: ``ones``, ``arange``, ``eye``, ``fromfunction``."""

    __slots__ = ()
