"""Functions of single numbers that are no ufuncs: parts of complex numbers, rounding, comparison with a tolerance."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.kernels import ufuncs as kernels
from kask.array.ops.elementwise import elementwise
from kask.array.ops.ufunc_calls import elementwise_of, replace, ufunc_reduce

__all__ = [
    "allclose",
    "angle",
    "around",
    "array_equal",
    "array_equiv",
    "clip",
    "fix",
    "i0",
    "imag",
    "isclose",
    "iscomplex",
    "isneginf",
    "isnull",
    "isposinf",
    "isreal",
    "nan_to_num",
    "notnull",
    "polyval",
    "real",
    "round",
    "sinc",
]


def _into(out: Any, result: Any) -> Any:
    return result if out is None else replace(out, result)


def angle(x: Any, deg: bool = False) -> Any:
    """The angle of complex numbers.

    Parameters
    ----------
    x : array_like
    deg : bool, optional
        Degrees instead of radians.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.angle(ka.from_array([1, 1j]), deg=True).compute()
    array([ 0., 90.])
    """
    return wrap(elementwise_of(np.angle, x, bool(deg)))


def real(val: Any) -> Any:
    """The real part of an array: the array itself if it has no other.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.real(ka.from_array([1 + 2j, 3])).compute()
    array([1., 3.])
    """
    return wrap(elementwise_of(np.real, val))


def imag(val: Any) -> Any:
    """The imaginary part of an array.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.imag(ka.from_array([1 + 2j, 3])).compute()
    array([2., 0.])
    """
    return wrap(elementwise_of(np.imag, val))


def fix(x: Any, out: Any = None) -> Any:
    """Numbers rounded towards zero.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.fix(ka.from_array([-1.5, 1.5])).compute()
    array([-1.,  1.])
    """
    return _into(out, wrap(elementwise_of(np.fix, x)))


def round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """Numbers rounded to so many decimals; halves to the even neighbour, as in NumPy.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.round(ka.from_array([0.5, 1.5, 2.26]), decimals=0).compute()
    array([0., 2., 2.])
    """
    return _into(out, wrap(elementwise_of(np.round, a, decimals)))


def around(x: Any, decimals: int = 0, out: Any = None) -> Any:
    """The same as :func:`round`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.around(ka.from_array([1234.5678]), 2).compute()
    array([1234.57])
    """
    return round(x, decimals, out)


def clip(
    a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None, max: Any = None, **kwargs: Any
) -> Any:
    """Numbers limited to an interval.

    Parameters
    ----------
    a : array_like
    a_min, a_max : array_like, optional
        The limits; None is no limit. ``min`` and ``max`` are other names for them.
    out : Array, optional
        What becomes the result.
    **kwargs
        ``dtype`` and ``casting``, as of ufuncs, and ``where``: elements for which it does not hold are those of ``out``, or of ``a`` (which
        NumPy leaves open).

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.clip(ka.arange(6, chunks=2), 1, 4).compute()
    array([1, 1, 2, 3, 4, 4])
    """
    if (a_min is not None and min is not None) or (a_max is not None and max is not None):
        raise ValueError("give either a_min and a_max, or min and max")
    low, high = a_min if min is None else min, a_max if max is None else max
    unknown = kwargs.keys() - {"dtype", "casting", "where"}
    if unknown:
        raise TypeError(f"clip() got an unexpected keyword argument {sorted(unknown)[0]!r}")
    mask = kwargs.pop("where", True)
    result = wrap(elementwise_of(np.clip, a, low, high, **kwargs))
    if mask is not True:
        mask = mask if isinstance(mask, ArrayBase) else np.asarray(mask)
        if mask.dtype != np.bool_:
            raise TypeError(f"where= must be an array of bool, got {mask.dtype}")
        result = wrap(elementwise_of(np.where, mask, result, a if out is None else out))
    return _into(out, result)


def isclose(arr1: Any, arr2: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """Where two arrays are equal within a tolerance.

    Parameters
    ----------
    arr1, arr2 : array_like
    rtol, atol : float or array_like, optional
        ``abs(arr1 - arr2) <= atol + rtol * abs(arr2)`` is close.
    equal_nan : bool, optional
        Whether NaN is close to NaN.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.isclose(ka.from_array([1.0, 2.0]), [1.0, 2.1]).compute()
    array([ True, False])
    """
    return wrap(elementwise_of(np.isclose, arr1, arr2, rtol, atol, bool(equal_nan)))


def allclose(arr1: Any, arr2: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """Whether two arrays are equal within a tolerance everywhere: an array without axes. See :func:`isclose`.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([1.0, 2.0])
    >>> bool(ka.allclose(x, x + 1e-12))
    True
    """
    return ufunc_reduce(np.logical_and, isclose(arr1, arr2, rtol, atol, equal_nan), axis=None)


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Whether two arrays have the same shape and elements: an array without axes.

    Parameters
    ----------
    a1, a2 : array_like
    equal_nan : bool, optional
        Whether NaN equals NaN.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([1, 2, 3], chunks=2)
    >>> bool(ka.array_equal(x, [1, 2, 3])), bool(ka.array_equal(x, [1, 2]))
    (True, False)
    """
    a1, a2 = as_array(a1), as_array(a2)
    if a1.shape != a2.shape:
        return as_array(np.False_)
    if a1.dtype.names is not None and a2.dtype.names is not None:
        # NumPy compares records by its operator, not by a ufunc.
        same = wrap(elementwise(operator.eq, a1.expr, a2.expr, dtype=bool))
        return ufunc_reduce(np.logical_and, same, axis=None)
    same = wrap(elementwise_of(np.equal, a1, a2))
    if equal_nan:
        both = wrap(
            elementwise_of(
                np.logical_and, wrap(elementwise_of(np.not_equal, a1, a1)), wrap(elementwise_of(np.not_equal, a2, a2))
            )
        )
        same = wrap(elementwise_of(np.logical_or, same, both))
    return ufunc_reduce(np.logical_and, same, axis=None)


