"""Blocks made longer at the ends of an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Extend"]


class Extend:
    """Adds elements before the first and after the last block along an axis."""

    def __init__(self, axis: int, blocks: int, has_before: bool, has_after: bool, dtype: Any) -> None:
        self.axis, self.blocks, self.has_before, self.has_after, self.dtype = axis, blocks, has_before, has_after, dtype

    def __call__(self, position: tuple[int, ...], block: Any, *ends: Any) -> Any:
        at = position[self.axis]
        pieces = [block]
        if self.has_before and at == 0:
            pieces.insert(0, ends[0])
        if self.has_after and at == self.blocks - 1:
            pieces.append(ends[-1])
        if len(pieces) == 1:
            return block.astype(self.dtype, copy=False)
        return np.concatenate(pieces, axis=self.axis, dtype=self.dtype, casting="unsafe")

    def __kask_tokenize__(self) -> Any:
        return "extend", self.axis, self.blocks, self.has_before, self.has_after, self.dtype
