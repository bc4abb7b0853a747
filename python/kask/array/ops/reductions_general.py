"""``reduction``: what users reduce with functions of their own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.base import as_array
from kask.array.kernels.general import GeneralAggregate, GeneralCombine, GeneralPart
from kask.array.ops.reductions import aligned, into, normal_axes, reduced

__all__ = ["reduction"]


def reduction(
    x: Any,
    chunk: Callable[..., Any],
    aggregate: Callable[..., Any],
    axis: Any = None,
    keepdims: bool = False,
    dtype: Any = None,
    split_every: Any = None,
    combine: Callable[..., Any] | None = None,
    name: str | None = None,
    out: Any = None,
    concatenate: bool = True,
    output_size: int = 1,
    meta: Any = None,
    weights: Any = None,
) -> Any:
    """A reduction made of functions of blocks.

    Parameters
    ----------
    x : array_like
        The array.
    chunk : callable(block, axis, keepdims)
        Called for each block with a tuple of axes and ``keepdims=True``. It may give anything that the other functions understand.
    aggregate : callable(block, axis, keepdims)
        Makes the result of what is left at the end of the tree.
    axis : int or tuple of int, optional
        The axes to reduce; all of them if nothing is said.
    keepdims : bool, optional
        Whether reduced axes stay; passed to ``aggregate``.
    dtype : data-type, optional
        The result's; passed to functions that take ``dtype``. Without it, what the functions make of an array of one element says it.
    split_every : int or dict of int, optional
        How many blocks, in all or along each axis, one task combines.
    combine : callable(block, axis, keepdims), optional
        Called in the tree with ``keepdims=True``; by default ``aggregate``.
    name : str, optional
        What keys begin with.
    out : Array, optional
        An array of the result's shape, which becomes the result.
    concatenate : bool, optional
        Whether ``combine`` and ``aggregate`` get one array (or a dict or tuple of arrays) rather than (nested) lists of what the functions before gave.
    output_size : int, optional
        With ``keepdims``: how many elements ``aggregate`` leaves along each reduced axis.
    meta : array_like, optional
        An array of the result's kind and type.
    weights : array_like, optional
        Broadcast to ``x``; each ``chunk`` gets its part as ``weights``.

    Returns
    -------
    Array

    Examples
    --------
    >>> import numpy as np, kask.array as ka
    >>> ka.reduction(ka.from_array(np.arange(10), chunks=3), chunk=np.sum, aggregate=np.sum, dtype=int).compute()
    np.int64(45)
    """
    array = as_array(x).expr
    axes = normal_axes(axis, array.ndim)
    if dtype is None and meta is not None:
        dtype = getattr(meta, "dtype", None)
    others: tuple[Any, ...] = ()
    if weights is not None:
        array, *rest = aligned(array, as_array(weights).expr)
        others = tuple(rest)
    typed = {} if dtype is None else {"dtype": np.dtype(dtype)}
    part = GeneralPart(chunk, _taken(chunk, typed))
    merge = combine or aggregate
    combining = GeneralCombine(merge, _taken(merge, typed), axes, concatenate)
    finishing = GeneralAggregate(aggregate, _taken(aggregate, typed), axes, concatenate, keepdims)
    if dtype is None:
        ones = [np.ones((1,) * other.ndim, other.dtype) for other in (array, *others)]
        dtype = np.asarray(finishing([part((0,) * array.ndim, ones[0], axes, *ones[1:])])).dtype
    label = str(name or getattr(aggregate, "__name__", "reduction")).strip("_<>")
    tree = reduced(
        array,
        part,
        combining,
        finishing,
        axes,
        dtype,
        keepdims=keepdims,
        split_every=split_every,
        label=label,
        others=others,
        place="position",
        output_size=output_size if keepdims else 1,
        of_list=True,
    )
    return into(out, tree)


def _taken(func: Callable[..., Any], typed: dict[str, Any]) -> dict[str, Any]:
    """``typed``, if the function takes it."""
    try:
        return typed if "dtype" in inspect.signature(func).parameters else {}
    except (TypeError, ValueError):
        return {}
