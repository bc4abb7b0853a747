"""Means, variances, and higher moments.

Variances and higher moments of blocks are put together by the formulas of Chan, Golub and LeVeque (Updating formulae and a pairwise
algorithm for computing sample variances, 1979) and, for higher orders, of Pebay (Formulas for robust, one-pass parallel computation of
covariances and arbitrary-order statistical moments, Sandia 2008). No sum of squares is ever subtracted from another.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import as_array
from kask.array.kernels.moments import MeanFinish, MeanPart, MomentFinish, MomentsCombine, MomentsPart, SumsCombine
from kask.array.node import ArrayExpr
from kask.array.ops.choices import where as chosen
from kask.array.ops.filling import ones_like
from kask.array.ops.reductions import aligned, into, is_combined, normal_axes, reduced
from kask.array.ops.reductions_basic import _UNSET, _flag, _is_set, _where_expr
from kask.array.ops.reductions_basic import sum as total
from kask.array.ops.ufuncs import isnan, sqrt

__all__ = ["mean", "moment", "nanmean", "nanstd", "nanvar", "std", "var"]


def _ready(name: str, a: Any, axis: Any, where: Any) -> tuple[ArrayExpr, tuple[ArrayExpr, ...], tuple[int, ...]]:
    array = as_array(a).expr
    axes = normal_axes(axis, array.ndim, of_number=name.startswith("nan"))
    if not _is_set(where) or where is True:
        return array, (), axes
    array, *others = aligned(array, _where_expr(where))
    return array, tuple(others), axes


def _is_masked(array: ArrayExpr) -> bool:
    return isinstance(array.meta, np.ma.MaskedArray)


def _type_in_numpy(name: str, array: ArrayExpr, dtype: Any) -> np.dtype:
    """The type that NumPy's function gives. That of masked arrays divides by counts, which are integers: of float32 it makes float64."""
    sample: Any = np.ones((2,), array.dtype)
    if _is_masked(array):
        sample = np.ma.masked_array(sample, mask=[True, False])
    options = {} if dtype is None else {"dtype": np.dtype(dtype).newbyteorder("=")}
    return np.asarray(getattr(np, name.removeprefix("nan"))(sample, keepdims=True, **options)).dtype


def _mean(
    name: str, a: Any, axis: Any, dtype: Any, keepdims: Any, split_every: Any, out: Any, where: Any, passes_nan: bool
) -> Any:
    array, others, axes = _ready(name, a, axis, where)
    result = _type_in_numpy(name, array, dtype)
    if dtype is not None:
        inner = np.dtype(dtype)
    elif array.dtype == np.float16:
        inner = np.dtype(np.float32)
    else:
        inner = np.dtype(np.float64) if array.dtype.kind in "biu" else array.dtype
    inner = inner.newbyteorder("=")
    if inner.kind in "iu" and dtype is not None and not _is_masked(array):
        result = inner
    tree = reduced(
        array,
        MeanPart(inner, passes_nan, is_combined(array, axes)),
        SumsCombine(axes),
        MeanFinish(result, name, _is_masked(array)),
        axes,
        result,
        keepdims=_flag(keepdims),
        split_every=split_every,
        bytes_each=inner.itemsize + _count_bytes(array, passes_nan, others),
        others=others,
    )
    return into(out, tree)


def _count_bytes(array: ArrayExpr, passes_nan: bool, others: tuple[ArrayExpr, ...]) -> int:
    """What the count of a partial result takes for each element; nothing, if it is the same everywhere."""
    return 8 if others or passes_nan or _is_masked(array) else 0


def _computed_in(kind: np.dtype) -> np.dtype:
    """The type in which moments of elements of a type are computed."""
    return np.dtype(np.float32) if kind == np.float16 else kind.newbyteorder("=")


def moments_of(
    array: ArrayExpr,
    axes: tuple[int, ...],
    order: int,
    finish: Any,
    dtype: Any,
    *,
    inner: Any = None,
    passes_nan: bool = False,
    is_absolute: bool = True,
    keepdims: bool = False,
    split_every: Any = None,
    others: tuple[ArrayExpr, ...] = (),
) -> ArrayExpr:
    """What ``finish`` makes of ``(count, mean, M2, ..., M<order>)`` along some axes."""
    if inner is None:
        inner = _computed_in(np.dtype(np.float64) if array.dtype.kind in "biu" else array.dtype)
    return reduced(
        array,
        MomentsPart(inner, order, passes_nan, is_absolute, is_combined(array, axes)),
        MomentsCombine(axes, is_absolute),
        finish,
        axes,
        dtype,
        keepdims=keepdims,
        split_every=split_every,
        bytes_each=inner.itemsize * order + _count_bytes(array, passes_nan, others),
        others=others,
    )


