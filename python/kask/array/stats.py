"""Statistical tests, and with the moments all of ``kask.array.stats``, after ``scipy.stats``, which is needed for the probabilities."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels import stats as formulas
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import elementwise
from kask.array.ops.moments import mean as mean_of
from kask.array.ops.moments import var as variance_of
from kask.array.ops.reductions_basic import sum as sum_of
from kask.array.ops.stats_moments import _count, _passes_nan, kurtosis, moment, ready, skew

__all__ = [
    "chisquare",
    "f_oneway",
    "kurtosis",
    "kurtosistest",
    "moment",
    "normaltest",
    "power_divergence",
    "skew",
    "skewtest",
    "ttest_1samp",
    "ttest_ind",
    "ttest_rel",
]


class Result(NamedTuple):
    """What a test gives: both are arrays."""

    statistic: Any
    pvalue: Any


def _each(func: Any, *args: Any, **options: Any) -> Any:
    """``func`` of elements; the result is of float64, or of the arrays' type."""
    exprs = [arg.expr if hasattr(arg, "expr") else arg for arg in args]
    kind = np.result_type(*[one.dtype for one in exprs if isinstance(one, ArrayExpr)])
    return wrap(elementwise(func, *exprs, dtype=kind, **options))


def skewtest(a: Any, axis: Any = 0, nan_policy: str = "propagate") -> Result:
    """Whether the skewness is that of a normal distribution.

    Parameters
    ----------
    a : array_like
        The array, of 8 or more elements along the axis.
    axis : int, optional
        The axis to reduce; all of them if it is None.
    nan_policy : {"propagate", "raise"}, optional
        What NaN does: makes the result NaN, or is an error when it is met while running.

    Returns
    -------
    statistic, pvalue : Array

    Examples
    --------
    >>> import numpy as np, kask.array as ka
    >>> from kask.array import stats
    >>> round(float(stats.skewtest(ka.from_array(np.arange(10.0) ** 2, chunks=4)).pvalue), 4)
    0.2358
    """
    _passes_nan(nan_policy)
    a = ready(a, nan_policy)
    n = _count(a.expr, axis)
    if n < 8:
        raise ValueError(f"skewtest is not valid with less than 8 samples; {n} samples were given.")
    z = _each(formulas.skew_z, skew(a, axis), n)
    return Result(z, _each(formulas.two_sided, z))


def kurtosistest(a: Any, axis: Any = 0, nan_policy: str = "propagate") -> Result:
    """Whether the kurtosis is that of a normal distribution.

    Parameters
    ----------
    a : array_like
        The array, of 5 or more elements along the axis; of 20 or more for a good p-value.
    axis : int, optional
        The axis to reduce; all of them if it is None.
    nan_policy : {"propagate", "raise"}, optional
        What NaN does: makes the result NaN, or is an error when it is met while running.

    Returns
    -------
    statistic, pvalue : Array

    Examples
    --------
    >>> import numpy as np, kask.array as ka
    >>> from kask.array import stats
    >>> round(float(stats.kurtosistest(ka.from_array(np.arange(30.0), chunks=4)).pvalue), 4)
    0.0199
    """
    _passes_nan(nan_policy)
    a = ready(a, nan_policy)
    n = _count(a.expr, axis)
    if n < 5:
        raise ValueError(f"kurtosistest requires at least 5 observations; only {n} observations were given.")
    z = _each(formulas.kurtosis_z, kurtosis(a, axis, fisher=False), n)
    return Result(z, _each(formulas.two_sided, z))


def normaltest(a: Any, axis: Any = 0, nan_policy: str = "propagate") -> Result:
    """Whether skewness and kurtosis are those of a normal distribution (D'Agostino and Pearson).

    Parameters
    ----------
    a : array_like
        The array, of 8 or more elements along the axis.
    axis : int, optional
        The axis to reduce; all of them if it is None.
    nan_policy : {"propagate", "raise"}, optional
        What NaN does: makes the result NaN, or is an error when it is met while running.

    Returns
    -------
    statistic, pvalue : Array

    Examples
    --------
    >>> import numpy as np, kask.array as ka
    >>> from kask.array import stats
    >>> round(float(stats.normaltest(ka.from_array(np.arange(30.0), chunks=4)).pvalue), 4)
    0.0388
    """
    statistic = _each(
        formulas.squares, skewtest(a, axis, nan_policy).statistic, kurtosistest(a, axis, nan_policy).statistic
    )
    return Result(statistic, _each(formulas.chi2_tail, statistic, 2.0))


