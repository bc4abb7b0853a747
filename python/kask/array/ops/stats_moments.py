"""Moments, skewness and kurtosis as ``scipy.stats`` has them; public in ``kask.array.stats``."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels import stats as formulas
from kask.array.kernels.moments import FromMoments
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import elementwise
from kask.array.ops.moments import moments_of
from kask.array.ops.reductions import normal_axes

__all__ = ["kurtosis", "moment", "skew"]


def _omits_nan(nan_policy: str) -> bool:
    if nan_policy not in ("propagate", "omit", "raise"):
        raise ValueError(f"nan_policy must be one of {{'propagate', 'raise', 'omit'}}, not {nan_policy!r}")
    return nan_policy == "omit"


def ready(a: Any, nan_policy: str) -> Any:
    """The array, which is looked through for NaN while it is computed if that is to be an error."""
    array = as_array(a)
    if nan_policy != "raise" or array.dtype.kind not in "fc":
        return array
    return wrap(elementwise(formulas.without_nan, array.expr, dtype=array.dtype))


def _axes(array: ArrayExpr, axis: Any) -> tuple[int, ...]:
    return normal_axes(axis if axis is None else operator.index(axis), array.ndim)


def _count(array: ArrayExpr, axis: Any) -> int:
    return math.prod([array.shape[one] for one in _axes(array, axis)])


def _floating(dtype: np.dtype) -> np.dtype:
    return dtype if dtype.kind in "fc" else np.dtype(np.float64)


def _of_moments(a: Any, axis: Any, order: int, func: Any, nan_policy: str, args: tuple[Any, ...]) -> Any:
    passes_nan = _omits_nan(nan_policy)
    array = ready(a, nan_policy).expr
    kind = _floating(array.dtype)
    inner = np.dtype(np.float32) if kind == np.float16 else kind
    finish = FromMoments(_First(func, args))
    return wrap(
        moments_of(
            array, _axes(array, axis), order, finish, kind, inner=inner, passes_nan=passes_nan, is_absolute=False
        )
    )


class _First:
    """A function with its first arguments."""

    def __init__(self, func: Any, args: tuple[Any, ...]) -> None:
        self.func, self.args = func, args
        self.__name__ = func.__name__

    def __call__(self, *rest: Any) -> Any:
        return self.func(*self.args, *rest)

    def __kask_tokenize__(self) -> Any:
        return "first", self.func, self.args


def moment(a: Any, moment: int = 1, axis: Any = 0, nan_policy: str = "propagate") -> Any:
    """A central moment.

    Parameters
    ----------
    a : array_like
        The array.
    moment : int, optional
        The power of the deviations from the mean.
    axis : int, optional
        The axis to reduce; all of them if it is None.
    nan_policy : {"propagate", "omit", "raise"}, optional
        What NaN does: makes the result NaN, or nothing, or is an error when it is met while running.

    Returns
    -------
    Array

    Examples
    --------
    >>> import kask.array as ka
    >>> from kask.array import stats
    >>> stats.moment(ka.from_array([1.0, 2.0, 3.0, 6.0], chunks=2), 3).compute()
    np.float64(4.5)
    """
    order = operator.index(moment)
    if order < 0:
        raise ValueError(f"moment= must not be negative, but it is {order}")
    return _of_moments(a, axis, max(2, order), formulas.moment_of, nan_policy, (order,))


def skew(a: Any, axis: Any = 0, bias: bool = True, nan_policy: str = "propagate") -> Any:
    """Skewness: Fisher and Pearson's coefficient.

    Parameters
    ----------
    a : array_like
        The array.
    axis : int, optional
        The axis to reduce; all of them if it is None.
    bias : bool, optional
        False: corrected for the number of elements.
    nan_policy : {"propagate", "omit", "raise"}, optional
        What NaN does: makes the result NaN, or nothing, or is an error when it is met while running.

    Returns
    -------
    Array
        NaN where nothing varies.

    Examples
    --------
    >>> import kask.array as ka
    >>> from kask.array import stats
    >>> stats.skew(ka.from_array([1.0, 2.0, 3.0], chunks=2)).compute()
    np.float64(0.0)
    """
    kind = _floating(as_array(a).dtype)
    return _of_moments(a, axis, 3, formulas.skew_of, nan_policy, (bool(bias), kind))


def kurtosis(a: Any, axis: Any = 0, fisher: bool = True, bias: bool = True, nan_policy: str = "propagate") -> Any:
    """Kurtosis: the fourth moment by the square of the second.

    Parameters
    ----------
    a : array_like
        The array.
    axis : int, optional
        The axis to reduce; all of them if it is None.
    fisher : bool, optional
        Whether 3 is subtracted, so that the normal distribution has 0.
    bias : bool, optional
        False: corrected for the number of elements.
    nan_policy : {"propagate", "omit", "raise"}, optional
        What NaN does: makes the result NaN, or nothing, or is an error when it is met while running.

    Returns
    -------
    Array
        NaN where nothing varies.

    Examples
    --------
    >>> import kask.array as ka
    >>> from kask.array import stats
    >>> stats.kurtosis(ka.from_array([1.0, 3.0, 1.0, 3.0], chunks=2)).compute()
    np.float64(-2.0)
    """
    kind = _floating(as_array(a).dtype)
    return _of_moments(a, axis, 4, formulas.kurtosis_of, nan_policy, (bool(fisher), bool(bias), kind))
