"""The formulas of statistical tests, of moments that have been found."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "f_statistic",
    "is_there",
    "kurtosis_of",
    "kurtosis_z",
    "moment_of",
    "skew_of",
    "skew_z",
    "t_independent",
    "t_single",
    "without_nan",
]


def without_nan(block: Any) -> Any:
    """The block, in which NaN is an error."""
    if np.isnan(block).any():
        raise ValueError("The input contains nan values")
    return block


def is_there(block: Any, passes_nan: bool) -> Any:
    """Where elements count: they are not masked, nor NaN if that is passed over."""
    there = np.logical_not(np.ma.getmaskarray(block))
    return there & ~np.isnan(np.ma.getdata(block)) if passes_nan else there


def nan_masked(block: Any) -> Any:
    """A masked array whose NaN are masked, too."""
    data = np.ma.getdata(block)
    return np.ma.masked_array(data, mask=np.ma.getmaskarray(block) | np.isnan(data))


def unmasked(block: Any) -> Any:
    """An array with NaN where it was masked."""
    return np.ma.filled(block, np.nan)


def difference(one: Any, two: Any, dtype: Any) -> Any:
    """What pairs differ by, of a type."""
    return np.subtract(one, two, dtype=dtype)


def difference_omitting(one: Any, two: Any, dtype: Any) -> Any:
    """The same, NaN only where one of a pair is: the difference of infinite values, which makes all of the result NaN, is infinite here."""
    with np.errstate(all="ignore"):
        found = np.subtract(one, two, dtype=dtype)
    return np.where(np.isnan(found) & ~np.isnan(one) & ~np.isnan(two), np.inf, found).astype(dtype)


def difference_masked(one: Any, two: Any, dtype: Any) -> Any:
    """The same of masked arrays."""
    masks = np.ma.getmaskarray(one) | np.ma.getmaskarray(two)
    return np.ma.masked_array(difference_omitting(np.ma.getdata(one), np.ma.getdata(two), dtype), mask=masks)


class Typed:
    """A formula of numbers that are known only while running, as exact as they are, whose result is of a type."""

    def __init__(self, func: Any, dtype: Any) -> None:
        self.func, self.dtype, self.__name__ = func, dtype, func.__name__

    def __call__(self, *args: Any, **options: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.asarray(self.func(*args, **options)).astype(self.dtype)

    def __kask_tokenize__(self) -> Any:
        return "typed", self.func, self.dtype


def enough(z: Any, n: Any, least: int) -> Any:
    """What was found, where it was of so many elements at least; otherwise NaN."""
    return np.where(n < least, np.nan, z)


def moment_of(order: int, count: Any, *moments: Any) -> Any:
    """A central moment."""
    # The mean tells of NaN.
    return moments[order - 1] / count if order > 1 else moments[0] * 0 + (1.0 - order)


def _nothing_varies(mean: Any, second: Any) -> Any:
    return second <= (np.finfo(second.dtype).resolution * mean) ** 2


def skew_of(bias: bool, dtype: Any, count: Any, mean: Any, second: Any, third: Any) -> Any:
    """Fisher and Pearson's coefficient of skewness; NaN where nothing varies."""
    second, third = second / count, third / count
    found = third / second**1.5
    if not bias:
        corrected = np.sqrt((count - 1.0) * count) / (count - 2.0) * found
        found = np.where(count > 2, corrected, found)
    return np.where(_nothing_varies(mean, second), np.nan, found).astype(dtype)


def kurtosis_of(
    fisher: bool, bias: bool, dtype: Any, count: Any, mean: Any, second: Any, third: Any, fourth: Any
) -> Any:
    """Kurtosis, of which 3 are subtracted for Fisher's; NaN where nothing varies."""
    second, fourth = second / count, fourth / count
    found = fourth / second**2.0
    if not bias:
        corrected = 1.0 / (count - 2) / (count - 3) * ((count**2 - 1.0) * found - 3 * (count - 1) ** 2.0) + 3.0
        found = np.where(count > 3, corrected, found)
    found = np.where(_nothing_varies(mean, second), np.nan, found)
    return (found - 3 if fisher else found).astype(dtype)


def skew_z(skew: Any, n: int) -> Any:
    """How unusual a skewness is, in standard deviations (D'Agostino, Belanger and D'Agostino, 1990)."""
    with np.errstate(all="ignore"):
        y = skew * np.sqrt(((n + 1) * (n + 3)) / (6.0 * (n - 2)))
        beta = 3.0 * (n**2 + 27 * n - 70) * (n + 1) * (n + 3) / ((n - 2.0) * (n + 5) * (n + 7) * (n + 9))
        w2 = -1 + np.sqrt(2 * (beta - 1))
        delta = 1 / np.sqrt(0.5 * np.log(w2))
        alpha = np.sqrt(2.0 / (w2 - 1))
        y = np.where(y == 0, 1.0, y)
        return delta * np.log(y / alpha + np.sqrt((y / alpha) ** 2 + 1))


