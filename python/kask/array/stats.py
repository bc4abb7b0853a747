"""Statistical tests, and with the moments all of ``kask.array.stats``, after ``scipy.stats``, which is needed for the probabilities."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.kernels import stats as formulas
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import elementwise
from kask.array.ops.moments import mean as mean_of
from kask.array.ops.moments import nanmean, nanvar
from kask.array.ops.moments import var as variance_of
from kask.array.ops.reductions_basic import sum as sum_of
from kask.array.ops.stats_moments import _count, _omits_nan, kurtosis, moment, ready, skew

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


def _each(func: Any, *args: Any, counts: tuple[Any, ...] = (), **options: Any) -> Any:
    """``func`` of elements and of counts, which may be arrays; the result is of float64, or of the other arrays' type."""
    exprs = [arg.expr if hasattr(arg, "expr") else arg for arg in (*args, *counts)]
    kind = np.result_type(*[one.dtype for one in exprs[: len(args)] if isinstance(one, ArrayExpr)])
    if any(isinstance(count, ArrayBase) for count in counts):
        func = formulas.Typed(func, kind)
    return wrap(elementwise(func, *exprs, dtype=kind, **options))


class _Sample(NamedTuple):
    """An array whose elements along an axis are a sample."""

    array: Any
    axis: Any
    nan_policy: str
    #: How many elements count: a number, or an array of them where some are left out.
    count: Any

    @property
    def is_masked(self) -> bool:
        return isinstance(self.array.meta, np.ma.MaskedArray)

    @property
    def mean(self) -> Any:
        return self._of(nanmean if self.nan_policy == "omit" else mean_of)

    def variance(self, ddof: int = 1) -> Any:
        return self._of(nanvar if self.nan_policy == "omit" else variance_of, ddof=ddof)

    def _of(self, func: Any, **options: Any) -> Any:
        found = func(self.array, self.axis, **options)
        return wrap(elementwise(formulas.unmasked, found.expr, dtype=found.dtype)) if self.is_masked else found

    def refuse_fewer_than(self, least: int, message: str) -> None:
        """An error for a sample that is too small, where that is known before running."""
        if not isinstance(self.count, ArrayBase) and self.count < least:
            raise ValueError(message.format(self.count))


def _sample(a: Any, axis: Any, nan_policy: str) -> _Sample:
    omits = _omits_nan(nan_policy)
    array = ready(a, nan_policy)
    is_masked, omits = isinstance(array.meta, np.ma.MaskedArray), omits and array.dtype.kind in "fc"
    if not (is_masked or omits):
        return _Sample(array, axis, "propagate", _count(array.expr, axis))
    there = wrap(elementwise(formulas.is_there, array.expr, omits, dtype=np.bool_))
    count = sum_of(there, axis, dtype=np.float64)
    if is_masked and omits:
        array = wrap(elementwise(formulas.nan_masked, array.expr))
    return _Sample(array, axis, "propagate" if is_masked else "omit", count)


