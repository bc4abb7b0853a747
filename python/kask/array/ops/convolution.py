"""Convolution and correlation of sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask import config
from kask.array.base import as_array, wrap
from kask.array.kernels.products import Convolve, PartAsItIs, add_parts
from kask.array.kernels.reductions import itself
from kask.array.node import ArrayExpr
from kask.array.ops.creation import Filled
from kask.array.ops.elementwise import elementwise
from kask.array.ops.joining import concatenated
from kask.array.ops.mapped import mapped
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reductions import reduced
from kask.array.ops.slicing import expanded, sliced
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
    """The full convolution with a sequence that is not longer. A long one is taken in pieces, whose convolutions are added."""
    (width,) = window.shape
    dtype = np.result_type(array.dtype, window.dtype)
    if width == 1:
        window = rechunked(window, Chunks.whole([1]))
        reads: tuple[Any, ...] = ((0,), (("fixed", 0),))
        return mapped(np.multiply, array, window, reads=reads, chunks=array.chunks, dtype=dtype, label="convolve")
    longest = max(1, int(config.get("array.chunk_size_bytes")) // max(1, dtype.itemsize))
    after = Chunks.normalize([width - 1], [min(width - 1, longest)], 1, 1)
    chunks = Chunks.concat([array.chunks, after])
    starts = range(0, width, longest)
    pieces = [_of_piece(array, window, start, min(longest, width - start), chunks, dtype) for start in starts]
    if len(pieces) == 1:
        return pieces[0]
    rows = concatenated([expanded(piece, (0,)) for piece in pieces], 0)
    return reduced(rows, PartAsItIs("convolve"), add_parts, itself, (0,), dtype, label="convolve-sum")


def _of_piece(array: ArrayExpr, window: ArrayExpr, start: int, length: int, chunks: Chunks, dtype: Any) -> ArrayExpr:
    """What a piece of the sequence contributes to the full convolution, cut so."""
    piece = rechunked(sliced(window, ((start, 1, length),)), Chunks.whole([length]))
    padded = concatenated([_zeros(start + length - 1, array), array, _zeros(window.shape[0] - start - 1, array)], 0)
    around = Interval(padded.chunks, chunks, 0, 1, 0, length - 1)
    reads = ((("interval", 0, around),), (("fixed", 0),))
    return mapped(
        Convolve(around),
        padded,
        piece,
        reads=reads,
        chunks=chunks,
        dtype=dtype,
        wants_position=True,
        label="convolve",
    )


def _zeros(length: int, like: ArrayExpr) -> ArrayExpr:
    item_bytes, limit = max(1, like.dtype.itemsize), int(config.get("array.chunk_size_bytes"))
    return Filled(0, Chunks.normalize([length], ["auto"], item_bytes, limit), like.meta)


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
        Sequences. A task holds the shorter one, or a piece of it with at most the bytes of a block (``array.chunk_size_bytes``).
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
        Sequences. A task holds the shorter one, or a piece of it with at most the bytes of a block (``array.chunk_size_bytes``).
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