def array_equiv(a1: Any, a2: Any) -> Any:
    """Whether two arrays have shapes that broadcast, and then the same elements: an array without axes.

    Examples
    --------
    >>> import kask.array as ka
    >>> bool(ka.array_equiv(ka.from_array([[1, 2], [1, 2]]), [1, 2]))
    True
    """
    a1, a2 = as_array(a1), as_array(a2)
    try:
        np.broadcast_shapes(a1.shape, a2.shape)
    except ValueError:
        return as_array(np.False_)
    return ufunc_reduce(np.logical_and, wrap(elementwise_of(np.equal, a1, a2)), axis=None)


def iscomplex(x: Any) -> Any:
    """Where the imaginary part is not zero.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.iscomplex(ka.from_array([1 + 2j, 3])).compute()
    array([ True, False])
    """
    return wrap(elementwise_of(np.iscomplex, x))


def isreal(x: Any) -> Any:
    """Where the imaginary part is zero.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.isreal(ka.from_array([1 + 2j, 3])).compute()
    array([False,  True])
    """
    return wrap(elementwise_of(np.isreal, x))


def isneginf(x: Any, out: Any = None) -> Any:
    """Where a number is negative infinity.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.isneginf(ka.from_array([-ka.inf, 0, ka.inf])).compute()
    array([ True, False, False])
    """
    return _into(out, wrap(elementwise_of(np.isneginf, x)))


def isposinf(x: Any, out: Any = None) -> Any:
    """Where a number is positive infinity.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.isposinf(ka.from_array([-ka.inf, 0, ka.inf])).compute()
    array([False, False,  True])
    """
    return _into(out, wrap(elementwise_of(np.isposinf, x)))


def isnull(values: Any) -> Any:
    """Where there is no value: NaN, NaT and, in arrays of objects, None. As ``pandas.isnull``.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.isnull(ka.from_array([1.0, ka.nan])).compute()
    array([False,  True])
    """
    return wrap(elementwise_of(kernels.is_missing, as_array(values), made=bool))


def notnull(values: Any) -> Any:
    """Where there is a value. See :func:`isnull`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.notnull(ka.from_array([1.0, ka.nan])).compute()
    array([ True, False])
    """
    return wrap(elementwise_of(np.logical_not, isnull(values)))


def i0(x: Any) -> Any:
    """The modified Bessel function of the first kind, order 0, as NumPy computes it (Clenshaw's sum of Chebyshev polynomials).

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.i0(ka.from_array([0.0])).compute()
    array([1.])
    """
    return wrap(elementwise_of(np.i0, x))


def sinc(x: Any) -> Any:
    """``sin(pi x) / (pi x)``.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.sinc(ka.from_array([0.0])).compute()
    array([1.])
    """
    return wrap(elementwise_of(np.sinc, x))


def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """NaN and infinities replaced by numbers.

    Parameters
    ----------
    x : array_like
    copy : bool, optional
        Arrays of Kask are never changed: only there so that programs for NumPy run.
    nan, posinf, neginf : float, optional
        What replaces them; by default 0 and the largest and smallest number of the type.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.nan_to_num(ka.from_array([1.0, ka.nan, ka.inf]), posinf=9).compute()
    array([1., 0., 9.])
    """
    return wrap(elementwise_of(np.nan_to_num, x, True, nan, posinf, neginf))


def polyval(p: Any, x: Any) -> Any:
    """A polynomial at some places, by Horner's scheme; the coefficients begin with that of the highest power.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.polyval([1, 0, 2], ka.arange(4, chunks=2)).compute()
    array([ 2,  3,  6, 11])
    """
    x = as_array(x)
    value: Any = x * 0
    coefficients: Any = p if isinstance(p, ArrayBase) else np.asarray(p)
    for coefficient in coefficients:
        value = value * x + coefficient
    return value
