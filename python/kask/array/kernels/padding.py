"""What is put around an array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["is_level", "mean_of_sum", "median", "odd_reflection", "pad_lines", "ramp"]


def ramp(index: np.ndarray, edge: Any, end: Any, is_level: Any, width: int, dtype: np.dtype) -> Any:
    """From an end value towards the edge of the array in equal steps; ``index`` counts from the end value. NumPy computes otherwise
    where some step of all is 0, which ``is_level`` says."""
    delta, start = _rise(edge, end)
    values = index / width * delta + start if is_level.all() else index * (delta / width) + start
    if dtype.kind in "iu":
        values = np.floor(values)
    return values.astype(dtype)


def is_level(edge: Any, end: Any, width: int) -> Any:
    """Where the step of a ramp is 0."""
    return _rise(edge, end)[0] / width == 0


def _rise(edge: Any, end: Any) -> tuple[Any, Any]:
    start = np.asanyarray(end) * 1.0
    return np.asanyarray(edge) * 1.0 - start, start


def odd_reflection(mirrored: Any, first: Any, last: Any, run: int) -> Any:
    """A reflection turned around in the value of the edge; ``run`` says how many lengths of the array away it is."""
    if run == -1:
        return 2 * first - mirrored
    if run == 1:
        return 2 * last - mirrored
    moved = mirrored if run % 2 == 0 else 2 * first - mirrored
    return moved + (run if run % 2 == 0 else run + 1) * (last - first)


def median(block: Any, axis: int) -> Any:
    """The median along a whole axis, which stays as one element."""
    return np.median(block, axis=axis, keepdims=True)


def mean_of_sum(total: Any, count: int, dtype: np.dtype) -> Any:
    """The mean, of the array's type; integers are rounded."""
    return as_type(total / count, dtype)


def as_type(values: Any, dtype: np.dtype) -> Any:
    """Values of the array's type; integers are rounded."""
    return (np.round(values) if dtype.kind in "iu" else values).astype(dtype)


def pad_lines(block: Any, func: Callable[..., Any], axis: int, width: tuple[int, int], kwargs: dict[str, Any]) -> Any:
    """The block after a user's function has written to the margins of each line along an axis."""
    out = np.array(block)
    view = np.moveaxis(out, axis, -1)
    for place in np.ndindex(view.shape[:-1]):
        func(view[place], width, axis, kwargs)
    return out
