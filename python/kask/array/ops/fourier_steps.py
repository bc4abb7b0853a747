"""Fourier transforms of lines that are longer than a block may be, in steps that have no line whole.

The four steps of Gentleman and Sande ("Fast Fourier transforms: for fun and profit", 1966): a line of ``n = rows * columns`` elements
is a matrix; its columns are transformed, turned by the roots of unity, and its rows are transformed; read by columns, that is the
transform of the line. Rechunks lie between the steps. A line whose length is a prime becomes a convolution with a chirp (Bluestein, "A
linear filtering approach to the computation of discrete Fourier transform", 1970), which takes transforms of a length that has divisors.
"""

from __future__ import annotations

import math

import numpy as np

from kask.array.base import wrap
from kask.array.kernels.fourier import chirp, chirp_filter, turned
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import elementwise
from kask.array.ops.filling import cast, zeros
from kask.array.ops.joining import concatenated
from kask.array.ops.ranges import arange
from kask.array.ops.reshaping import reshaped
from kask.array.ops.slicing import sliced, transposed

__all__: list[str] = []

#: Lines that are shorter than this are not worth steps if they cannot be divided.
_SHORTEST_PRIME = 64

#: How the scales of a transform and of its inverse are told.
_SWAPPED = {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}


def can_be_in_steps(n: int) -> bool:
    """Whether steps are shorter than a line of this length."""
    return n >= _SHORTEST_PRIME or rows_for(n) > 1


def rows_for(n: int) -> int:
    """The divisor of ``n`` that is next to its root, not above it; 1 for a prime."""
    return next(rows for rows in range(math.isqrt(n), 0, -1) if n % rows == 0)


def in_steps(kind: str, array: ArrayExpr, n: int, axis: int, norm: str | None, dtype: np.dtype) -> ArrayExpr:
    """A transform along one axis, of length ``n``."""
    if kind in ("fft", "ifft"):
        return cast(_complex(kind, _of_length(array, axis, n), axis, norm), dtype)
    if kind == "rfft":
        found = _complex("fft", _of_length(array, axis, n), axis, norm)
        return cast(_part(found, axis, 0, n // 2 + 1), dtype)
    if kind == "irfft":
        half = _of_length(array, axis, n // 2 + 1)
        # The other half is the conjugate, backwards; what is imaginary of the first and the middle element vanishes.
        others = wrap(_part(half, axis, 1, (n + 1) // 2 - 1, backwards=True)).conj().expr
        return cast(wrap(_complex("ifft", concatenated([half, others], axis), axis, norm)).real.expr, dtype)
    if kind == "hfft":
        return in_steps("irfft", wrap(array).conj().expr, n, axis, _SWAPPED[norm], dtype)
    return wrap(in_steps("rfft", array, n, axis, _SWAPPED[norm], dtype)).conj().expr


def _complex(kind: str, array: ArrayExpr, axis: int, norm: str | None) -> ArrayExpr:
    from kask.array.ops.fourier import transformed

    n = array.shape[axis]
    rows = rows_for(n)
    if rows == 1:
        return _convolved(kind, array, axis, norm)
    columns = n // rows
    before, after = array.shape[:axis], array.shape[axis + 1 :]
    matrix = reshaped(array, (*before, rows, columns, *after))
    func = getattr(np.fft, kind)
    found = transformed(func, kind, matrix, None, axis, norm)
    along = (1,) * len(after)
    row = arange(rows).reshape(rows, 1, *along).expr
    column = arange(columns).reshape(columns, *along).expr
    found = elementwise(turned, found, row, column, n, -1 if kind == "fft" else 1, dtype=found.dtype)
    found = transformed(func, kind, found, None, axis + 1, norm)
    order = [*range(axis), axis + 1, axis, *range(axis + 2, found.ndim)]
    return reshaped(transposed(found, tuple(order)), (*before, n, *after))


def _convolved(kind: str, array: ArrayExpr, axis: int, norm: str | None) -> ArrayExpr:
    """The transform as a convolution with a chirp, by transforms of a power of two."""
    from kask.array.ops.fourier import transformed

    n = array.shape[axis]
    length = 1 << (2 * n - 2).bit_length()
    sign = -1 if kind == "fft" else 1
    along = (1,) * (array.ndim - axis - 1)
    turns = elementwise(chirp, arange(n).reshape(n, *along).expr, n, sign, dtype=np.complex128)
    places = arange(length).reshape(length, *along).expr
    weights = elementwise(chirp_filter, places, n, sign, length, dtype=np.complex128)
    turned_once = _of_length((wrap(array) * wrap(turns)).expr, axis, length)
    spectrum = wrap(transformed(np.fft.fft, "fft", turned_once, None, axis, None))
    response = wrap(transformed(np.fft.fft, "fft", weights, None, 0, None))
    found = transformed(np.fft.ifft, "ifft", (spectrum * response).expr, None, axis, None)
    scale = {"ortho": 1 / math.sqrt(n), "forward" if kind == "fft" else None: 1 / n}
    if norm == "backward":
        norm = None
    return (wrap(_part(found, axis, 0, n)) * wrap(turns) * scale.get(norm, 1.0)).expr


def _of_length(array: ArrayExpr, axis: int, length: int) -> ArrayExpr:
    """Cut off there, or filled up with zeros."""
    there = array.shape[axis]
    if there >= length:
        return _part(array, axis, 0, length)
    shape = (*array.shape[:axis], length - there, *array.shape[axis + 1 :])
    return concatenated([array, zeros(shape, dtype=array.dtype).expr], axis)


def _part(array: ArrayExpr, axis: int, start: int, length: int, backwards: bool = False) -> ArrayExpr:
    taken = [(0, 1, whole) for whole in array.shape]
    taken[axis] = (start + length - 1, -1, length) if backwards else (start, 1, length)
    return sliced(array, tuple(taken))
