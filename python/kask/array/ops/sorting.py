"""Order: ``sort``, ``unique``, ``searchsorted``, ``topk``."""

from __future__ import annotations

__all__: list[str] = []
