"""The largest and the smallest elements."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from kask import config
from kask.array.base import as_array, wrap
from kask.array.kernels.sorting import TopCombine, TopFinish, TopPart
from kask.array.node import ArrayExpr
from kask.array.ops.reductions import reduced
from kask.array.ops.shaping import flip
from kask.array.ops.sorting import sampled

__all__ = ["argtopk", "topk"]


def _top(a: Any, k: Any, axis: Any, split_every: Any, wants_places: bool) -> Any:
    array = as_array(a).expr
    axis = normalize_axis_index(operator.index(axis), array.ndim)
    k = operator.index(k)
    if k == 0:
        raise ValueError("k= must not be 0: with k > 0 the largest elements are given, with k < 0 the smallest")
    length = array.shape[axis]
    size = min(abs(k), length)
    found = _of_sorted(array, k < 0, size, axis, wants_places)
    if found is not None:
        return found
    part = TopPart(k, axis, wants_places)
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


def _of_sorted(array: ArrayExpr, smallest: bool, size: int, axis: int, wants_places: bool) -> Any:
    """The first elements of the array sorted by sampling, or where they are; None if a block may hold so many, or the whole line."""
    if size * array.dtype.itemsize <= int(config.get("array.chunk_size_bytes")):
        return None
    first: tuple[Any, ...] = (slice(None),) * axis + (slice(size),)
    if smallest:
        found = sampled(array, axis, wants_places)
        return None if found is None else wrap(found)[first]
    # Of equal elements the first comes first also backwards.
    found = sampled(flip(wrap(array), axis).expr, axis, wants_places)
    if found is None:
        return None
    largest = flip(wrap(found), axis)[first]
    return array.shape[axis] - 1 - largest if wants_places else largest


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
    holds ``k`` elements of each block that it combines. If that is more than a block may hold, lines that are longer than that are sorted
    as a whole: see :func:`sort`.

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
    holds ``k`` elements of each block that it combines. If that is more than a block may hold, lines that are longer than that are sorted
    as a whole: see :func:`sort`.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([5, 1, 3, 6], chunks=2)
    >>> ka.argtopk(x, 2).compute(), ka.argtopk(x, -2).compute()
    (array([3, 0]), array([1, 2]))
    """
    return _top(a, k, axis, split_every, True)
