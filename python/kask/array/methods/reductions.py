"""Reductions: ``sum``, ``mean``, ``argmax``, moments."""

from __future__ import annotations

from typing import Any

from kask.array.base import ArrayBase
from kask.array.ops import moments, reductions_arg, reductions_basic


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
        return reductions_basic.prod(self, axis, dtype, keepdims, split_every, out, **options)

    def min(
        self, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None, **options: Any
    ) -> Any:
        """See :func:`kask.array.min`."""
        return reductions_basic.min(self, axis, keepdims, split_every, out, **options)

    def max(
        self, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None, **options: Any
    ) -> Any:
        """See :func:`kask.array.max`."""
        return reductions_basic.max(self, axis, keepdims, split_every, out, **options)

    def any(
        self, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None, **options: Any
    ) -> Any:
        """See :func:`kask.array.any`."""
        return reductions_basic.any(self, axis, keepdims, split_every, out, **options)

    def all(
        self, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None, **options: Any
    ) -> Any:
        """See :func:`kask.array.all`."""
        return reductions_basic.all(self, axis, keepdims, split_every, out, **options)

    def argmin(self, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None) -> Any:
        """See :func:`kask.array.argmin`."""
        return reductions_arg.argmin(self, axis, keepdims, split_every, out)

    def argmax(self, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None) -> Any:
        """See :func:`kask.array.argmax`."""
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
