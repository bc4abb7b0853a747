"""Functions of blocks that see some of their neighbours."""

from __future__ import annotations

__all__: list[str] = []
