"""Systems of equations whose unknowns have several axes."""

from __future__ import annotations

import math
from typing import Any

from kask.array.base import as_array
from kask.array.ops.linalg_solving import inv, solve

__all__ = ["tensorinv", "tensorsolve"]


def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """The ``x`` of ``tensordot(a, x, x.ndim) = b``.

    Parameters
    ----------
    a : array_like
        Of the shape ``b.shape + x.shape``, where ``x`` has as many elements as ``b``.
    b : array_like
        The right-hand side.
    axes : tuple of int, optional
        Axes of ``a`` that are put last first.

    Returns
    -------
    Array
        Of the shape of what ``a`` has after the axes of ``b``.

    Raises
    ------
    ValueError
        Shapes that do not fit.
    numpy.linalg.LinAlgError
        When computed: a singular system.

    Notes
    -----
    By :func:`solve` of the matrix with the elements of ``b`` as its rows.

    Examples
    --------
    >>> import kask.array as ka
    >>> a = ka.eye(4).reshape((2, 2, 4)) * 2
    >>> ka.linalg.tensorsolve(a, ka.ones((2, 2))).compute()
    array([0.5, 0.5, 0.5, 0.5])
    """
    left, right = as_array(a), as_array(b)
    if axes is not None:
        moved = [axis % left.ndim for axis in axes]
        left = left.transpose([*[axis for axis in range(left.ndim) if axis not in moved], *moved])
    unknowns = left.shape[right.ndim :]
    if left.shape[: right.ndim] != right.shape or math.prod(unknowns) != right.size:
        raise ValueError(
            f"tensorsolve: a of shape {left.shape} does not fit b of shape {right.shape}: a needs the axes of b first, and as many "
            "elements along the others together"
        )
    return solve(left.reshape((right.size, right.size)), right.reshape((right.size,))).reshape(unknowns)


def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse for ``tensordot(a, x, ind)``.

    Parameters
    ----------
    a : array_like
        The first ``ind`` axes have as many elements together as the others.
    ind : int, optional
        How many axes are on the left.

    Returns
    -------
    Array
        Of the shape ``a.shape[ind:] + a.shape[:ind]``.

    Raises
    ------
    ValueError
        An array that is not square in this sense, or ``ind`` that is not positive.
    numpy.linalg.LinAlgError
        When computed: a singular system.

    Notes
    -----
    By :func:`inv` of the matrix with those axes as its rows.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.linalg.tensorinv(ka.eye(4).reshape((2, 2, 4)) * 2).shape
    (4, 2, 2)
    """
    array = as_array(a)
    if ind <= 0:
        raise ValueError(f"tensorinv: ind must be positive, got {ind}")
    left, right = array.shape[:ind], array.shape[ind:]
    size = math.prod(right)
    if math.prod(left) != size:
        raise ValueError(f"tensorinv: axes {left} and {right} of the array must have as many elements together")
    return inv(array.reshape((size, size))).reshape((*right, *left))
