"""Counts: ``bincount``, ``digitize``. Histograms are in ``histograms``, covariances in ``correlation``."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels.random import Constant
from kask.array.kernels.reductions import Combine, Finished, Part, itself
from kask.array.kernels.statistics import Counts, counts_added
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import elementwise, unified
from kask.array.ops.mapped import mapped
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reductions import reduced
from kask.array.ops.staged import Staged
from kask.engine import Chunks

__all__ = ["bincount", "digitize"]


def rows_added(rows: ArrayExpr, split_every: Any, label: str) -> ArrayExpr:
    """The sum of the rows of an array with a row in each block."""
    return reduced(
        rows,
        Part(np.sum, {}),
        Combine(np.sum, (0,), {}),
        Finished(None, None, rows.dtype, label),
        (0,),
        rows.dtype,
        split_every=split_every,
    )


def bincount(x: Any, weights: Any = None, minlength: int = 0, split_every: Any = None) -> Any:
    """How often each number occurs.

    Parameters
    ----------
    x : array_like
        With one axis, of integers that are not negative.
    weights : array_like, optional
        What each element counts, of the shape of ``x``.
    minlength : int, optional
        The least number of elements of the result.
    split_every : int, optional
        How many blocks one task combines.

    Returns
    -------
    Array
        Of one element more than the largest number, in one block.

    Raises
    ------
    ValueError, TypeError
        Something else than one axis of integers that are not negative.

    Notes
    -----
    Each block is counted, and a tree adds the counts. How long the result is, is resolved while running: the numbers are read once.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.bincount(ka.from_array([0, 2, 2, 3], chunks=2)).compute()
    array([1, 0, 2, 1])
    """
    array = as_array(x).expr
    minlength = operator.index(minlength)
    if array.ndim != 1:
        raise ValueError(f"x must have one axis, but its shape is {array.shape}")
    if minlength < 0:
        raise ValueError("'minlength' must not be negative")
    np.bincount(np.zeros(1, array.dtype))
    kind: Any = np.intp
    arrays = [array]
    if weights is not None:
        heavy = as_array(weights).expr
        if heavy.shape != array.shape:
            raise ValueError("The weights and list don't have the same length.")
        np.bincount(np.zeros(1, np.intp), np.ones(1, heavy.dtype))
        arrays, _ = unified([array, heavy])
        kind = np.float64
    array, *others = arrays
    counts = reduced(
        array,
        Counts(minlength),
        counts_added,
        itself,
        (0,),
        kind,
        keepdims=True,
        split_every=split_every,
        label="bincount",
        others=tuple(others),
    )
    return wrap(Staged(counts, 0, 1, Chunks([]), np.empty(0, kind)))


def digitize(a: Any, bins: Any, right: bool = False) -> Any:
    """In which bin each element is.

    Parameters
    ----------
    a : array_like
        The elements.
    bins : array_like
        Edges of bins, rising or falling. They are one block in each task.
    right : bool, optional
        Whether bins include their right edge rather than their left one.

    Returns
    -------
    Array of intp
        Of the shape of ``a``.

    Raises
    ------
    ValueError
        Bins of more than one axis, or neither rising nor falling.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.digitize(ka.from_array([0.2, 6.4, 3.0], chunks=2), [0.0, 1.0, 4.0]).compute()
    array([1, 3, 2])
    """
    array, edges = as_array(a).expr, as_array(bins).expr
    if np.issubdtype(array.dtype, np.complexfloating):
        raise TypeError("x may not be complex")
    if edges.ndim != 1:
        raise ValueError(f"bins= must have one axis, but its shape is {edges.shape}")
    if isinstance(bins, np.ndarray | list | tuple):
        np.digitize(np.empty(0), np.asarray(bins), right)
        return wrap(elementwise(_digitized_by, array, Constant(np.asarray(bins)), bool(right), dtype=np.intp))
    whole = rechunked(edges, Chunks.whole(list(edges.shape)))
    return wrap(
        mapped(
            _digitized,
            array,
            whole,
            reads=(tuple(range(array.ndim)), (("fixed", 0),)),
            constants=(bool(right),),
            chunks=array.chunks,
            dtype=np.intp,
            label="digitize",
        )
    )


def _digitized_by(block: Any, bins: Constant, right: bool) -> Any:
    return _digitized(block, bins.array, right)


def _digitized(block: Any, bins: Any, right: bool) -> Any:
    return np.asarray(np.digitize(block, bins, right))
