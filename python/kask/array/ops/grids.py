"""Coordinates: grids of them, and what functions make of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels import creation as kernels
from kask.array.kernels.reductions import itself
from kask.array.ops.chunks import normalized
from kask.array.ops.creation import Filled, indexed
from kask.array.ops.filling import cast, shape_of
from kask.engine import Chunks

__all__ = ["fromfunction", "indices", "meshgrid"]


def meshgrid(*xi: Any, sparse: bool = False, indexing: str = "xy", copy: bool = True) -> tuple[Any, ...]:
    """Coordinates of a grid, from those along its axes.

    Parameters
    ----------
    *xi : array
        Along one axis each.
    sparse : bool
        Whether each result has one element along the axes of the others.
    indexing : {"xy", "ij"}
        Whether the first two axes are swapped.
    copy : bool
        Accepted.

    Examples
    --------
    >>> import kask.array as ka
    >>> [x.shape for x in ka.meshgrid(ka.arange(2), ka.arange(3))]
    [(3, 2), (3, 2)]
    """
    from kask.array.ops.reshaping import broadcast_arrays
    from kask.array.ops.slicing import expanded, transposed

    if indexing not in ("xy", "ij"):
        raise ValueError(f"indexing={indexing!r}, but it must be 'xy' or 'ij'")
    ndim = len(xi)
    found = []
    for axis, x in enumerate(xi):
        expr = as_array(x).reshape(-1 if as_array(x).size else 0).expr
        expr = expanded(expr, tuple([place for place in range(ndim) if place != axis]))
        if indexing == "xy" and ndim > 1:
            expr = transposed(expr, (1, 0, *range(2, ndim)))
        found.append(wrap(expr))
    return tuple(found) if sparse else tuple(broadcast_arrays(*found))


def indices(dimensions: Any, dtype: Any = int, chunks: Any = "auto", *, sparse: bool = False) -> Any:
    """The indices of an array: for each of its axes an array of this shape, all in one, or a tuple of them with ``sparse``.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.indices((2, 2), chunks=1).compute()[1]
    array([[0, 1],
           [0, 1]])
    """
    shape, dtype = shape_of(tuple(dimensions)), np.dtype(dtype)
    cut = normalized(chunks, shape, dtype)
    if sparse:
        along = [cast(indexed(itself, (), cut.axis(axis), np.intp, "indices"), dtype) for axis in range(len(shape))]
        from kask.array.ops.slicing import expanded

        places = range(len(shape))
        return tuple([wrap(expanded(e, tuple(p for p in places if p != axis))) for axis, e in enumerate(along)])
    if not shape:
        return wrap(Filled(0, Chunks.whole([0]), np.empty(0, dtype)))
    each = Chunks.normalize([len(shape)], [1], 1, 1)
    return wrap(indexed(kernels.mesh_axis, (dtype,), Chunks.join([each, cut]), dtype, "indices"))


def fromfunction(
    func: Callable[..., Any], chunks: Any = "auto", shape: Any = None, dtype: Any = None, **kwargs: Any
) -> Any:
    """What a function makes of the coordinates of each block.

    Parameters
    ----------
    func : callable
        Called with as many arrays as there are axes, of the block's shape.
    chunks : int, str, tuple or dict
        How the result is cut.
    shape : tuple of int
        The result's shape.
    dtype : data-type, optional
        The type of the coordinates, by default float64.
    **kwargs
        Passed on to the function.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.fromfunction(lambda i, j: i + j, shape=(2, 2), dtype=int, chunks=1).compute()
    array([[0, 1],
           [1, 2]])
    """
    if shape is None:
        raise TypeError("fromfunction() needs shape=")
    shape, dtype = shape_of(shape), np.dtype(float if dtype is None else dtype)
    cut = normalized(chunks, shape, dtype)
    args = (func, dtype, kwargs)
    with np.errstate(all="ignore"):
        sample = kernels.from_indices(*[np.zeros((1,) * len(shape), np.intp)] * len(shape), *args)
    return wrap(indexed(kernels.from_indices, args, cut, np.asarray(sample).dtype, "fromfunction"))
