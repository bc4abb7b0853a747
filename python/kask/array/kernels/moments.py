"""Moments of blocks, and how they are put together.

A partial result is ``(count, mean, M2, M3, ...)``, where ``Mp`` is the sum of the p-th powers of the deviations from the mean.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.kernels.reductions import in_strips, is_nan_of, joined, only_elements

__all__ = [
    "FromMoments",
    "MeanFinish",
    "MeanPart",
    "MomentFinish",
    "MomentsCombine",
    "MomentsPart",
    "SumsCombine",
    "roots",
]


def _all_counted(shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """How many elements of a block of this shape there are for each element of the result: the same everywhere."""
    return np.full((1,) * len(shape), math.prod([shape[axis] for axis in axes]), np.intp)


def _counted(block: Any, axes: tuple[int, ...], where: Any) -> Any:
    """How many elements count, for each element of the result."""
    if where is None:
        return _all_counted(np.shape(block), axes)
    return np.sum(np.broadcast_to(where, block.shape), axis=axes, keepdims=True, dtype=np.intp)


def _unmasked(block: Any, where: Any) -> tuple[Any, Any]:
    """The data of a block, and which elements count: those that are not masked."""
    if not isinstance(block, np.ma.MaskedArray):
        return block, where
    is_there = np.logical_not(np.ma.getmaskarray(block))
    return np.ma.getdata(block), is_there if where is None else is_there & where


def _not_nan(block: Any, where: Any) -> Any:
    # NumPy passes over NaN, not over NaT.
    if block.dtype.kind in "biuSUmM":
        return where
    is_there = ~is_nan_of(block)
    return is_there if where is None else is_there & where


def _array(x: Any) -> Any:
    """An array as it is, of whatever kind; NumPy makes one of anything else."""
    return x if hasattr(x, "astype") and not isinstance(x, np.generic) else np.asanyarray(x)


def _spread(flags: Any, shape: tuple[int, ...]) -> Any:
    """Flags, which may be one that holds everywhere, of a shape."""
    return flags if flags.shape == shape else np.array(np.broadcast_to(flags, shape))


def _sum(block: Any, axes: tuple[int, ...], where: Any, dtype: Any) -> Any:
    """The sum of the elements that count."""
    options: dict[str, Any] = {} if where is None else {"where": where}
    if dtype.kind == "O" and options:
        options["initial"] = 0
    # Units of time cannot be asked for.
    options |= {} if dtype.kind == "m" else {"dtype": dtype}
    with np.errstate(all="ignore"):
        return np.sum(block, axis=axes, keepdims=True, **options)


def _with_count(made: list[Any], shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[Any, ...]:
    return made[0], _all_counted(shape, axes)


def _with_count_first(made: list[Any], shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[Any, ...]:
    return _all_counted(shape, axes), *made


class MeanPart:
    """Sum and count of the elements, which has one element if it is the same everywhere. With ``is_combined`` a block of one element for each
    of the result may be its own sum."""

    def __init__(self, dtype: Any, passes_nan: bool, is_combined: bool = False) -> None:
        self.dtype, self.passes_nan, self.is_combined = dtype, passes_nan, is_combined
        self.__name__ = "nanmean" if passes_nan else "mean"

    def __call__(self, block: Any, axes: tuple[int, ...], where: Any = None) -> tuple[Any, Any]:
        block, where = _unmasked(block, where)
        if self.passes_nan:
            where = _not_nan(block, where)
        made = only_elements(block, axes, self.dtype) if self.is_combined and where is None else None
        return _sum(block, axes, where, self.dtype) if made is None else made, _counted(block, axes, where)

    def __kask_fused__(self, dtype: Any) -> tuple[str, Any, Callable[..., Any]] | None:
        """A sum; see ``kask.expr.fused``."""
        return None if self.passes_nan else ("sum", self.dtype, _with_count)

    @property
    def is_contained_as(self) -> Any:
        """What it is called where it is a part of something else: see ``kask.array.ops.reductions``."""
        return "mean", self.dtype, self.passes_nan

    @staticmethod
    def taken_from(part: MomentsPart, dtype: Any, axes: tuple[int, ...], finish: MeanFinish) -> tuple[Any, Any]:
        """How moments of elements of a type are combined, and how their mean is taken out."""
        return MomentsCombine(axes, part.is_absolute), MeanOfMoments(finish, dtype.kind in "biu")

    def __kask_tokenize__(self) -> Any:
        return "meanpart", self.dtype, self.passes_nan, self.is_combined


class SumsCombine:
    """Sums of tuples of arrays."""

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes
        self.__name__ = "sums"

    def __call__(self, parts: list[tuple[Any, ...]]) -> Any:
        return in_strips(self._of, parts, self.axes)

    def _of(self, parts: list[tuple[Any, ...]]) -> tuple[Any, ...]:
        with np.errstate(all="ignore"):
            return tuple([_sum(whole, self.axes, None, whole.dtype) for whole in map(self._joined, zip(*parts))])

    def _joined(self, parts: Any) -> Any:
        return joined(list(parts), self.axes)

    def __kask_tokenize__(self) -> Any:
        return "sumscombine", self.axes


class MeanFinish:
    """Sum by count; of masked arrays it is masked where nothing counts."""

    def __init__(self, dtype: Any, label: str, is_masked: bool = False) -> None:
        self.dtype, self.__name__, self.is_masked = dtype, label, is_masked

    def __call__(self, partial: tuple[Any, Any]) -> Any:
        total, count = partial
        if not self.is_masked and not np.all(count):
            warnings.warn("Mean of empty slice", RuntimeWarning, stacklevel=1)
        with np.errstate(all="ignore"):
            if total.dtype.hasobject:
                # Python refuses to divide objects by 0.
                mean = np.where(np.equal(count, 0), np.nan, np.true_divide(total, np.maximum(count, 1)))
            else:
                mean = np.true_divide(total, count)
        if self.is_masked:
            return np.ma.masked_array(mean, mask=_spread(np.equal(count, 0), mean.shape), dtype=self.dtype)
        return mean.astype(self.dtype, copy=False) if hasattr(mean, "astype") else self.dtype.type(mean)

    def __kask_tokenize__(self) -> Any:
        return "meanfinish", self.dtype, self.__name__, self.is_masked


#: Smaller sums of whole numbers are exact in double precision, however they are added, if they are rounded to whole numbers.
_EXACT = 2.0**50


class MeanOfMoments:
    """The mean out of moments, finished as one of a sum is. Where the elements are whole numbers, so is their sum."""

    def __init__(self, finish: MeanFinish, is_whole: bool) -> None:
        self.finish, self.is_whole = finish, is_whole
        self.__name__ = finish.__name__

    def __call__(self, partial: tuple[Any, ...]) -> Any:
        count, mean = partial[:2]
        if self.is_whole:
            total = mean * count
            return self.finish((np.where(np.abs(total) < _EXACT, np.rint(total), total), count))
        # Where nothing counts the mean is 0 by 0.
        return self.finish((mean, np.minimum(count, 1)))

    def __kask_tokenize__(self) -> Any:
        return "meanofmoments", self.finish, self.is_whole


class MomentsPart:
    """Count, mean, and sums of the powers 2 to ``order`` of the deviations. Of complex numbers the second power is the absolute square.

    With ``is_combined`` a block of one element for each of the result may be its own mean, with sums of one element each, which are 0: an
    infinite or undefined mean says what they would be otherwise."""

    def __init__(
        self, dtype: Any, order: int, passes_nan: bool, is_absolute: bool = True, is_combined: bool = False
    ) -> None:
        self.dtype, self.order, self.passes_nan, self.is_absolute = dtype, order, passes_nan, is_absolute
        self.is_combined = is_combined
        self.__name__ = "moments"

    def __call__(self, block: Any, axes: tuple[int, ...], where: Any = None) -> Any:
        block, where = _unmasked(block, where)
        if self.passes_nan:
            where = _not_nan(block, where)
        mean = only_elements(block, axes, self.dtype) if self.is_combined and where is None else None
        if mean is not None:
            kind = mean.real.dtype if self.is_absolute else mean.dtype
            return _all_counted(block.shape, axes), mean, *[np.zeros((1,) * block.ndim, kind)] * (self.order - 1)
        if where is None:
            return in_strips(lambda blocks: self._of(blocks[0], None, axes), [block], axes)
        both = block, np.broadcast_to(where, np.shape(block))
        return in_strips(lambda blocks: self._of(blocks[0][0], blocks[0][1], axes), [both], axes)

    def _of(self, block: Any, where: Any, axes: tuple[int, ...]) -> tuple[Any, ...]:
        block = _array(block).astype(self.dtype, copy=False)
        options: dict[str, Any] = {} if where is None else {"where": where}
        if block.dtype.kind == "O" and options:
            options["initial"] = 0
        count = _counted(block, axes, where)
        with np.errstate(all="ignore"):
            mean = _sum(block, axes, where, self.dtype) / np.maximum(count, 1)
            mean = _array(mean).astype(self.dtype, copy=False)
            rest = np.subtract(block, mean)
            if rest.dtype.kind == "c" and self.is_absolute:
                return count, mean, np.sum(rest.real**2 + rest.imag**2, axis=axes, keepdims=True, **options)
            sums, power = [], rest
            for _ in range(2, self.order + 1):
                power = power * rest
                sums.append(np.sum(power, axis=axes, keepdims=True, **options))
        return count, mean, *sums

    @property
    def contains(self) -> Any:
        """The mean; see ``kask.array.ops.reductions``."""
        return ("mean", self.dtype, self.passes_nan) if self.dtype.kind in "fc" else None

    #: Mean and squares in one pass: a kernel is worth it without steps before it.
    __kask_fuses_alone__ = True

    def __kask_fused__(self, dtype: Any) -> tuple[str, Any, Callable[..., Any]] | None:
        """Mean and squared deviations in one pass; see ``kask.expr.fused``."""
        return ("moments", self.dtype, _with_count_first) if self.order == 2 and not self.passes_nan else None

    def __kask_tokenize__(self) -> Any:
        return "momentspart", self.dtype, self.order, self.passes_nan, self.is_absolute, self.is_combined


class MomentsCombine:
    """The moments of several sets together."""

    def __init__(self, axes: tuple[int, ...], is_absolute: bool = True) -> None:
        self.axes, self.is_absolute = axes, is_absolute
        self.__name__ = "moments"

    def __call__(self, parts: list[tuple[Any, ...]]) -> Any:
        return in_strips(self._of, parts, self.axes)

    def _of(self, parts: list[tuple[Any, ...]]) -> tuple[Any, ...]:
        counts, means, *sums = [joined(list(ones), self.axes) for ones in zip(*parts)]
        with np.errstate(all="ignore"):
            count = self._sum(counts)
            # Away from a first guess, so that little is lost when the means are large and near each other.
            guess = np.take(means, [0], axis=self.axes[0])
            shift = self._sum(np.where(counts > 0, counts * (means - guess), 0)) / np.maximum(count, 1)
            mean = (guess + shift).astype(means.dtype, copy=False)
            if mean.dtype.kind in "fc" and not np.all(np.isfinite(mean)):
                # No deviation from an infinite guess is a number.
                mean = (self._sum(np.where(counts > 0, counts * means, 0)) / np.maximum(count, 1)).astype(means.dtype)
            away = np.where(counts > 0, means - mean, 0)
            if away.dtype.kind == "c" and self.is_absolute:
                return count, mean, self._sum(sums[0]) + self._sum(counts * (away.real**2 + away.imag**2))
            powers = [counts, None, *sums]
            combined = []
            for order in range(2, len(sums) + 2):
                total = powers[order] + away**order * counts
                for lower in range(2, order):
                    total = total + math.comb(order, lower) * away ** (order - lower) * powers[lower]
                combined.append(self._sum(total).astype(sums[0].dtype, copy=False))
        return count, mean, *combined

    def _sum(self, values: Any) -> Any:
        return np.sum(values, axis=self.axes, keepdims=True)

    def __kask_tokenize__(self) -> Any:
        return "momentscombine", self.axes, self.is_absolute


class MomentFinish:
    """A moment by its count less ``ddof``; its root for a standard deviation. Of masked arrays it is masked where too few count. With
    ``is_real_mean`` deviations are from the real part of the mean."""

    def __init__(
        self,
        order: int,
        ddof: float,
        dtype: Any,
        label: str,
        is_root: bool = False,
        passes_nan: bool = False,
        is_masked: bool = False,
        is_real_mean: bool = False,
    ) -> None:
        self.order, self.ddof, self.dtype, self.is_root, self.passes_nan = order, ddof, dtype, is_root, passes_nan
        self.is_masked, self.is_real_mean = is_masked, is_real_mean
        self.__name__ = label

    def __call__(self, partial: tuple[Any, ...]) -> Any:
        count = partial[0]
        if self.order < 2:
            return np.full(partial[1].shape, 1 - self.order, self.dtype)
        free = count - self.ddof
        is_short = free <= 0
        if is_short.any() and not self.is_masked:
            warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=1)
        with np.errstate(all="ignore"):
            total = partial[self.order]
            if self.is_real_mean:
                total = total + count * partial[1].imag ** 2
            moment = _array(total / np.maximum(free, 0))
            if self.is_root:
                moment = roots(moment, moment)
        moment = moment.astype(self.dtype, copy=False)
        if self.is_masked:
            return np.ma.masked_array(moment, mask=_spread(is_short, moment.shape))
        if self.passes_nan and is_short.any():
            moment[_spread(is_short, moment.shape)] = np.nan
        return moment

    def __kask_tokenize__(self) -> Any:
        how = self.is_root, self.passes_nan, self.is_masked, self.is_real_mean
        return "momentfinish", self.order, self.ddof, self.dtype, self.__name__, how


def roots(block: Any, out: Any = None) -> Any:
    """The square root of each element; of objects as NumPy has it of one. Of floating point numbers it is put into ``out``."""
    if block.dtype.kind == "O":
        return np.asanyarray(_root_of_each(block))
    return np.sqrt(block, out=out) if type(out) is np.ndarray and out.dtype.kind in "fc" else np.sqrt(block)


_root_of_each = np.frompyfunc(np.sqrt, 1, 1)


class FromMoments:
    """``func(count, mean, M2, ...)``."""

    def __init__(self, func: Callable[..., Any], args: tuple[Any, ...] = ()) -> None:
        self.func, self.args = func, args
        self.__name__ = func.__name__

    def __call__(self, partial: tuple[Any, ...]) -> Any:
        with np.errstate(all="ignore"):
            return self.func(*partial, *self.args)

    def __kask_tokenize__(self) -> Any:
        return "frommoments", self.func, self.args
