"""The extension ``linalg`` of the array API standard: ``kask.array.linalg`` with the standard's defaults."""

from __future__ import annotations

from typing import Any

from kask.array import linalg as _linalg


def __getattr__(name: str) -> Any:
    if name not in _linalg.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_linalg, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_linalg.__all__})


def svd(x: Any, /, *, full_matrices: bool = True) -> Any:
    """The singular value decomposition: U, S and Vh of each matrix."""
    return _linalg.svd(x, full_matrices=full_matrices)


def pinv(x: Any, /, *, rtol: Any = None) -> Any:
    """The pseudo-inverse of each matrix; by default smaller singular values than the precision allows are taken for 0."""
    return _linalg.pinv(x, rtol=rtol)
