"""Random numbers that do not depend on the chunks."""

from __future__ import annotations

from kask.array.base import ArrayBase


class RandomMethods(ArrayBase):
    """Random numbers that do not depend on the chunks."""

    __slots__ = ()
