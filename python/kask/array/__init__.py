"""NumPy on many chunks, with the same answer: ``import kask.array as ka``."""

from kask.array.collection import Array

__all__ = ["Array"]
