"""Pickles of polars' data frames and series, whose memory stays outside of the pickle.

polars itself puts all of it inside, as a copy. As Arrow, which both understand, it need not be copied, and local processes map it.
"""

from __future__ import annotations

import copyreg
import functools
import io
import pickle
from collections import ChainMap
from collections.abc import Callable
from typing import Any

__all__ = ["dumps"]


def dumps(value: Any, *, protocol: int, buffer_callback: Callable[[Any], Any]) -> bytes:
    """As :func:`pickle.dumps`."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, protocol, buffer_callback=buffer_callback)
    others: Any = copyreg.dispatch_table
    pickler.dispatch_table = ChainMap(_polars_table(), others)
    pickler.dump(value)
    return file.getvalue()


@functools.cache
def _polars_table() -> dict[type, Any]:
    try:
        import polars
        import pyarrow  # noqa: F401
    except ImportError:
        return {}
    return {polars.DataFrame: _reduced, polars.Series: _reduced}


def _reduced(data: Any) -> Any:
    """A frame or series as Arrow, or in polars' own way where it has types that Arrow lacks."""
    import polars
    import pyarrow

    try:
        arrow = data.to_arrow(compat_level=polars.CompatLevel.newest())
        comes_back = _described(polars.from_arrow(arrow.slice(0, 0))) == _described(data)
    except (pyarrow.ArrowException, polars.exceptions.PolarsError, NotImplementedError):
        comes_back = False
    if not comes_back:
        return data.__reduce_ex__(5)
    return (_series, (data.name, arrow)) if isinstance(data, polars.Series) else (polars.from_arrow, (arrow,))


def _described(data: Any) -> Any:
    return data.schema if hasattr(data, "schema") else data.dtype


def _series(name: str, arrow: Any) -> Any:
    import polars

    return polars.Series(name, arrow)
