"""Functions of single elements: ufuncs, operators, ``where``, ``clip``, ``astype``."""

from __future__ import annotations

__all__: list[str] = []
