"""Covariances and correlations."""

from __future__ import annotations

import functools
import operator
import warnings
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels.statistics import (
    CovarianceCombine,
    CovarianceFinish,
    CovariancePart,
    correlation,
    correlation_of,
    not_negative,
)
from kask.array.node import ArrayExpr
from kask.array.ops.averages import average
from kask.array.ops.choices import where
from kask.array.ops.creation import Filled
from kask.array.ops.diagonals import diagonal
from kask.array.ops.elementwise import elementwise
from kask.array.ops.filling import cast
from kask.array.ops.joining import concatenated
from kask.array.ops.mapped import mapped
from kask.array.ops.products import dot
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reductions import reduced
from kask.array.ops.reductions_basic import sum as total_of
from kask.array.ops.slicing import expanded, transposed
from kask.array.ops.ufuncs import sqrt
from kask.engine import Chunks

__all__ = ["corrcoef", "cov"]


#: More variables than this are never held together by a task: their covariances are a matrix product.
MANY = 2048


def _variables(m: Any, name: str, rowvar: Any, is_first: bool) -> ArrayExpr:
    """A variable in each row. Few are in one block."""
    array = as_array(m).expr
    if array.ndim > 2:
        raise ValueError(f"{name} has more than 2 dimensions")
    if array.ndim < 2:
        chunks = Chunks.join([Chunks.whole([1]), array.chunks if array.ndim else Chunks.whole([1])])
        reads = ((1,) if array.ndim else (),)
        return mapped(_as_row, array, reads=reads, chunks=chunks, dtype=array.dtype)
    if not rowvar and (not is_first or array.shape[0] != 1):
        array = transposed(array, (1, 0))
    if array.shape[0] > MANY:
        return array
    return rechunked(array, array.chunks.replace(0, Chunks.whole([array.shape[0]])))