def _moment(
    name: str,
    a: Any,
    order: int,
    axis: Any,
    dtype: Any,
    keepdims: Any,
    ddof: Any,
    split_every: Any,
    out: Any,
    where: Any,
) -> Any:
    array, others, axes = _ready(name, a, axis, where)
    if name == "moment":
        kind = np.dtype(dtype) if dtype is not None else array.dtype
        result = inner = np.dtype(np.float64) if kind.kind in "biu" else kind
    else:
        # A standard deviation has the type of the variance; NumPy has no roots of arrays of objects.
        result = _type_in_numpy("var", array, dtype)
        inner = (
            np.dtype(dtype) if dtype is not None else np.dtype(np.float64) if array.dtype.kind in "biu" else array.dtype
        )
        if _is_masked(array):
            # NumPy takes the mean, which is of this type, from the elements as they are.
            inner = np.result_type(array.dtype, _type_in_numpy("mean", array, dtype))
    # NumPy takes the real part of the mean only, when it is told to compute complex numbers in a real type.
    is_real_mean = name != "moment" and array.dtype.kind == "c" and inner.kind == "f"
    inner = _computed_in(array.dtype if is_real_mean else inner)
    tree = moments_of(
        array,
        axes,
        order,
        MomentFinish(
            order, ddof, result, name, name.endswith("std"), name.startswith("nan"), _is_masked(array), is_real_mean
        ),
        result,
        inner=inner,
        passes_nan=name.startswith("nan"),
        is_absolute=name != "moment",
        keepdims=_flag(keepdims),
        split_every=split_every,
        others=others,
    )
    return into(out, tree)


def _spread(
    name: str,
    a: Any,
    mean: Any,
    axis: Any,
    dtype: Any,
    keepdims: Any,
    ddof: Any,
    split_every: Any,
    out: Any,
    where: Any,
) -> Any:
    """A variance or standard deviation, around the mean of the elements or around one that is given."""
    if not _is_set(mean):
        return _moment(name, a, 2, axis, dtype, keepdims, ddof, split_every, out, where)
    array = as_array(a)
    deviations = array - mean
    squares = (deviations * deviations.conj()).real if deviations.dtype.kind == "c" else deviations * deviations
    counts = ones_like(array, np.int64)
    passes_nan = name.startswith("nan") and array.dtype.kind in "fc"
    if passes_nan:
        is_there = ~isnan(array)
        squares, counts = chosen(is_there, squares, 0), is_there.astype(np.int64)
    if dtype is None and array.dtype.kind in "biu":
        dtype = np.float64
    options = {"axis": axis, "keepdims": keepdims, "split_every": split_every, "where": where}
    freedom = total(counts, **options) - ddof
    found = total(squares, dtype=dtype, **options)
    found = found / chosen(freedom > 0, freedom, np.nan if passes_nan else 0)
    found = found.astype(_type_in_numpy("var", array.expr, dtype))
    return into(out, (sqrt(found) if name.endswith("std") else found).expr)


def _freedom(ddof: Any, correction: Any) -> Any:
    if not _is_set(correction):
        return ddof
    if ddof != 0:
        raise ValueError("ddof and correction can't be provided simultaneously.")
    return correction


_DOC = """{first}

Parameters
----------
a : array_like
    The array.
{order}axis : int or tuple of int, optional
    The axes to reduce; all of them if nothing is said.
dtype : data-type, optional
    What is computed in and the type of the result; float64 for integers.
keepdims : bool, optional
    Whether reduced axes stay, with one element.
{ddof}split_every : int or dict of int, optional
    How many blocks, in all or along each axis, one task combines.
out : Array, optional
    An array of the result's shape, which becomes the result.
{where}
Returns
-------
Array
    Without the reduced axes.

Notes
-----
{notes}

Examples
--------
>>> import kask.array as ka
>>> {example}
"""
_DDOF = "ddof : float, optional\n    What is subtracted from the count before dividing.\n"
_CORRECTION = """mean : array_like, optional
    The mean, with the reduced axes as ones of one element, where it is known already: the mean square is that of the deviations from it.
correction : float, optional
    Another name of ``ddof``.
"""
_WHERE = "where : array_like of bool, optional\n    Which elements count; it is broadcast to ``a``.\n"
_SUMS = "Sums and counts of blocks, added by a tree; NumPy adds pairwise in each block."
_CHAN = "Counts, means and sums of powers of deviations of blocks, put together by the formulas of Chan, Golub and LeVeque, and of Pebay."


