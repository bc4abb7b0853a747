"""Elements chosen from several arrays, or by functions of conditions: ``where``, ``select``, ``choose``, ``piecewise``, ``isin``."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.kernels import ufuncs as kernels
from kask.array.ops.blocks import Blocks
from kask.array.ops.ufunc_calls import elementwise_of, replace, ufunc_reduce
from kask.engine import Chunks

__all__ = ["choose", "isin", "piecewise", "select", "where"]


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """Elements of ``x`` where a condition is true, else those of ``y``.

    Parameters
    ----------
    condition, x, y : array_like
        Of shapes that broadcast. Without ``x`` and ``y``: where the condition is true, as ``nonzero``.

    Raises
    ------
    ValueError
        Only one of ``x`` and ``y``.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.arange(5, chunks=2)
    >>> ka.where(x > 2, x, -1).compute()
    array([-1, -1, -1,  3,  4])
    """
    if x is None and y is None:
        import kask.array as ka

        return ka.nonzero(condition)
    if x is None or y is None:
        raise ValueError("where() takes both x and y, or none of them")
    return wrap(elementwise_of(np.where, condition, x, y))


def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """Elements of the first of several arrays whose condition is true.

    Parameters
    ----------
    condlist : sequence of array_like of bool
    choicelist : sequence of array_like
        As many as conditions.
    default : array_like, optional
        Where no condition is true.

    Raises
    ------
    ValueError
        Not as many choices as conditions, or none.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.arange(6, chunks=3)
    >>> ka.select([x < 2, x > 3], [x, x * 10], 7).compute()
    array([ 0,  1,  7,  7, 40, 50])
    """
    conditions, choices = list(condlist), list(choicelist)
    if len(conditions) != len(choices):
        raise ValueError(
            f"condlist has {len(conditions)} conditions, choicelist {len(choices)} choices: they must be as many"
        )
    if not conditions:
        raise ValueError("select() without conditions is not possible")
    conditions = [as_array(condition) for condition in conditions]
    for number, condition in enumerate(conditions):
        if condition.dtype != bool:
            raise TypeError(f"condition {number} of condlist must be an array of bool, got {condition.dtype}")
    if isinstance(default, ArrayBase):
        # The last resort is one more case that is always true.
        conditions, choices, default = (
            [*conditions, as_array(True)],
            [*choices, default],
            np.zeros((), default.dtype)[()],
        )
    return wrap(elementwise_of(kernels.select, len(conditions), default, *conditions, *choices))


def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """For each element its number among several arrays, and the element of that one.

    Parameters
    ----------
    a : array_like of int
        Numbers of choices.
    choices : sequence of array_like
        An array is taken apart along its first axis.
    out : Array, optional
        What becomes the result.
    mode : {"raise", "wrap", "clip"}, optional
        What is done with numbers that are too large or negative. The error is raised when computing.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.choose(ka.from_array([0, 1, 1]), [[1, 2, 3], [10, 20, 30]]).compute()
    array([ 1, 20, 30])
    """
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"mode must be 'raise', 'wrap' or 'clip', got {mode!r}")
    places: Any = choices
    several = [places[at] for at in range(len(choices))] if isinstance(choices, ArrayBase) else list(choices)
    result = wrap(elementwise_of(kernels.choose, mode, as_array(a), *several))
    return result if out is None else replace(out, result)


def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """A function that is defined in pieces.

    Each piece is called with the elements of one block for which its condition is the last that is true, and must treat elements one by one.

    Parameters
    ----------
    x : array_like
    condlist : array_like of bool, or a sequence of them
    funclist : sequence of callables or scalars
        One for each condition, and possibly one for where none is true (by default 0).
    *args, **kw
        Further arguments of the functions.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.arange(-2, 3, chunks=2)
    >>> ka.piecewise(x, [x < 0, x >= 0], [lambda v: -v, lambda v: v * 10]).compute()
    array([ 2,  1,  0, 10, 20])
    """
    x = as_array(x)
    single = isinstance(condlist, ArrayBase) and condlist.ndim == x.ndim
    if single or np.isscalar(condlist) or (not isinstance(condlist[0], list | np.ndarray | ArrayBase) and x.ndim != 0):
        condlist = [condlist]
    conditions = [as_array(condition) for condition in condlist]
    functions = list(funclist)
    if len(functions) not in (len(conditions), len(conditions) + 1):
        raise ValueError(
            f"funclist has {len(functions)} functions for {len(conditions)} conditions: as many, or one more, are expected"
        )
    return wrap(elementwise_of(kernels.Piecewise(tuple(functions), args, dict(kw)), x, *conditions, made=x.dtype))


def isin(
    element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, kind: str | None = None
) -> Any:
    """Where elements are among others.

    Each block is compared with each block of ``test_elements``, and what was found is put together in a tree.

    Parameters
    ----------
    element, test_elements : array_like
    assume_unique : bool, optional
        That no element comes twice, which saves work.
    invert : bool, optional
        Where they are not.
    kind : {None, "sort", "table"}, optional
        The algorithm, as in NumPy.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.isin(ka.arange(5, chunks=2), [1, 3]).compute()
    array([False,  True, False,  True, False])
    """
    left, right = as_array(element).expr, as_array(test_elements).expr
    options = {"assume_unique": bool(assume_unique), "kind": kind}
    kernels.within(left.meta, right.meta, options)
    grid = right.chunks.grid
    ones = [Chunks.normalize([blocks], [1], 1, 1) for blocks in grid]
    chunks = Chunks.join([left.chunks, *ones])
    ndim = chunks.ndim
    reads = (tuple(range(left.ndim)), tuple(range(left.ndim, ndim)), None)
    pairs = Blocks(kernels.within, (left, right, options), reads, chunks, np.zeros((0,) * ndim, bool), "isin")
    found = ufunc_reduce(np.logical_or, wrap(pairs), axis=tuple(range(left.ndim, ndim)))
    return wrap(elementwise_of(np.logical_not, found)) if invert else found