def _as_row(block: Any) -> Any:
    return np.atleast_1d(block)[None]


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """Covariances of variables.

    Parameters
    ----------
    m : array_like
        A variable in each row, an observation in each column; or one variable.
    y : array_like, optional
        More variables, in the same form.
    rowvar : bool, optional
        False, if the variables are in the columns.
    bias : bool, optional
        Whether to divide by the number of observations rather than by one less.
    ddof : int, optional
        What is subtracted from the number of observations instead.
    fweights, aweights : array_like, optional
        How often each observation is meant, and how much it weighs.
    dtype : data-type, optional
        The type of the result; at least float64 if nothing is said.

    Returns
    -------
    Array
        Square, in one block for up to 2,048 variables; without axes for a single variable.

    Notes
    -----
    Means and sums of products of deviations of blocks of observations are put together by the formulas of Chan, Golub and LeVeque (1979). A
    task holds all variables of its observations, if there are no more than 2,048. Of more, the deviations from the means are multiplied with
    each other by blocks.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.cov(ka.from_array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], chunks=2)).compute()
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    if ddof is not None and ddof != int(ddof):
        raise ValueError("ddof must be integer")
    given = [as_array(m).expr, *([] if y is None else [as_array(y).expr])]
    kind = np.dtype(dtype) if dtype is not None else np.result_type(*[one.dtype for one in given], np.float64)
    rows = _variables(m, "m", rowvar, True)
    if not rows.shape[0]:
        # Whatever else there is, in NumPy too.
        return wrap(Filled(0.0, Chunks.whole([0, 0]), np.zeros((0, 0))))
    if y is not None:
        more = _variables(y, "y", rowvar, False)
        if more.shape[1] != rows.shape[1]:
            raise ValueError(f"m has {rows.shape[1]} observations, but y has {more.shape[1]}")
        if rows.shape[0] + more.shape[0] > MANY:
            rows = concatenated([cast(one, kind) for one in (rows, more)], 0)
        else:
            rows = _stacked(rows, more)
    weights = {
        name: _weights(one, name, rows.shape[1])
        for one, name in ((fweights, "fweights"), (aweights, "aweights"))
        if one is not None
    }
    if weights:
        along = Chunks.unify([rows.chunks.axis(1), *[one.chunks for one in weights.values()]])
        rows = rechunked(rows, rows.chunks.replace(1, along))
        weights = {name: rechunked(one, along) for name, one in weights.items()}
    if ddof is None:
        ddof = 0 if bias else 1
    count = rows.shape[0]
    if count > MANY:
        return _of_many(rows, weights, int(ddof), kind)
    part = CovariancePart(kind, fweights is not None, aweights is not None)
    tree = reduced(
        rows,
        part,
        CovarianceCombine(),
        CovarianceFinish(int(ddof), aweights is not None),
        (1,),
        kind,
        keepdims=True,
        bytes_each=max(1, count) * kind.itemsize,
        others=tuple(weights.values()),
        output_size=count,
        label="cov",
        mixes=True,
    )
    if count != 1:
        return wrap(tree)
    return wrap(mapped(_only, tree, reads=((("fixed", 0),) * 2,), chunks=Chunks([]), dtype=kind, label="cov"))


def _of_many(rows: ArrayExpr, weights: dict[str, ArrayExpr], ddof: int, kind: np.dtype) -> Any:
    """The same by blocks of variables: the deviations times themselves."""
    checked = {name: wrap(elementwise(not_negative, one, name, dtype=one.dtype)) for name, one in weights.items()}
    together = functools.reduce(operator.mul, checked.values()) if checked else None
    importance = checked.get("aweights")
    variables = wrap(cast(rows, kind))
    means, totals = average(variables, axis=1, weights=together, returned=True)
    if together is None:
        free: Any = max(rows.shape[1] - ddof, 0)
        if rows.shape[1] <= ddof:
            warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=3)
    else:
        total = totals[0]
        free = total - ddof * (total_of(together * importance) / total if importance is not None and ddof else 1)
        free = where(free > 0, free, 0)
    away = variables - means[:, None]
    products = dot(away, (away if together is None else away * together).T.conj())
    with np.errstate(all="ignore"):
        return (products * np.true_divide(1, free)).astype(kind)


def _only(block: Any) -> Any:
    return block.reshape(())


def _weights(weights: Any, name: str, observations: int) -> ArrayExpr:
    expr = as_array(weights).expr
    if expr.ndim > 1:
        raise RuntimeError(f"cannot handle multidimensional {name}")
    if expr.shape != (observations,):
        raise RuntimeError("incompatible numbers of samples and " + name)
    if name == "fweights" and expr.dtype.kind not in "biu":
        raise TypeError("fweights must be integer")
    return expr


def _stacked(rows: ArrayExpr, more: ArrayExpr) -> ArrayExpr:
    """The rows of both."""
    along = Chunks.unify([rows.chunks.axis(1), more.chunks.axis(1)])
    rows, more = [rechunked(one, one.chunks.replace(1, along)) for one in (rows, more)]
    chunks = Chunks.join([Chunks.whole([rows.shape[0] + more.shape[0]]), along])
    reads = ((("fixed", 0), 1),) * 2
    return mapped(_one_above, rows, more, reads=reads, chunks=chunks, dtype=np.result_type(rows.dtype, more.dtype))


def _one_above(upper: Any, lower: Any) -> Any:
    return np.concatenate([upper, lower], axis=0)


def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """Pearson's correlation coefficients of variables.

    Parameters
    ----------
    x : array_like
        A variable in each row, an observation in each column; or one variable.
    y : array_like, optional
        More variables, in the same form.
    rowvar : bool, optional
        False, if the variables are in the columns.
    dtype : data-type, optional
        The type of the result; at least float64 if nothing is said.

    Returns
    -------
    Array
        Square, in one block for up to 2,048 variables; without axes for a single variable.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.corrcoef(ka.from_array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], chunks=2)).compute()
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    covariance = cov(x, y, rowvar, dtype=dtype).expr
    if covariance.ndim and covariance.shape[0] > MANY:
        deviations = sqrt(diagonal(wrap(covariance)).real).expr
        parts = [expanded(deviations, (axis,)) for axis in (1, 0)]
        return wrap(elementwise(correlation_of, covariance, *parts, dtype=covariance.dtype))
    return wrap(mapped(correlation, covariance, chunks=covariance.chunks, dtype=covariance.dtype, label="corrcoef"))
