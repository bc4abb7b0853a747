"""Counts: ``bincount``, ``digitize``. Histograms are in ``histograms``, covariances in ``correlation``."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels.reductions import Combine, Finished, Part
from kask.array.kernels.statistics import bincount_block, bincount_size
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import unified
from kask.array.ops.mapped import mapped, one_by_one
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reductions import reduced
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
    The largest number says how long the result is: it is computed at once.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.bincount(ka.from_array([0, 2, 2, 3], chunks=2)).compute()
    array([1, 0, 2, 1])
    """
    from kask.array.ops.reductions_basic import max as largest_of
    from kask.array.ops.reductions_basic import min as smallest_of

    array = as_array(x).expr
    minlength = operator.index(minlength)
    if array.ndim != 1:
        raise ValueError(f"x must have one axis, but its shape is {array.shape}")
    if minlength < 0:
        raise ValueError("'minlength' must not be negative")
    np.bincount(np.zeros(1, array.dtype))
    if array.shape[0]:
        ends = largest_of(wrap(array)).expr, smallest_of(wrap(array)).expr
        # The size of the result is only known when these have been computed.
        size = mapped(bincount_size, *ends, reads=((), ()), chunks=Chunks([]), dtype=np.intp)
        length = max(minlength, int(wrap(size).compute()))
    else:
        length = minlength
    kind: Any = np.intp
    arrays = [array]
    if weights is not None:
        heavy = as_array(weights).expr
        if heavy.shape != array.shape:
            raise ValueError("The weights and list don't have the same length.")
        np.bincount(np.zeros(1, np.intp), np.ones(1, heavy.dtype))
        arrays, _ = unified([array, heavy])
        kind = np.float64
    chunks = Chunks.join([one_by_one(arrays[0].grid[0]), Chunks.whole([length])])
    rows = mapped(
        _Bincount(length, weights is not None),
        *arrays,
        reads=((0,),) * len(arrays),
        chunks=chunks,
        dtype=kind,
        label="bincount-part",
    )
    return wrap(rows_added(rows, split_every, "bincount"))


class _Bincount:
    def __init__(self, size: int, has_weights: bool) -> None:
        self.size, self.has_weights = size, has_weights

    def __call__(self, block: Any, weights: Any = None) -> Any:
        return bincount_block(block, weights, self.size)

    def __kask_tokenize__(self) -> Any:
        return "bincount", self.size, self.has_weights


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


def _digitized(block: Any, bins: Any, right: bool) -> Any:
    return np.asarray(np.digitize(block, bins, right))
