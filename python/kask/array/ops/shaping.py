"""The same elements in other shapes and places: ``reshape``, ``concatenate``, ``roll``, ``rechunk``."""

from __future__ import annotations

__all__: list[str] = []
