"""What a user's function will make of blocks: it is called with blocks of no elements, and if it refuses those, of ones."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.node import ArrayExpr, empty_meta

__all__ = ["as_meta", "inferred_meta", "ones_like_meta", "takes_keyword"]


def takes_keyword(func: Callable[..., Any], keyword: str) -> bool:
    """Whether a function names this parameter."""
    try:
        return keyword in inspect.signature(func).parameters
    except (TypeError, ValueError):
        return False


def as_meta(meta: Any, ndim: int, dtype: Any = None) -> Any:
    """A meta with so many axes, of what a user gave as ``meta=`` or a function made."""
    if isinstance(meta, type):
        # Types such as np.ndarray or np.float64.
        dtype = dtype if dtype is not None or not issubclass(meta, np.generic) else meta
        return empty_meta(dtype if dtype is not None else float, ndim)
    if not hasattr(meta, "dtype") or not hasattr(meta, "ndim") or isinstance(meta, np.generic):
        meta = np.asarray(meta)
    dtype = meta.dtype if dtype is None else np.dtype(dtype)
    if ndim == 0 or type(meta) is np.ndarray:
        return empty_meta(dtype, ndim)
    if meta.shape != (0,) * ndim:
        meta = np.empty_like(meta, shape=(0,) * ndim)
    return meta if meta.dtype == dtype else meta.astype(dtype)


def ones_like_meta(expr: ArrayExpr, shape: tuple[int, ...] | None = None) -> Any:
    """A block with one element, or with another shape."""
    shape = (1,) * expr.ndim if shape is None else shape
    if expr.dtype.kind in "USV":
        return np.zeros(shape, expr.dtype)
    return np.ones_like(expr.meta, shape=shape)


def inferred_meta(
    call: Callable[[Callable[[ArrayExpr], Any]], Any], ndim: int, dtype: Any, meta: Any, what: str
) -> Any:
    """The meta of a result with so many axes.

    Parameters
    ----------
    call : callable
        Calls the user's function with what its argument makes of each array.
    dtype, meta
        What the user said; asks less of the function.
    what : str
        The function's name, for errors.
    """
    if meta is not None:
        return as_meta(meta, ndim, dtype)
    trouble: Exception | None = None
    for stand_in in (lambda expr: expr.meta, ones_like_meta):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                found = call(stand_in)
            except Exception as error:
                trouble = trouble or error
                continue
        if found is not None or dtype is None:
            return as_meta(found, ndim, dtype)
    if dtype is not None:
        return empty_meta(dtype, ndim)
    raise ValueError(
        f"what {what} makes could not be found out by calling it with blocks of no elements or of ones "
        f"({type(trouble).__name__}: {trouble}); give dtype= or meta="
    ) from trouble
