"""A function of each block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, wrap
from kask.array.ops.blockwise import _cut_where_possible, _Labelled, _Result
from kask.array.ops.chunk_runs import is_nan
from kask.base import is_kask_collection
from kask.delayed import Delayed

__all__ = ["map_blocks"]


def map_blocks(
    func: Callable[..., Any],
    *args: Any,
    name: str | None = None,
    token: str | None = None,
    dtype: Any = None,
    chunks: Any = None,
    drop_axis: Any = None,
    new_axis: Any = None,
    enforce_ndim: bool = False,
    meta: Any = None,
    **kwargs: Any,
) -> Any:
    """A function of each block.

    A block is read-only, unless the same task made it for the function: who writes to it begins with ``block = kask.writable(block)``.

    Parameters
    ----------
    func : callable
        Called once for each block of the result. If it has a parameter ``block_id`` it gets the position of the block; if it has
        ``block_info``, what is known of the block of each argument (by number) and of the result (under None): ``shape``,
        ``num-chunks``, ``array-location``, ``chunk-location``, and for the result ``chunk-shape`` and ``dtype``.
    *args
        Arrays, lined up at the right, and anything else, which each call gets as it is; of what is delayed each call gets the value,
        and ``dtype`` or ``meta`` must be said. Arrays that are equally long along an axis are
        cut alike; of others the numbers of blocks must be equal, or 1.
    name : str, optional
        The name of the result, which must be unique; ``token`` is only how it begins.
    dtype, meta : optional
        Of the result; by default found out by calling the function with blocks of no elements, or of ones.
    chunks : tuple, optional
        For each axis of the result the sizes of its chunks, or the one size that all have. Needed where a block has another shape than the
        argument's. NaN says that sizes are not known before the function is called: they are found while it is computed.
    drop_axis : int or iterable of int, optional
        Axes that the function removes; it gets all blocks along them put together.
    new_axis : int or iterable of int, optional
        Axes that the function adds; of one element, unless ``chunks`` says otherwise.
    enforce_ndim : bool, optional
        Blocks are always checked to have the shape that was said.
    **kwargs
        Further arguments of the function. Arrays among them are passed whole.

    Returns
    -------
    Array

    Raises
    ------
    ValueError
        Arrays whose blocks do not match, axes that are not there; while computing, blocks that have not the shape that was said.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.arange(6, chunks=3)
    >>> x.map_blocks(lambda block: block[::-1]).compute()
    array([2, 1, 0, 5, 4, 3])
    >>> x.map_blocks(lambda block, block_id: block * 0 + block_id[0]).compute()
    array([0, 0, 0, 1, 1, 1])
    >>> x.map_blocks(lambda block: block[block % 2 == 1], chunks=(float("nan"),)).sum().compute()
    np.int64(9)
    """
    values = list(args)
    arrays = []
    for place, arg in enumerate(args):
        if isinstance(arg, ArrayBase):
            arrays.append(_Labelled(arg.expr, tuple(range(arg.ndim))[::-1], place))
            values[place] = None
        elif is_kask_collection(arg) and not isinstance(arg, Delayed):
            raise TypeError(f"argument {place} is a {type(arg).__name__}: compute it before, or make an array of it")
    ndim = max([array.expr.ndim for array in arrays], default=0)
    chunks = _as_tuple(chunks)
    labels = list(range(ndim))[::-1]
    dropped = _normal_axes(drop_axis, ndim, "drop_axis")
    labels = [label for axis, label in enumerate(labels) if axis not in dropped]
    if new_axis is None and chunks is not None and len(chunks) > len(labels):
        new_axis = range(len(chunks) - len(labels))
    added = _normal_axes(new_axis, len(labels) + len(_as_list(new_axis)), "new_axis")
    new_axes: dict[Any, Any] = {}
    for axis in sorted(added):
        label = ndim + len(new_axes)
        labels.insert(axis, label)
        new_axes[label] = chunks[axis] if chunks is not None else 1
    if chunks is not None and len(chunks) != len(labels):
        raise ValueError(f"chunks= are for {len(chunks)} axes, but the result has {len(labels)}")
    adjust = {} if chunks is None else {label: one for label, one in zip(labels, chunks) if label not in new_axes}
    ready, along = _cut_where_possible(arrays, chunks is not None)
    result = _Result(tuple(labels), along, new_axes, adjust)
    return wrap(result.expr(func, values, ready, kwargs, dtype, meta, True, token, name))


def _as_tuple(chunks: Any) -> tuple[Any, ...] | None:
    if chunks is None:
        return None
    return (chunks,) if isinstance(chunks, int | np.integer) or is_nan(chunks) else tuple(chunks)


def _as_list(axes: Any) -> list[int]:
    if axes is None:
        return []
    return [int(axes)] if isinstance(axes, int | np.integer) else [int(axis) for axis in axes]


def _normal_axes(axes: Any, ndim: int, what: str) -> list[int]:
    """Axes without negative numbers."""
    found = []
    for axis in _as_list(axes):
        if not -ndim <= axis < ndim:
            raise ValueError(f"{what}= names the axis {axis}, but there are only {ndim}")
        found.append(axis % ndim)
    if len(set(found)) != len(found):
        raise ValueError(f"{what}={axes!r} names an axis twice")
    return found
