"""Functions of ``numpy.linalg`` of each matrix of a stack, or of one, whole in one task."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from kask import config
from kask.array.base import PerformanceWarning
from kask.array.kernels import linalg as kernels
from kask.array.kernels.ufuncs import pick
from kask.array.node import ArrayExpr
from kask.array.ops.mapped import cut_whole, mapped
from kask.array.ops.rechunk import rechunked
from kask.engine import Chunks

# For the functions of kask.array.linalg only.
__all__: list[str] = []

#: A matrix in one task of more bytes than so many blocks is worth a warning.
_LARGE = 8


def warn_of_one_task(
    shape: tuple[int, ...], dtype: np.dtype, name: str, instead: str = "", stacklevel: int = 5
) -> None:
    """A warning that a matrix of this shape will be in one task, where it is large."""
    needed = math.prod(shape) * dtype.itemsize
    if needed > _LARGE * int(config.get("array.chunk_size_bytes")):
        warnings.warn(
            f"{name}: one task will hold a matrix of shape {shape}, {needed / 2**30:.1f} GiB, several times{instead}",
            PerformanceWarning,
            stacklevel=stacklevel,
        )


def of_each(
    func: Any,
    array: ArrayExpr,
    shapes: Sequence[tuple[int, ...]],
    dtypes: Sequence[Any],
    numbers: Sequence[Any] = (),
    **options: Any,
) -> list[ArrayExpr]:
    """What a function makes of each matrix: for each result the shape that it has in place of the last two axes, and its type.
    ``numbers`` are arrays with one element for each matrix, which the function gets as well."""
    name, largest = func.__name__, max([array.shape[-2:], *shapes], key=math.prod)
    warn_of_one_task(largest, array.dtype, name)
    ready = cut_whole(array, (array.ndim - 2, array.ndim - 1))
    before = list(range(array.ndim - 2))
    along = ready.chunks.axes(before)
    cuts = [Chunks.join([along, Chunks.whole(list(shape))]) for shape in shapes]
    call = kernels.Stacked(func, options, tuple([np.dtype(dtype) for dtype in dtypes]))
    others = [rechunked(one.expr, along) for one in numbers]
    reads: tuple[Any, ...] = ((*before, ("fixed", 0), ("fixed", 0)), *[tuple(before)] * len(others))
    if len(shapes) == 1:
        return [mapped(call, ready, *others, reads=reads, chunks=cuts[0], dtype=dtypes[0], label=name)]
    # Several results are a tuple, of which others take theirs; it is counted as large as the largest of them.
    chunks = Chunks.join([along, Chunks.whole(list(largest))])
    made = mapped(call, ready, *others, reads=reads, chunks=chunks, dtype=array.dtype, label=name)
    reads = ((*before, *[("fixed", 0)] * len(largest)),)
    return [
        mapped(pick, made, reads=reads, chunks=cut, dtype=dtype, constants=(place,), label=name)
        for place, (cut, dtype) in enumerate(zip(cuts, dtypes))
    ]


def stacked(func: Any, array: ArrayExpr, results: list[tuple[int, Any]], **options: Any) -> list[ArrayExpr]:
    """What a function makes of each square matrix: for each result, how many of the last axes it is without, and its type."""
    if array.ndim < 2 or array.shape[-1] != array.shape[-2]:
        raise np.linalg.LinAlgError(
            f"{func.__name__}: square matrices are wanted, but the array has the shape {array.shape}"
        )
    shapes = [array.shape[-2:][: 2 - dropped] for dropped, _ in results]
    return of_each(func, array, shapes, [dtype for _, dtype in results], **options)


def stacked_qr(array: ArrayExpr, mode: str) -> list[ArrayExpr]:
    """Q and R of each matrix, or R alone."""
    rows, columns = array.shape[-2:]
    rank = rows if mode == "complete" else min(rows, columns)
    shapes = [(rank, columns)] if mode == "r" else [(rows, rank), (rank, columns)]
    return of_each(np.linalg.qr, array, shapes, [array.dtype] * len(shapes), mode=mode)


def stacked_svd(array: ArrayExpr, full_matrices: bool) -> list[ArrayExpr]:
    """U, S and Vh of each matrix."""
    rows, columns = array.shape[-2:]
    rank = min(rows, columns)
    shapes = [(rows, rows if full_matrices else rank), (rank,), (columns if full_matrices else rank, columns)]
    dtypes = [array.dtype, real_of(array.dtype), array.dtype]
    return of_each(np.linalg.svd, array, shapes, dtypes, full_matrices=full_matrices)


def stacked_singular_values(array: ArrayExpr) -> ArrayExpr:
    """Singular values of each matrix."""
    shape = (min(array.shape[-2:]),)
    return of_each(np.linalg.svd, array, [shape], [real_of(array.dtype)], compute_uv=False)[0]


def real_of(dtype: np.dtype) -> np.dtype:
    """The type of absolute values."""
    return np.dtype(dtype.char.lower())
