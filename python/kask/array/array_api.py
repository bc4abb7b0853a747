"""The namespace of the Python array API standard, which ``x.__array_namespace__()`` gives.

Names whose parameters are the same as NumPy's are those of ``kask.array``; here are the others.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np

from kask.array import array_api_fft as fft
from kask.array import array_api_linalg as linalg
from kask.array.base import ArrayBase
from kask.array.ops.ufunc_calls import replace

#: Its names are looked up when they are used.
ka: Any = sys.modules["kask.array"]

__all__ = ["fft", "linalg"]

__array_api_version__ = "2025.12"

_DTYPES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "complex64",
    "complex128",
]


def __getattr__(name: str) -> Any:
    if name.startswith("_") or not hasattr(ka, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(ka, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *(name for name in dir(ka) if not name.startswith("_"))})


def _on_cpu(device: Any) -> None:
    if device not in (None, "cpu"):
        raise ValueError(f"device must be 'cpu' or None, got {device!r}")


class _Info:
    """What is there: see the standard."""

    def capabilities(self) -> dict[str, Any]:
        """Boolean masks as indices are possible; shapes may depend on data; at most 64 axes."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """``"cpu"``."""
        return "cpu"

    def devices(self) -> list[str]:
        """``["cpu"]``."""
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, np.dtype]:
        """Of what is made without saying a type."""
        _on_cpu(device)
        names = {"real floating": "float64", "complex floating": "complex128", "integral": "int64", "indexing": "int64"}
        return {kind: np.dtype(name) for kind, name in names.items()}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, np.dtype]:
        """All types, or those of a kind."""
        _on_cpu(device)
        types = {name: np.dtype(name) for name in _DTYPES}
        return types if kind is None else {name: one for name, one in types.items() if np.isdtype(one, kind)}


def __array_namespace_info__() -> _Info:
    return _Info()


class FInfo(NamedTuple):
    """What :func:`finfo` gives."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: np.dtype


def finfo(type: Any, /) -> FInfo:
    """Limits of a type of floats or complex numbers, or of an array's, as Python's floats."""
    found = np.finfo(type.dtype if isinstance(type, ArrayBase) else type)
    eps, most, least, smallest = map(float, (found.eps, found.max, found.min, found.smallest_normal))
    return FInfo(int(found.bits), eps, most, least, smallest, np.dtype(found.dtype))


# -- creation


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
    """An array of Kask of anything that NumPy makes an array of."""
    _on_cpu(device)
    if copy is False and not isinstance(obj, ArrayBase):
        raise ValueError("an array of Kask cannot share memory that is changed later: copy=False is not possible")
    array: Any = obj if isinstance(obj, ArrayBase) else ka.core.from_array(np.array(obj, dtype=dtype))
    if dtype is not None and array.dtype != dtype:
        if copy is False:
            raise ValueError(
                f"{array.dtype} cannot become {np.dtype(dtype)} without a copy: copy=False is not possible"
            )
        array = ka.astype(array, dtype)
    return array.copy() if copy else array


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
    """An array of Kask of anything that has ``__dlpack__``."""
    _on_cpu(device)
    return ka.core.from_array(np.from_dlpack(x))


def _made(name: str, args: tuple, dtype: Any, device: Any) -> Any:
    _on_cpu(device)
    return getattr(ka, name)(*args) if dtype is None else getattr(ka, name)(*args, dtype=dtype)


def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """An array of any values."""
    return _made("empty", (shape,), dtype, device)


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """An array of zeros."""
    return _made("zeros", (shape,), dtype, device)


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """An array of ones."""
    return _made("ones", (shape,), dtype, device)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """An array of one value."""
    return _made("full", (shape, fill_value), dtype, device)


def empty_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
    """An array of any values, of the shape of another."""
    return _made("empty_like", (x,), dtype, device)


def zeros_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
    """An array of zeros, of the shape of another."""
    return _made("zeros_like", (x,), dtype, device)


def ones_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
    """An array of ones, of the shape of another."""
    return _made("ones_like", (x,), dtype, device)


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """An array of one value, of the shape of another."""
    return _made("full_like", (x, fill_value), dtype, device)


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Any:
    """Evenly spaced numbers."""
    return _made(
        "arange",
        (start,) if stop is None and step == 1 else (0, start, step) if stop is None else (start, stop, step),
        dtype,
        device,
    )


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None, endpoint: bool = True
) -> Any:
    """So many evenly spaced numbers."""
    _on_cpu(device)
    return ka.linspace(start, stop, num, endpoint=endpoint, dtype=dtype)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None) -> Any:
    """Ones on a diagonal."""
    _on_cpu(device)
    return ka.eye(n_rows, M=n_cols, k=k, dtype=float if dtype is None else dtype)


