"""Polynomials that fit points."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels.linalg import warned_of_rank
from kask.array.node import empty_meta
from kask.array.ops.constants import newaxis
from kask.array.ops.linalg_solving import inv, lstsq
from kask.array.ops.mapped import mapped
from kask.array.ops.matrices import vander
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reductions_basic import sum as sum_of
from kask.array.ops.ufuncs import sqrt
from kask.engine import Chunks

__all__ = ["polyfit"]


def polyfit(
    x: Any, y: Any, deg: int, rcond: float | None = None, full: bool = False, w: Any = None, cov: bool | str = False
) -> Any:
    """The polynomial that fits points best by least squares.

    Parameters
    ----------
    x : array_like of shape (M,)
        The places.
    y : array_like of shape (M,) or (M, K)
        The values at these; a polynomial for each column.
    deg : int
        The degree.
    rcond : float, optional
        Singular values less than so much of the largest are taken for 0; by default ``M`` times the precision of ``x``.
    full : bool, optional
        Whether to give what :func:`kask.array.linalg.lstsq` tells, too.
    w : array_like of shape (M,), optional
        What each deviation is multiplied by before it is squared.
    cov : bool or "unscaled", optional
        Whether to give the covariance matrix of the coefficients, too; "unscaled", if weights are one by the true standard deviations.

    Returns
    -------
    p : Array of shape (deg + 1,) or (deg + 1, K)
        The coefficients, that of the highest power first.
    residuals, rank, singular_values, rcond : Array, Array, Array, float
        With ``full``; of the scaled Vandermonde matrix. In contrast to NumPy the residuals are also there if the rank is not full.
    V : Array of shape (deg + 1, deg + 1) or (deg + 1, deg + 1, K)
        With ``cov``, and without ``full``.

    Raises
    ------
    ValueError, TypeError
        A negative degree; shapes that do not fit; too few points for a covariance.

    Notes
    -----
    The Vandermonde matrix, whose columns are scaled to length 1, is as tall as there are points; it is cut as these are, and factored by TSQR
    (Demmel and others, Communication-optimal parallel and sequential QR and LU factorizations, 2012). A rank that is not full gives
    ``numpy.exceptions.RankWarning`` in the task that finds it.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.arange(5, chunks=2)
    >>> ka.polyfit(x, 2 * x**2 - 1, 2).round(6).compute() + 0.0
    array([ 2.,  0., -1.])
    """
    order = operator.index(deg) + 1
    if order < 1:
        raise ValueError(f"deg= must not be negative, but it is {deg}")
    x, y = as_array(x) + 0.0, as_array(y) + 0.0
    if x.ndim != 1 or not x.size:
        raise TypeError(f"x must have one axis and an element at least, but its shape is {x.shape}")
    if y.ndim not in (1, 2):
        raise TypeError(f"y must have one axis or two, but its shape is {y.shape}")
    count = x.shape[0]
    if y.shape[0] != count:
        raise TypeError(f"x and y must have the same length, but their shapes are {x.shape} and {y.shape}")
    limit = count * np.finfo(x.dtype).eps if rcond is None else rcond
    is_scaled = bool(cov) and not (isinstance(cov, str) and cov == "unscaled")
    if is_scaled and not full and count <= order:
        raise ValueError(
            f"the covariance needs more than {order} points, but there are {count}; cov='unscaled' does not"
        )
    left = vander(x, order)
    if w is not None:
        w = as_array(w) + 0.0
        if w.shape != (count,):
            raise TypeError(f"w must have the shape {(count,)}, but it has {w.shape}")
        left, y = left * w[:, newaxis], y * (w if y.ndim == 1 else w[:, newaxis])
    scale = sqrt(sum_of(left * left, axis=0))
    left = left / scale
    found, squares, rank, values = lstsq(left, y, limit)
    found = found / (scale if y.ndim == 1 else scale[:, newaxis])
    if full:
        return found, squares, rank, values, limit
    found = _warned(found, rank, order)
    if not cov:
        return found
    spread = inv(left.T @ left) / (scale[:, newaxis] * scale)
    if not is_scaled:
        return found, spread if y.ndim == 1 else spread[:, :, newaxis]
    factor = squares / (count - order)
    return found, spread * factor if y.ndim == 1 else spread[:, :, newaxis] * factor


def _warned(found: Any, rank: Any, order: int) -> Any:
    """The coefficients; who makes them warns of a rank that is not full."""
    whole = rechunked(found.expr, Chunks.whole(list(found.shape)))
    meta = empty_meta(found.dtype, found.ndim)
    reads = (tuple(range(found.ndim)), ())
    return wrap(
        mapped(
            warned_of_rank,
            whole,
            rank.expr,
            reads=reads,
            constants=(order,),
            chunks=whole.chunks,
            meta=meta,
            label="polyfit",
        )
    )