def ttest_1samp(a: Any, popmean: Any, axis: Any = 0, nan_policy: str = "propagate") -> Result:
    """Whether the mean is a given one.

    Parameters
    ----------
    a : array_like
        The array.
    popmean : float or array_like
        The given mean; it is broadcast to the result.
    axis : int, optional
        The axis to reduce; all of them if it is None.
    nan_policy : {"propagate", "raise"}, optional
        What NaN does: makes the result NaN, or is an error when it is met while running.

    Returns
    -------
    statistic, pvalue : Array

    Examples
    --------
    >>> import kask.array as ka
    >>> from kask.array import stats
    >>> stats.ttest_1samp(ka.from_array([1.0, 2.0, 3.0], chunks=2), 2.0).pvalue.compute()
    np.float64(1.0)
    """
    _passes_nan(nan_policy)
    a = ready(a, nan_policy)
    n = _count(a.expr, axis)
    wanted = popmean if np.ndim(popmean) == 0 and not hasattr(popmean, "expr") else as_array(popmean)
    statistic = _each(formulas.t_single, mean_of(a, axis), variance_of(a, axis, ddof=1), wanted, n)
    return Result(statistic, _each(formulas.t_tail, statistic, float(n - 1)))


def ttest_rel(a: Any, b: Any, axis: Any = 0, nan_policy: str = "propagate") -> Result:
    """Whether pairs have the same mean.

    Parameters
    ----------
    a, b : array_like
        The arrays, of one shape.
    axis : int, optional
        The axis to reduce; all of them if it is None.
    nan_policy : {"propagate", "raise"}, optional
        What NaN does: makes the result NaN, or is an error when it is met while running.

    Returns
    -------
    statistic, pvalue : Array

    Examples
    --------
    >>> import kask.array as ka
    >>> from kask.array import stats
    >>> x = ka.from_array([1.0, 2.0, 3.0], chunks=2)
    >>> round(float(stats.ttest_rel(x, [1.5, 2.0, 4.0]).pvalue), 4)
    0.2254
    """
    _passes_nan(nan_policy)
    one, two = ready(a, nan_policy), ready(b, nan_policy)
    if one.shape != two.shape:
        raise ValueError(f"a and b are pairs and must have the same shape, but these are {one.shape} and {two.shape}")
    kind = np.result_type(one.dtype, two.dtype)
    kind = kind if kind.kind in "fc" else np.dtype(np.float64)
    return ttest_1samp(wrap(elementwise(_difference, one.expr, two.expr, kind, dtype=kind)), 0.0, axis)


def _difference(one: Any, two: Any, dtype: Any) -> Any:
    return np.subtract(one, two, dtype=dtype)


def ttest_ind(a: Any, b: Any, axis: Any = 0, equal_var: bool = True) -> Result:
    """Whether two samples have the same mean: Student's test, or Welch's.

    Parameters
    ----------
    a, b : array_like
        The arrays, of one shape but for the axis.
    axis : int, optional
        The axis to reduce; all of them if it is None.
    equal_var : bool, optional
        False: the variances may differ, and the test is Welch's.

    Returns
    -------
    statistic, pvalue : Array

    Examples
    --------
    >>> import kask.array as ka
    >>> from kask.array import stats
    >>> x = ka.from_array([1.0, 2.0, 3.0], chunks=2)
    >>> round(float(stats.ttest_ind(x, [2.0, 3.0, 4.0]).pvalue), 4)
    0.2879
    """
    n, m = _count(as_array(a).expr, axis), _count(as_array(b).expr, axis)
    first, second = variance_of(a, axis, ddof=1), variance_of(b, axis, ddof=1)
    equal = bool(equal_var)
    statistic = _each(formulas.t_independent, mean_of(a, axis), first, mean_of(b, axis), second, n, m, equal)
    return Result(statistic, _each(formulas.t_tail_of, statistic, first, second, n, m, equal))


