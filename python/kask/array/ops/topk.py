"""The largest and the smallest elements."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from kask.array.base import as_array, wrap
from kask.array.kernels.sorting import TopCombine, TopFinish, TopPart
from kask.array.ops.reductions import reduced

__all__ = ["argtopk", "topk"]


def _top(a: Any, k: Any, axis: Any, split_every: Any, wants_places: bool) -> Any:
    array = as_array(a).expr
    axis = normalize_axis_index(operator.index(axis), array.ndim)
    k = operator.index(k)
    if k == 0:
        raise ValueError("k= must not be 0: with k > 0 the largest elements are given, with k < 0 the smallest")
    part = TopPart(k, axis, wants_places)
    size = min(abs(k), array.shape[axis])
    kind = np.dtype(np.intp) if wants_places else array.dtype
    tree = reduced(
        array,
        part,
        TopCombine(part),
        TopFinish(wants_places),
        (axis,),
        kind,
        keepdims=True,
        split_every=split_every,
        bytes_each=(array.dtype.itemsize + 8) * max(1, size),
        place="start",
        output_size=size,
    )
    return wrap(tree)


def topk(a: Any, k: int, axis: int = -1, split_every: Any = None) -> Any:
    """The largest elements along an axis, the largest first; or the smallest, the smallest first.

    Parameters
    ----------
    a : array_like
        The array.
    k : int
        How many; if it is negative, so many of the smallest.
    axis : int, optional
        The axis.
    split_every : int, optional
        How many blocks one task combines.

    Returns
    -------
    Array
        With ``abs(k)`` elements along the axis, or as many as there are.

    Raises
    ------
    ValueError
        ``k`` is 0.

    Notes
    -----
    Each block is sorted (merge sort, so that of equal elements the first come first) and keeps ``k`` elements; a tree merges these. A task
    holds ``k`` elements of each block that it combines.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([5, 1, 3, 6], chunks=2)
    >>> ka.topk(x, 2).compute(), ka.topk(x, -2).compute()
    (array([6, 5]), array([1, 3]))
    """
    return _top(a, k, axis, split_every, False)


def argtopk(a: Any, k: int, axis: int = -1, split_every: Any = None) -> Any:
    """Where the largest elements along an axis are, the largest first; or the smallest. Of equal elements the first comes first.

    Parameters
    ----------
    a : array_like
        The array.
    k : int
        How many; if it is negative, so many of the smallest.
    axis : int, optional
        The axis.
    split_every : int, optional
        How many blocks one task combines.

    Returns
    -------
    Array of intp
        With ``abs(k)`` elements along the axis, or as many as there are.

    Raises
    ------
    ValueError
        ``k`` is 0.

    Notes
    -----
    Each block is sorted (merge sort, so that of equal elements the first come first) and keeps ``k`` elements; a tree merges these. A task
    holds ``k`` elements of each block that it combines.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([5, 1, 3, 6], chunks=2)
    >>> ka.argtopk(x, 2).compute(), ka.argtopk(x, -2).compute()
    (array([3, 0]), array([1, 2]))
    """
    return _top(a, k, axis, split_every, True)
