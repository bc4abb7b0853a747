"""Arrays from and to files and stores."""

from __future__ import annotations

from kask.array.base import ArrayBase


class StorageMethods(ArrayBase):
    """Arrays from and to files and stores."""

    __slots__ = ()
