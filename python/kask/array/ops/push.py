"""The last valid element carried on, as a scan."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from kask.array.base import as_array, wrap
from kask.array.kernels.push import (
    LatestPlace,
    Limited,
    UserScan,
    UserTotal,
    last_of,
    last_place,
    latest,
    latest_places,
    pushed,
)
from kask.array.kernels.scans import ScanBlock, Totals
from kask.array.node import ArrayExpr
from kask.array.ops.mapped import mapped, one_by_one
from kask.array.ops.scans import before_each

__all__ = ["push"]


def push(array: Any, n: int | None, axis: int) -> Any:
    """Replace NaN (and NaT) by the last element before it along an axis that is neither.

    Parameters
    ----------
    array : array_like
        The array; types without NaN are returned as they are.
    n : int or None
        How many in a row are replaced at most; None: all.
    axis : int
        Along which axis.

    Returns
    -------
    Array
        Of the same shape, type and chunks.

    Notes
    -----
    A scan as by Blelloch: the last valid element of each block and how far back it is, what lies before each block, and each block with
    that.

    Examples
    --------
    >>> import numpy as np, kask.array as ka
    >>> ka.push(ka.from_array([1.0, np.nan, np.nan, 4.0], chunks=1), 1, 0).compute()
    array([ 1.,  1., nan,  4.])
    """
    x = as_array(array)
    expr: ArrayExpr = x.expr
    axis = normalize_axis_index(axis, expr.ndim)
    if n is not None and n < 0:
        raise ValueError(f"n= is how many elements are replaced in a row at most, so 0 or more, not {n}")
    if expr.dtype.kind not in "fcmMO":
        return x
    missing = np.nan if expr.dtype.kind in "fcO" else np.array("NaT", expr.dtype)[()]
    filled = _scanned(expr, (pushed, last_of, latest, missing), axis)
    if n is None:
        return wrap(filled)
    chunks = expr.chunks
    found = mapped(LatestPlace(chunks, axis), expr, chunks=chunks, dtype=np.int64, wants_position=True)
    places = _scanned(found, (latest_places, last_place, np.maximum, -1), axis)
    limit = Limited(chunks, axis, n)
    return wrap(mapped(limit, filled, places, chunks=chunks, dtype=expr.dtype, wants_position=True))


def _scanned(expr: ArrayExpr, kind: tuple[Any, Any, Any, Any], axis: int, dtype: Any = None) -> ArrayExpr:
    """A scan of an array: of each block, with what lies before it."""
    dtype = expr.dtype if dtype is None else dtype
    scan, total, merge, _ = kind
    block = ScanBlock(scan, merge, axis, dtype)
    if expr.grid[axis] == 1:
        return mapped(block, expr, chunks=expr.chunks, dtype=dtype, label="push")
    chunks = expr.chunks.replace(axis, one_by_one(expr.grid[axis]))
    totals = mapped(Totals(total, axis, dtype), expr, chunks=chunks, dtype=dtype, label="push-last")
    before = before_each(totals, kind, axis, dtype)
    return mapped(block, expr, before, chunks=expr.chunks, dtype=dtype, label="push")


def scan_of(
    x: Any, func: Any, binop: Any, identity: Any, axis: int | None, dtype: Any, options: dict[str, Any] | None = None
) -> Any:
    """A cumulative function of an array.

    Parameters
    ----------
    x : Array
        The array.
    func : callable
        Called with a block and ``axis=``; as ``numpy.cumsum``.
    binop : callable
        Puts what lies before a block and the scan of the block together; as ``numpy.add``.
    identity : object
        What changes nothing, put before.
    axis : int, optional
        Along which axis; None is the last one.
    dtype : data-type, optional
        The type of the result; by default that of ``x``.
    options : dict, optional
        For ``func``.
    """
    expr: ArrayExpr = x.expr
    axis = normalize_axis_index(-1 if axis is None else axis, expr.ndim)
    scan = UserScan(func, options or {})
    kind = (scan, UserTotal(scan, identity), binop, identity)
    return wrap(_scanned(expr, kind, axis, np.dtype(dtype) if dtype is not None else None))
