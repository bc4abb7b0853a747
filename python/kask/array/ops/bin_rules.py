"""Histograms whose number of bins a rule tells from the elements: ``bins="auto"`` and the like.

What a rule needs (extremes, quartiles, moments) is found by a first stage; the edges are known after that, and the counts with them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.base import in_memory, wrap
from kask.array.kernels.statistics import CountsOfAll, checked_range
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import elementwise
from kask.array.ops.mapped import mapped, one_by_one
from kask.array.ops.moments import moment, std
from kask.array.ops.quantiles import percentile
from kask.array.ops.reductions_basic import max as largest_of
from kask.array.ops.reductions_basic import min as smallest_of
from kask.array.ops.staged import ByValue
from kask.array.ops.statistics import rows_added
from kask.engine import Chunks

__all__ = ["edges_by_rule"]


def edges_by_rule(column: ArrayExpr, rule: str, limits: Any) -> ArrayExpr:
    """The edges of bins of equal width, of which a rule tells how many there are. ``column`` has one axis."""
    if rule not in _RULES:
        raise ValueError(f"{rule!r} is not a valid estimator for `bins`; there are {', '.join(map(repr, _RULES))}")
    # An error of the limits, the edges of no elements, and the type that edges have.
    nothing = np.histogram_bin_edges(np.empty(0, column.dtype), rule, limits)
    meta = nothing[:0]
    if not column.shape[0]:
        return in_memory(nothing)
    if limits is None:
        return _of_kept(column, rule, None, meta)
    low, high = limits
    if low == high:
        # As wide as NumPy makes bins of nothing.
        limits = low - 0.5, high + 0.5
    array = wrap(column)
    inside = wrap(elementwise(np.logical_and, (array >= limits[0]).expr, (array <= limits[1]).expr))
    return ByValue(_of_kept, (array[inside].expr,), (), (rule, limits, meta), meta, label_="edges")


def _of_kept(column: ArrayExpr, rule: str, limits: Any, meta: Any) -> ArrayExpr:
    """The edges, for elements that are all within the limits."""
    if not column.shape[0]:
        return in_memory(np.histogram_bin_edges(np.empty(0, column.dtype), 1, limits))
    array = wrap(column)
    values = [smallest_of(array), largest_of(array), *[need(array) for need in _NEEDS.get(rule, [])]]
    exprs = tuple([value.expr for value in values])
    return ByValue(_with_values, (column,), exprs, (rule, limits, meta), meta, label_="edges")


def _with_values(column: ArrayExpr, *values: Any) -> ArrayExpr:
    *found, rule, limits, meta = values
    low, high, *needed = [value[()] for value in found]
    first, last = checked_range(low, high) if limits is None else limits
    if rule != "stone":
        return _edges(column, _RULES[rule](column.shape[0], _between(low, high), *needed), first, last)
    spread, most = _between(low, high), max(100, math.isqrt(column.shape[0]))
    if column.shape[0] == 1 or spread == 0:
        return _edges(column, 0, first, last)
    edges = np.histogram_bin_edges(np.empty(0, column.dtype), 1, (first, last))
    counts = mapped(
        CountsOfAll(most, (edges[0], edges[-1])),
        column,
        chunks=Chunks.join([one_by_one(column.grid[0]), Chunks.whole([most * (most + 1) // 2])]),
        reads=((0,),),
        dtype=np.intp,
        label="histograms",
    )
    total = rows_added(counts, None, "histograms")
    return ByValue(_with_counts, (column,), (total,), (spread, most, first, last), meta, label_="edges")


def _with_counts(column: ArrayExpr, counts: Any, spread: Any, most: int, first: Any, last: Any) -> ArrayExpr:
    """The edges by Stone's rule (An asymptotically optimal histogram selection rule, 1984): as many bins as have the least estimated loss."""
    n, start = column.shape[0], 0
    best, least = 1, np.inf
    for bins in np.arange(1, most + 1).tolist():
        shares = counts[start : start + bins] / n
        start += bins
        loss = (2 - (n + 1) * shares.dot(shares)) / (spread / bins)
        if loss < least:
            best, least = bins, loss
    if best == most:
        warnings.warn("The number of bins estimated may be suboptimal.", RuntimeWarning, stacklevel=2)
    return _edges(column, spread / best, first, last)


def _edges(column: ArrayExpr, width: Any, first: Any, last: Any) -> ArrayExpr:
    """The edges of as many bins as there are of so large a width."""
    sample, bins = np.empty(0, column.dtype), 1
    if width:
        width = 1 if column.dtype.kind in "iu" and width < 1 else width
        bins = int(np.ceil(_between(first, last) / width))
    return in_memory(np.histogram_bin_edges(sample, bins, (first, last)), -1)


def _between(low: Any, high: Any) -> Any:
    """How far two numbers are apart, which may be too far for their own type."""
    kind = np.result_type(low, high)
    if kind.kind != "i":
        return np.subtract(high, low, dtype=kind)
    return np.subtract(np.asarray(high, kind), np.asarray(low, kind), casting="unsafe", dtype=f"u{kind.itemsize}")


def _sqrt(n: int, spread: Any) -> Any:
    return spread / np.sqrt(n)


def _sturges(n: int, spread: Any) -> Any:
    """Sturges, The choice of a class interval, 1926."""
    return spread / (np.log2(n) + 1.0)


def _rice(n: int, spread: Any) -> Any:
    return spread / (2.0 * n ** (1.0 / 3))


def _scott(n: int, spread: Any, deviation: Any) -> Any:
    """Scott, On optimal and data-based histograms, 1979."""
    return (24.0 * np.pi**0.5 / n) ** (1.0 / 3.0) * deviation


def _doane(n: int, spread: Any, deviation: Any, third: Any) -> Any:
    """Doane, Aesthetic frequency classifications, 1976: Sturges' rule, and more bins where elements are skewed."""
    if n <= 2 or not deviation > 0:
        return 0.0
    usual = np.sqrt(6.0 * (n - 2) / ((n + 1.0) * (n + 3)))
    return spread / (1.0 + np.log2(n) + np.log2(1.0 + np.absolute(third / deviation**3) / usual))


def _freedman_diaconis(n: int, spread: Any, quartiles: Any) -> Any:
    """Freedman and Diaconis, On the histogram as a density estimator, 1981."""
    return 2.0 * np.subtract(*quartiles) * n ** (-1.0 / 3.0)


def _auto(n: int, spread: Any, quartiles: Any) -> Any:
    """The smaller of the widths of Sturges, and of Freedman and Diaconis, which is not much smaller than that by the root."""
    return min(max(_freedman_diaconis(n, spread, quartiles), _sqrt(n, spread) / 2), _sturges(n, spread))


#: The widths of bins, of the number of elements, how far they are apart, and what else is needed.
_RULES: dict[str, Any] = {
    "auto": _auto,
    "doane": _doane,
    "fd": _freedman_diaconis,
    "rice": _rice,
    "scott": _scott,
    "sqrt": _sqrt,
    "stone": None,
    "sturges": _sturges,
}


def _quartiles(array: Any) -> Any:
    return percentile(array, [75, 25])


def _third(array: Any) -> Any:
    return moment(array, 3)


_NEEDS: dict[str, list[Callable[[Any], Any]]] = {
    "auto": [_quartiles],
    "doane": [std, _third],
    "fd": [_quartiles],
    "scott": [std],
}
