"""Exact selection from all elements of an array in two passes.

First, regular samples of each sorted block say between which two elements each wanted one lies: not roughly, but for certain. Then
the elements between these are gathered, and the others only counted.

Elements with weights are sorted with these, which are then added up; each quantile is in the first block whose sums reach it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "Brackets",
    "ReachedIn",
    "ReachedValues",
    "SampleBlock",
    "Select",
    "SelectPart",
    "Weighed",
    "add_samples",
    "add_selections",
    "place_of",
]

#: Elements of a block that are sampled. Twice the whole, divided by this, is about what is gathered for one quantile.
_SAMPLES = 1024


def place_of(q: Any, n: int, method: str) -> tuple[int, int, Any]:
    """The places of the two elements around a quantile among ``n`` that are sorted, and how far it is from the first to the second.

    The methods are those of Hyndman and Fan (Sample quantiles in statistical packages, 1996), as NumPy numbers places.
    """
    kind = np.asarray(q).dtype.type
    if method in ("lower", "higher", "midpoint", "nearest", "linear"):
        virtual = kind((n - 1) * q)
    elif method in ("inverted_cdf", "averaged_inverted_cdf"):
        virtual = kind(n * q - 1)
    elif method == "closest_observation":
        virtual = kind(n * q - 1 - 0.5)
    else:
        alpha, beta = _HYNDMAN_FAN[method]
        virtual = kind(n * q + (alpha + q * (1 - alpha - beta)) - 1)
    below = int(np.floor(virtual))
    part = kind(virtual - below)
    if method == "lower":
        part = kind(0)
    elif method == "higher":
        part = kind(part > 0)
    elif method == "midpoint":
        part = kind(0.5 if part > 0 else 0)
    elif method == "nearest":
        # Of two equally near ones, the one at an even place.
        part = kind(part > 0.5 or (part == 0.5 and below % 2 == 1))
    elif method == "inverted_cdf":
        part = kind(part > 0)
    elif method == "averaged_inverted_cdf":
        part = kind(1 if part > 0 else 0.5)
    elif method == "closest_observation":
        part = kind(not (part == 0 and below % 2 == 1))
    if below < 0:
        return 0, 0, kind(0)
    if below >= n - 1:
        return n - 1, n - 1, kind(0)
    return below, below + 1, part


_HYNDMAN_FAN = {
    "interpolated_inverted_cdf": (0, 1),
    "hazen": (0.5, 0.5),
    "weibull": (0, 0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}


def _is_nan(values: Any) -> Any:
    return np.isnan(values) if values.dtype.kind in "fcmM" else np.zeros(values.shape, np.bool_)


class SampleBlock:
    """Of the elements of a block: how many are NaN, and of the others how many there are, and some at known places in their order."""

    __name__ = "sample"

    def __call__(self, block: Any, axes: tuple[int, ...]) -> list[tuple[int, int, Any, Any]]:
        flat = np.ravel(block)
        is_nan = _is_nan(flat)
        missing = int(is_nan.sum())
        flat = np.sort(flat[~is_nan] if missing else flat)
        count = len(flat)
        places = (
            np.unique(np.linspace(0, count - 1, min(count, _SAMPLES)).astype(np.intp))
            if count
            else np.empty(0, np.intp)
        )
        return [(missing, count, flat[places], places)]

    def __kask_tokenize__(self) -> Any:
        return "sampleblock"


def add_samples(parts: list[Any]) -> list[Any]:
    """The samples of all blocks."""
    return [sample for part in parts for sample in part]


class Brackets:
    """Between which elements the wanted ones lie: ``(missing, [(place, low, high)], [(first, second, part)])``."""

    def __init__(self, qs: Any, method: str) -> None:
        self.qs, self.method = qs, method
        self.__name__ = "brackets"

    def __call__(self, parts: list[Any]) -> Any:
        missing, count = sum(part[0] for part in parts), sum(part[1] for part in parts)
        if count == 0:
            return missing, [], []
        wanted = [place_of(q, count, self.method) for q in self.qs.reshape(-1)]
        values = np.unique(np.concatenate([part[2] for part in parts]))
        places = sorted({place for first, second, _ in wanted for place in (first, second)})
        return missing, [(place, *_bracket(values, parts, place)) for place in places], wanted

    def __kask_tokenize__(self) -> Any:
        return "brackets", self.qs, self.method


def _bracket(values: Any, parts: list[Any], place: int) -> tuple[Any, Any]:
    """The nearest sampled elements of which one is certainly not above the element at this place, and one not below it."""

    def most_below(value: Any) -> int:
        return sum(_at(part, np.searchsorted(part[2], value, "left"), part[1]) for part in parts)

    def fewest_until(value: Any) -> int:
        return sum(
            _at(part, np.searchsorted(part[2], value, "right") - 1, 0) + 1 if part[1] and part[2][0] <= value else 0
            for part in parts
        )

    low = _last(len(values), lambda at: most_below(values[at]) <= place)
    high = _last(len(values), lambda at: fewest_until(values[at]) <= place) + 1
    return values[max(low, 0)], values[min(high, len(values) - 1)]


def _at(part: Any, index: Any, otherwise: int) -> int:
    return int(part[3][index]) if index < len(part[3]) else otherwise


def _last(count: int, holds: Any) -> int:
    """The last number below ``count`` for which something holds that holds for all before it; -1 if for none."""
    first, end = 0, count
    while first < end:
        middle = (first + end) // 2
        if holds(middle):
            first = middle + 1
        else:
            end = middle
    return first - 1


class SelectPart:
    """Of a block: for each bracket, how many elements lie below it, are its ends, and which lie between these."""

    __name__ = "select"

    def __call__(self, block: Any, axes: tuple[int, ...], brackets: Any) -> list[Any]:
        flat = np.ravel(block)
        found = []
        for _, low, high in brackets[1]:
            is_between = (flat > low) & (flat < high)
            found.append((int((flat < low).sum()), int((flat == low).sum()), [flat[is_between]]))
        return [(brackets, found)]

    def __kask_tokenize__(self) -> Any:
        return "selectpart"


def add_selections(parts: list[Any]) -> list[Any]:
    """What was selected from all blocks."""
    brackets = parts[0][0][0]
    rows = [row for part in parts for _, row in part]
    added = [
        (sum(one[0] for one in ones), sum(one[1] for one in ones), [piece for one in ones for piece in one[2]])
        for ones in zip(*rows)
    ]
    return [(brackets, added)]


class Select:
    """The quantiles."""

    def __init__(self, shape: tuple[int, ...], method: str, passes_nan: bool, dtype: Any) -> None:
        self.shape, self.method, self.passes_nan, self.dtype = shape, method, passes_nan, dtype
        self.__name__ = "quantile"

    def __call__(self, parts: list[Any]) -> Any:
        (missing, brackets, wanted), found = add_selections([parts])[0] if len(parts) > 1 else parts[0]
        if not brackets or (missing and not self.passes_nan):
            nothing: Any = np.nan if self.dtype.kind not in "mM" else "NaT"
            return np.full(self.shape, nothing, self.dtype)
        values: dict[int, Any] = {}
        for (place, low, high), (below, lowest, pieces) in zip(brackets, found):
            between = np.concatenate(pieces)
            at = place - below - lowest
            values[place] = low if at < 0 else high if at >= len(between) else np.partition(between, at)[at]
        method = "lower" if self.method in _DISCRETE else "linear"
        results = []
        for first, second, part in wanted:
            pair = np.array([values[first], values[second]])
            results.append(pair[int(part)] if method == "lower" else np.quantile(pair, part))
        return np.array(results, self.dtype).reshape(self.shape)

    def __kask_tokenize__(self) -> Any:
        return "select", self.shape, self.method, self.passes_nan, self.dtype


_DISCRETE = ("lower", "higher", "nearest", "inverted_cdf", "closest_observation")


class Weighed:
    """Records of elements and their weights. NaN weighs nothing where it is passed over."""

    __name__ = "weighed"

    def __init__(self, dtype: np.dtype, passes_nan: bool) -> None:
        self.dtype, self.passes_nan = dtype, passes_nan

    def __call__(self, block: Any, weights: Any) -> Any:
        if np.any(weights < 0):
            raise ValueError("Weights must be non-negative.")
        records = np.empty(block.shape, self.dtype)
        records["value"] = block
        records["weight"] = np.where(_is_nan(block), 0, weights) if self.passes_nan else weights
        return records

    def __kask_tokenize__(self) -> Any:
        return "weighed", self.dtype, self.passes_nan


class ReachedIn:
    """Of a block of sorted elements and the sums of their weights until there: for each wanted part of all weights whether it is reached, and
    the element that reaches it; the first and the last element, and all weights."""

    __name__ = "reached"

    def __init__(self, qs: Any) -> None:
        self.qs = qs

    def __call__(self, sums: Any, axes: tuple[int, ...], records: Any, total: Any) -> list[Any]:
        values = records["value"]
        if not len(values):
            return []
        with np.errstate(all="ignore"):
            parts = np.asarray(sums / total)
        if self.qs.dtype.kind == "f":
            # NumPy compares in the type of the quantiles.
            parts = parts.astype(self.qs.dtype)
        # What weighs nothing is before the quantile 0, too.
        parts[parts == 0] = -1
        places = np.searchsorted(parts, self.qs, "left")
        return [(places < len(values), values[np.minimum(places, len(values) - 1)], values[0], values[-1], total)]

    def __kask_tokenize__(self) -> Any:
        return "reachedin", self.qs


class ReachedValues:
    """The quantiles of elements with weights, of what :class:`ReachedIn` found in each block."""

    __name__ = "quantile"

    def __init__(self, passes_nan: bool) -> None:
        self.passes_nan = passes_nan

    def __call__(self, parts: list[list[Any]]) -> Any:
        found = add_samples(parts)
        are_reached, values = np.array([part[0] for part in found]), np.array([part[1] for part in found])
        first, last, total = found[0][2], found[-1][3], found[0][4]
        picked = values[are_reached.argmax(axis=0), np.arange(values.shape[1])]
        if self.passes_nan and _is_nan(first):
            return np.full_like(picked, first)
        if not np.isfinite(total) or total == 0:
            raise ValueError("Weights included NaN, inf or were all zero.")
        return np.full_like(picked, last) if _is_nan(last) and not self.passes_nan else picked

    def __kask_tokenize__(self) -> Any:
        return "reachedvalues", self.passes_nan
