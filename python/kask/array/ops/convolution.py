"""Convolution and correlation of sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels.products import Convolve
from kask.array.node import ArrayExpr
from kask.array.ops.creation import Filled
from kask.array.ops.elementwise import elementwise
from kask.array.ops.joining import concatenated
from kask.array.ops.mapped import mapped
from kask.array.ops.rechunk import rechunked
from kask.array.ops.slicing import sliced
from kask.engine import Chunks, Interval

__all__ = ["convolve", "correlate"]

_MODES = ("full", "same", "valid")


def _sequences(name: str, a: Any, v: Any, mode: str) -> tuple[ArrayExpr, ArrayExpr]:
    if mode not in _MODES:
        raise ValueError(f"{name}: mode must be one of 'full', 'same' and 'valid', got {mode!r}")
    arrays = [as_array(one).expr for one in (a, v)]
    for array, what in zip(arrays, "av"):
        if array.ndim > 1:
            raise ValueError(f"{name}: {what} must have one axis, but has the shape {array.shape}")
        if array.shape == (0,):
            raise ValueError(f"{what} cannot be empty")
    longer, shorter = [wrap(array).reshape(-1).expr for array in arrays]
    return longer, shorter


def _convolved(array: ArrayExpr, window: ArrayExpr) -> ArrayExpr:
    """The full convolution with a sequence that is not longer."""
    (width,) = window.shape
    dtype = np.result_type(array.dtype, window.dtype)
    window = rechunked(window, Chunks.whole([width]))
    if width == 1:
        reads: tuple[Any, ...] = ((0,), (("fixed", 0),))
        return mapped(np.multiply, array, window, reads=reads, chunks=array.chunks, dtype=dtype, label="convolve")
    zeros = Filled(0, Chunks.whole([width - 1]), array.meta)
    padded = concatenated([zeros, array, zeros], 0)
    chunks = Chunks.concat([array.chunks, Chunks.whole([width - 1])])
    around = Interval(padded.chunks, chunks, 0, 1, 0, width - 1)
    reads = ((("interval", 0, around),), (("fixed", 0),))
    return mapped(
        Convolve(around),
        padded,
        window,
        reads=reads,
        chunks=chunks,
        dtype=dtype,
        wants_position=True,
        label="convolve",
    )


def _in_mode(full: ArrayExpr, mode: str, longer: int, shorter: int, before: int) -> Any:
    """The part of the full result that a mode means; ``before`` elements are left out in front for "same"."""
    start, length = {
        "full": (0, longer + shorter - 1),
        "same": (before, longer),
        "valid": (shorter - 1, longer - shorter + 1),
    }[mode]
    return wrap(sliced(full, ((start, 1, length),)))


def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """The convolution of two sequences.

    Parameters
    ----------
    a, v : array_like
        Sequences. A task holds all of the shorter one.
    mode : str, optional
        "full" for all places where they overlap, "same" for as many as the longer one has elements, in the middle, "valid" for those where they
        overlap all.

    Returns
    -------
    Array

    Raises
    ------
    ValueError
        A mode that there is not, or a sequence without elements.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.convolve(ka.arange(4, chunks=2), [1, 1]).compute()
    array([0, 1, 3, 5, 3])
    """
    longer, shorter = _sequences("convolve", a, v, mode)
    if shorter.shape[0] > longer.shape[0]:
        longer, shorter = shorter, longer
    count = shorter.shape[0]
    return _in_mode(_convolved(longer, shorter), mode, longer.shape[0], count, (count - 1) // 2)


def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """The correlation of two sequences: at each place the sum of products with the conjugates of the second.

    Parameters
    ----------
    a, v : array_like
        Sequences. A task holds all of the shorter one.
    mode : str, optional
        As for :func:`convolve`.

    Returns
    -------
    Array

    Raises
    ------
    ValueError
        A mode that there is not, or a sequence without elements.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.correlate(ka.arange(4, chunks=2), [0, 1]).compute()
    array([1, 2, 3])
    """
    first, second = _sequences("correlate", a, v, mode)
    second = sliced(second, ((second.shape[0] - 1, -1, second.shape[0]),))
    if second.dtype.kind == "c":
        second = elementwise(np.conjugate, second)
    is_swapped = second.shape[0] > first.shape[0]
    longer, shorter = (second, first) if is_swapped else (first, second)
    count = shorter.shape[0]
    before = count // 2 if is_swapped else (count - 1) // 2
    return _in_mode(_convolved(longer, shorter), mode, longer.shape[0], count, before)
