"""What tasks of histograms, counts and covariances run."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from kask.array.kernels.native_threads import call_blas

__all__ = [
    "Counts",
    "CountsOfAll",
    "CovarianceCombine",
    "CovarianceFinish",
    "CovariancePart",
    "Histogram",
    "correlation",
    "counts_added",
]


class Counts:
    """How often each number is in a block: as many as there are in it, and at least so many."""

    __name__ = "bincount"

    def __init__(self, minlength: int) -> None:
        self.minlength = minlength

    def __call__(self, block: Any, axes: tuple[int, ...], weights: Any = None) -> Any:
        counts = np.bincount(block, weights, self.minlength)
        # NumPy forgets about weights where there are none.
        return counts if weights is None else counts.astype(np.float64, copy=False)

    def __kask_tokenize__(self) -> Any:
        return "counts", self.minlength


def counts_added(parts: list[Any]) -> Any:
    """The counts of several blocks, which do not know each other's largest number."""
    total = np.zeros(max(map(len, parts)), parts[0].dtype)
    for part in parts:
        total[: len(part)] += part
    return total


class Histogram:
    """The histogram of the rows of a block: along one axis for each of its columns, and one of a single element before.

    ``bins`` has edges or a number for each axis, or None where edges are read; ``ranges`` the range for each number that comes with one,
    otherwise it is read.
    """

    def __init__(self, bins: tuple[Any, ...], ranges: tuple[Any, ...], is_one: bool, has_weights: bool) -> None:
        self.bins, self.ranges, self.is_one, self.has_weights = bins, ranges, is_one, has_weights
        self.__name__ = "histogram"

    def __call__(self, *values: Any) -> Any:
        left = list(values)
        weights = left.pop() if self.has_weights else None
        bins, ranges = list(self.bins), list(self.ranges)
        for axis in reversed(range(len(ranges))):
            if bins[axis] is None:
                bins[axis] = left.pop()
            elif ranges[axis] == "read":
                high, low = left.pop(), left.pop()
                ranges[axis] = checked_range(low, high)
        if self.is_one:
            return np.histogram(left[0], bins[0], ranges[0], weights=weights)[0][None]
        sample = left[0] if len(left) == 1 and left[0].ndim == 2 else np.stack(left, axis=1)
        return np.histogramdd(sample, bins, ranges, weights=weights)[0][None]

    def __kask_tokenize__(self) -> Any:
        return "histogram", self.bins, self.ranges, self.is_one, self.has_weights


class CountsOfAll:
    """The histograms of a block with one bin, with two, and so on, one after another in a row."""

    __name__ = "histograms"

    def __init__(self, most: int, limits: tuple[Any, Any]) -> None:
        self.most, self.limits = most, limits

    def __call__(self, block: Any) -> Any:
        every = [np.histogram(block, bins, self.limits)[0] for bins in np.arange(1, self.most + 1).tolist()]
        return np.concatenate(every)[None]

    def __kask_tokenize__(self) -> Any:
        return "countsofall", self.most, self.limits


def checked_range(low: Any, high: Any) -> tuple[Any, Any]:
    """A range, if it is one."""
    low, high = np.asarray(low)[()], np.asarray(high)[()]
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"autodetected range of [{low}, {high}] is not finite")
    return low, high


def edges_between(low: Any, high: Any, bins: int, is_one: bool, dtype: Any) -> Any:
    """The edges of so many bins of equal width, of elements of a type."""
    low, high = checked_range(low, high)
    if is_one:
        return np.histogram_bin_edges(np.empty(0, dtype), bins, (low, high))
    return np.histogramdd(np.empty((0, 1)), [bins], [(low, high)])[1][0]


def density_of(counts: Any, *edges: Any) -> Any:
    """Counts, divided by the size of bins and by all of them."""
    with np.errstate(all="ignore"):
        if len(edges) == 1:
            return counts / np.array(np.diff(edges[0]), float) / counts.sum()
        density = counts
        for axis, along in enumerate(edges):
            shape = [1] * counts.ndim
            shape[axis] = counts.shape[axis]
            density = density / np.diff(along).reshape(shape)
        return density / counts.sum()


