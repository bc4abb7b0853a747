"""Masked arrays: ``kask.array.ma`` has the functions of ``numpy.ma``. Blocks of such arrays are masked arrays of NumPy.

Computing gives a ``numpy.ma.MaskedArray``. Operators and ufuncs of masked arrays keep masks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.kernels import masked as kernels
from kask.array.ops.masking import (
    _number,
    fix_invalid,
    masked_array,
    masked_equal,
    masked_greater,
    masked_greater_equal,
    masked_inside,
    masked_invalid,
    masked_less,
    masked_less_equal,
    masked_not_equal,
    masked_outside,
    masked_values,
    masked_where,
)
from kask.array.ops.moments import mean
from kask.array.ops.products import dot
from kask.array.ops.ufunc_calls import call_ufunc, elementwise_of, ufunc_reduce

__all__ = [
    "average",
    "count",
    "empty_like",
    "filled",
    "fix_invalid",
    "getdata",
    "getmaskarray",
    "masked_array",
    "masked_equal",
    "masked_greater",
    "masked_greater_equal",
    "masked_inside",
    "masked_invalid",
    "masked_less",
    "masked_less_equal",
    "masked_not_equal",
    "masked_outside",
    "masked_values",
    "masked_where",
    "nonzero",
    "ones_like",
    "set_fill_value",
    "where",
    "zeros_like",
]


def filled(a: Any, fill_value: Any = None) -> Any:
    """An array without masks, with a value in the places of masked elements.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.filled(ka.ma.masked_equal(ka.arange(3), 1), 9).compute()
    array([0, 9, 2])
    """
    return wrap(elementwise_of(np.ma.filled, a, fill_value))


def dot_of_unmasked(a: Any, b: Any) -> Any:
    """What the method ``dot`` gives of masked arrays: masked where no product of two elements that are not masked is in a sum."""
    counts = dot(*[(~getmaskarray(one)).astype(np.intp) for one in (a, b)])
    return masked_array(dot(filled(a, 0), filled(b, 0)), mask=counts == 0)


def getdata(a: Any) -> Any:
    """An array without its mask: what is under it included.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.getdata(ka.ma.masked_equal(ka.arange(3), 1)).compute()
    array([0, 1, 2])
    """
    return wrap(elementwise_of(np.ma.getdata, as_array(a)))


def getmaskarray(a: Any) -> Any:
    """Where an array is masked.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.getmaskarray(ka.arange(2)).compute()
    array([False, False])
    """
    return wrap(elementwise_of(np.ma.getmaskarray, as_array(a)))


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """Elements of ``x`` where a condition is true, of ``y`` where it is false, and masked where it is masked.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.ma.masked_equal(ka.arange(3), 1)
    >>> ka.ma.filled(ka.ma.where(x > 1, x, 5), 9).compute()
    array([5, 9, 2])
    """
    if x is None and y is None:
        return nonzero(condition)
    if x is None or y is None:
        raise ValueError("where() takes both x and y, or none of them")
    return wrap(elementwise_of(np.ma.where, condition, x, y))


def nonzero(a: Any) -> Any:
    """Where elements are neither zero nor masked: an array of places for each axis.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.ma.masked_equal(ka.arange(3), 1)
    >>> hasattr(ka, "nonzero") is False or [int(i) for i in ka.ma.nonzero(x)[0]] == [2]
    True
    """
    import kask.array as ka

    return ka.nonzero(wrap(elementwise_of(kernels.is_set, as_array(a))))


def set_fill_value(a: Any, fill_value: Any) -> None:
    """Gives a masked array another fill value, in place.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.ma.masked_equal(ka.arange(3), 1)
    >>> ka.ma.set_fill_value(x, 7)
    >>> ka.ma.filled(x).compute()
    array([0, 7, 2])
    """
    if not isinstance(a, ArrayBase):
        raise TypeError(f"set_fill_value() changes a Kask array, got {type(a).__name__}")
    a.expr = elementwise_of(kernels.with_fill_value, a, _number(fill_value, "fill_value"))


def _like(func: Callable[..., Any], a: Any, kwargs: dict[str, Any]) -> Any:
    unknown = kwargs.keys() - {"dtype", "order", "subok"}
    if unknown:
        raise TypeError(f"{func.__name__}() got an unexpected keyword argument {sorted(unknown)[0]!r}")
    dtype = kwargs.get("dtype")
    return wrap(elementwise_of(kernels.Like(func.__name__, None if dtype is None else np.dtype(dtype)), as_array(a)))


def empty_like(a: Any, **kwargs: Any) -> Any:
    """An array of the shape and mask of another, with any elements.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.empty_like(ka.ma.masked_equal(ka.arange(3), 1)).shape
    (3,)
    """
    return _like(np.ma.empty_like, a, kwargs)


def ones_like(a: Any, **kwargs: Any) -> Any:
    """An array of the shape and mask of another, of ones.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.filled(ka.ma.ones_like(ka.ma.masked_equal(ka.arange(3), 1)), 9).compute()
    array([1, 9, 1])
    """
    return _like(np.ma.ones_like, a, kwargs)


def zeros_like(a: Any, **kwargs: Any) -> Any:
    """An array of the shape and mask of another, of zeros.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.filled(ka.ma.zeros_like(ka.ma.masked_equal(ka.arange(3), 1)), 9).compute()
    array([0, 9, 0])
    """
    return _like(np.ma.zeros_like, a, kwargs)


def count(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """How many elements are not masked.

    Examples
    --------
    >>> import kask.array as ka
    >>> int(ka.ma.count(ka.ma.masked_equal(ka.arange(3), 1)))
    2
    """
    is_there = call_ufunc(np.logical_not, getmaskarray(a))
    return ufunc_reduce(np.add, is_there, axis=axis, dtype=np.intp, keepdims=keepdims)


def average(
    a: Any, axis: int | None = None, weights: Any = None, returned: bool = False, keepdims: bool = False
) -> Any:
    """The weighted mean of the elements that are not masked; masked where there are none.

    Parameters
    ----------
    a : array_like
    axis : int, optional
    weights : array_like, optional
        Of the shape of ``a``, or of one axis, as long as ``axis``; by default 1.
    returned : bool, optional
        Whether the sum of weights is given, too.
    keepdims : bool, optional
        Whether the axis is kept as one of one element.

    Raises
    ------
    TypeError, ValueError
        Weights that do not fit.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.ma.masked_equal(ka.from_array([1.0, 2.0, 9.0], chunks=2), 9.0)
    >>> float(ka.ma.average(x, weights=[1, 3, 5]))
    1.75
    """
    a = as_array(a)
    if weights is None:
        result = masked_array(mean(a, axis=axis, keepdims=keepdims))
        return (result, count(a, axis, keepdims).astype(result.dtype)) if returned else result
    mask, data = getmaskarray(a), filled(a, np.zeros((), a.dtype)[()])
    w = _fitting(as_array(weights), a, axis)
    is_exact = a.dtype.kind in "biu"
    dtype = np.result_type(a.dtype, w.dtype, np.float64) if is_exact else np.result_type(a.dtype, w.dtype)
    weight = wrap(elementwise_of(np.where, mask, np.zeros((), w.dtype)[()], w))
    options: dict[str, Any] = {"axis": axis, "dtype": dtype, "keepdims": keepdims}
    scale = ufunc_reduce(np.add, weight, **options)
    total = ufunc_reduce(np.add, call_ufunc(np.multiply, data, weight, dtype=dtype), **options)
    is_there = call_ufunc(np.logical_not, mask)
    number = ufunc_reduce(np.logical_or, is_there, axis=axis, keepdims=keepdims)
    result = wrap(elementwise_of(kernels.mean_of, total, scale, number))
    return (result, scale) if returned else result


def _fitting(weights: Any, a: Any, axis: Any) -> Any:
    """Weights that broadcast with an array."""
    if weights.shape == a.shape:
        return weights
    if axis is None:
        raise TypeError(f"weights have the shape {weights.shape}, the array has {a.shape}: give the axis")
    if weights.ndim != 1 or weights.shape[0] != a.shape[axis]:
        raise ValueError(
            f"weights have the shape {weights.shape}; along axis {axis} the array has {a.shape[axis]} elements"
        )
    return weights[(slice(None), *(None,) * (a.ndim - 1 - axis % a.ndim))]
