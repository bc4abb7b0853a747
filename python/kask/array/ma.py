"""Masked arrays: ``kask.array.ma`` has the functions of ``numpy.ma``. Blocks of such arrays are masked arrays of NumPy.

Computing gives a ``numpy.ma.MaskedArray``. Operators and ufuncs of masked arrays keep masks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.kernels import masked as kernels
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


def _number(value: Any, what: str) -> Any:
    """A value for all elements."""
    if isinstance(value, ArrayBase) or np.ndim(value):
        raise ValueError(f"{what} must be a single value, got an array of shape {np.shape(value)}")
    return value


def masked_array(data: Any, mask: Any = np.False_, fill_value: Any = None, **kwargs: Any) -> Any:
    """An array some of whose elements are invalid.

    Parameters
    ----------
    data : array_like
    mask : array_like of bool, optional
        True where an element is invalid; of the shape of ``data``, or without axes.
    fill_value : scalar, optional
        What :func:`filled` puts in their places.
    **kwargs
        ``dtype``, ``keep_mask``, ``hard_mask`` and ``shrink`` of ``numpy.ma.masked_array``.

    Raises
    ------
    ValueError
        A mask of another shape.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.ma.masked_array(ka.arange(4, chunks=2), mask=[False, True, False, False])
    >>> (x * 2).compute()
    masked_array(data=[0, --, 4, 6],
                 mask=[False,  True, False, False],
           fill_value=999999)
    """
    unknown = kwargs.keys() - {"dtype", "keep_mask", "hard_mask", "shrink", "copy"}
    if unknown:
        raise TypeError(f"masked_array() got an unexpected keyword argument {sorted(unknown)[0]!r}")
    data, mask = as_array(data), as_array(mask)
    if mask.ndim and mask.shape != data.shape:
        raise ValueError(f"mask has the shape {mask.shape}, data has {data.shape}: they must be equal")
    return wrap(elementwise_of(kernels.masked_array, data, mask, _number(fill_value, "fill_value"), kwargs))


def masked_where(condition: Any, a: Any) -> Any:
    """An array that is masked where a condition is true.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.arange(4, chunks=2)
    >>> ka.ma.filled(ka.ma.masked_where(x > 2, x), -1).compute()
    array([ 0,  1,  2, -1])
    """
    condition, a = as_array(condition), as_array(a)
    if condition.ndim and condition.shape != a.shape:
        raise IndexError(f"condition has the shape {condition.shape}, the array has {a.shape}: they must be equal")
    return wrap(elementwise_of(np.ma.masked_where, condition, a))


def _compared(func: Callable[..., Any], x: Any, *values: Any) -> Any:
    return wrap(elementwise_of(kernels.Masked(func), x, *[_number(value, "value") for value in values]))


def masked_equal(a: Any, value: Any) -> Any:
    """An array that is masked where it equals a value, which becomes its fill value.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.getmaskarray(ka.ma.masked_equal(ka.arange(3), 1)).compute()
    array([False,  True, False])
    """
    return _compared(np.ma.masked_equal, a, value)


def masked_not_equal(x: Any, value: Any, copy: bool = True) -> Any:
    """An array that is masked where it does not equal a value.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.getmaskarray(ka.ma.masked_not_equal(ka.arange(3), 1)).compute()
    array([ True, False,  True])
    """
    return _compared(np.ma.masked_not_equal, x, value)


def masked_greater(x: Any, value: Any, copy: bool = True) -> Any:
    """An array that is masked where it is greater than a value.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.getmaskarray(ka.ma.masked_greater(ka.arange(3), 1)).compute()
    array([False, False,  True])
    """
    return _compared(np.ma.masked_greater, x, value)


def masked_greater_equal(x: Any, value: Any, copy: bool = True) -> Any:
    """An array that is masked where it is greater than a value or equals it.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.getmaskarray(ka.ma.masked_greater_equal(ka.arange(3), 1)).compute()
    array([False,  True,  True])
    """
    return _compared(np.ma.masked_greater_equal, x, value)


def masked_less(x: Any, value: Any, copy: bool = True) -> Any:
    """An array that is masked where it is less than a value.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.getmaskarray(ka.ma.masked_less(ka.arange(3), 1)).compute()
    array([ True, False, False])
    """
    return _compared(np.ma.masked_less, x, value)


def masked_less_equal(x: Any, value: Any, copy: bool = True) -> Any:
    """An array that is masked where it is less than a value or equals it.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.getmaskarray(ka.ma.masked_less_equal(ka.arange(3), 1)).compute()
    array([ True,  True, False])
    """
    return _compared(np.ma.masked_less_equal, x, value)


def masked_inside(x: Any, v1: Any, v2: Any) -> Any:
    """An array that is masked in the closed interval between two values.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.getmaskarray(ka.ma.masked_inside(ka.arange(4), 1, 2)).compute()
    array([False,  True,  True, False])
    """
    return _compared(np.ma.masked_inside, x, v1, v2)


def masked_outside(x: Any, v1: Any, v2: Any) -> Any:
    """An array that is masked outside of the closed interval between two values.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.getmaskarray(ka.ma.masked_outside(ka.arange(4), 1, 2)).compute()
    array([ True, False, False,  True])
    """
    return _compared(np.ma.masked_outside, x, v1, v2)


def masked_invalid(a: Any) -> Any:
    """An array that is masked where it is NaN or infinite.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.getmaskarray(ka.ma.masked_invalid(ka.from_array([1.0, ka.nan]))).compute()
    array([False,  True])
    """
    return _compared(np.ma.masked_invalid, a)


def masked_values(x: Any, value: Any, rtol: float = 1e-05, atol: float = 1e-08, shrink: bool = True) -> Any:
    """An array that is masked where it equals a value within a tolerance; the value becomes its fill value.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.getmaskarray(ka.ma.masked_values(ka.from_array([1.0, 1.5]), 1.5)).compute()
    array([False,  True])
    """
    return wrap(elementwise_of(kernels.Masked(np.ma.masked_values), x, _number(value, "value"), rtol, atol))


def filled(a: Any, fill_value: Any = None) -> Any:
    """An array without masks, with a value in the places of masked elements.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.filled(ka.ma.masked_equal(ka.arange(3), 1), 9).compute()
    array([0, 9, 2])
    """
    return wrap(elementwise_of(np.ma.filled, a, fill_value))


def fix_invalid(a: Any, fill_value: Any = None) -> Any:
    """An array that is masked where it is NaN or infinite, with the fill value under the mask.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.getdata(ka.ma.fix_invalid(ka.from_array([1.0, ka.nan]), fill_value=0.0)).compute()
    array([1., 0.])
    """
    return wrap(elementwise_of(kernels.fix_invalid, as_array(a), _number(fill_value, "fill_value")))


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
    mask, data = getmaskarray(a), filled(a, np.zeros((), a.dtype)[()])
    if weights is None:
        w = as_array(np.ones((), a.dtype if a.dtype.kind in "fc" else np.float64))
    else:
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