def skewtest(a: Any, axis: Any = 0, nan_policy: str = "propagate") -> Result:
    """Whether the skewness is that of a normal distribution.

    Parameters
    ----------
    a : array_like
        The array, of 8 or more elements along the axis.
    axis : int, optional
        The axis to reduce; all of them if it is None.
    nan_policy : {"propagate", "omit", "raise"}, optional
        What NaN does: makes the result NaN, or nothing, or is an error when it is met while running.

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
    sample = _sample(a, axis, nan_policy)
    sample.refuse_fewer_than(8, "skewtest is not valid with less than 8 samples; {} samples were given.")
    found = skew(sample.array, axis, nan_policy=sample.nan_policy)
    z = _unusual(formulas.skew_z, found, sample, 8)
    return Result(z, _each(formulas.two_sided, z))


def _unusual(func: Any, found: Any, sample: _Sample, least: int) -> Any:
    """How unusual what was found of a sample is; NaN where the sample is too small."""
    z = _each(func, found, counts=(sample.count,))
    return _each(formulas.enough, z, counts=(sample.count, least)) if isinstance(sample.count, ArrayBase) else z


def kurtosistest(a: Any, axis: Any = 0, nan_policy: str = "propagate") -> Result:
    """Whether the kurtosis is that of a normal distribution.

    Parameters
    ----------
    a : array_like
        The array, of 5 or more elements along the axis; of 20 or more for a good p-value.
    axis : int, optional
        The axis to reduce; all of them if it is None.
    nan_policy : {"propagate", "omit", "raise"}, optional
        What NaN does: makes the result NaN, or nothing, or is an error when it is met while running.

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
    sample = _sample(a, axis, nan_policy)
    sample.refuse_fewer_than(5, "kurtosistest requires at least 5 observations; only {} observations were given.")
    found = kurtosis(sample.array, axis, fisher=False, nan_policy=sample.nan_policy)
    z = _unusual(formulas.kurtosis_z, found, sample, 5)
    return Result(z, _each(formulas.two_sided, z))


def normaltest(a: Any, axis: Any = 0, nan_policy: str = "propagate") -> Result:
    """Whether skewness and kurtosis are those of a normal distribution (D'Agostino and Pearson).

    Parameters
    ----------
    a : array_like
        The array, of 8 or more elements along the axis.
    axis : int, optional
        The axis to reduce; all of them if it is None.
    nan_policy : {"propagate", "omit", "raise"}, optional
        What NaN does: makes the result NaN, or nothing, or is an error when it is met while running.

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
    nan_policy : {"propagate", "omit", "raise"}, optional
        What NaN does: makes the result NaN, or nothing, or is an error when it is met while running.

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
    sample = _sample(a, axis, nan_policy)
    wanted = popmean if np.ndim(popmean) == 0 and not hasattr(popmean, "expr") else as_array(popmean)
    statistic = _each(formulas.t_single, sample.mean, sample.variance(), wanted, counts=(sample.count,))
    return Result(statistic, _each(formulas.t_tail, statistic, counts=(sample.count - 1.0,)))


def ttest_rel(a: Any, b: Any, axis: Any = 0, nan_policy: str = "propagate") -> Result:
    """Whether pairs have the same mean.

    Parameters
    ----------
    a, b : array_like
        The arrays, of one shape.
    axis : int, optional
        The axis to reduce; all of them if it is None.
    nan_policy : {"propagate", "omit", "raise"}, optional
        What NaN does: makes the result NaN, or nothing, or is an error when it is met while running.

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
    omits = _omits_nan(nan_policy)
    one, two = ready(a, nan_policy), ready(b, nan_policy)
    if one.shape != two.shape:
        raise ValueError(f"a and b are pairs and must have the same shape, but these are {one.shape} and {two.shape}")
    kind = np.result_type(one.dtype, two.dtype)
    kind = kind if kind.kind in "fc" else np.dtype(np.float64)
    func = formulas.difference_omitting if omits else formulas.difference
    if any(isinstance(array.meta, np.ma.MaskedArray) for array in (one, two)):
        func = formulas.difference_masked
        between = wrap(elementwise(func, one.expr, two.expr, kind))
    else:
        between = wrap(elementwise(func, one.expr, two.expr, kind, dtype=kind))
    return ttest_1samp(between, 0.0, axis, nan_policy="omit" if omits else "propagate")


