"""Types of elements: converting them, seeing bytes as another type, and which type comes of several."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.kernels import ufuncs as kernels
from kask.array.kernels.blockwise import ViewAs
from kask.array.node import ArrayExpr, checked_dtype
from kask.array.ops.blocks import Blocks
from kask.array.ops.chunk_runs import chunks_of_runs, runs_of
from kask.array.ops.rechunk import rechunked
from kask.array.ops.slicing import transposed
from kask.array.ops.ufunc_calls import elementwise_of
from kask.engine import Chunks

__all__ = ["astype", "can_cast", "copy", "iscomplexobj", "isrealobj", "ndim", "result_type", "shape", "size"]


def astype(
    x: Any,
    dtype: Any,
    /,
    *,
    order: str = "K",
    casting: Any = "unsafe",
    subok: bool = True,
    copy: bool = True,
    device: Any = None,
) -> Any:
    """An array with its elements in another type.

    Parameters
    ----------
    x : array_like
    dtype : data-type
    order, subok, copy, device
        As in NumPy; arrays of Kask are never changed, so that nothing depends on them.
    casting : {"no", "equiv", "safe", "same_kind", "unsafe"}, optional
        Which conversions are allowed.

    Raises
    ------
    TypeError
        A conversion that ``casting`` forbids.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.astype(ka.arange(3), "f4").compute()
    array([0., 1., 2.], dtype=float32)
    """
    if device not in (None, "cpu"):
        raise ValueError(f"device= must be 'cpu' or None, got {device!r}")
    x = as_array(x)
    dtype = checked_dtype(dtype)
    if dtype == x.dtype:
        return wrap(x.expr)
    if not np.can_cast(x.dtype, dtype, casting):
        raise TypeError(f"cannot cast an array from {x.dtype} to {dtype} with casting {casting!r}")
    if dtype.itemsize == 0 and dtype.kind in "SU":
        dtype = _long_enough(x, dtype)
    # What has no axes is not empty where only types matter, and the empty text is no number.
    made = dtype if x.ndim == 0 and x.dtype.kind in "SU" else None
    return wrap(elementwise_of(kernels.cast, x, dtype, casting, made=made))


def _long_enough(x: Any, dtype: np.dtype) -> np.dtype:
    """A type of strings for the text of all elements: how long these are must be known before."""
    if x.dtype.kind == "O":
        raise TypeError(
            f"the length of the text of objects is not known before computing: give it, as in {dtype.kind}20"
        )
    return np.zeros((1,), x.dtype).astype(dtype).dtype


def view_of(x: Any, dtype: Any = None, order: str = "C") -> Any:
    """The bytes of an array seen as another type. Types of another size change the last axis (``order="C"``) or the first (``"F"``). A kind of
    array is seen with or without a mask."""
    x = as_array(x)
    if isinstance(dtype, type) and issubclass(dtype, np.ndarray):
        return _seen_as_array(x, dtype)
    dtype = x.dtype if dtype is None else np.dtype(dtype)
    if order not in ("C", "F"):
        raise ValueError(f"order must be 'C' or 'F', got {order!r}")
    if order == "F":
        turned = tuple(range(x.ndim))[::-1]
        return wrap(transposed(view_of(wrap(transposed(x.expr, turned)), dtype).expr, turned))
    old, new = x.dtype.itemsize, dtype.itemsize
    expr: ArrayExpr = x.expr
    if old == new:
        return wrap(elementwise_of(ViewAs(dtype), x, made=dtype))
    if x.ndim == 0:
        raise ValueError(f"an array without axes cannot be seen as {dtype}, which has another size than {x.dtype}")
    last = x.ndim - 1
    length = x.shape[last] * old
    if not old or not new or (old % new and new % old) or length % new:
        raise ValueError(
            f"the last axis of {x.shape[last]} elements of {x.dtype} cannot be seen as {dtype}: sizes do not fit"
        )
    runs = runs_of(expr.chunks.axis(last))
    if any(size * old % new for size, _ in runs):
        expr = rechunked(expr, expr.chunks.replace(last, Chunks.whole([x.shape[last]])))
        runs = runs_of(expr.chunks.axis(last))
    chunks = expr.chunks.replace(last, chunks_of_runs([(size * old // new, count) for size, count in runs]))
    meta = np.empty_like(expr.meta, dtype=dtype)
    return wrap(Blocks(ViewAs(dtype), (expr,), (tuple(range(x.ndim)),), chunks, meta, "view"))


def _seen_as_array(x: Any, kind: type) -> Any:
    is_masked = isinstance(x.expr.meta, np.ma.MaskedArray)
    if kind is np.ndarray:
        return wrap(elementwise_of(np.ma.getdata, x)) if is_masked else x
    if kind is np.ma.MaskedArray:
        return x if is_masked else wrap(elementwise_of(np.ma.asarray, x))
    raise TypeError(f"an array can be seen as numpy.ndarray or numpy.ma.MaskedArray, not as {kind.__name__}")


def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    """The type that NumPy's promotion makes of these; Python's numbers adapt, NumPy's scalars do not.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.result_type(ka.ones(3, dtype="f4"), 1.5)
    dtype('float32')
    """
    return np.result_type(*[x.dtype if isinstance(x, ArrayBase) else x for x in arrays_and_dtypes])


def can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    """Whether a type, or the type of an array, can be converted to another.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.can_cast(ka.ones(3), "f4")
    False
    """
    return np.can_cast(from_.dtype if isinstance(from_, ArrayBase) else from_, to, casting)


def copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    """An array of its own: what is done in place to one of the two is not seen in the other.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([1, 2])
    >>> y = ka.copy(x)
    >>> y += 1
    >>> x.compute(), y.compute()
    (array([1, 2]), array([2, 3]))
    """
    return wrap(as_array(a).expr)


def ndim(a: Any) -> int:
    """How many axes there are.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ndim(ka.from_array([[1, 2]]))
    2
    """
    return as_array(a).ndim


def shape(array: Any) -> tuple[int, ...]:
    """Elements along each axis.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.shape(ka.from_array([[1, 2]]))
    (1, 2)
    """
    return as_array(array).shape


def size(a: Any, axis: Any = None) -> int:
    """How many elements there are, in all or along some axes.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.size(ka.from_array([[1, 2]])), ka.size(ka.from_array([[1, 2]]), axis=0)
    (2, 1)
    """
    lengths = as_array(a).shape
    if axis is None:
        return math.prod(lengths)
    return math.prod([lengths[one] for one in (axis if isinstance(axis, tuple) else (axis,))])


def iscomplexobj(x: Any) -> bool:
    """Whether the elements are complex numbers, with an imaginary part or without.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.iscomplexobj(ka.from_array([1j]))
    True
    """
    return as_array(x).dtype.kind == "c"


def isrealobj(x: Any) -> bool:
    """Whether the elements are no complex numbers.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.isrealobj(ka.from_array([1j]))
    False
    """
    return not iscomplexobj(x)
