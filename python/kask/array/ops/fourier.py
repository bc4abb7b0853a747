"""Fourier transforms: the node, and how several axes are transformed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kask import config
from kask.array.base import as_array, wrap
from kask.array.kernels.fourier import Transform, frequencies
from kask.array.node import ArrayExpr
from kask.array.ops.chunks import normalized
from kask.array.ops.creation import indexed
from kask.array.ops.fourier_steps import can_be_in_steps, in_steps
from kask.array.ops.mapped import cut_whole, mapped
from kask.array.ops.slicing import sliced
from kask.engine import Chunks

# What users see is in kask.array.fft.
__all__: list[str] = []

normalize_axis_index = np.lib.array_utils.normalize_axis_index

_NORMS = (None, "backward", "ortho", "forward")
#: Transforms of several axes: what is done along the last axis, and along the others.
_SEVERAL = {
    "fft2": ("fft", "fft"),
    "ifft2": ("ifft", "ifft"),
    "fftn": ("fft", "fft"),
    "ifftn": ("ifft", "ifft"),
    "rfft2": ("rfft", "fft"),
    "rfftn": ("rfft", "fft"),
    "irfft2": ("irfft", "ifft"),
    "irfftn": ("irfft", "ifft"),
}


def length_after(kind: str, n: int) -> int:
    """Elements of the result along the (last) axis of a transform of this kind, of ``n`` elements."""
    return n // 2 + 1 if kind.removesuffix("2").removesuffix("n") in ("rfft", "ihfft") else n


def length_used(kind: str, n: int) -> int:
    """Elements of the input that a transform uses to make ``n``, or of ``n``."""
    return n // 2 + 1 if kind.removesuffix("2").removesuffix("n") in ("irfft", "hfft") else n


def length_by_default(kind: str, length: int) -> int:
    """``n`` for an axis of so many elements."""
    return 2 * (length - 1) if kind.removesuffix("2").removesuffix("n") in ("irfft", "hfft") else length


def checked_length(n: Any) -> int:
    """``n``, which must be 1 or more."""
    n = operator.index(n)
    if n < 1:
        raise ValueError(f"Invalid number of FFT data points ({n}) specified: it must be 1 or more")
    return n


def checked_norm(norm: Any) -> str | None:
    """How results are scaled."""
    if norm not in _NORMS:
        raise ValueError(f'Invalid norm value {norm}; should be "backward", "ortho" or "forward".')
    return norm


def _whole(array: ArrayExpr, axes: Sequence[int], used: Sequence[int]) -> ArrayExpr:
    """One chunk along the axes, and no more than is used of them."""
    taken = [(0, 1, length) for length in array.shape]
    for axis, wanted in zip(axes, used):
        taken[axis] = (0, 1, min(wanted, array.shape[axis]))
    return cut_whole(sliced(array, tuple(taken)), tuple(axes))


def transformed(
    func: Callable[..., Any], kind: str, array: ArrayExpr, n: Any, axis: int, norm: Any, dtype: Any = None
) -> ArrayExpr:
    """A transform along one axis."""
    if not array.ndim:
        raise ValueError(f"{kind}: an array without axes cannot be transformed; it needs one at least")
    axis = normalize_axis_index(axis, array.ndim)
    n = checked_length(length_by_default(kind, array.shape[axis]) if n is None else n)
    options = {"n": n, "axis": axis}
    if checked_norm(norm) is not None:
        options["norm"] = norm
    if dtype is None:
        dtype = func(np.ones(2, array.dtype), n=2).dtype
    # Not somebody else's transform, of which that is not known. Lines that are whole in one block already stay there.
    if func is getattr(np.fft, kind, None) and n * np.result_type(dtype, np.complex64).itemsize > int(
        config.get("array.chunk_size_bytes")
    ):
        if (array.grid[axis] > 1 or array.shape[axis] * 2 < n) and can_be_in_steps(n):
            return in_steps(kind, array, n, axis, norm, np.dtype(dtype))
    ready = _whole(array, (axis,), (length_used(kind, n),))
    chunks = ready.chunks.replace(axis, Chunks.whole([length_after(kind, n)]))
    return mapped(Transform(func, options, np.dtype(dtype)), ready, chunks=chunks, dtype=dtype, label=kind)


def _several_axes(kind: str, ndim: int, s: Any, axes: Any) -> tuple[list[int], list[int | None]]:
    """The axes, and the lengths along them, None where nothing is said."""
    if axes is None:
        if kind.endswith("2"):
            axes = (-2, -1)
        else:
            axes = range(ndim) if s is None else range(ndim - len(s), ndim)
    places = [normalize_axis_index(operator.index(axis), ndim) for axis in axes]
    lengths: list[int | None] = [None] * len(places) if s is None else list(s)
    if len(lengths) != len(places):
        raise ValueError(f"{kind}: s={tuple(lengths)} has {len(lengths)} lengths for {len(places)} axes")
    if not places:
        raise ValueError(f"{kind}: axes=() leaves nothing to transform; give one axis at least")
    # NumPy says -1 for the length that the array has.
    return places, [None if length == -1 else length for length in lengths]


def transformed_along(kind: str, array: ArrayExpr, s: Any, axes: Any, norm: Any) -> ArrayExpr:
    """A transform along several axes: one after another, so that only one of them has to be whole at a time."""
    places, lengths = _several_axes(kind, array.ndim, s, axes)
    last, others = _SEVERAL[kind]
    steps = [(others, axis, length) for axis, length in zip(places[:-1], lengths[:-1])]
    end = (last, places[-1], lengths[-1])
    # Real input is transformed along the last axis first, and real output is made along it at the end.
    order = [*steps, end] if kind.startswith("irfft") else [end, *reversed(steps)]
    for name, axis, length in order:
        array = transformed(getattr(np.fft, name), name, array, length, axis, norm)
    return array


def wrapped(func: Callable[..., Any], kind: str, a: Any, s: Any, axes: Any, norm: Any, dtype: Any) -> ArrayExpr:
    """Somebody else's transform along several axes, which have to be whole all at once."""
    array = as_array(a).expr
    places, lengths = _several_axes(kind, array.ndim, s, axes)
    wanted = []
    for at, (axis, length) in enumerate(zip(places, lengths)):
        whole = length_by_default(kind, array.shape[axis]) if at == len(places) - 1 else array.shape[axis]
        wanted.append(checked_length(whole if length is None else length))
    options: dict[str, Any] = {"s": tuple(wanted), "axes": tuple(places)}
    if checked_norm(norm) is not None:
        options["norm"] = norm
    if dtype is None:
        dtype = func(np.ones((2,) * len(places), array.dtype)).dtype
    used = [*wanted[:-1], length_used(kind, wanted[-1])]
    ready = _whole(array, places, used)
    chunks = ready.chunks
    for axis, length in zip(places, [*wanted[:-1], length_after(kind, wanted[-1])]):
        chunks = chunks.replace(axis, Chunks.whole([length]))
    return mapped(Transform(func, options, np.dtype(dtype)), ready, chunks=chunks, dtype=dtype, label=kind)


def frequencies_of(n: Any, d: float, chunks: Any, is_real: bool) -> Any:
    """The frequencies of the elements of a transform of ``n`` elements that are ``d`` apart."""
    n = operator.index(n)
    if n < 0:
        raise ValueError(f"n={n}, but there are no fewer than 0 frequencies")
    length, first_negative = (n // 2 + 1, n) if is_real else (n, (n - 1) // 2 + 1)
    cuts = normalized(chunks, (length,), np.float64)
    return wrap(
        indexed(frequencies, (n, first_negative if not is_real else length, 1.0 / (n * d)), cuts, np.float64, "fftfreq")
    )
