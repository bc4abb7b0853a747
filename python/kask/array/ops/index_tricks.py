"""What is written with brackets and slices: ``mgrid``, ``ogrid``, ``r_``, ``c_``; and the indices of diagonals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import index_exp, s_

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.ops.filling import cast
from kask.array.ops.joining import concatenate, stack
from kask.array.ops.ranges import arange
from kask.array.ops.reshaping import broadcast_arrays, reshape

__all__ = ["c_", "diag_indices", "diag_indices_from", "index_exp", "mgrid", "ogrid", "r_", "s_"]


def _line(given: slice) -> Any:
    """The numbers that a slice says; with an imaginary step so many of them, with both ends."""
    start: Any = given.start or 0
    stop: Any = given.stop
    step: Any = 1 if given.step is None else given.step
    if stop is None:
        raise ValueError("a slice of numbers needs an end: start:stop or start:stop:step")
    if not isinstance(step, complex | np.complexfloating):
        return arange(start, stop, step)
    length = int(np.abs(step))
    return arange(length, dtype=np.float64) * ((stop - start) / float(length - 1) if length > 1 else 1) + start


class _Grid:
    """``mgrid`` and ``ogrid``."""

    def __init__(self, is_open: bool) -> None:
        self._is_open = is_open

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, tuple):
            return _line(key)
        # One line along each axis, in one type.
        lines = [as_array(line) for line in np.ogrid[key]]
        return tuple(lines) if self._is_open else stack(broadcast_arrays(*lines))


class _Joined:
    """``r_`` and ``c_``."""

    def __init__(self, name: str, axis: int, ndmin: int) -> None:
        self._name, self._axis, self._ndmin = name, axis, ndmin

    def __getitem__(self, key: Any) -> Any:
        kinds: list[Any] = []
        arrays: list[Any] = []
        for given in key if isinstance(key, tuple) else (key,):
            if isinstance(given, str):
                raise NotImplementedError(
                    f"{self._name}[...] takes arrays, numbers and slices, not {given!r}: join with concatenate() or stack()"
                )
            array = _line(given) if isinstance(given, slice) else as_array(given)
            # Python's numbers take the type of arrays beside them.
            kinds.append(given if type(given) in (bool, int, float, complex) else array.dtype)
            arrays.append(reshape(array, (*array.shape, *(1,) * (self._ndmin - array.ndim))))
        dtype = np.result_type(*kinds)
        return concatenate([wrap(cast(array.expr, dtype)) for array in arrays], self._axis)


#: Coordinates of a grid, one array for each axis in one: ``mgrid[0:2, 0:3:4j]``.
mgrid = _Grid(False)
#: The same as a tuple of arrays that broadcast to the grid.
ogrid = _Grid(True)
#: Arrays, numbers and slices one after another: ``r_[0:3, x, 7]``.
r_ = _Joined("r_", 0, 1)
#: Arrays beside each other, as columns: ``c_[x, y]``.
c_ = _Joined("c_", -1, 2)


def diag_indices(n: int, ndim: int = 2) -> tuple[Any, ...]:
    """The indices of the elements of a main diagonal.

    Examples
    --------
    >>> import numpy as np, kask.array as ka
    >>> x = ka.from_array(np.ones((2, 2)), chunks=1)
    >>> x[ka.diag_indices(2)] = 5
    >>> x.compute()
    array([[5., 1.],
           [1., 5.]])
    """
    return (arange(n),) * ndim


def diag_indices_from(arr: Any) -> tuple[Any, ...]:
    """:func:`diag_indices` of an array, whose axes are of one length.

    Examples
    --------
    >>> import kask.array as ka
    >>> len(ka.diag_indices_from(ka.ones((3, 3))))
    2
    """
    shape = arr.shape if isinstance(arr, ArrayBase) else np.shape(arr)
    if len(shape) < 2:
        raise ValueError(f"a diagonal needs two axes, this array has {len(shape)}")
    if len(set(shape)) > 1:
        raise ValueError(f"all axes must be of one length, but the shape is {shape}")
    return diag_indices(shape[0], len(shape))
