"""Sorts and places in sorted arrays. The largest elements are in ``topk``, sets of elements in ``unique``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from kask import config
from kask.array.base import as_array, wrap
from kask.array.kernels.sorting import Along, Records, WithFields, lexsort_blocks
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.elementwise import unified
from kask.array.ops.lines import by_lines, has_long_lines
from kask.array.ops.mapped import cut_whole, mapped
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reshaping import with_one_axis
from kask.array.ops.sample_sort import sample_sorted
from kask.array.ops.slicing import sliced, squeezed, transposed
from kask.engine import Chunks

__all__ = ["argpartition", "argsort", "lexsort", "partition", "searchsorted", "sort"]


def sampled(array: ArrayExpr, axis: int, wants_places: bool, order: Any = None) -> ArrayExpr | None:
    """The array sorted along an axis by sampling, or where its elements were; None if its lines are not longer than a block may be,
    or elements cannot be told apart field by field."""
    names = array.dtype.names
    kinds = [array.dtype] if names is None else [array.dtype[name] for name in names]
    if names == () or any(kind.hasobject or kind.subdtype or kind.names for kind in kinds):
        return None
    if not array.ndim or not has_long_lines(array, (axis,)):
        return None
    if names is None or order is None:
        return _sampled(array, axis, wants_places)
    first = [order] if isinstance(order, str) else list(order)
    # Fields that are not named tell equal ones apart.
    fields = [*first, *[name for name in names if name not in first]]
    ordered = np.dtype([(name, array.dtype[name]) for name in fields])
    found = _sampled(mapped(WithFields(ordered), array, chunks=array.chunks, dtype=ordered), axis, wants_places)
    return found if wants_places else mapped(WithFields(array.dtype), found, chunks=found.chunks, dtype=array.dtype)


def _sampled(array: ArrayExpr, axis: int, wants_places: bool) -> ArrayExpr:
    if array.ndim == 1:
        return sample_sorted(array, wants_places)
    lines = by_lines(array, (axis,), lambda line: sample_sorted(line, wants_places))
    order = list(range(array.ndim - 1))
    order.insert(axis, array.ndim - 1)
    return transposed(lines, tuple(order))


def _along(array: ArrayExpr, func: Any, axis: int, args: tuple[Any, ...], options: dict[str, Any], dtype: Any) -> Any:
    whole = cut_whole(array, (axis,))
    # Elements stay what they are, places are numbers.
    meta = empty_meta(dtype, array.ndim, array.meta if func in (np.sort, np.partition) else None)
    return wrap(mapped(Along(func, axis, args, options), whole, chunks=whole.chunks, meta=meta, label=func.__name__))


def _options(kind: Any, order: Any, stable: Any, dtype: np.dtype) -> dict[str, Any]:
    """What is said of how to sort, which NumPy checks."""
    named = {"kind": kind, "order": order, "stable": stable}
    options = {name: value for name, value in named.items() if value is not None}
    np.sort(np.zeros(1, dtype if order is not None else float), **options)
    return options


def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """The elements in order along an axis.

    Parameters
    ----------
    a : array_like
        The array.
    axis : int, optional
        The axis; if it is None, the array is flattened first.
    kind : str, optional
        As in ``numpy.sort``.
    order : str or sequence of str, optional
        The fields to compare, of an array with fields.
    stable : bool, optional
        Whether equal elements stay as they were.

    Returns
    -------
    Array

    Notes
    -----
    Tasks have the axis whole; the other axes are cut finer for that where necessary. Where a line along the axis is longer than a block may
    be, it is sorted by sampling (Shi and Schaeffer, Parallel sorting by regular sampling, 1992): its blocks stay as large as they are. More
    than 64 such lines are sorted one in each task.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.sort(ka.from_array([3, 1, 2], chunks=2)).compute()
    array([1, 2, 3])
    """
    array, axis = with_one_axis(as_array(a).expr, axis)
    options = _options(kind, order, stable, array.dtype)
    found = sampled(array, axis, False, order)
    return _along(array, np.sort, axis, (), options, array.dtype) if found is None else wrap(found)


def argsort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """Where the elements are, in their order along an axis.

    Parameters
    ----------
    a : array_like
        The array.
    axis : int, optional
        The axis; if it is None, the array is flattened first.
    kind : str, optional
        As in ``numpy.argsort``.
    order : str or sequence of str, optional
        The fields to compare, of an array with fields.
    stable : bool, optional
        Whether equal elements stay as they were.

    Returns
    -------
    Array of intp

    Notes
    -----
    As for :func:`sort`. Sorting by sampling is always stable.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.argsort(ka.from_array([3, 1, 2], chunks=2)).compute()
    array([1, 2, 0])
    """
    array, axis = with_one_axis(as_array(a).expr, axis, of_number=True)
    options = _options(kind, order, stable, array.dtype)
    found = sampled(array, axis, True, order)
    return _along(array, np.argsort, axis, (), options, np.intp) if found is None else wrap(found)


def _places(kth: Any, array: ArrayExpr, axis: int) -> Any:
    length = array.shape[axis]
    if 0 in array.shape:
        # NumPy has nothing to arrange then, and every place is right.
        np.partition(np.zeros(0), kth)
        return kth
    if length < 1 << 16:
        np.partition(np.zeros(length), kth)
        return kth
    # NumPy's check takes as long as it would take to arrange so many elements.
    places = np.asarray(kth)
    if places.dtype.kind not in "iu":
        np.partition(np.zeros(1), kth)
    outside = places[(places >= length) | (places < -length)]
    if outside.size:
        raise ValueError(f"kth(={outside.ravel()[0]}) out of bounds ({length})")
    return kth


def partition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    """The elements along an axis so arranged that some are where they would be in order, smaller ones before and larger ones after.

    Parameters
    ----------
    a : array_like
        The array.
    kth : int or sequence of int
        The places that have the elements that they would have in order.
    axis : int, optional
        The axis; if it is None, the array is flattened first.
    kind : {"introselect"}, optional
        As in ``numpy.partition``.
    order : str or sequence of str, optional
        The fields to compare, of an array with fields.

    Returns
    -------
    Array

    Notes
    -----
    Lines that are longer than a block may be are sorted: see :func:`sort`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.partition(ka.from_array([3, 1], chunks=1), 0).compute()
    array([1, 3])
    """
    array, axis = with_one_axis(as_array(a).expr, axis)
    _places(kth, array, axis)
    options = {"kind": kind, **({} if order is None else {"order": order})}
    found = sampled(array, axis, False, order)
    return _along(array, np.partition, axis, (kth,), options, array.dtype) if found is None else wrap(found)


def argpartition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    """Where the elements are of an array arranged as by :func:`partition`.

    Parameters
    ----------
    a : array_like
        The array.
    kth : int or sequence of int
        The places that have the elements that they would have in order.
    axis : int, optional
        The axis; if it is None, the array is flattened first.
    kind : {"introselect"}, optional
        As in ``numpy.argpartition``.
    order : str or sequence of str, optional
        The fields to compare, of an array with fields.

    Returns
    -------
    Array of intp

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.argpartition(ka.from_array([3, 1], chunks=1), 0).compute()
    array([1, 0])
    """
    array, axis = with_one_axis(as_array(a).expr, axis)
    _places(kth, array, axis)
    options = {"kind": kind, **({} if order is None else {"order": order})}
    found = sampled(array, axis, True, order)
    return _along(array, np.argpartition, axis, (kth,), options, np.intp) if found is None else wrap(found)


def lexsort(keys: Any, axis: int = -1) -> Any:
    """Where the elements are in their order by several keys, of which the last is the most important one.

    Parameters
    ----------
    keys : sequence of array_like, or array_like
        The keys, of one shape; of an array, the rows.
    axis : int, optional
        The axis to sort along.

    Returns
    -------
    Array of intp

    Notes
    -----
    As for :func:`sort`: lines that are longer than a block may be are sorted by sampling, as records of all keys.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.lexsort((ka.from_array([1, 2, 3], chunks=2), ka.from_array([2, 1, 2], chunks=2))).compute()
    array([1, 0, 2])
    """
    if isinstance(keys, tuple | list):
        arrays = [as_array(key).expr for key in keys]
    else:
        whole = as_array(keys).expr
        arrays = [_row(whole, place) for place in np.arange(whole.shape[0]).tolist()]
    if not arrays:
        raise TypeError("need sequence of keys with len > 0 in lexsort")
    if any(array.shape != arrays[0].shape for array in arrays):
        raise ValueError("all keys need to be the same shape")
    axis = normalize_axis_index(axis, arrays[0].ndim) if arrays[0].ndim else 0
    arrays, _ = unified(arrays)
    by_importance = arrays[::-1]
    kind = np.dtype([(str(place), key.dtype) for place, key in enumerate(by_importance)])
    records = mapped(Records(kind), *by_importance, chunks=arrays[0].chunks, dtype=kind)
    found = sampled(records, axis, True)
    if found is not None:
        return wrap(found)
    largest = max(arrays, key=lambda array: array.dtype.itemsize)
    chunks = cut_whole(largest, (axis,)).chunks if arrays[0].ndim else arrays[0].chunks
    arrays = [rechunked(array, chunks) for array in arrays]
    return wrap(mapped(_Lexsort(axis), *arrays, chunks=chunks, dtype=np.intp, label="lexsort"))


class _Lexsort:
    def __init__(self, axis: int) -> None:
        self.axis = axis

    def __call__(self, *keys: Any) -> Any:
        return np.asarray(lexsort_blocks(*keys, axis=self.axis))

    def __kask_tokenize__(self) -> Any:
        return "lexsort", self.axis


def _row(array: ArrayExpr, place: int) -> ArrayExpr:
    return squeezed(sliced(array, ((place, 1, 1), *[(0, 1, length) for length in array.shape[1:]])), (0,))


def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """Where elements would have to be put into a sorted array so that it stays sorted.

    Parameters
    ----------
    a : array_like
        With one axis, sorted (or ``sorter`` says its order).
    v : array_like
        The elements.
    side : {"left", "right"}, optional
        Whether before or after equal elements.
    sorter : array_like of int, optional
        The places of the elements of ``a`` in their order.

    Returns
    -------
    Array of intp
        Of the shape of ``v``.

    Notes
    -----
    Each block of ``a`` counts how many of its elements lie before; these counts are added. So ``a`` is not gathered. With a ``sorter`` it is, with
    this, if both are no larger than a block may be; otherwise blocks are sorted, and what the ``sorter`` says is not looked at.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.searchsorted(ka.from_array([1, 3, 5], chunks=2), ka.from_array([0, 3, 9], chunks=2)).compute()
    array([0, 1, 3])
    """
    from kask.array.ops.mapped import one_by_one
    from kask.array.ops.statistics import rows_added

    array, wanted = as_array(a).expr, as_array(v).expr
    if array.ndim != 1:
        raise ValueError(f"a must have one axis, but its shape is {array.shape}")
    if side not in ("left", "right"):
        raise ValueError(f"search side must be 'left' or 'right' (got {side!r})")
    axes = tuple(range(wanted.ndim))
    if sorter is not None:
        order = as_array(sorter).expr
        if order.dtype.kind not in "iu":
            raise TypeError("sorter must only contain integers")
        if order.shape != array.shape:
            raise ValueError("sorter.size must equal a.size")
        held_bytes = array.shape[0] * (array.dtype.itemsize + order.dtype.itemsize)
        if array.grid[0] == 1 or held_bytes <= int(config.get("array.chunk_size_bytes")):
            arrays = [rechunked(one, Chunks.whole(list(one.shape))) for one in (array, order)]
            func = _SearchSorted(side)
            reads: tuple[Any, ...] = (axes, (("fixed", 0),), (("fixed", 0),))
            return wrap(
                mapped(func, wanted, *arrays, reads=reads, chunks=wanted.chunks, dtype=np.intp, label="searchsorted")
            )
        # How many elements lie before does not depend on where they are.
        array = mapped(np.sort, array, chunks=array.chunks, dtype=array.dtype)
    if array.grid[0] == 1:
        reads = (axes, (("fixed", 0),))
        func = _SearchSorted(side)
        return wrap(mapped(func, wanted, array, reads=reads, chunks=wanted.chunks, dtype=np.intp, label="searchsorted"))
    chunks = Chunks.join([one_by_one(array.grid[0]), wanted.chunks])
    reads = (tuple([axis + 1 for axis in axes]), (0,))
    rows = mapped(_SearchSorted(side, True), wanted, array, reads=reads, chunks=chunks, dtype=np.intp, label="search")
    return wrap(rows_added(rows, None, "searchsorted"))


class _SearchSorted:
    def __init__(self, side: Any, is_row: bool = False) -> None:
        self.side, self.is_row = side, is_row

    def __call__(self, wanted: Any, array: Any, sorter: Any = None) -> Any:
        found = np.asarray(np.searchsorted(array, wanted, self.side, sorter))
        return found[None] if self.is_row else found

    def __kask_tokenize__(self) -> Any:
        return "searchsorted", self.side, self.is_row
