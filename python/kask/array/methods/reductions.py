"""Reductions: ``sum``, ``mean``, ``argmax``, moments."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import ArrayBase
from kask.array.ops import moments, reductions_arg, reductions_basic


def _ordered(keepdims: Any, split_every: Any, out: Any, options: dict[str, Any] | None = None) -> tuple[Any, Any, Any]:
    """``keepdims, split_every, out`` as they are documented, or in the order of NumPy's methods: ``out, keepdims, initial``. An array is
    never ``keepdims``, and a bool never ``split_every``: where one is found, the order is NumPy's."""
    is_flag = isinstance(split_every, bool | np.bool_)
    if not isinstance(keepdims, ArrayBase | np.ndarray) and not (keepdims is None and is_flag):
        return keepdims, split_every, out
    if out is not None:
        if options is None:
            raise TypeError(f"keepdims= must be a bool, got {type(keepdims).__name__}")
        options["initial"] = out
    return split_every if is_flag else False, None, keepdims


class ReductionsMethods(ArrayBase):
    """Reductions: ``sum``, ``mean``, ``argmax``, moments."""

    __slots__ = ()

    def sum(
        self,
        axis: Any = None,
        dtype: Any = None,
        keepdims: Any = False,
        split_every: Any = None,
        out: Any = None,
        **options: Any,
    ) -> Any:
        """See :func:`kask.array.sum`."""
        keepdims, split_every, out = _ordered(keepdims, split_every, out, options)
        return reductions_basic.sum(self, axis, dtype, keepdims, split_every, out, **options)

    def prod(
        self,
        axis: Any = None,
        dtype: Any = None,
        keepdims: Any = False,
        split_every: Any = None,
        out: Any = None,
        **options: Any,
    ) -> Any:
        """See :func:`kask.array.prod`."""
        keepdims, split_every, out = _ordered(keepdims, split_every, out, options)
        return reductions_basic.prod(self, axis, dtype, keepdims, split_every, out, **options)

    def min(
        self, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None, **options: Any
    ) -> Any:
        """See :func:`kask.array.min`."""
        keepdims, split_every, out = _ordered(keepdims, split_every, out, options)
        return reductions_basic.min(self, axis, keepdims, split_every, out, **options)

    def max(
        self, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None, **options: Any
    ) -> Any:
        """See :func:`kask.array.max`."""
        keepdims, split_every, out = _ordered(keepdims, split_every, out, options)
        return reductions_basic.max(self, axis, keepdims, split_every, out, **options)

    def any(
        self, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None, **options: Any
    ) -> Any:
        """See :func:`kask.array.any`."""
        keepdims, split_every, out = _ordered(keepdims, split_every, out, options)
        return reductions_basic.any(self, axis, keepdims, split_every, out, **options)

    def all(
        self, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None, **options: Any
    ) -> Any:
        """See :func:`kask.array.all`."""
        keepdims, split_every, out = _ordered(keepdims, split_every, out, options)
        return reductions_basic.all(self, axis, keepdims, split_every, out, **options)

    def argmin(self, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None) -> Any:
        """See :func:`kask.array.argmin`."""
        keepdims, split_every, out = _ordered(keepdims, split_every, out)
        return reductions_arg.argmin(self, axis, keepdims, split_every, out)

    def argmax(self, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None) -> Any:
        """See :func:`kask.array.argmax`."""
        keepdims, split_every, out = _ordered(keepdims, split_every, out)
        return reductions_arg.argmax(self, axis, keepdims, split_every, out)

    def mean(
        self,
        axis: Any = None,
        dtype: Any = None,
        keepdims: Any = False,
        split_every: Any = None,
        out: Any = None,
        **options: Any,
    ) -> Any:
        """See :func:`kask.array.mean`."""
        keepdims, split_every, out = _ordered(keepdims, split_every, out, options)
        return moments.mean(self, axis, dtype, keepdims, split_every, out, **options)

    def var(
        self,
        axis: Any = None,
        dtype: Any = None,
        keepdims: Any = False,
        ddof: Any = 0,
        split_every: Any = None,
        out: Any = None,
        **options: Any,
    ) -> Any:
        """See :func:`kask.array.var`."""
        keepdims, split_every, out = _ordered(keepdims, split_every, out, options)
        return moments.var(self, axis, dtype, keepdims, ddof, split_every, out, **options)

    def std(
        self,
        axis: Any = None,
        dtype: Any = None,
        keepdims: Any = False,
        ddof: Any = 0,
        split_every: Any = None,
        out: Any = None,
        **options: Any,
    ) -> Any:
        """See :func:`kask.array.std`."""
        keepdims, split_every, out = _ordered(keepdims, split_every, out, options)
        return moments.std(self, axis, dtype, keepdims, ddof, split_every, out, **options)

    def moment(
        self,
        order: Any,
        axis: Any = None,
        dtype: Any = None,
        keepdims: Any = False,
        ddof: Any = 0,
        split_every: Any = None,
        out: Any = None,
    ) -> Any:
        """See :func:`kask.array.moment`."""
        return moments.moment(self, order, axis, dtype, keepdims, ddof, split_every, out)