def ttest_ind(a: Any, b: Any, axis: Any = 0, equal_var: bool = True, nan_policy: str = "propagate") -> Result:
    """Whether two samples have the same mean: Student's test, or Welch's.

    Parameters
    ----------
    a, b : array_like
        The arrays, of one shape but for the axis.
    axis : int, optional
        The axis to reduce; all of them if it is None.
    equal_var : bool, optional
        False: the variances may differ, and the test is Welch's.
    nan_policy : {"propagate", "omit", "raise"}, optional
        What NaN does: makes the result NaN, or nothing, or is an error when it is met while running.

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
    one, two = _sample(a, axis, nan_policy), _sample(b, axis, nan_policy)
    counts, equal = (one.count, two.count), bool(equal_var)
    first, second = one.variance(), two.variance()
    statistic = _each(formulas.t_independent, one.mean, first, two.mean, second, counts=counts, equal=equal)
    return Result(statistic, _each(formulas.t_tail_of, statistic, first, second, counts=counts, equal=equal))


def f_oneway(*args: Any, axis: int = 0, nan_policy: str = "propagate") -> Result:
    """Whether groups have the same mean: analysis of variance in one way.

    Parameters
    ----------
    *args : array_like
        The groups, two or more.
    axis : int, optional
        The axis to reduce.
    nan_policy : {"propagate", "omit", "raise"}, optional
        What NaN does: makes the result NaN, or nothing, or is an error when it is met while running.

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
    samples = [_sample(one, axis, nan_policy) for one in args]
    counts, groups = tuple([one.count for one in samples]), len(args)
    moments = [one.mean for one in samples], [one.variance(0) for one in samples]
    statistic = _each(formulas.f_statistic, *moments[0], *moments[1], counts=counts, groups=groups)
    return Result(statistic, _each(formulas.f_tail, statistic, counts=(sum(counts),), groups=groups))


_POWERS = {
    "pearson": 1,
    "log-likelihood": 0,
    "freeman-tukey": -0.5,
    "mod-log-likelihood": -1,
    "neyman": -2,
    "cressie-read": 2 / 3,
}


def power_divergence(
    f_obs: Any, f_exp: Any = None, ddof: Any = 0, axis: Any = 0, lambda_: Any = None, *, nan_policy: str = "propagate"
) -> Result:
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
    nan_policy : {"propagate", "omit", "raise"}, optional
        What NaN does: makes the result NaN, or takes the case out, or is an error when it is met while running.

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
    given = [ready(one, nan_policy) for one in (f_obs, f_exp) if one is not None]
    there = _cases(given, _omits_nan(nan_policy))
    counting: dict[str, Any] = {} if there is None else {"where": there}
    if there is not None:
        given = [wrap(elementwise(np.ma.getdata, one.expr, dtype=one.dtype)) for one in given]
    observed = given[0]
    count = _count(observed.expr, axis) if there is None else sum_of(there, axis, dtype=np.float64)
    expected = mean_of(observed, axis, keepdims=True, **counting) if f_exp is None else given[1]
    terms = wrap(elementwise(formulas.divergence, observed.expr, expected.expr, power, dtype=np.float64))
    statistic = sum_of(terms, axis, **counting)
    if f_exp is not None:
        sums = [sum_of(one, axis, dtype=np.float64, **counting).expr for one in (observed, expected)]
        statistic = wrap(elementwise(formulas.agreeing, statistic.expr, *sums, dtype=np.float64))
    return Result(statistic, _each(formulas.chi2_tail, statistic, counts=(count - 1 - ddof,)))


def _cases(arrays: list[Any], omits: bool) -> Any:
    """Where all arrays have elements that count; None, if that is everywhere."""
    found: Any = None
    for one in arrays:
        passes_nan = omits and one.dtype.kind in "fc"
        if passes_nan or isinstance(one.meta, np.ma.MaskedArray):
            there = wrap(elementwise(formulas.is_there, one.expr, passes_nan, dtype=np.bool_))
            found = there if found is None else found & there
    return found


def chisquare(f_obs: Any, f_exp: Any = None, ddof: Any = 0, axis: Any = 0, *, nan_policy: str = "propagate") -> Result:
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
    nan_policy : {"propagate", "omit", "raise"}, optional
        What NaN does: makes the result NaN, or takes the case out, or is an error when it is met while running.

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
    return power_divergence(f_obs, f_exp, ddof, axis, "pearson", nan_policy=nan_policy)
