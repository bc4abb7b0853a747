"""``np.add.at(x, index, value)``: a ufunc of some elements, again for each time that an element is picked."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_expr
from kask.array.node import ArrayExpr
from kask.array.ops.assignment import assigned_by_arrays, assigned_part
from kask.array.ops.deferring import changing
from kask.array.ops.indexing_parse import Picks, parsed

# Public as the method of ufuncs.
__all__: list[str] = []


def ufunc_at(func: Any, a: Any, indices: Any, *args: Any) -> None:
    """``func.at(a, indices, *args)``: ``a`` is changed as by an assignment, and arrays that were made of it before stay as they were.

    Raises
    ------
    IndexError, TypeError, ValueError
        Whatever NumPy refuses; and anything but an array of Kask as ``a``.
    """
    if not isinstance(a, ArrayBase):
        raise TypeError(
            f"{func.__name__}.at() changes its first argument, which must be an array of Kask if others are, not {type(a).__name__}: "
            "make it one by ka.from_array, or compute the others"
        )
    if not isinstance(func, np.ufunc):
        raise TypeError(f"{func.__name__}.at() is for ufuncs of NumPy")
    # Numbers have types of their own here, as in NumPy; and what is given may be changed later.
    values = [value if isinstance(value, ArrayBase) else np.array(value)[()] for value in args]
    sample = np.ones((1,), a.dtype)
    with np.errstate(all="ignore"):
        # NumPy says what is wrong with the types, if anything is.
        func.at(sample, [0], *[np.ones((1,), value.dtype) for value in values])
    _change(a, func, indices, values[0] if values else None)


@changing
def _change(a: Any, func: Any, indices: Any, value: Any) -> None:
    array: ArrayExpr = a.expr
    picks = parsed(indices, array.shape)
    if not picks.arrays or (_is_lazy_mask(picks) and getattr(value, "ndim", 0) == 0):
        # Nothing is picked twice, and sizes that are not known need not be found here.
        part = a[indices]
        a[indices] = func(part) if value is None else func(part, value)
        return
    # What a function of one argument does is the same for any value.
    given = as_expr(np.False_ if value is None else value)
    part = picks.basic(array)
    changed = assigned_by_arrays(part, picks, given, func)
    a.expr = changed if part is array else assigned_part(array, picks, changed)


def _is_lazy_mask(picks: Picks) -> bool:
    (_, index), *others = picks.arrays
    return not others and isinstance(index, ArrayExpr) and index.dtype.kind == "b"
