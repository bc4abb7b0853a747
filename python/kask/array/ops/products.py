"""Products of arrays: ``matmul``, ``tensordot``, ``einsum``."""

from __future__ import annotations

__all__: list[str] = []