# -- shapes


def concat(arrays: Any, /, *, axis: int | None = 0) -> Any:
    """Arrays one after another; flattened before if the axis is None."""
    if axis is None:
        return ka.concatenate([ka.ravel(array) for array in arrays], axis=0)
    return ka.concatenate(arrays, axis=axis)


def permute_dims(x: Any, /, axes: Any) -> Any:
    """An array with its axes in another order."""
    return ka.transpose(x, axes)


def matrix_transpose(x: Any, /) -> Any:
    """An array with its last two axes exchanged."""
    if x.ndim < 2:
        raise ValueError(f"matrix_transpose() needs an array of two axes or more, got the shape {x.shape}")
    return ka.swapaxes(x, -1, -2)


def reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Any:
    """The elements in C order in another shape."""
    return ka.reshape(x, shape)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The parts of an array along an axis."""
    moved = ka.moveaxis(x, axis, 0)
    return tuple([moved[at] for at in range(moved.shape[0])])


# -- statistics


def std(
    x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False, ddof: float | None = None
) -> Any:
    """The standard deviation. ``ddof`` is what NumPy's namespace calls ``correction`` as well, and xarray relies on."""
    return ka.std(x, axis=axis, ddof=correction if ddof is None else ddof, keepdims=keepdims)


def var(
    x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False, ddof: float | None = None
) -> Any:
    """The variance. ``ddof`` is what NumPy's namespace calls ``correction`` as well, and xarray relies on."""
    return ka.var(x, axis=axis, ddof=correction if ddof is None else ddof, keepdims=keepdims)


def cumulative_sum(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    """The sums up to each element."""
    return _cumulative("cumsum", "zeros", x, axis, dtype, include_initial)


def cumulative_prod(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    """The products up to each element."""
    return _cumulative("cumprod", "ones", x, axis, dtype, include_initial)


def _cumulative(scan: str, first: str, x: Any, axis: int | None, dtype: Any, include_initial: bool) -> Any:
    if axis is None:
        if x.ndim != 1:
            raise ValueError(f"axis is needed for an array of shape {x.shape}")
        axis = 0
    result = getattr(ka, scan)(x, axis=axis, dtype=dtype)
    if not include_initial:
        return result
    shape = list(x.shape)
    shape[axis] = 1
    return ka.concatenate([getattr(ka, first)(tuple(shape), dtype=result.dtype), result], axis=axis)


# -- order and sets


def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The elements in order."""
    result = ka.sort(x, axis=axis)
    return ka.flip(result, axis=axis) if descending else result


def argsort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The places of the elements in order; equal ones stay as they were."""
    if not descending:
        return ka.argsort(x, axis=axis, kind="stable")
    # Equal elements stay in order if they are turned around before and after.
    places = ka.argsort(ka.flip(x, axis=axis), axis=axis, kind="stable")
    return ka.flip(x.shape[axis] - 1 - places, axis=axis)


class UniqueAll(NamedTuple):
    """What :func:`unique_all` gives."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """What :func:`unique_counts` gives."""

    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    """What :func:`unique_inverse` gives."""

    values: Any
    inverse_indices: Any


# NaN are different elements to the standard, and to NumPy's functions of these names.
def unique_all(x: Any, /) -> UniqueAll:
    """Different elements, where they come first, which of them each element is, and how often they come."""
    values, indices, inverse, counts = ka.unique(
        x, return_index=True, return_inverse=True, return_counts=True, equal_nan=False
    )
    return UniqueAll(values, indices, ka.reshape(inverse, x.shape), counts)


def unique_counts(x: Any, /) -> UniqueCounts:
    """Different elements, and how often they come."""
    return UniqueCounts(*ka.unique(x, return_counts=True, equal_nan=False))


def unique_inverse(x: Any, /) -> UniqueInverse:
    """Different elements, and which of them each element is."""
    values, inverse = ka.unique(x, return_inverse=True, equal_nan=False)
    return UniqueInverse(values, ka.reshape(inverse, x.shape))


def unique_values(x: Any, /) -> Any:
    """Different elements."""
    return ka.unique(x, equal_nan=False)


# -- limits


def clip(x: Any, /, min: Any = None, max: Any = None, out: Any = None) -> Any:
    """Numbers limited to an interval; of the type of ``x``."""
    result = ka.astype(ka.clip(x, min, max), x.dtype)
    return result if out is None else replace(out, result)
