"""Blocks made of the indices of their elements."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "band",
    "bartlett",
    "below",
    "blackman",
    "cast",
    "fill_from",
    "from_indices",
    "hamming",
    "hanning",
    "kaiser",
    "linear",
    "mesh_axis",
    "progression",
    "spaced_geometrically",
    "triangle_index",
    "vander",
]


def cast(block: Any, dtype: np.dtype) -> Any:
    """The block, of another type."""
    return block.astype(dtype)


def fill_from(block: Any, dtype: np.dtype) -> Any:
    """A copy of another type, by the rules of assignment."""
    return np.array(block, dtype=dtype)


def progression(index: np.ndarray, first: Any, delta: Any, dtype: np.dtype) -> np.ndarray:
    """``first + index * delta``, computed in the type itself, as NumPy's arange does."""
    if dtype.kind in "mM":
        return (first.astype(np.int64) + index * delta.astype(np.int64)).view(np.int64).astype(dtype)
    if dtype.kind == "b":
        return np.array([first, first ^ delta])[index]
    if dtype.kind == "O":
        return np.array([first + int(i) * delta for i in index], dtype=object).reshape(index.shape)
    work = np.dtype(np.float32) if dtype == np.float16 else dtype
    with np.errstate(over="ignore"):
        values = index.astype(work) * work.type(delta)
        values += work.type(first)
    return values.astype(dtype, copy=False)


def linear(index: np.ndarray, start: Any, stop: Any, num: int, endpoint: bool, dtype: np.dtype) -> np.ndarray:
    """Elements of ``numpy.linspace``, by its own formula."""
    values = _linear(index, start, stop, num, endpoint)
    if dtype.kind in "iu":
        values = np.floor(values)
    return values.astype(dtype, copy=False)


def _linear(index: np.ndarray, start: Any, stop: Any, num: int, endpoint: bool) -> np.ndarray:
    start, stop = np.asanyarray(start) * 1.0, np.asanyarray(stop) * 1.0
    delta, div = stop - start, num - 1 if endpoint else num
    kind = np.result_type(start, stop, float(num))
    values = index.astype(kind)
    if div > 0:
        step = delta / div
        values = values * step if step != 0 else values / div * delta
    else:
        values = values * delta
    values = values + start
    if endpoint and num > 1:
        values[index == num - 1] = stop
    return values


def spaced_geometrically(
    index: np.ndarray, start: Any, stop: Any, num: int, endpoint: bool, dtype: np.dtype
) -> np.ndarray:
    """Elements of ``numpy.geomspace``, by its own formula."""
    sign = np.sign(start)
    start, stop = start / sign, stop / sign
    logs = _linear(index, np.log10(start), np.log10(stop), num, endpoint)
    values = np.power(10.0, logs)
    if num > 0:
        values[index == 0] = start
        if num > 1 and endpoint:
            values[index == num - 1] = stop
    return (values * sign).astype(dtype, copy=False)


def band(rows: np.ndarray, columns: np.ndarray, offset: int, dtype: np.dtype) -> np.ndarray:
    """One on a diagonal, zero elsewhere."""
    return (columns - rows == offset).astype(dtype)


def below(rows: np.ndarray, columns: np.ndarray, offset: int, dtype: np.dtype) -> np.ndarray:
    """One on a diagonal and below it, zero elsewhere."""
    return (columns - rows <= offset).astype(dtype)


def triangle_index(index: np.ndarray, which: int, rows: int, columns: int, offset: int, lower: bool) -> np.ndarray:
    """Row (0) or column (1) of elements of a triangle, counted in C order."""
    row = np.arange(rows)
    first = np.zeros(rows, np.intp) if lower else np.clip(row + offset, 0, columns)
    counts = np.clip(row + offset + 1, 0, columns) if lower else columns - first
    ends = np.cumsum(counts)
    found = np.searchsorted(ends, index, side="right")
    return found if which == 0 else index - (ends - counts)[found] + first[found]


