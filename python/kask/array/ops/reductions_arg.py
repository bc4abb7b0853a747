"""Where extremes are."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from kask.array.base import as_array
from kask.array.kernels.reductions import ArgCombine, ArgFinish, ArgPart
from kask.array.ops.reductions import into, normal_axes, reduced

__all__ = ["argmax", "argmin", "nanargmax", "nanargmin"]


def _arg(name: str, a: Any, axis: Any, keepdims: Any, split_every: Any, out: Any, fill: float | None = None) -> Any:
    array = as_array(a).expr
    if axis is not None:
        axis = operator.index(axis)
    axes = normal_axes(axis, array.ndim, of_number=True)
    if any(array.shape[axis] == 0 for axis in axes):
        raise ValueError(f"attempt to get {name.removeprefix('nan')} of an empty sequence")
    func = getattr(np, name.removeprefix("nan"))
    func(np.ones((1,), array.dtype))
    if array.dtype.kind not in "fcO":
        fill = None
    tree = reduced(
        array,
        ArgPart(func, array.shape, fill),
        ArgCombine(func, axes),
        ArgFinish(name),
        axes,
        np.intp,
        keepdims=bool(keepdims),
        split_every=split_every,
        bytes_each=array.dtype.itemsize + 9,
        place="start",
        label=name,
    )
    return into(out, tree)


_DOC = """Where the {what} element{of} is: the first place, if there are several.

Parameters
----------
a : array_like
    The array.
axis : int, optional
    The axis along which to look; if nothing is said, the place counts the elements of the whole array in C order.
keepdims : bool, optional
    Whether that axis (or all axes) stays, with one element.
split_every : int or dict of int, optional
    How many blocks one task combines.
out : Array, optional
    An array of the result's shape, which becomes the result.

Returns
-------
Array of intp

Raises
------
ValueError
    No elements.{raises}

Examples
--------
>>> import kask.array as ka
>>> ka.{name}(ka.from_array([3.0, 1.0, 4.0], chunks=2)).compute()
np.int64({answer})
"""


def argmin(a: Any, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None) -> Any:
    return _arg("argmin", a, axis, keepdims, split_every, out)


def argmax(a: Any, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None) -> Any:
    return _arg("argmax", a, axis, keepdims, split_every, out)


def nanargmin(a: Any, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None) -> Any:
    return _arg("nanargmin", a, axis, keepdims, split_every, out, np.inf)


def nanargmax(a: Any, axis: Any = None, keepdims: Any = False, split_every: Any = None, out: Any = None) -> Any:
    return _arg("nanargmax", a, axis, keepdims, split_every, out, -np.inf)


for _func, _what, _answer in (
    (argmin, "smallest", 1),
    (argmax, "largest", 2),
    (nanargmin, "smallest", 1),
    (nanargmax, "largest", 2),
):
    _passes_over_nan = _func.__name__.startswith("nan")
    _func.__doc__ = _DOC.format(
        name=_func.__name__,
        what=_what,
        answer=_answer,
        of=" that is not NaN" if _passes_over_nan else "",
        raises=" When computed: nothing but NaN." if _passes_over_nan else "",
    )
