"""What tasks run for Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Transform", "frequencies", "turned"]


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
    """The elements times the roots of unity ``exp(sign 2 pi i row column / n)``."""
    return (block * np.exp(sign * 2j * np.pi * ((row * column) % n / n))).astype(block.dtype, copy=False)


def frequencies(index: Any, n: int, first_negative: int, step: float) -> Any:
    """Those of a transform's elements, from place ``first_negative`` on negative."""
    return np.where(index < first_negative, index, index - n) * step
