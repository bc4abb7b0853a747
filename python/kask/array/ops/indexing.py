"""Slices, lists, masks, and assignment."""

from __future__ import annotations

__all__: list[str] = []
