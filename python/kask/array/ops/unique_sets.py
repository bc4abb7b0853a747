"""What is made of the different elements of two arrays: unions, intersections, differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels.reductions import itself
from kask.array.kernels.unique_sets import SetOperation, among, either, left_of
from kask.array.node import ArrayExpr
from kask.array.ops.choices import isin
from kask.array.ops.deferring import called_like
from kask.array.ops.elementwise import elementwise
from kask.array.ops.joining import concatenate
from kask.array.ops.mapped import mapped, one_by_one
from kask.array.ops.reductions import reduced
from kask.array.ops.reshaping import raveled
from kask.array.ops.unique import FoundPart, meta_of_found, unique, unique_found
from kask.engine import Chunks

__all__ = ["intersect1d", "setdiff1d", "setxor1d", "union1d"]


def union1d(ar1: Any, ar2: Any) -> Any:
    """The different elements of two arrays together, in order.

    Parameters
    ----------
    ar1, ar2 : array_like
        The arrays; they are flattened.

    Returns
    -------
    Array
        In one block.

    Notes
    -----
    See :func:`unique`; its size is resolved while running.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.union1d(ka.from_array([3, 1], chunks=1), [2, 3]).compute()
    array([1, 2, 3])
    """
    return unique(concatenate([as_array(ar1), as_array(ar2)], axis=None))


def _found(source: ArrayExpr, places: bool = False, equal_nan: bool = True) -> ArrayExpr:
    """One block: the different elements of an array, flattened, and where they are first."""
    return unique_found(raveled(source), None, places, False, equal_nan)


def _paired(operation: SetOperation, ar1: Any, ar2: Any, equal_nan: bool = True) -> tuple[ArrayExpr, Any]:
    """One block: what a set operation makes of the different elements of two arrays; and its meta."""
    sources = [as_array(one).expr for one in (ar1, ar2)]
    nothing = np.empty(0, np.intp)
    meta = operation(*[(meta_of_found(one), nothing, None) for one in sources])[0]
    both = [_found(one, operation.wants_places, equal_nan) for one in sources]
    chunks = Chunks([])
    return mapped(operation, *both, reads=((), ()), chunks=chunks, dtype=meta.dtype, label=operation.__name__), meta


def _part(found: ArrayExpr, part: int, meta: Any) -> Any:
    return wrap(FoundPart(found, part, 0, Chunks([]), meta))


def intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    """The different elements that are in both of two arrays, in order.

    Parameters
    ----------
    ar1, ar2 : array_like
        The arrays; they are flattened.
    assume_unique : bool, optional
        Accepted; different elements are found in any case.
    return_indices : bool, optional
        Whether to give, too, where each of them is first in the one and in the other array.

    Returns
    -------
    Array, or three of them
        In one block.

    Notes
    -----
    The different elements of both arrays have to fit into one task: see :func:`unique`. How many are in both is resolved while running.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.intersect1d(ka.from_array([3, 1, 3], chunks=1), [2, 3]).compute()
    array([3])
    """
    found, meta = _paired(SetOperation("intersect1d", bool(return_indices)), ar1, ar2)
    values = _part(found, 0, meta)
    return (values, *[_part(found, part, np.empty(0, np.intp)) for part in (1, 2)]) if return_indices else values


def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """The different elements of an array that are not in another one, in order.

    Parameters
    ----------
    ar1, ar2 : array_like
        The arrays; they are flattened.
    assume_unique : bool, optional
        That no element of ``ar1`` comes twice; they stay in their order, and in as many blocks as they were in.

    Returns
    -------
    Array

    Notes
    -----
    The different elements of the first array have to fit into one task (see :func:`unique`), unless they are said to be unique. Each block of
    the second one tells which of them it has, and what they tell is put together by a tree.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.setdiff1d(ka.from_array([3, 1, 3, 0], chunks=3), [2, 3]).compute()
    array([0, 1])
    """
    source = as_array(ar1)
    if assume_unique:
        first = wrap(raveled(source.expr))
        return first[wrap(elementwise(np.logical_not, _among(first, as_array(ar2)).expr))]
    found, others = _found(source.expr), as_array(ar2).expr
    axes = tuple(range(others.ndim))
    ones = Chunks.join([one_by_one(blocks) for blocks in others.grid])
    has = mapped(among, others, found, reads=(axes, ()), chunks=ones, dtype=np.bool_)
    tree = reduced(has, _told, either, itself, axes, np.bool_, keepdims=True, label="among")
    left = mapped(left_of, found, tree, reads=((), (("fixed", 0),) * others.ndim), chunks=Chunks([]), dtype=found.dtype)
    return _part(left, 0, meta_of_found(source.expr))


def _among(array: Any, others: Any) -> Any:
    """Which elements of an array are among others; a masked one is if any of the others is masked."""
    data, mask = [], []
    for one in (array, others):
        is_masked = isinstance(one.meta, np.ma.MaskedArray)
        data.append(wrap(elementwise(np.ma.getdata, one.expr)) if is_masked else one)
        mask.append(wrap(elementwise(np.ma.getmaskarray, one.expr)) if is_masked else None)
    ours, theirs = mask
    wanted = data[1] if theirs is None else data[1][~theirs]
    has = called_like(isin, wrap(elementwise(np.isin, data[0].expr, 0, dtype=np.bool_)), data[0], wanted)
    if ours is None:
        return has
    return wrap(elementwise(np.where, ours.expr, False if theirs is None else theirs.any().expr, has.expr))


def _told(block: Any, axes: tuple[int, ...]) -> Any:
    return block


def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """The different elements that are in one of two arrays only, in order.

    Parameters
    ----------
    ar1, ar2 : array_like
        The arrays; they are flattened.
    assume_unique : bool, optional
        That no element of an array comes twice in it. Different elements are found in any case; NaN are all taken for different ones.

    Returns
    -------
    Array
        In one block.

    Notes
    -----
    The different elements of both arrays have to fit into one task: see :func:`unique`. How many are left is resolved while running.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.setxor1d(ka.from_array([3, 1, 3], chunks=1), [2, 3]).compute()
    array([1, 2])
    """
    found, meta = _paired(SetOperation("setxor1d"), ar1, ar2, not assume_unique)
    return _part(found, 0, meta)
