"""Random numbers that do not depend on the chunks."""

from __future__ import annotations

__all__: list[str] = []
