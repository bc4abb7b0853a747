"""The user's own functions on blocks: ``map_blocks``, ``blockwise``, ``apply_gufunc``, ``apply_along_axis``."""

from __future__ import annotations

__all__: list[str] = []
