"""What tasks run for Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Transform", "chirp", "chirp_filter", "frequencies", "turned"]

#: Roots of unity that are made at a time.
_ROOTS = 2**16


class Transform:
    """A transform of blocks that are whole along the transformed axes."""

    def __init__(self, func: Callable[..., Any], options: dict[str, Any], dtype: np.dtype) -> None:
        self.func, self.options, self.dtype = func, options, dtype
        self.__name__ = getattr(func, "__name__", "transform")

    def __call__(self, block: Any) -> Any:
        return self.func(block, **self.options).astype(self.dtype, copy=False)

    def __kask_tokenize__(self) -> Any:
        return "transform", self.func, self.options, self.dtype.str


def turned(block: Any, row: Any, column: Any, n: int, sign: int) -> Any:
    """The elements times the roots of unity ``exp(sign 2 pi i row column / n)``. The roots are made for a few rows at a time."""
    turned = np.empty_like(block)
    axis = block.ndim - row.ndim
    few = max(1, _ROOTS // max(1, column.size))
    for start in range(0, len(row), few):
        rows = slice(start, start + few)
        at = (*(slice(None),) * axis, rows)
        roots = np.exp(sign * 2j * np.pi * ((row[rows] * column) % n / n))
        np.multiply(block[at], roots, out=turned[at], casting="same_kind")
    return turned


def chirp(place: Any, n: int, sign: int) -> Any:
    """The roots of unity ``exp(sign pi i place**2 / n)``."""
    # The squares are whole numbers, which repeat after 2 n: nothing is lost however large they are.
    return np.exp(sign * 1j * np.pi * (place * place % (2 * n) / n))


def chirp_filter(place: Any, n: int, sign: int, length: int) -> Any:
    """The conjugates of these around place 0 of a sequence of this length that repeats, and 0 farther away."""
    away = np.minimum(place, length - place)
    return np.where(away < n, chirp(away, n, -sign), 0)


def frequencies(index: Any, n: int, first_negative: int, step: float) -> Any:
    """Those of a transform's elements, from place ``first_negative`` on negative."""
    return np.where(index < first_negative, index, index - n) * step
