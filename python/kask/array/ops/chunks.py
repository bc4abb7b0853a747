"""What users may write for ``chunks=``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kask import config
from kask.engine import Chunks
from kask.units import parse_bytes

__all__ = ["normalize_chunks"]

#: Bytes that an object in an array is taken to have.
_OBJECT_BYTES = 64


def normalized(
    chunks: Any, shape: Sequence[int], dtype: Any, *, previous: Chunks | None = None, limit: Any = None
) -> Chunks:
    """Chunks for an array of this shape and type.

    Parameters
    ----------
    chunks : int, str, tuple, dict or Chunks
        For all axes or each of them: a size, sizes, ``-1`` or ``None`` for the whole axis, ``"auto"``, or bytes (``"64MiB"``) that a
        block shall have.
    previous : Chunks, optional
        How the array is cut now; axes that a dict does not name, or with ``None`` in a tuple, stay so.
    limit : int or str, optional
        Bytes of a block where the size is left open; by default the setting ``array.chunk_size_bytes``.

    Raises
    ------
    ValueError
        Chunks that do not fit the shape.
    TypeError
        Something else than chunks.
    """
    if isinstance(chunks, Chunks):
        chunks = [chunks.axis(axis) for axis in range(chunks.ndim)]
    shape = tuple(shape)
    if any(length >= 1 << 63 for length in shape):
        raise ValueError(f"an array of the shape {shape} is too large: an axis has less than 2**63 elements")
    dtype = np.dtype(dtype) if dtype is not None else None
    item_bytes = _OBJECT_BYTES if dtype is None or dtype.hasobject else max(1, dtype.itemsize)
    limit_bytes = config.get("array.chunk_size_bytes") if limit is None else parse_bytes(limit)
    if isinstance(chunks, Mapping):
        specs = _from_mapping(chunks, shape, previous)
    elif isinstance(chunks, list | tuple) and (len(shape) != 1 or not _are_sizes(chunks, shape)):
        specs = list(chunks)
    elif isinstance(chunks, list | tuple):
        specs = [tuple(chunks)]
    else:
        specs = [chunks] * len(shape)
    if len(specs) != len(shape):
        raise ValueError(f"chunks={chunks!r} are for {len(specs)} axes, but the array has the shape {shape}")
    ready: list[Any] = []
    for axis, spec in enumerate(specs):
        if isinstance(spec, str) and spec != "auto":
            limit_bytes = min(limit_bytes, parse_bytes(spec)) if limit is not None else parse_bytes(spec)
            spec = "auto"
        if isinstance(chunks, list | tuple | Mapping) and spec is None and previous is not None:
            spec = previous.axis(axis)
        ready.append(_checked(spec, axis, chunks))
    return Chunks.normalize(list(shape), ready, item_bytes, max(1, limit_bytes), previous)


def _are_sizes(chunks: Sequence[Any], shape: tuple[int, ...]) -> bool:
    """Whether a flat sequence is the sizes along the only axis, rather than one specification for it."""
    if not all(isinstance(size, int | np.integer) and not isinstance(size, bool) for size in chunks):
        return False
    return len(chunks) != 1 or sum(chunks) == shape[0]


def _from_mapping(chunks: Mapping[Any, Any], shape: tuple[int, ...], previous: Chunks | None) -> list[Any]:
    ndim = len(shape)
    specs: list[Any] = [None] * ndim
    for axis, spec in chunks.items():
        if not isinstance(axis, int | np.integer) or not -ndim <= axis < ndim:
            raise ValueError(f"chunks= names axis {axis!r}, but the array has the axes 0 to {ndim - 1}")
        specs[int(axis)] = -1 if spec is None else spec
    return specs


def _checked(spec: Any, axis: int, chunks: Any) -> Any:
    if spec is None or spec == "auto" or isinstance(spec, Chunks):
        return spec
    if isinstance(spec, bool):
        raise TypeError(f"chunks={chunks!r} has {spec!r} for axis {axis}; give a size, sizes, -1 or 'auto'")
    if isinstance(spec, int | np.integer):
        if spec < -1:
            raise ValueError(f"chunks={chunks!r} has {spec} for axis {axis}; sizes are 1 or more, -1 is the whole axis")
        return None if spec == -1 else int(spec)
    if isinstance(spec, float) and spec.is_integer():
        return int(spec)
    try:
        sizes = [int(size) for size in spec]
    except (TypeError, ValueError):
        raise TypeError(
            f"chunks={chunks!r} has {spec!r} for axis {axis}; give a size, sizes, -1, 'auto' or bytes such as '64MiB'"
        ) from None
    if any(size < 0 for size in sizes):
        raise ValueError(f"chunks={chunks!r} has a negative size for axis {axis}")
    return sizes


def normalize_chunks(
    chunks: Any,
    shape: Any = None,
    limit: Any = None,
    dtype: Any = None,
    previous_chunks: Any = None,
) -> tuple[tuple[int, ...], ...]:
    """Chunk sizes along each axis, from anything that may be given as ``chunks=``.

    Parameters
    ----------
    chunks : int, str, tuple or dict
        For all axes or each of them: a size, sizes, ``-1`` or ``None`` for the whole axis, ``"auto"``, or bytes (``"64MiB"``).
    shape : tuple of int, optional
        The array's; may be left out where ``chunks`` has all sizes.
    limit : int or str, optional
        Bytes of a block for ``"auto"``; by default the setting ``array.chunk_size_bytes``.
    dtype : data-type, optional
        The array's, for ``"auto"`` and bytes.
    previous_chunks : tuple of tuples of int, optional
        How the array is cut now.

    Returns
    -------
    tuple of tuples of int

    Raises
    ------
    ValueError
        Chunks that do not fit the shape.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.normalize_chunks((2, -1), shape=(5, 3))
    ((2, 2, 1), (3,))
    >>> ka.normalize_chunks("auto", shape=(4000, 4000), dtype="f8", limit="32MiB")
    ((2048, 1952), (2048, 1952))
    """
    if shape is None:
        if not isinstance(chunks, list | tuple) or not all(isinstance(axis, list | tuple) for axis in chunks):
            raise ValueError(f"shape= is needed to know what chunks={chunks!r} are")
        shape = tuple(sum(axis) for axis in chunks)
    elif isinstance(shape, int | np.integer):
        shape = (int(shape),)
    if dtype is None and _is_open(chunks):
        raise TypeError("dtype= is needed where the size of chunks is left open ('auto' or bytes)")
    previous = Chunks(previous_chunks) if previous_chunks is not None else None
    return normalized(chunks, shape, dtype, previous=previous, limit=limit).tuples()


def _is_open(chunks: Any) -> bool:
    if isinstance(chunks, Mapping):
        return any(map(_is_open, chunks.values()))
    if isinstance(chunks, list | tuple):
        return any(map(_is_open, chunks))
    return isinstance(chunks, str)
