"""``kask.array.lib.stride_tricks``: windows that slide over an array."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.ops.windows import windowed

__all__ = ["sliding_window_view"]


def sliding_window_view(x: Any, window_shape: Any, axis: Any = None, automatic_rechunk: bool = True) -> Any:
    """All windows of a shape in an array. The windows are views into the blocks; they cost no memory until they are computed with.

    Parameters
    ----------
    x : array
        In which the windows are.
    window_shape : int or tuple of int
        Elements of a window along each axis of ``axis``.
    axis : int or tuple of int, optional
        Along which axes windows slide; by default all.
    automatic_rechunk : bool
        Accepted; blocks stay as they are.

    Returns
    -------
    array
        With the axes of ``x``, shortened, and those of the window behind them.

    Raises
    ------
    ValueError
        The window is larger than the array, or does not fit the axes.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.lib.stride_tricks.sliding_window_view(ka.arange(4, chunks=2), 3).compute()
    array([[0, 1, 2],
           [1, 2, 3]])
    """
    x = as_array(x)
    window = tuple(window_shape) if isinstance(window_shape, list | tuple | np.ndarray) else (window_shape,)
    if any(size < 1 for size in window):
        raise ValueError(f"window_shape={window_shape}, but a window has one element at least along an axis")
    if axis is None:
        axes = tuple(range(x.ndim))
    else:
        axes = np.lib.array_utils.normalize_axis_tuple(axis, x.ndim, allow_duplicate=True)
    if len(axes) != len(window):
        raise ValueError(f"window_shape={window_shape} is for {len(window)} axes, but windows slide along {len(axes)}")
    room = list(x.shape)
    for place, size in zip(axes, window):
        room[place] -= size - 1
        if room[place] < 1:
            raise ValueError(
                f"window_shape={window_shape} is larger than the array of shape {x.shape} along axis {place}"
            )
    return wrap(windowed(x.expr, window, axes, automatic_rechunk))
