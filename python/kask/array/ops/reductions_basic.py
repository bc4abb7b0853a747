"""Sums, products, extremes, ``any``, ``all``, ``count_nonzero`` and ``ptp``."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, as_expr, in_memory, wrap
from kask.array.kernels.reductions import Combine, Finished, Part, nan_max, nan_min
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import elementwise
from kask.array.ops.reductions import aligned, into, is_combined, normal_axes, reduced

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "count_nonzero",
    "max",
    "min",
    "prod",
    "ptp",
    "sum",
]


class _Unset:
    def __repr__(self) -> str:
        return "<no value>"


_UNSET: Any = _Unset()


def _is_set(value: Any) -> bool:
    return not isinstance(value, _Unset) and value is not np._NoValue


def _array_of(x: Any) -> ArrayExpr:
    return as_array(x).expr


def _where_expr(where: Any) -> ArrayExpr:
    where = where if not isinstance(where, bool | np.bool_) else np.asarray(where)
    expr = as_expr(where)
    expr = expr if isinstance(expr, ArrayExpr) else in_memory(np.asarray(expr))
    if expr.dtype != np.bool_:
        raise TypeError(f"where= must be of booleans, not of {expr.dtype}")
    return expr


#: Functions that do not warn of single blocks.
_UNWARNED = {"nanmin": nan_min, "nanmax": nan_max}


def _reduce(
    name: str,
    a: Any,
    axis: Any,
    *,
    dtype: Any = None,
    keepdims: Any = False,
    split_every: Any = None,
    out: Any = None,
    initial: Any = _UNSET,
    where: Any = _UNSET,
    combine: str = "",
    ufunc: Any = None,
    is_extreme: bool = False,
    warns: str = "",
) -> Any:
    """The reduction that NumPy calls ``name``: of each block, and ``combine`` (by default the same) of what that gives."""
    func = _UNWARNED.get(name) or getattr(np, name)
    combining = getattr(np, combine) if combine else func
    array = _array_of(a)
    axes = normal_axes(axis, array.ndim, of_number=True)
    options: dict[str, Any] = {} if dtype is None else {"dtype": np.dtype(dtype)}
    if isinstance(initial, ArrayBase):
        initial = np.asarray(initial)[()]
    has_initial, has_where = _is_set(initial) and initial is not None, _is_set(where) and where is not True
    if is_extreme and not has_initial:
        # As NumPy: of no elements, even where there is nothing to say it of.
        if builtins.any(array.shape[axis] == 0 for axis in axes):
            raise ValueError(f"zero-size array to reduction operation {ufunc.__name__} which has no identity")
        if has_where:
            raise ValueError(
                f"reduction operation {ufunc.__name__!r} does not have an identity: initial= is needed with where="
            )
    sample = func(np.ones((1,) * array.ndim, array.dtype), axis=axes, keepdims=True, **options)
    # Of an array of objects without axes it is one of them.
    result_dtype = getattr(sample, "dtype", np.dtype(bool) if isinstance(sample, bool) else array.dtype)
    if is_extreme and has_initial:
        options["initial"] = initial
    others: tuple[ArrayExpr, ...] = ()
    if has_where:
        array, *rest = aligned(array, _where_expr(where))
        others = tuple(rest)
    tree = reduced(
        array,
        Part(func, options, needs_some=is_extreme and not has_initial, is_combined=is_combined(array, axes)),
        Combine(combining, axes, options),
        Finished(ufunc, initial if has_initial and not is_extreme else None, result_dtype, name, warns),
        axes,
        result_dtype,
        keepdims=_flag(keepdims),
        split_every=split_every,
        others=others,
    )
    return into(out, tree)


def _flag(keepdims: Any) -> bool:
    return bool(keepdims) if _is_set(keepdims) else False


_DOC = """{first}

Parameters
----------
a : array_like
    The array.
axis : int or tuple of int, optional
    The axes to reduce; all of them if nothing is said.
{dtype}keepdims : bool, optional
    Whether reduced axes stay, with one element.
split_every : int or dict of int, optional
    How many blocks, in all or along each axis, one task combines.
out : Array, optional
    An array of the result's shape, which becomes the result.
{more}
Returns
-------
Array
    Without the reduced axes.
{raises}
Notes
-----
{notes}

