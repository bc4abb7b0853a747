"""Shapes: ``reshape``, ``transpose``, ``rechunk``, ``repeat``."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import ArrayBase


class ShapingMethods(ArrayBase):
    """Shapes: ``reshape``, ``transpose``, ``rechunk``, ``repeat``."""

    __slots__ = ()

    @property
    def T(self) -> Any:
        """The array with its axes turned around."""
        return self.transpose()

    @property
    def mT(self) -> Any:
        """The array with its last two axes swapped."""
        from kask.array.ops.axes import matrix_transpose

        return matrix_transpose(self)

    def transpose(self, *axes: Any) -> Any:
        """See :func:`kask.array.transpose`."""
        from kask.array.ops.axes import transpose

        if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], list | tuple)):
            (axes,) = axes
        return transpose(self, axes or None)

    def swapaxes(self, axis1: int, axis2: int) -> Any:
        """See :func:`kask.array.swapaxes`."""
        from kask.array.ops.axes import swapaxes

        return swapaxes(self, axis1, axis2)

    def reshape(
        self, *shape: Any, merge_chunks: bool = True, limit: Any = None, order: str = "C", copy: bool | None = None
    ) -> Any:
        """See :func:`kask.array.reshape`."""
        from kask.array.ops.reshaping import reshape

        if len(shape) == 1 and isinstance(shape[0], list | tuple | np.ndarray):
            (shape,) = shape
        return reshape(self, tuple(shape), merge_chunks, limit, order=order, copy=copy)

    def ravel(self, order: str = "C") -> Any:
        """See :func:`kask.array.ravel`."""
        from kask.array.ops.reshaping import ravel

        return ravel(self, order)

    def flatten(self, order: str = "C") -> Any:
        """See :func:`kask.array.ravel`."""
        return self.ravel(order)

    def squeeze(self, axis: Any = None) -> Any:
        """See :func:`kask.array.squeeze`."""
        from kask.array.ops.reshaping import squeeze

        return squeeze(self, axis)

    def rechunk(
        self,
        chunks: Any = "auto",
        threshold: Any = None,
        block_size_limit: Any = None,
        balance: bool = False,
        method: str | None = None,
    ) -> Any:
        """See :func:`kask.array.rechunk`."""
        from kask.array.ops.shaping import rechunk

        return rechunk(self, chunks, threshold, block_size_limit, balance, method)

    def repeat(self, repeats: Any, axis: int | None = None) -> Any:
        """See :func:`kask.array.repeat`."""
        from kask.array.ops.shaping import repeat

        return repeat(self, repeats, axis)
