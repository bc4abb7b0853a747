"""The extension ``fft`` of the array API standard: ``kask.array.fft``, and frequencies of a type and on a device."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array import fft as _fft


def __getattr__(name: str) -> Any:
    if name not in _fft.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_fft, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_fft.__all__})


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of what ``fft`` gives."""
    return _of_type(_fft.fftfreq(n, d=d), dtype, device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of what ``rfft`` gives."""
    return _of_type(_fft.rfftfreq(n, d=d), dtype, device)


def _of_type(frequencies: Any, dtype: Any, device: Any) -> Any:
    if device not in (None, "cpu"):
        raise ValueError(f"device must be 'cpu' or None, got {device!r}")
    return frequencies if dtype is None else frequencies.astype(np.dtype(dtype))
