"""Functions of ``numpy.linalg`` that make several arrays of each matrix of a stack, each matrix in one task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kask.array.kernels import linalg as kernels
from kask.array.node import ArrayExpr
from kask.array.ops.mapped import cut_whole, mapped
from kask.engine import Chunks

__all__: list[str] = []


def of_each(
    func: Any, array: ArrayExpr, options: dict[str, Any], shapes: Sequence[tuple[int, ...]], dtypes: Sequence[Any]
) -> list[ArrayExpr]:
    """What ``func`` makes of each matrix: arrays whose last axes have these shapes."""
    ready = cut_whole(array, (array.ndim - 2, array.ndim - 1))
    before = list(range(array.ndim - 2))
    reads = ((*before, ("fixed", 0), ("fixed", 0)),)
    chunks = [Chunks.join([ready.chunks.axes(before), Chunks.whole(list(shape))]) for shape in shapes]
    name = func.__name__
    if len(shapes) == 1:
        call = kernels.Stacked(func, options)
        return [mapped(call, ready, reads=reads, chunks=chunks[0], dtype=dtypes[0], label=name)]
    # The blocks of this are tuples, which only ``nth`` reads; it is as large as its largest part.
    largest = max(chunks, key=lambda one: math.prod(one.shape))
    several = mapped(kernels.Several(func, options), ready, reads=reads, chunks=largest, dtype=dtypes[0], label=name)
    reads = ((*before, *[("fixed", 0)] * (several.ndim - len(before))),)
    return [
        mapped(kernels.nth, several, reads=reads, chunks=cut, dtype=dtype, constants=(place,), label=f"{name}-{place}")
        for place, (cut, dtype) in enumerate(zip(chunks, dtypes))
    ]


def stacked_qr(array: ArrayExpr, mode: str) -> list[ArrayExpr]:
    """Q and R of each matrix, or R alone."""
    rows, columns = array.shape[-2:]
    rank = rows if mode == "complete" else min(rows, columns)
    shapes = [(rank, columns)] if mode == "r" else [(rows, rank), (rank, columns)]
    return of_each(np.linalg.qr, array, {"mode": mode}, shapes, [array.dtype] * len(shapes))


def stacked_svd(array: ArrayExpr, full_matrices: bool) -> list[ArrayExpr]:
    """U, S and Vh of each matrix."""
    rows, columns = array.shape[-2:]
    rank = min(rows, columns)
    shapes = [(rows, rows if full_matrices else rank), (rank,), (columns if full_matrices else rank, columns)]
    return of_each(
        np.linalg.svd, array, {"full_matrices": full_matrices}, shapes, [array.dtype, real_of(array.dtype), array.dtype]
    )


def stacked_singular_values(array: ArrayExpr) -> ArrayExpr:
    """Singular values of each matrix."""
    shape = (min(array.shape[-2:]),)
    return of_each(np.linalg.svd, array, {"compute_uv": False}, [shape], [real_of(array.dtype)])[0]


def real_of(dtype: np.dtype) -> np.dtype:
    """The type of the parts of complex numbers, or the type itself."""
    return np.dtype(dtype.char.lower())
