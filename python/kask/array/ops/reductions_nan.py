"""Sums, products and extremes that pass over NaN."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.ops.reductions_basic import _DTYPE, _INITIAL, _NOTHING, _UNSET, _WHERE, _documented, _reduce

__all__ = ["nanmax", "nanmin", "nanprod", "nansum"]


@_documented(
    "Sum of the elements that are not NaN.",
    'ka.nansum(ka.from_array([1.0, float("nan"), 2.0], chunks=2)).compute()\nnp.float64(3.0)',
    _DTYPE,
    _INITIAL + _WHERE,
)
def nansum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: Any = False,
    split_every: Any = None,
    out: Any = None,
    *,
    initial: Any = _UNSET,
    where: Any = _UNSET,
) -> Any:
    return _reduce(
        "nansum", a, axis, dtype=dtype, keepdims=keepdims, split_every=split_every, out=out, initial=initial,
        where=where, ufunc=np.add, combine="sum",
    )  # fmt: skip


@_documented(
    "Product of the elements that are not NaN.",
    'ka.nanprod(ka.from_array([3.0, float("nan"), 2.0], chunks=2)).compute()\nnp.float64(6.0)',
    _DTYPE,
    _INITIAL + _WHERE,
)
def nanprod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: Any = False,
    split_every: Any = None,
    out: Any = None,
    *,
    initial: Any = _UNSET,
    where: Any = _UNSET,
) -> Any:
    return _reduce(
        "nanprod", a, axis, dtype=dtype, keepdims=keepdims, split_every=split_every, out=out, initial=initial,
        where=where, ufunc=np.multiply, combine="prod",
    )  # fmt: skip


_NAN_NOTE = "All-NaN slice encountered"


@_documented(
    "Smallest element that is not NaN; NaN, with a warning, where there is none.",
    'ka.nanmin(ka.from_array([3.0, float("nan"), 2.0], chunks=2)).compute()\nnp.float64(2.0)',
    more=_INITIAL + _WHERE,
    raises=_NOTHING,
)
def nanmin(
    a: Any,
    axis: Any = None,
    keepdims: Any = False,
    split_every: Any = None,
    out: Any = None,
    *,
    initial: Any = _UNSET,
    where: Any = _UNSET,
) -> Any:
    return _reduce(
        "nanmin", a, axis, keepdims=keepdims, split_every=split_every, out=out, initial=initial, where=where,
        ufunc=np.fmin, is_extreme=True, warns=_NAN_NOTE,
    )  # fmt: skip


@_documented(
    "Largest element that is not NaN; NaN, with a warning, where there is none.",
    'ka.nanmax(ka.from_array([3.0, float("nan"), 2.0], chunks=2)).compute()\nnp.float64(3.0)',
    more=_INITIAL + _WHERE,
    raises=_NOTHING,
)
def nanmax(
    a: Any,
    axis: Any = None,
    keepdims: Any = False,
    split_every: Any = None,
    out: Any = None,
    *,
    initial: Any = _UNSET,
    where: Any = _UNSET,
) -> Any:
    return _reduce(
        "nanmax", a, axis, keepdims=keepdims, split_every=split_every, out=out, initial=initial, where=where,
        ufunc=np.fmax, is_extreme=True, warns=_NAN_NOTE,
    )  # fmt: skip
