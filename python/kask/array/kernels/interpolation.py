"""What tasks run for interpolation between more points than a block may have."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["InterpolatedIn"]


class InterpolatedIn:
    """The values of the elements that lie in a block of points, up to the first point of the next block; nothing for the others. The
    first block also has what is before all points, and what is not a number; the last one what is after them.

    ``np.interp`` looks at the last point that is not greater than an element, and at the one after it; so it makes the same of these points
    as of all.
    """

    __name__ = "interp"

    def __init__(self, left: Any, right: Any, pieces: int, dtype: Any) -> None:
        self.left, self.right, self.pieces, self.dtype = left, right, pieces, np.dtype(dtype)

    def __call__(
        self, position: tuple[int, ...], block: Any, xp: Any, fp: Any, next_xp: list[Any], next_fp: list[Any]
    ) -> Any:
        piece = position[0]
        xp = np.asarray(xp, np.float64)
        # NaN is in the first block.
        is_here = np.ones(block.shape, np.bool_) if piece == 0 else block >= xp[0]
        if piece < self.pieces - 1:
            xp, fp = np.append(xp, np.asarray(next_xp[0], np.float64)), np.append(fp, next_fp[0])
            is_here &= ~(block >= xp[-1])
        # Added to anything this leaves it as it is, and its sign as well.
        out = np.full(block.shape, -0.0, self.dtype)
        if self.dtype.kind == "c":
            out.imag = -0.0
        out[is_here] = np.interp(block[is_here], xp, fp, self.left, self.right)
        return out[None]

    def __kask_tokenize__(self) -> Any:
        return "interpolatedin", self.left, self.right, self.pieces, self.dtype
