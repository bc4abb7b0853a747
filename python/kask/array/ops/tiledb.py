"""TileDB arrays."""

from __future__ import annotations

import os
from typing import Any

from kask.array.ops.storage import from_array, store
from kask.array.ops.stores import _library

__all__ = ["from_tiledb", "to_tiledb"]


def from_tiledb(
    uri: Any,
    attribute: str | None = None,
    chunks: Any = None,
    storage_options: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """An array of a dense TileDB array, read tile by tile.

    Parameters
    ----------
    uri : str or tiledb.Array
        Where it is.
    attribute : str, optional
        Which attribute; needed if there are several.
    chunks : int, str, tuple or dict, optional
        How it is cut; by default by tiles.
    storage_options : dict, optional
        TileDB's configuration.
    **kwargs
        For ``tiledb.open``, such as ``key`` or ``timestamp``.

    Raises
    ------
    ImportError
        TileDB is not installed.
    """
    from kask.array.kernels.tiledb import TileDbArray

    tiledb = _library("tiledb", "from_tiledb()")
    place = uri.uri if isinstance(uri, tiledb.Array) else os.fspath(uri)
    array = TileDbArray(place, attribute, storage_options, kwargs)
    return from_array(array, chunks=array.chunks if chunks is None else chunks)


def to_tiledb(
    darray: Any,
    uri: Any,
    compute: bool = True,
    return_stored: bool = False,
    storage_options: dict[str, Any] | None = None,
    key: Any = None,
    **kwargs: Any,
) -> Any:
    """Write an array as a new dense TileDB array, whose tiles are as large as the largest block.

    Parameters
    ----------
    darray : array
        What is written.
    uri : str
        Where to.
    compute : bool
        Whether to write now. Otherwise something lazy is returned.
    return_stored : bool
        Whether to return an array that reads what was written.
    storage_options : dict, optional
        TileDB's configuration.
    key : str, optional
        What it is encrypted with.
    **kwargs
        For ``tiledb.DenseArray.create`` and ``tiledb.open``.

    Raises
    ------
    ImportError
        TileDB is not installed.
    """
    from kask.array.kernels.tiledb import TileDbArray, created

    _library("tiledb", "to_tiledb()")
    options = {**kwargs, **({} if key is None else {"key": key})}
    place = os.fspath(uri)
    created(place, darray.expr.shape, darray.expr.chunks.largest, darray.dtype, storage_options, options)
    target = TileDbArray(place, None, storage_options, options)
    return store(darray, target, False, None, compute, return_stored)
