"""What is written with brackets and slices: ``mgrid``, ``ogrid``, ``r_``, ``c_``; and the indices of diagonals."""

from __future__ import annotations

from typing import Any, NamedTuple

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


class _Directive(NamedTuple):
    """What the text before the arrays of ``r_`` and ``c_`` says."""

    axis: int
    #: Axes that arrays have at least, and the place of their own ones among these.
    ndmin: int
    start: int
    #: Which kind of matrix is made of a line: "r" a row, "c" a column.
    matrix: str = ""

    def following(self, text: str) -> _Directive:
        """What is said by ``"r"``, ``"c"``, or ``"axis"``, ``"axis,ndmin"`` or ``"axis,ndmin,start"``."""
        if text in ("r", "c"):
            return self._replace(matrix=text)
        try:
            numbers = [int(part) for part in text.split(",")]
        except ValueError:
            numbers = []
        if not 1 <= len(numbers) <= 3:
            raise ValueError(
                f"the text {text!r} says nothing: 'r', 'c', or up to three whole numbers are expected (axis, least number of axes, "
                "place of the first axis)"
            )
        axis, ndmin, start = (*numbers, *(self.axis, self.ndmin, self.start)[len(numbers) :])
        return _Directive(axis, ndmin, start)

    def widened(self, array: Any) -> Any:
        """The array with axes of one element where it has too few."""
        missing = self.ndmin - array.ndim
        if missing <= 0 or array.ndim == 0:
            return reshape(array, (1,) * self.ndmin) if array.ndim == 0 else array
        before = self.start + missing + 1 if self.start < 0 else self.start
        if not 0 <= before <= missing:
            raise ValueError(
                f"the first axis of an array of {array.ndim} axes cannot be at place {self.start} of {self.ndmin} axes"
            )
        return reshape(array, ((1,) * before + array.shape + (1,) * (missing - before)))

    def as_matrix(self, array: Any) -> Any:
        """The array with two axes, if that is asked for."""
        if not self.matrix:
            return array
        if array.ndim > 2:
            raise ValueError(f"a matrix has two axes, but the arrays have {array.ndim}")
        row = array if array.ndim == 2 else reshape(array, (1, array.size))
        return row.T if array.ndim == 1 and self.matrix == "c" else row


class _Joined:
    """``r_`` and ``c_``."""

    def __init__(self, name: str, directive: _Directive) -> None:
        self._name, self._directive = name, directive

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            raise NotImplementedError(
                f"{self._name}[{key!r}] would make a matrix of a text; name the arrays themselves, or use block()"
            )
        directive = self._directive
        items = list(key) if isinstance(key, tuple) else [key]
        if items and isinstance(items[0], str):
            directive = directive.following(items.pop(0))
        kinds: list[Any] = []
        arrays: list[Any] = []
        for given in items:
            if isinstance(given, str):
                raise ValueError(f"{self._name}[...] takes a text before the arrays only, but {given!r} comes later")
            array = _line(given) if isinstance(given, slice) else as_array(given)
            # Python's numbers take the type of arrays beside them.
            kinds.append(given if type(given) in (bool, int, float, complex) else array.dtype)
            arrays.append(directive.widened(array))
        if not arrays:
            raise ValueError(f"{self._name}[...] needs one array at least")
        dtype = np.result_type(*kinds)
        joined = concatenate([wrap(cast(array.expr, dtype)) for array in arrays], directive.axis)
        return directive.as_matrix(joined)


#: Coordinates of a grid, one array for each axis in one: ``mgrid[0:2, 0:3:4j]``.
mgrid = _Grid(False)
#: The same as a tuple of arrays that broadcast to the grid.
ogrid = _Grid(True)
#: Arrays, numbers and slices one after another: ``r_[0:3, x, 7]``. A text may come first, as in NumPy: ``r_["0,2,0", x, y]``; after "r" and "c"
#: there comes an array with two axes.
r_ = _Joined("r_", _Directive(0, 1, -1))
#: Arrays beside each other, as columns: ``c_[x, y]``.
c_ = _Joined("c_", _Directive(-1, 2, 0))


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
