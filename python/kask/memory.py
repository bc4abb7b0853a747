"""Memory that tasks may write to.

Values that come from another process are shown where they lie, in memory that is shared and therefore read-only. Writing to
them raises the error of whoever owns the type (NumPy: ``ValueError: assignment destination is read-only``); ``writable`` copies.
"""

from __future__ import annotations

import copy
import io
import pickle
import sys
from typing import Any

__all__ = ["writable"]

# Returned as they are: nobody can write to them, or they are items of items.
_LEFT_ALONE = (type(None), bool, int, float, complex, str, bytes, type, range, slice, list, tuple, dict, set, frozenset)


def writable(x: Any) -> Any:
    """``x`` itself if its memory may be written to, otherwise a copy of which that is true.

    Arguments of tasks that were computed by another process, and results gathered from one, are read-only views of shared
    memory: passing them on costs nothing. A function that works in place begins with ``x = kask.writable(x)``; where nothing
    is shared, that costs nothing either.

    Parameters
    ----------
    x : object
        NumPy arrays and pandas objects are copied if any of their memory is read-only. Of lists, tuples and dicts each item is made
        writable (not the items of items). Arrow and Polars data cannot be written to by anybody and is returned as it is, as are text,
        bytes and numbers. Any other object is copied through pickle if it has read-only buffers (protocol 5).

    Returns
    -------
    object
        ``x``, or a writable copy; a container is a new one only if one of its items was copied.

    Examples
    --------
    >>> import kask
    >>> kask.writable([1, 2])
    [1, 2]
    >>> import numpy as np
    >>> shared = np.frombuffer(b"12345678", dtype="i8")
    >>> shared[0] = 1
    Traceback (most recent call last):
    ValueError: assignment destination is read-only
    >>> mine = kask.writable(shared)
    >>> mine[0] = 1
    >>> int(mine[0])
    1
    """
    if isinstance(x, dict):
        return _mapping(x)
    if isinstance(x, list) or type(x) is tuple or (isinstance(x, tuple) and hasattr(x, "_make")):
        return _sequence(x)
    return _object(x)


def _mapping(x: Any) -> Any:
    copied = {key: mine for key, value in x.items() if (mine := _object(value)) is not value}
    if not copied:
        return x
    result = copy.copy(x)
    result.update(copied)
    return result


def _sequence(x: Any) -> Any:
    items = [_object(item) for item in x]
    if all(mine is item for mine, item in zip(items, x)):
        return x
    if isinstance(x, tuple):
        return type(x)._make(items) if hasattr(x, "_make") else tuple(items)
    result = copy.copy(x)
    result[:] = items
    return result


def _object(x: Any) -> Any:
    if isinstance(x, _LEFT_ALONE):
        return x
    if isinstance(x, memoryview):
        return _view(x) if x.readonly and x.nbytes else x
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy is not None and isinstance(x, numpy.ndarray):
        return x if x.flags.writeable else x.copy(order="K")
    if pandas is not None and isinstance(x, pandas.DataFrame | pandas.Series):
        return x.copy(deep=True) if any(map(_is_locked, x._mgr.blocks)) else x
    if type(x).__module__.partition(".")[0] in ("pyarrow", "polars"):
        return x
    return _round_trip(x)


def _view(x: memoryview) -> memoryview:
    try:
        return memoryview(bytearray(x)).cast("B").cast(x.format, x.shape)  # type: ignore[call-overload]
    except ValueError:
        # Python casts to single numbers in the machine's byte order only. Records and other orders are what NumPy makes.
        import numpy as np

        return np.array(x).data


def _is_locked(block: Any) -> bool:
    # An extension array keeps its elements in one or two arrays; those of Arrow are replaced as a whole, never written to.
    parts = [block.values, *(getattr(block.values, name, None) for name in ("_ndarray", "_data", "_mask", "_codes"))]
    return any(not part.flags.writeable for part in parts if hasattr(part, "flags") and hasattr(part, "strides"))


def _round_trip(x: Any) -> Any:
    """A copy whose buffers may be written to, if any of those of ``x`` may not; ``x`` if there is none such, or no pickle of it."""
    buffers: list[pickle.PickleBuffer] = []
    try:
        pickle.dumps(x, protocol=5, buffer_callback=buffers.append)
    except Exception:
        # What cannot be pickled has not come from another process.
        return x
    if not any(memoryview(buffer).readonly for buffer in buffers):
        return x
    head = io.BytesIO()
    copier = _Copier(head)
    copier.dump(x)
    head.seek(0)
    return _Reader(head, copier.copies).load()


class _Copier(pickle.Pickler):
    # A buffer in a pickle says that it is read-only if it was; what stands in its place here does not.
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.copies: list[bytearray] = []

    def persistent_id(self, obj: Any) -> int | None:
        if type(obj) is not pickle.PickleBuffer:
            return None
        self.copies.append(bytearray(obj.raw()))
        return len(self.copies) - 1


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, copies: list[bytearray]) -> None:
        super().__init__(file)
        self.copies = copies

    def persistent_load(self, pid: int) -> bytearray:
        return self.copies[pid]