def f_oneway(*args: Any, axis: int = 0) -> Result:
    """Whether groups have the same mean: analysis of variance in one way.

    Parameters
    ----------
    *args : array_like
        The groups, two or more.
    axis : int, optional
        The axis to reduce.

    Returns
    -------
    statistic, pvalue : Array

    Examples
    --------
    >>> import kask.array as ka
    >>> from kask.array import stats
    >>> x = ka.from_array([1.0, 2.0, 3.0], chunks=2)
    >>> round(float(stats.f_oneway(x, [2.0, 3.0, 4.0]).pvalue), 4)
    0.2879
    """
    if len(args) < 2:
        raise TypeError(f"at least two groups are required; got {len(args)}.")
    counts = tuple([_count(as_array(one).expr, axis) for one in args])
    means, variances = [mean_of(one, axis) for one in args], [variance_of(one, axis) for one in args]
    statistic = _each(formulas.f_statistic, *means, *variances, counts=counts)
    return Result(statistic, _each(formulas.f_tail, statistic, len(args), sum(counts)))


_POWERS = {
    "pearson": 1,
    "log-likelihood": 0,
    "freeman-tukey": -0.5,
    "mod-log-likelihood": -1,
    "neyman": -2,
    "cressie-read": 2 / 3,
}


def power_divergence(f_obs: Any, f_exp: Any = None, ddof: Any = 0, axis: Any = 0, lambda_: Any = None) -> Result:
    """Whether frequencies are those expected: the power divergence of Cressie and Read.

    Parameters
    ----------
    f_obs : array_like
        How often each case was seen.
    f_exp : array_like, optional
        How often it was expected; equally often, if nothing is said. The sums must agree.
    ddof : int, optional
        What is subtracted from the number of cases less one, for the degrees of freedom.
    axis : int, optional
        The axis to reduce; all of them if it is None.
    lambda_ : float or str, optional
        The power, or its name: "pearson" (1, the default), "log-likelihood" (0), "freeman-tukey" (-1/2), "mod-log-likelihood" (-1),
        "neyman" (-2), "cressie-read" (2/3).

    Returns
    -------
    statistic, pvalue : Array

    Raises
    ------
    ValueError
        An unknown name. When computed: sums that do not agree.

    Examples
    --------
    >>> import kask.array as ka
    >>> from kask.array import stats
    >>> stats.power_divergence(ka.from_array([16, 18, 16, 14, 12, 12], chunks=4)).statistic.compute()
    np.float64(2.0)
    """
    if isinstance(lambda_, str):
        if lambda_ not in _POWERS:
            raise ValueError(f"invalid string for lambda_: {lambda_!r}. Valid strings are {sorted(_POWERS)}")
        lambda_ = _POWERS[lambda_]
    power = 1 if lambda_ is None else lambda_
    observed = as_array(f_obs)
    count = _count(observed.expr, axis)
    expected = mean_of(observed, axis, keepdims=True) if f_exp is None else as_array(f_exp)
    terms = wrap(elementwise(formulas.divergence, observed.expr, expected.expr, power, dtype=np.float64))
    statistic = sum_of(terms, axis)
    if f_exp is not None:
        sums = [sum_of(one, axis, dtype=np.float64).expr for one in (observed, expected)]
        statistic = wrap(elementwise(formulas.agreeing, statistic.expr, *sums, dtype=np.float64))
    return Result(statistic, _each(formulas.chi2_tail, statistic, count - 1 - ddof))


def chisquare(f_obs: Any, f_exp: Any = None, ddof: Any = 0, axis: Any = 0) -> Result:
    """Whether frequencies are those expected: Pearson's test.

    Parameters
    ----------
    f_obs : array_like
        How often each case was seen.
    f_exp : array_like, optional
        How often it was expected; equally often, if nothing is said. The sums must agree.
    ddof : int, optional
        What is subtracted from the number of cases less one, for the degrees of freedom.
    axis : int, optional
        The axis to reduce; all of them if it is None.

    Returns
    -------
    statistic, pvalue : Array

    Examples
    --------
    >>> import kask.array as ka
    >>> from kask.array import stats
    >>> stats.chisquare(ka.from_array([16, 18, 16, 14, 12, 12], chunks=4)).statistic.compute()
    np.float64(2.0)
    """
    return power_divergence(f_obs, f_exp, ddof, axis, "pearson")