def kurtosis_z(kurtosis: Any, n: int) -> Any:
    """How unusual a kurtosis (not Fisher's) is, in standard deviations (Anscombe and Glynn, 1983)."""
    with np.errstate(all="ignore"):
        expected = 3.0 * (n - 1) / (n + 1)
        variance = 24.0 * n * (n - 2) * (n - 3) / ((n + 1) * (n + 1.0) * (n + 3) * (n + 5))
        x = (kurtosis - expected) / variance**0.5
        root = (
            6.0
            * (n * n - 5 * n + 2)
            / ((n + 7) * (n + 9))
            * np.sqrt((6.0 * (n + 3) * (n + 5)) / (n * (n - 2) * (n - 3)))
        )
        a = 6.0 + 8.0 / root * (2.0 / root + np.sqrt(1 + 4.0 / (root**2)))
        first = 1 - 2 / (9.0 * a)
        denominator = 1 + x * np.sqrt(2 / (a - 4.0))
        second = np.sign(denominator) * np.where(
            denominator == 0.0, np.nan, np.power((1 - 2.0 / a) / np.abs(denominator), 1 / 3.0)
        )
        return (first - second) / np.sqrt(2 / (9.0 * a))


def squares(one: Any, two: Any) -> Any:
    """The sum of two squares."""
    return one * one + two * two


def two_sided(z: Any) -> Any:
    """How likely something at least as unusual is, of a normal distribution."""
    from scipy.special import ndtr

    return 2 * ndtr(-np.abs(z))


def chi2_tail(statistic: Any, freedom: Any) -> Any:
    """How likely at least this is, of a chi-squared distribution."""
    from scipy.special import chdtrc

    return np.asarray(chdtrc(freedom, statistic))


def t_single(mean: Any, variance: Any, popmean: Any, n: int) -> Any:
    """Student's statistic of one sample."""
    with np.errstate(all="ignore"):
        return (mean - popmean) / np.sqrt(variance / n)


def _pooled(first: Any, n: int, second: Any, m: int, equal: bool) -> tuple[Any, Any]:
    with np.errstate(all="ignore"):
        if equal:
            freedom: Any = n + m - 2.0
            # A single element does not vary; nothing is known of the variance of which it is a sample.
            first, second = np.where(n == 1, 0.0, first), np.where(m == 1, 0.0, second)
            return freedom, np.sqrt(((n - 1) * first + (m - 1) * second) / freedom * (1.0 / n + 1.0 / m))
        one, two = first / n, second / m
        freedom = (one + two) ** 2 / (one**2 / (n - 1) + two**2 / (m - 1))
        return np.where(np.isnan(freedom), 1, freedom), np.sqrt(one + two)


def t_independent(means: Any, first: Any, others: Any, second: Any, n: int, m: int, equal: bool) -> Any:
    """Student's or Welch's statistic of two samples."""
    with np.errstate(all="ignore"):
        return (means - others) / _pooled(first, n, second, m, equal)[1]


def t_tail_of(statistic: Any, first: Any, second: Any, n: int, m: int, equal: bool) -> Any:
    """How likely something at least as unusual is."""
    return t_tail(statistic, _pooled(first, n, second, m, equal)[0])


def t_tail(statistic: Any, freedom: Any) -> Any:
    """How likely something at least as unusual is, of Student's distribution."""
    from scipy.special import stdtr

    return np.asarray(2 * stdtr(freedom, -np.abs(statistic)))


def f_statistic(*values: Any, groups: int) -> Any:
    """The variance of the means of groups by the variance inside of these: ``values`` are means, variances and counts."""
    means, variances, counts = values[:groups], values[groups : 2 * groups], values[2 * groups :]
    total = sum(counts)
    with np.errstate(all="ignore"):
        grand = sum(n * mean for n, mean in zip(counts, means)) / total
        between = sum(n * (mean - grand) ** 2 for n, mean in zip(counts, means))
        within = sum(n * variance for n, variance in zip(counts, variances))
        return np.asarray((between / (groups - 1)) / (within / (total - groups)))


def f_tail(statistic: Any, total: Any, groups: int) -> Any:
    """How likely at least this is, of Fisher's distribution."""
    from scipy.special import fdtrc

    return np.asarray(fdtrc(groups - 1, total - groups, statistic))


def divergence(observed: Any, expected: Any, power: float) -> Any:
    """The terms of the power divergence of Cressie and Read."""
    from scipy.special import xlogy

    with np.errstate(all="ignore"):
        observed = np.asarray(observed, np.float64)
        if power == 1:
            return (observed - expected) ** 2 / expected
        if power == 0:
            return 2.0 * xlogy(observed, observed / expected)
        if power == -1:
            return 2.0 * xlogy(expected, expected / observed)
        return observed * ((observed / expected) ** power - 1) / (0.5 * power * (power + 1))


def agreeing(statistic: Any, observed: Any, expected: Any) -> Any:
    """The statistic, if there are as many observed as expected ones."""
    with np.errstate(all="ignore"):
        difference = np.abs(observed - expected) / np.minimum(observed, expected)
    if np.any(difference > np.sqrt(np.finfo(np.float64).eps)):
        raise ValueError("the sums of the observed and of the expected frequencies along axis= must agree")
    return statistic