def not_negative(weights: Any, name: str) -> Any:
    """The weights, if none is below zero."""
    if (weights < 0).any():
        raise ValueError(f"{name} cannot be negative")
    return weights


class CovariancePart:
    """Sums of weights, means, and sums of products of deviations of the variables (rows) of a block."""

    def __init__(self, dtype: Any, has_frequencies: bool, has_weights: bool) -> None:
        self.dtype, self.has_frequencies, self.has_weights = dtype, has_frequencies, has_weights
        self.__name__ = "covariance"

    def __call__(self, block: Any, axes: tuple[int, ...], *weights: Any) -> tuple[Any, ...]:
        block = block.astype(self.dtype, copy=False)
        frequencies = np.ravel(weights[0]) if self.has_frequencies else None
        importance = np.ravel(weights[-1]) if self.has_weights else None
        for weighing, name in ((frequencies, "fweights"), (importance, "aweights")):
            if weighing is not None:
                not_negative(weighing, name)
        both = frequencies if importance is None else importance if frequencies is None else frequencies * importance
        total = block.shape[1] if both is None else both.sum()
        squares = total if importance is None else (both * importance).sum()
        weighted = block if both is None else block * both
        with np.errstate(all="ignore"):
            mean = weighted.sum(axis=1, keepdims=True) / (total if total else 1)
            away = block - mean
            return total, squares, mean, call_blas(np.dot, away if both is None else away * both, away.T.conj())

    def __kask_tokenize__(self) -> Any:
        return "covariancepart", self.dtype, self.has_frequencies, self.has_weights


class CovarianceCombine:
    """The same of several blocks together (Chan, Golub and LeVeque, 1979)."""

    __name__ = "covariance"

    def __call__(self, parts: list[tuple[Any, ...]]) -> tuple[Any, ...]:
        total, squares, mean, products = parts[0]
        with np.errstate(all="ignore"):
            for more, more_squares, its_mean, its_products in parts[1:]:
                together = total + more
                if more == 0:
                    continue
                step = its_mean - mean
                mean = mean + step * (more / together)
                products = products + its_products + call_blas(np.dot, step, step.T.conj()) * (total * more / together)
                total, squares = together, squares + more_squares
        return total, squares, mean, products

    def __kask_tokenize__(self) -> Any:
        return "covariancecombine"


class CovarianceFinish:
    """The covariances of the variables."""

    def __init__(self, ddof: int, has_importance: bool) -> None:
        self.ddof, self.has_importance = ddof, has_importance
        self.__name__ = "cov"

    def __call__(self, partial: tuple[Any, ...]) -> Any:
        total, squares, _, products = partial
        if total == 0 and self.has_importance:
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        free = total - self.ddof * (squares / total if self.has_importance and self.ddof else 1)
        if free <= 0:
            warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=1)
            free = 0.0
        with np.errstate(all="ignore"):
            return (products * np.true_divide(1, free)).astype(products.dtype, copy=False)

    def __kask_tokenize__(self) -> Any:
        return "covariancefinish", self.ddof, self.has_importance


def correlation(covariance: Any) -> Any:
    """Covariances by the standard deviations of both variables."""
    with np.errstate(all="ignore"):
        if covariance.ndim == 0:
            return covariance / covariance
        deviations = np.sqrt(np.diag(covariance).real)
    return correlation_of(covariance, deviations[:, None], deviations[None, :])


def correlation_of(covariance: Any, deviations: Any, others: Any) -> Any:
    """The same of some of the variables with some others."""
    with np.errstate(all="ignore"):
        found = covariance / deviations / others
    np.clip(found.real, -1, 1, out=found.real)
    if np.iscomplexobj(found):
        np.clip(found.imag, -1, 1, out=found.imag)
    return found
