"""Elements by their places along an axis, other ones in each line: ``take_along_axis``, ``put_along_axis``; and ``ix_``."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.kernels import edits as kernels
from kask.array.node import ArrayExpr
from kask.array.ops.mapped import cut_whole, mapped
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reshaping import reshaped
from kask.engine import Chunks

__all__ = ["ix_", "put_along_axis", "take_along_axis"]


def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """Elements by their places along an axis, other ones in each line: what ``argsort`` and the like give places for.

    Parameters
    ----------
    arr : array_like
        Any array.
    indices : array_like of int
        As many axes as ``arr``; it broadcasts with it along the others. Negative ones count from the end.
    axis : int or None, optional
        The axis; None takes from all elements in a row, and ``indices`` has one axis.

    Returns
    -------
    Array
        Of the shape that ``indices`` and ``arr`` without the axis have together.

    Raises
    ------
    ValueError
        Numbers of axes or lengths that do not fit.
    IndexError
        No integers; when it is computed: a place beyond the end.

    Notes
    -----
    A task holds whole lines of ``arr`` along the axis, as many as fit into a block, one at least.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([[3, 1, 2], [6, 5, 4]], chunks=(1, 2))
    >>> ka.take_along_axis(x, ka.argmin(x, axis=1, keepdims=True), axis=1).compute()
    array([[1],
           [4]])
    """
    array, places = as_array(arr).expr, as_array(indices).expr
    if axis is None:
        array, axis = reshaped(array, (int(np.prod(array.shape)),)), 0
    axis = _checked(array, places, axis)
    array = cut_whole(array, (axis,))
    cuts = [
        array.chunks.axis(at) if at != axis and places.shape[at] == length else places.chunks.axis(at)
        for at, length in enumerate(array.shape)
    ]
    places = rechunked(places, Chunks.join(cuts))
    out = [
        places.chunks.axis(at) if at == axis or array.shape[at] == 1 else array.chunks.axis(at)
        for at in range(array.ndim)
    ]
    chunks = Chunks.join(out)
    reads = tuple([_stretched(one, chunks, axis if one is array else None) for one in (array, places)])
    found = mapped(np.take_along_axis, array, places, reads=reads, constants=(axis,), chunks=chunks, meta=array.meta)
    return wrap(found)


def _checked(array: ArrayExpr, places: ArrayExpr, axis: Any) -> int:
    """The axis, not negative, of arrays that fit."""
    if places.dtype.kind not in "iu":
        raise IndexError(f"indices must be an array of integers, not of {places.dtype}")
    axis = np.lib.array_utils.normalize_axis_index(axis, array.ndim)
    if places.ndim != array.ndim:
        raise ValueError(f"indices have {places.ndim} axes, but the array has {array.ndim}: they must have as many")
    for at, (ours, theirs) in enumerate(zip(array.shape, places.shape)):
        if at != axis and ours != theirs and 1 not in (ours, theirs):
            raise ValueError(
                f"indices of shape {places.shape} do not broadcast with an array of shape {array.shape} along axis {at}"
            )
    return axis


def _stretched(array: ArrayExpr, chunks: Chunks, whole: int | None) -> tuple[Any, ...]:
    """How an array is read that is in one block along an axis, and stretched along those where it has one element."""
    skipped = chunks.ndim - array.ndim
    return tuple(
        [
            ("fixed", 0) if at + skipped == whole or length != chunks.shape[at + skipped] else at + skipped
            for at, length in enumerate(array.shape)
        ]
    )


def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    """Puts values at places along an axis, other ones in each line; in place.

    Parameters
    ----------
    arr : Array
        What is changed.
    indices : array_like of int
        As for :func:`take_along_axis`.
    values : array_like
        They are broadcast to the shape of the places. Of several at one place the last one stays.
    axis : int or None
        The axis; None counts all elements in a row.

    Raises
    ------
    TypeError
        ``arr`` is not an array of Kask.
    ValueError
        Numbers of axes or lengths that do not fit.
    IndexError
        No integers; when it is computed: a place beyond the end.

    Notes
    -----
    A task holds whole lines of ``arr`` along the axis, as many as fit into a block, one at least, and their places and values.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([[3, 1, 2], [6, 5, 4]], chunks=(1, 2))
    >>> ka.put_along_axis(x, ka.argmin(x, axis=1, keepdims=True), 0, axis=1)
    >>> x.compute()
    array([[3, 0, 2],
           [6, 5, 0]])
    """
    if not isinstance(arr, ArrayBase):
        raise TypeError(f"put_along_axis() changes a Kask array, got {type(arr).__name__}")
    given, places, new = arr.expr, as_array(indices).expr, as_array(values).expr
    array = given if axis is not None else reshaped(given, (int(np.prod(given.shape)),))
    axis = _checked(array, places, 0 if axis is None else axis)
    array = cut_whole(array, (axis,))
    shape = [max(one) if 0 not in one else 0 for one in zip(array.shape, places.shape)]
    shape[axis] = places.shape[axis]
    if np.broadcast_shapes(new.shape, tuple(shape)) != tuple(shape):
        raise ValueError(f"values of shape {new.shape} do not broadcast to the places' shape {tuple(shape)}")
    others = [_lines(one, array, axis) for one in (places, new)]
    reads = tuple([_stretched(one, array.chunks, axis) for one in (array, *others)])
    put = mapped(
        kernels.put_along_axis, array, *others, reads=reads, constants=(axis,), chunks=array.chunks, meta=array.meta
    )
    arr.expr = rechunked(put if array.shape == given.shape else reshaped(put, given.shape), given.chunks)


def _lines(array: ArrayExpr, like: ArrayExpr, axis: int) -> ArrayExpr:
    """Places or values cut as an array is, and whole along an axis and where the array is stretched."""
    skipped = like.ndim - array.ndim
    cuts = [
        like.chunks.axis(at + skipped)
        if at + skipped != axis and length == like.shape[at + skipped]
        else Chunks.whole([length])
        for at, length in enumerate(array.shape)
    ]
    return rechunked(array, Chunks.join(cuts)) if cuts else array


def ix_(*args: Any) -> tuple[Any, ...]:
    """Places along each of several axes, as indices of all their combinations: ``x[ix_([0, 2], [1, 3])]`` has two rows and two columns.

    Parameters
    ----------
    *args : array_like of int or bool
        Of one axis each. Where one is true or false, these are the places where it is true.

    Returns
    -------
    tuple of arrays
        Each with as many axes as there are arguments. Those of arrays in memory are NumPy's.

    Raises
    ------
    ValueError
        An argument that has not one axis.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], chunks=2)
    >>> x[ka.ix_([0, 2], ka.asarray([True, False, True]))].compute()
    array([[1, 3],
           [7, 9]])
    """
    found = []
    for at, arg in enumerate(args):
        if not isinstance(arg, ArrayBase):
            arg = np.asarray(arg)
            arg = arg if arg.size else arg.astype(np.intp)
        if arg.ndim != 1:
            raise ValueError(f"ix_() takes arrays of one axis, but number {at} has {arg.ndim}")
        places: Any = arg.nonzero()[0] if arg.dtype == np.bool_ else arg
        found.append(places[(*(None,) * at, slice(None), *(None,) * (len(args) - at - 1))])
    return tuple(found)
