"""Arrays with some elements taken, left out or put in between: ``take``, ``compress``, ``extract``, ``delete``, ``insert``, ``append``,
``shuffle``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, as_expr, wrap
from kask.array.kernels import edits as kernels
from kask.array.kernels.edits import Places
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import elementwise
from kask.array.ops.filling import cast
from kask.array.ops.indexing import getitem
from kask.array.ops.indexing_fancy import listed
from kask.array.ops.indexing_parse import in_bounds
from kask.array.ops.indexing_within import inserted, removed
from kask.array.ops.joining import concatenated
from kask.array.ops.masks import selected
from kask.array.ops.pieces import spread
from kask.array.ops.reshaping import raveled, with_one_axis
from kask.array.ops.slicing import expanded, sliced, squeezed, transposed
from kask.array.ops.ufunc_calls import replace
from kask.engine import Chunks

__all__ = ["append", "compress", "delete", "extract", "insert", "shuffle", "take"]


def take(a: Any, indices: Any, axis: int | None = 0, mode: str = "raise") -> Any:
    """Elements by their places along an axis.

    Parameters
    ----------
    a : array_like
        Any array.
    indices : array_like of int
        Places; negative ones count from the end. Those of Kask are brought here when the result is computed.
    axis : int or None, optional
        The axis; None takes from all elements in a row. The default is the first axis, as in Dask, where ``numpy.take``, called with an
        array of Kask too, has None.
    mode : {"raise", "wrap", "clip"}
        What to do about places beyond the end.

    Returns
    -------
    Array
        With the axes of ``indices`` in place of the axis.

    Raises
    ------
    IndexError
        A place is beyond the end.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([[1, 2, 3], [4, 5, 6]], chunks=1)
    >>> ka.take(x, [2, 0], axis=1).compute()
    array([[3, 1],
           [6, 4]])
    """
    array, axis = with_one_axis(as_array(a).expr, axis, of_number=True)
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"mode= must be 'raise', 'wrap' or 'clip', not {mode!r}")
    if not isinstance(indices, ArrayBase):
        indices = np.asarray(indices)
        indices = indices.astype(np.intp) if indices.size == 0 else indices
    if indices.dtype.kind not in "iu":
        raise TypeError(f"indices= must be integers, not {indices.dtype}")
    if mode != "raise":
        length = array.shape[axis]
        if isinstance(indices, ArrayBase):
            indices = wrap(elementwise(kernels.of_mode, indices.expr, length, mode))
        else:
            indices = kernels.of_mode(indices, length, mode)
    return wrap(getitem(array, (*(slice(None),) * axis, indices)))


def _numpy_take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Any:
    result = take(a, indices, axis, mode)
    return result if out is None else replace(out, result)


# What ``numpy.take(x, indices)`` calls.
vars(take)["as_in_numpy"] = _numpy_take


def compress(condition: Any, a: Any, axis: int | None = None, out: Any = None) -> Any:
    """The parts along an axis for which a condition holds.

    Parameters
    ----------
    condition : array_like of bool, one axis
        Which of them are kept; may be shorter than the axis.
    a : array_like
        Any array.
    axis : int, optional
        The axis; None takes all elements in a row.
    out : Array, optional
        An array that becomes the result.

    Returns
    -------
    Array
        How long it is along the axis is found while running if the condition is of Kask.

    Raises
    ------
    ValueError
        The condition has not one axis.
    IndexError
        It holds beyond the end.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([[1, 2, 3], [4, 5, 6]], chunks=1)
    >>> ka.compress([True, False, True], x, axis=1).compute()
    array([[1, 3],
           [4, 6]])
    """
    array, axis = with_one_axis(as_array(a).expr, axis)
    result = wrap(_compressed(condition, array, axis))
    return result if out is None else replace(out, result)


def _compressed(condition: Any, array: ArrayExpr, axis: int) -> ArrayExpr:
    if not isinstance(condition, ArrayBase):
        condition = np.asarray(condition)
    if condition.ndim != 1:
        raise ValueError("condition must be a 1-d array")
    length = array.shape[axis]
    if not isinstance(condition, ArrayBase):
        return listed(array, axis, in_bounds(np.flatnonzero(condition), axis, length))
    mask = _truth(condition.expr)
    if mask.shape[0] > length:
        raise ValueError(f"condition has {mask.shape[0]} elements, but axis {axis} has {length}")
    if mask.shape[0] < length:
        taken = [(0, 1, mask.shape[0] if at == axis else n) for at, n in enumerate(array.shape)]
        array = sliced(array, tuple(taken))
    return selected(array, mask, axis, axis)


def _truth(mask: ArrayExpr) -> ArrayExpr:
    return mask if mask.dtype.kind == "b" else elementwise(kernels.truth, mask, dtype=bool)


def extract(condition: Any, arr: Any) -> Any:
    """The elements for which a condition holds, in C order.

    Parameters
    ----------
    condition : array_like
        Where it is not zero the element is taken.
    arr : array_like
        Of the same size.

    Returns
    -------
    Array
        One axis, whose length is found while running if the condition is of Kask.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([[1, 2, 3], [4, 5, 6]], chunks=1)
    >>> ka.extract([[1, 0, 0], [0, 1, 1]], x).compute()
    array([1, 5, 6])
    """
    array = as_array(arr).expr
    if not isinstance(condition, ArrayBase):
        condition = np.asarray(condition).astype(bool)
    if condition.shape == array.shape and array.ndim:
        if isinstance(condition, ArrayBase):
            return wrap(selected(array, _truth(condition.expr), 0, 0))
        return wrap(getitem(array, condition))
    flat = wrap(raveled(condition.expr)) if isinstance(condition, ArrayBase) else condition.reshape(-1)
    return wrap(_compressed(flat, raveled(array), 0))


def _here(obj: Any) -> Any:
    """Places to edit at: they have to be known at once."""
    return obj.compute() if isinstance(obj, ArrayBase) else obj


def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """The array without some of its parts along an axis.

    Parameters
    ----------
    arr : array_like
        Any array.
    obj : int, slice, or array_like of int or bool
        What is left out. An array of Kask is computed at once.
    axis : int, optional
        The axis; None takes all elements in a row.

    Raises
    ------
    IndexError
        A place is beyond the end.
    ValueError
        A mask does not fit the axis.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.delete(ka.from_array([1, 2, 3, 4], chunks=2), [0, 2], axis=0).compute()
    array([2, 4])
    """
    array, axis = with_one_axis(as_array(arr).expr, axis)
    return wrap(removed(array, axis, _delete_places(obj, axis, array.shape[axis])))


def _delete_places(obj: Any, axis: int, length: int) -> Places:
    if isinstance(obj, slice):
        return Places(_ascending(range(*obj.indices(length))))
    given = np.asarray(_here(obj))
    if given.size == 0 and not hasattr(obj, "dtype"):
        given = given.astype(np.intp)
    if given.dtype == bool:
        if given.shape != (length,):
            raise ValueError(
                f"boolean array argument obj to delete must be one dimensional and match the axis length of {length}"
            )
        return Places(np.flatnonzero(given))
    if given.dtype.kind not in "iu":
        raise IndexError("arrays used as indices must be of integer (or boolean) type")
    return Places(np.unique(in_bounds(given, axis, length)))


def _ascending(places: range) -> range:
    return places if places.step > 0 else places[::-1]


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """The array with values put in along an axis.

    Parameters
    ----------
    arr : array_like
        Any array.
    obj : int, slice, or array_like of int or bool
        Before which elements of ``arr`` values are put. An array of Kask is computed at once.
    values : array_like
        What is put there, broadcast and cast as in an assignment.
    axis : int, optional
        The axis; None takes all elements in a row.

    Raises
    ------
    IndexError
        A place is beyond the end.
    ValueError
        ``values`` cannot be broadcast.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.insert(ka.from_array([1, 2, 3, 4], chunks=2), [0, 2], [8, 9], axis=0).compute()
    array([8, 1, 2, 9, 3, 4])
    """
    array, axis = with_one_axis(as_array(arr).expr, axis)
    length = array.shape[axis]
    places = _insert_places(obj, length)
    new = as_expr(values)
    if not isinstance(new, ArrayExpr):
        new = as_array(np.asarray(new)).expr
    if isinstance(places, np.ndarray):
        if places.size == 1:
            new = expanded(new, tuple(range(array.ndim - new.ndim)))
        if places.ndim == 0:
            # A single place takes the first axis of the values for the axis.
            order = [at for at in range(new.ndim) if at != 0]
            new = transposed(new, (*order[:axis], 0, *order[axis:]))
        wrong = (places < -length) | (places > length)
        if wrong.any():
            given = _here(obj) if places.size == 1 else places[wrong][0]
            raise IndexError(f"index {given} is out of bounds for axis {axis} with size {length}")
        places = np.where(places < 0, places + length, places)
        if places.size == 1:
            places = np.full(new.shape[axis], places)
    elif len(places) == 1:
        new = expanded(new, tuple(range(array.ndim - new.ndim)))
        places = np.full(new.shape[axis], places.start)
    shape = (*array.shape[:axis], len(places), *array.shape[axis + 1 :])
    extra = max(0, new.ndim - len(shape))
    padded = (*(1,) * (len(shape) - new.ndim), *new.shape[extra:])
    if math.prod(new.shape[:extra]) != 1 or any(ours not in (1, theirs) for ours, theirs in zip(padded, shape)):
        raise ValueError(
            f"values of shape {new.shape} cannot be put into an array of shape {array.shape} along axis {axis}"
        )
    new = squeezed(new, tuple(range(extra)))
    places, new = _in_order(places, new, axis - len(shape))
    largest = max(1, array.chunks.largest[axis])
    cuts = array.chunks.replace(axis, Chunks.normalize([len(places)], [largest], 1, 1))
    return wrap(inserted(array, axis, Places(places), spread(new, shape, array.dtype, cuts)))


def _in_order(places: Any, values: ArrayExpr, axis: int) -> tuple[Any, ArrayExpr]:
    """Places that ascend, and their values; equal places stay in order. The axis is counted from the end."""
    is_range = isinstance(places, range)
    if places.step > 0 if is_range else (places[1:] >= places[:-1]).all():
        return places, values
    order = None if is_range else np.argsort(places, kind="stable")
    if -axis <= values.ndim and values.shape[axis] > 1:
        own = axis + values.ndim
        if order is None:
            taken = [(0, 1, length) for length in values.shape]
            taken[own] = (len(places) - 1, -1, len(places))
            values = sliced(values, tuple(taken))
        else:
            values = listed(values, own, order)
    return (places[::-1] if order is None else places[order]), values


def _insert_places(obj: Any, length: int) -> range | np.ndarray:
    if isinstance(obj, slice):
        return range(*obj.indices(length))
    given = np.array(_here(obj))
    if given.dtype == bool:
        if given.ndim != 1:
            raise ValueError("boolean array argument obj to insert must be one dimensional")
        return np.flatnonzero(given)
    if given.ndim > 1:
        raise ValueError("index array argument obj to insert must be one dimensional or scalar")
    if given.size == 0 and not hasattr(obj, "dtype"):
        given = given.astype(np.intp)
    if given.dtype.kind not in "iu":
        raise IndexError("arrays used as indices must be of integer (or boolean) type")
    return given.astype(np.int64)


def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """Two arrays, one after the other.

    Parameters
    ----------
    arr, values : array_like
        Equally long along all axes but ``axis``.
    axis : int, optional
        The axis; None takes all elements of both in a row.

    Raises
    ------
    ValueError
        The shapes do not fit.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.append(ka.from_array([1, 2], chunks=1), [[3], [4]]).compute()
    array([1, 2, 3, 4])
    """
    first, at = with_one_axis(as_array(arr).expr, axis)
    second = raveled(as_array(values).expr) if axis is None else as_array(values).expr
    if first.ndim != second.ndim:
        raise ValueError(
            "all the input array dimensions except for the concatenation axis must match exactly, but along dimension 0, "
            f"the array at index 0 has {first.ndim} dimension(s) and the array at index 1 has {second.ndim} dimension(s)"
        )
    for other, (ours, theirs) in enumerate(zip(first.shape, second.shape)):
        if other != at and ours != theirs:
            raise ValueError(
                "all the input array dimensions except for the concatenation axis must match exactly, but along dimension "
                f"{other}, the array at index 0 has size {ours} and the array at index 1 has size {theirs}"
            )
    dtype = np.result_type(first.dtype, second.dtype)
    return wrap(concatenated([cast(first, dtype), cast(second, dtype)], at))


def shuffle(x: Any, indexer: list[list[int]], axis: int, chunks: str = "auto") -> Any:
    """Parts along an axis in another order, in groups that stay together.

    Parameters
    ----------
    x : array_like
        Any array.
    indexer : list of lists of int
        Groups of places along the axis. Each group is in one chunk of the result; small groups share chunks.
    axis : int
        The axis.
    chunks : "auto"
        Chunks become about as large as the largest of ``x``.

    Raises
    ------
    ValueError
        ``indexer`` is no list of lists, or ``chunks`` something else than "auto".
    IndexError
        A place is beyond the end.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([10, 11, 12, 13, 14, 15], chunks=3)
    >>> y = ka.shuffle(x, [[5, 0], [4, 1, 2]], axis=0)
    >>> y.compute(), y.chunks
    (array([15, 10, 14, 11, 12]), ((2, 3),))
    """
    if chunks != "auto":
        raise ValueError(f"chunks= can only be 'auto', not {chunks!r}")
    array = as_array(x).expr
    axis = np.lib.array_utils.normalize_axis_index(axis, array.ndim)
    if not isinstance(indexer, list | tuple) or not all(
        isinstance(group, list | tuple | np.ndarray) for group in indexer
    ):
        raise ValueError(f"indexer= must be a list of lists of places, not {indexer!r:.100}")
    groups = [np.asarray(group, np.int64) for group in indexer if len(group)]
    places = in_bounds(np.concatenate(groups) if groups else np.zeros(0, np.int64), axis, array.shape[axis])
    along = Chunks([_group_chunks([len(group) for group in groups], max(1, array.chunks.largest[axis]))])
    return wrap(listed(array, axis, places, along))


def _group_chunks(sizes: list[int], most: int) -> list[int]:
    """Chunks of whole groups, one after another."""
    found = [0]
    for size in sizes:
        if found[-1] and found[-1] + size > most:
            found.append(0)
        found[-1] += size
    return found
