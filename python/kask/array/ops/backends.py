"""Blocks of other array libraries."""

from __future__ import annotations

import importlib
from typing import Any

from kask.array.base import wrap
from kask.array.kernels.backends import to_cupy, to_numpy
from kask.array.ops.mapped import mapped

__all__ = ["to_backend"]


def to_backend(x: Any, backend: str | None = None, **kwargs: Any) -> Any:
    """The array with blocks of NumPy (by default) or CuPy."""
    if kwargs:
        raise TypeError(f"to_backend() does not know {', '.join(sorted(kwargs))}")
    if backend not in (None, "numpy", "cupy"):
        raise ValueError(f"backend= must be 'numpy' or 'cupy', not {backend!r}")
    name = backend or "numpy"
    expr = x.expr
    if type(expr.meta).__module__.partition(".")[0] == name:
        return x
    try:
        importlib.import_module(name)
    except ImportError:
        raise ImportError(f"backend={name!r} needs the package {name}, which is not installed") from None
    move = to_cupy if name == "cupy" else to_numpy
    return wrap(mapped(move, expr, chunks=expr.chunks, meta=move(expr.meta)))