def _documented(
    first: str, example: str, notes: str = _CHAN, ddof: str = "", order: str = "", where: str = _WHERE
) -> Any:
    def add(func: Any) -> Any:
        func.__doc__ = _DOC.format(first=first, example=example, notes=notes, ddof=ddof, order=order, where=where)
        return func

    return add


@_documented(
    "Mean of the elements.", "ka.mean(ka.from_array([[1, 2], [3, 6]], chunks=1)).compute()\nnp.float64(3.0)", _SUMS
)
def mean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: Any = False,
    split_every: Any = None,
    out: Any = None,
    *,
    where: Any = _UNSET,
) -> Any:
    return _mean("mean", a, axis, dtype, keepdims, split_every, out, where, False)


@_documented(
    "Mean of the elements that are not NaN.",
    'ka.nanmean(ka.from_array([1.0, float("nan"), 3.0], chunks=2)).compute()\nnp.float64(2.0)',
    _SUMS,
)
def nanmean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: Any = False,
    split_every: Any = None,
    out: Any = None,
    *,
    where: Any = _UNSET,
) -> Any:
    return _mean("nanmean", a, axis, dtype, keepdims, split_every, out, where, True)


@_documented(
    "Variance: the mean square of the deviations from the mean.",
    "ka.var(ka.from_array([1, 2, 3, 4], chunks=2)).compute()\nnp.float64(1.25)",
    ddof=_DDOF,
    where=_WHERE + _CORRECTION,
)
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: Any = False,
    ddof: Any = 0,
    split_every: Any = None,
    out: Any = None,
    *,
    where: Any = _UNSET,
    mean: Any = _UNSET,
    correction: Any = _UNSET,
) -> Any:
    ddof = _freedom(ddof, correction)
    return _spread("var", a, mean, axis, dtype, keepdims, ddof, split_every, out, where)


@_documented(
    "Standard deviation: the root of the variance.",
    "ka.std(ka.from_array([1, 1, 3, 3], chunks=2)).compute()\nnp.float64(1.0)",
    ddof=_DDOF,
    where=_WHERE + _CORRECTION,
)
def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: Any = False,
    ddof: Any = 0,
    split_every: Any = None,
    out: Any = None,
    *,
    where: Any = _UNSET,
    mean: Any = _UNSET,
    correction: Any = _UNSET,
) -> Any:
    ddof = _freedom(ddof, correction)
    return _spread("std", a, mean, axis, dtype, keepdims, ddof, split_every, out, where)


@_documented(
    "Variance of the elements that are not NaN; NaN, with a warning, where there are too few.",
    'ka.nanvar(ka.from_array([1.0, float("nan"), 3.0], chunks=2)).compute()\nnp.float64(1.0)',
    ddof=_DDOF,
    where=_WHERE + _CORRECTION,
)
def nanvar(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: Any = False,
    ddof: Any = 0,
    split_every: Any = None,
    out: Any = None,
    *,
    where: Any = _UNSET,
    mean: Any = _UNSET,
    correction: Any = _UNSET,
) -> Any:
    ddof = _freedom(ddof, correction)
    return _spread("nanvar", a, mean, axis, dtype, keepdims, ddof, split_every, out, where)


@_documented(
    "Standard deviation of the elements that are not NaN; NaN, with a warning, where there are too few.",
    'ka.nanstd(ka.from_array([1.0, float("nan"), 3.0], chunks=2)).compute()\nnp.float64(1.0)',
    ddof=_DDOF,
    where=_WHERE + _CORRECTION,
)
def nanstd(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: Any = False,
    ddof: Any = 0,
    split_every: Any = None,
    out: Any = None,
    *,
    where: Any = _UNSET,
    mean: Any = _UNSET,
    correction: Any = _UNSET,
) -> Any:
    ddof = _freedom(ddof, correction)
    return _spread("nanstd", a, mean, axis, dtype, keepdims, ddof, split_every, out, where)


@_documented(
    "A central moment: the mean of a power of the deviations from the mean.",
    "ka.moment(ka.from_array([1, 2, 3, 6], chunks=2), 3).compute()\nnp.float64(4.5)",
    ddof=_DDOF,
    order="order : int\n    The power, 0 or more.\n",
    where="",
)
def moment(
    a: Any,
    order: int,
    axis: Any = None,
    dtype: Any = None,
    keepdims: Any = False,
    ddof: Any = 0,
    split_every: Any = None,
    out: Any = None,
) -> Any:
    if order < 0 or order != int(order):
        raise ValueError(f"order= must be a whole number, 0 or more, not {order}")
    return _moment("moment", a, int(order), axis, dtype, keepdims, ddof, split_every, out, _UNSET)
