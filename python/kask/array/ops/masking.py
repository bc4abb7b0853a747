"""Masks put on arrays: what is public of it is in ``kask.array.ma``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.kernels import masked as kernels
from kask.array.ops.ufunc_calls import elementwise_of

__all__ = [
    "fix_invalid",
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
]


def _number(value: Any, what: str) -> Any:
    """A value for all elements."""
    if isinstance(value, ArrayBase) and value.ndim == 0:
        raise ValueError(f"{what} must be known when the array is described; give {what}.compute()")
    if np.ndim(value):
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


def fix_invalid(a: Any, fill_value: Any = None) -> Any:
    """An array that is masked where it is NaN or infinite, with the fill value under the mask.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ma.getdata(ka.ma.fix_invalid(ka.from_array([1.0, ka.nan]), fill_value=0.0)).compute()
    array([1., 0.])
    """
    return wrap(elementwise_of(kernels.fix_invalid, as_array(a), _number(fill_value, "fill_value")))