def mesh_axis(*vectors_and_type: Any) -> np.ndarray:
    """A block of ``numpy.indices``: the first vector says of which axis."""
    which, *vectors, dtype = vectors_and_type
    shape = (which.size, *(vector.size for vector in vectors))
    out = np.empty(shape, dtype)
    for at, axis in enumerate(which.ravel().tolist()):
        out[at] = vectors[axis][0]
    return out


def from_indices(*vectors_and_call: Any) -> Any:
    """What a user's function makes of full coordinates."""
    *vectors, func, dtype, kwargs = vectors_and_call
    shape = np.broadcast_shapes(*[vector.shape for vector in vectors])
    result = func(*[np.broadcast_to(vector, shape).astype(dtype) for vector in vectors], **kwargs)
    return result if np.shape(result) == shape else np.array(np.broadcast_to(result, shape))


def vander(block: Any, columns: int, increasing: bool) -> Any:
    """Powers of the elements."""
    return np.vander(block, columns, increasing)


def _centred(index: np.ndarray, length: int) -> np.ndarray:
    return 2 * index + (1.0 - length)


def hanning(index: np.ndarray, length: int) -> np.ndarray:
    """Elements of ``numpy.hanning``."""
    return 0.5 + 0.5 * np.cos(np.pi * _centred(index, length) / (length - 1))


def hamming(index: np.ndarray, length: int) -> np.ndarray:
    """Elements of ``numpy.hamming``."""
    return 0.54 + 0.46 * np.cos(np.pi * _centred(index, length) / (length - 1))


def blackman(index: np.ndarray, length: int) -> np.ndarray:
    """Elements of ``numpy.blackman``."""
    angle = np.pi * _centred(index, length) / (length - 1)
    return 0.42 + 0.5 * np.cos(angle) + 0.08 * np.cos(2.0 * angle)


def bartlett(index: np.ndarray, length: int) -> np.ndarray:
    """Elements of ``numpy.bartlett``."""
    n = _centred(index, length)
    return np.where(n <= 0, 1 + n / (length - 1), 1 - n / (length - 1))


def kaiser(index: np.ndarray, length: int, beta: float) -> np.ndarray:
    """Elements of ``numpy.kaiser``."""
    alpha = (length - 1) / 2.0
    return np.i0(beta * np.sqrt(1 - ((index - alpha) / alpha) ** 2.0)) / np.i0(beta)


def power_of(exponents: Any, base: Any) -> Any:
    """Powers of one base."""
    return np.power(base, exponents)


def on_and_below(block: Any, position: tuple[int, ...], chunks: Any, offset: int, lower: bool) -> Any:
    """The block with zeros above a diagonal of the last two axes of the whole array, or below it."""
    row, column = chunks.block_start(position)[-2:]
    shifted = offset + row - column
    rows, columns = block.shape[-2:]
    distance = np.arange(columns) - np.arange(rows)[:, None]
    kept = distance <= shifted if lower else distance >= shifted
    return np.where(kept, block, np.zeros(1, block.dtype))


def where_band(kept: Any, values: Any) -> Any:
    """The values on a diagonal, zeros elsewhere."""
    return np.where(kept, values, np.zeros(1, values.dtype)).astype(values.dtype, copy=False)


def diagonal_piece(
    blocks: list[Any], position: tuple[int, ...], rows: Any, columns: Any, axis1: int, axis2: int, meta: Any, shape: Any
) -> Any:
    """The part of a diagonal that is in one block."""
    wanted = shape.block_shape(position)
    if 0 in wanted:
        return np.empty_like(meta, shape=wanted)
    down, right = rows.pieces(position[-1]), columns.pieces(position[-1])
    at_row = next(i for i, piece in enumerate(down) if piece[2])
    at_column = next(i for i, piece in enumerate(right) if piece[2])
    # Blocks are in C order of the array's axes.
    number = at_row * len(right) + at_column if axis1 < axis2 else at_column * len(down) + at_row
    block, length = blocks[number], wanted[-1]
    place = [slice(None)] * block.ndim
    place[axis1] = slice(down[at_row][0], down[at_row][0] + length)
    place[axis2] = slice(right[at_column][0], right[at_column][0] + length)
    return np.diagonal(block[tuple(place)], 0, axis1, axis2)
