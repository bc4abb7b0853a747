"""``linspace``, ``logspace`` and ``geomspace`` between arrays: an axis of numbers for each pair of their elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.ops.axes import moveaxis
from kask.array.ops.choices import where
from kask.array.ops.chunks import normalized
from kask.array.ops.filling import cast
from kask.array.ops.ranges import arange
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reductions_basic import any as any_of
from kask.array.ops.reshaping import reshaped
from kask.array.ops.ufuncs import floor, log10, power, sign

__all__: list[str] = []


def linear(start: Any, stop: Any, num: int, endpoint: bool, dtype: Any, axis: int, chunks: Any) -> tuple[Any, Any]:
    """Numbers at equal distances between the elements of arrays, and the distances; computed as NumPy does it."""
    kinds = [end if isinstance(end, int | float | complex) else as_array(end).dtype for end in (start, stop)]
    computed = np.result_type(*kinds, 1.0)
    start, stop = [wrap(cast(as_array(end).expr, computed)) for end in (start, stop)]
    spans = stop - start
    between = num - 1 if endpoint else num
    steps = spans / between if between > 0 else spans * np.nan
    number = arange(num, dtype=computed).reshape(num, *(1,) * spans.ndim)
    if between > 0:
        # With a step that is too small for its type, NumPy multiplies last.
        found = where(any_of(steps == 0), number / between * spans, number * steps)
    else:
        found = number * spans
    found = found + start
    if endpoint and num > 1:
        found = where(number == num - 1, stop, found)
    kind = computed if dtype is None else np.dtype(dtype)
    if kind.kind in "iu":
        found = floor(found)
    return _placed(found.astype(kind), axis, chunks), steps


def logarithmic(start: Any, stop: Any, num: int, endpoint: bool, base: Any, dtype: Any, axis: int, chunks: Any) -> Any:
    """Powers of ``base``, which may be an array too, with exponents at equal distances."""
    if np.ndim(base):
        ndim = max(np.ndim(start), np.ndim(stop), np.ndim(base))
        start, stop, base = [_with_ndim(array, ndim) for array in (start, stop, base)]
    exponents, _ = linear(start, stop, num, endpoint, None, 0, "auto")
    found = power(base, exponents)
    return _placed(found if dtype is None else found.astype(dtype), axis, chunks)


def geometric(start: Any, stop: Any, num: int, endpoint: bool, dtype: Any, axis: int, chunks: Any) -> Any:
    """Numbers each of which is the same multiple of the one before it."""
    for end in (start, stop):
        if not isinstance(end, ArrayBase) and (np.asanyarray(end) == 0).any():
            raise ValueError("geomspace() cannot start or stop at 0")
    computed = np.result_type(as_array(start).dtype, as_array(stop).dtype, float(num), np.zeros((), dtype))
    start, stop = [wrap(cast(as_array(end).expr, computed)) for end in (start, stop)]
    turn = sign(start)
    start, stop = start / turn, stop / turn
    found = logarithmic(log10(start), log10(stop), num, endpoint, 10.0, computed, 0, "auto")
    number = arange(num).reshape(num, *(1,) * (found.ndim - 1))
    found = where(number == 0, start, found)
    if endpoint and num > 1:
        found = where(number == num - 1, stop, found)
    found = found * turn
    return _placed(found.astype(computed if dtype is None else dtype), axis, chunks)


def _with_ndim(array: Any, ndim: int) -> Any:
    expr = as_array(array).expr
    return wrap(reshaped(expr, (*(1,) * (ndim - expr.ndim), *expr.shape)))


def _placed(found: Any, axis: int, chunks: Any) -> Any:
    """With the first axis at its place, and cut as is wanted."""
    found = moveaxis(found, 0, axis) if axis != 0 else found
    if isinstance(chunks, str) and chunks == "auto":
        return found
    return wrap(rechunked(found.expr, normalized(chunks, found.shape, found.dtype)))