Examples
--------
>>> import kask.array as ka
>>> {example}
"""

_DTYPE = "dtype : data-type, optional\n    What is computed in and the type of the result.\n"
_INITIAL = "initial : scalar, optional\n    What the reduction starts with.\n"
_WHERE = "where : array_like of bool, optional\n    Which elements count; it is broadcast to ``a``.\n"
_SUMS = "Each block is reduced by NumPy (sums of floating point pairwise), and a tree combines what comes out."
_NOTHING = "\nRaises\n------\nValueError\n    Nothing to reduce, without ``initial``.\n"


_PAIRWISE = (
    '\nSo errors grow with the logarithm of how many there are, along axes in which elements are neighbours in memory (Higham, "The accuracy of\n'
    'floating point summation", 1993).'
)


def _documented(
    first: str, example: str, dtype: str = "", more: str = _WHERE, raises: str = "", notes: str = ""
) -> Any:
    def add(func: Any) -> Any:
        func.__doc__ = _DOC.format(
            first=first, dtype=dtype, more=more, raises=raises, notes=_SUMS + notes, example=example
        )
        return func

    return add


@_documented(
    "Sum of the elements.",
    "ka.sum(ka.from_array([[1, 2], [3, 4]], chunks=1), axis=0).compute()\narray([4, 6])",
    _DTYPE,
    _INITIAL + _WHERE,
    notes=_PAIRWISE,
)
def sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: Any = False,
    split_every: Any = None,
    out: Any = None,
    *,
    initial: Any = _UNSET,
    where: Any = _UNSET,
) -> Any:
    return _reduce(
        "sum", a, axis, dtype=dtype, keepdims=keepdims, split_every=split_every, out=out, initial=initial, where=where,
        ufunc=np.add,
    )  # fmt: skip


@_documented(
    "Product of the elements.",
    "ka.prod(ka.from_array([[1, 2], [3, 4]], chunks=1)).compute()\nnp.int64(24)",
    _DTYPE,
    _INITIAL + _WHERE,
)
def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: Any = False,
    split_every: Any = None,
    out: Any = None,
    *,
    initial: Any = _UNSET,
    where: Any = _UNSET,
) -> Any:
    return _reduce(
        "prod", a, axis, dtype=dtype, keepdims=keepdims, split_every=split_every, out=out, initial=initial, where=where,
        ufunc=np.multiply,
    )  # fmt: skip


@_documented(
    "Smallest element; NaN if there is one.",
    "ka.min(ka.from_array([[1, 2], [3, 4]], chunks=1), axis=1).compute()\narray([1, 3])",
    more=_INITIAL + _WHERE,
    raises=_NOTHING,
)
def min(
    a: Any,
    axis: Any = None,
    keepdims: Any = False,
    split_every: Any = None,
    out: Any = None,
    *,
    initial: Any = _UNSET,
    where: Any = _UNSET,
) -> Any:
    return _reduce(
        "min", a, axis, keepdims=keepdims, split_every=split_every, out=out, initial=initial, where=where,
        ufunc=np.minimum, is_extreme=True,
    )  # fmt: skip


@_documented(
    "Largest element; NaN if there is one.",
    "ka.max(ka.from_array([[1, 2], [3, 4]], chunks=1), axis=1).compute()\narray([2, 4])",
    more=_INITIAL + _WHERE,
    raises=_NOTHING,
)
def max(
    a: Any,
    axis: Any = None,
    keepdims: Any = False,
    split_every: Any = None,
    out: Any = None,
    *,
    initial: Any = _UNSET,
    where: Any = _UNSET,
) -> Any:
    return _reduce(
        "max", a, axis, keepdims=keepdims, split_every=split_every, out=out, initial=initial, where=where,
        ufunc=np.maximum, is_extreme=True,
    )  # fmt: skip


amin, amax = min, max


@_documented(
    "Whether any element is true.",
    "ka.any(ka.from_array([[0, 0], [0, 4]], chunks=1), axis=1).compute()\narray([False,  True])",
)
def any(
    a: Any, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None, *, where: Any = _UNSET
) -> Any:
    return _reduce(
        "any", a, axis, keepdims=keepdims, split_every=split_every, out=out, where=where, ufunc=np.logical_or
    )


@_documented(
    "Whether all elements are true.",
    "ka.all(ka.from_array([[1, 0], [3, 4]], chunks=1), axis=1).compute()\narray([False,  True])",
)
def all(
    a: Any, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None, *, where: Any = _UNSET
) -> Any:
    return _reduce(
        "all", a, axis, keepdims=keepdims, split_every=split_every, out=out, where=where, ufunc=np.logical_and
    )


def count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False, split_every: Any = None) -> Any:
    """How many elements are not zero.

    Parameters
    ----------
    a : array_like
        The array.
    axis : int or tuple of int, optional
        The axes along which to count; all of them if nothing is said.
    keepdims : bool, optional
        Whether these axes stay, with one element.
    split_every : int or dict of int, optional
        How many blocks one task combines.

    Returns
    -------
    Array

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.count_nonzero(ka.from_array([[0, 1], [2, 3]], chunks=1), axis=1).compute()
    array([1, 2])
    """
    array = _array_of(a)
    axes = normal_axes(axis, array.ndim, of_number=True)
    part = Part(_count_nonzero, {})
    finish = Finished(None, None, np.intp, "count_nonzero")
    tree = reduced(
        array, part, Combine(np.sum, axes, {}), finish, axes, np.intp, keepdims=_flag(keepdims), split_every=split_every
    )
    return wrap(tree)


def _count_nonzero(block: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    if not axis:
        return (
            np.not_equal(block, 0).astype(np.intp)
            if block.dtype.kind in "biufc"
            else np.asarray(block, np.bool_).astype(np.intp)
        )
    return np.asarray(np.count_nonzero(block, axis=axis, keepdims=keepdims))


def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, split_every: Any = None) -> Any:
    """The largest element less the smallest.

    Parameters
    ----------
    a : array_like
        The array.
    axis : int or tuple of int, optional
        The axes to reduce; all of them if nothing is said.
    out : Array, optional
        An array of the result's shape, which becomes the result.
    keepdims : bool, optional
        Whether reduced axes stay, with one element.
    split_every : int or dict of int, optional
        How many blocks one task combines.

    Returns
    -------
    Array

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ptp(ka.from_array([[1, 5], [2, 9]], chunks=1), axis=1).compute()
    array([4, 7])
    """
    largest = max(a, axis, keepdims, split_every).expr
    smallest = min(a, axis, keepdims, split_every).expr
    one = np.ones(1, largest.dtype)
    return into(out, elementwise(np.subtract, largest, smallest, dtype=np.subtract(one, one).dtype))
