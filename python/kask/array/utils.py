"""``kask.array.utils``: what libraries on top of arrays need."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import ArrayBase
from kask.array.node import empty_meta

__all__ = ["meta_from_array"]


def meta_from_array(x: Any, ndim: int | None = None, dtype: Any = None) -> Any:
    """An array without elements, of the kind of another.

    Parameters
    ----------
    x : array, array type or None
        Whose kind it is; None is NumPy's.
    ndim : int, optional
        How many axes it has; by default as many as ``x``.
    dtype : data-type, optional
        Its type; by default that of ``x``.

    Returns
    -------
    array
        All of its axes have the length 0.

    Examples
    --------
    >>> import numpy as np
    >>> from kask.array.utils import meta_from_array
    >>> meta_from_array(np.ones((3, 4)), ndim=1, dtype="i4")
    array([], dtype=int32)
    """
    if isinstance(x, ArrayBase):
        x = x.meta
    if isinstance(x, type):
        x = x((0,) * (ndim or 0), dtype=dtype or float) if issubclass(x, np.ndarray) else x()
    if x is None:
        return empty_meta(dtype or float, ndim or 0)
    if not hasattr(x, "dtype") or not hasattr(x, "ndim"):
        x = np.asarray(x)
    return empty_meta(dtype if dtype is not None else x.dtype, x.ndim if ndim is None else ndim, x)
