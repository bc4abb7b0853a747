"""Blocks moved from one array library to another."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["to_cupy", "to_numpy"]


def to_numpy(block: Any) -> Any:
    """A block as a NumPy array."""
    for method in ("get", "todense"):
        if not isinstance(block, np.ndarray) and hasattr(block, method):
            return np.asarray(getattr(block, method)())
    return np.asarray(block)


def to_cupy(block: Any) -> Any:
    """A block in the memory of a graphics processor."""
    import cupy

    return cupy.asarray(block)
