"""``kask.array.lib``, as ``numpy.lib``."""

from kask.array.lib import stride_tricks

__all__ = ["stride_tricks"]
