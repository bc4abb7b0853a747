"""Kask's arrays in xarray: ``ds.chunk(..., chunked_array_type="kask")`` or ``xr.set_options(chunk_manager="kask")``.

xarray loads this module in every program that uses chunks, so it imports ``kask.array`` only when it is used. And xarray takes the only
chunk manager there is without being asked; so there are two, and programs that did not ask go on as before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from xarray.namedarray.parallelcompat import ChunkManagerEntrypoint

__all__ = ["KaskManager", "UnaskedManager"]


class KaskManager(ChunkManagerEntrypoint):
    """What xarray does with Kask's arrays."""

    def __init__(self) -> None:
        pass

    @property
    def array_cls(self) -> Any:  # type: ignore[override]
        """The class of the arrays."""
        from kask.array import Array

        _support_pointwise_indexing()
        return Array

    def is_chunked_array(self, data: Any) -> bool:
        """Whether it is an array of Kask. Without ``kask.array`` there is none."""
        return "kask.array" in sys.modules and isinstance(data, self.array_cls)

    def chunks(self, data: Any) -> Any:
        """Chunk sizes along each axis."""
        return data.chunks

    def normalize_chunks(
        self, chunks: Any, shape: Any = None, limit: Any = None, dtype: Any = None, previous_chunks: Any = None
    ) -> Any:
        """See :func:`kask.array.normalize_chunks`."""
        from kask.array import normalize_chunks

        if previous_chunks is not None:
            # A store says a size for each axis.
            previous_chunks = normalize_chunks(tuple(previous_chunks), shape=shape)
        return normalize_chunks(chunks, shape=shape, limit=limit, dtype=dtype, previous_chunks=previous_chunks)

    def from_array(self, data: Any, chunks: Any, **kwargs: Any) -> Any:
        """See :func:`kask.array.from_array`. Arrays of files are read block by block."""
        from kask.array import from_array

        if not hasattr(data, "__array_function__"):
            kwargs = {**kwargs, "meta": None, "asarray": True}
        return from_array(data, chunks, **kwargs)

    def rechunk(self, data: Any, chunks: Any, **kwargs: Any) -> Any:
        """See :func:`kask.array.rechunk`."""
        return super().rechunk(data, chunks, **kwargs)

    def compute(self, *data: Any, **kwargs: Any) -> Any:
        """See :func:`kask.compute`."""
        import kask

        return kask.compute(*data, **kwargs)

    def persist(self, *data: Any, **kwargs: Any) -> Any:
        """See :func:`kask.persist`."""
        import kask

        return kask.persist(*data, **kwargs)

    @property
    def array_api(self) -> Any:
        """The functions of arrays."""
        import kask.array

        return kask.array

    def reduction(
        self,
        arr: Any,
        func: Callable[..., Any],
        combine_func: Callable[..., Any] | None = None,
        aggregate_func: Callable[..., Any] | None = None,
        axis: int | Sequence[int] | None = None,
        dtype: Any = None,
        keepdims: bool = False,
    ) -> Any:
        """See :func:`kask.array.reduction`."""
        from kask.array import reduction

        last = aggregate_func or combine_func or func
        return reduction(arr, func, last, axis=axis, keepdims=keepdims, dtype=dtype, combine=combine_func)

    def scan(
        self,
        func: Callable[..., Any],
        binop: Callable[..., Any],
        ident: float,
        arr: Any,
        axis: int | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> Any:
        """A cumulative function along an axis: ``func`` of each block, ``binop`` of what lies before it and that."""
        from kask.array.ops.push import scan_of

        # How totals of blocks are found and put together is not the caller's concern here: they follow from ``func`` and ``binop``.
        for name in ("method", "preop"):
            kwargs.pop(name, None)
        return scan_of(arr, func, binop, ident, axis, dtype, kwargs)

    def apply_gufunc(self, func: Callable[..., Any], signature: str, *args: Any, **kwargs: Any) -> Any:
        """See :func:`kask.array.apply_gufunc`."""
        from kask.array import apply_gufunc

        return apply_gufunc(func, signature, *args, **kwargs)

    def map_blocks(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """See :func:`kask.array.map_blocks`."""
        from kask.array import map_blocks

        return map_blocks(func, *args, **kwargs)

    def blockwise(self, func: Callable[..., Any], out_ind: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        """See :func:`kask.array.blockwise`."""
        from kask.array import blockwise

        return blockwise(func, out_ind, *args, **kwargs)

    def unify_chunks(self, *args: Any, **kwargs: Any) -> Any:
        """See :func:`kask.array.core.unify_chunks`."""
        from kask.array.core import unify_chunks

        return unify_chunks(*args, **kwargs)

    def store(  # type: ignore[override]
        self,
        sources: Any,
        targets: Any,
        lock: Any = True,
        regions: Any = None,
        compute: bool = True,
        flush: bool = True,
        **kwargs: Any,
    ) -> Any:
        """See :func:`kask.array.store`. What cannot be written by several processes is written by this one."""
        from kask.array import store
        from kask.array.ops.storing_here import store_here

        arrays = list(sources) if isinstance(sources, list | tuple) else [sources]
        goals = list(targets) if isinstance(sources, list | tuple) else [targets]
        parts = list(regions) if isinstance(regions, list) else [regions] * len(arrays)
        if not compute:
            return _written_by_dask(
                partial(self.store, [array.copy() for array in arrays], goals, lock, parts, **kwargs)
            )
        if _others_run_tasks(kwargs.get("scheduler")) and not all(map(_may_be_written_anywhere, goals)):
            return store_here(arrays, goals, lock, parts, **kwargs)
        goals = [goal if _may_be_written_anywhere(goal) else _Growing(goal) for goal in goals]
        return store(arrays, goals, lock, parts, **kwargs)

    def shuffle(self, x: Any, indexer: list[list[int]], axis: int, chunks: Any = "auto") -> Any:
        """See :func:`kask.array.shuffle`."""
        from kask.array import shuffle

        return shuffle(x, indexer, axis, chunks="auto" if chunks is None else chunks)

    def get_auto_chunk_size(self) -> int:
        """Bytes of a block, where the user leaves it open."""
        from kask import config

        return int(config.get("array.chunk_size_bytes"))


def _support_pointwise_indexing() -> None:
    """xarray takes arrays with the array API's namespace for such that cannot be indexed by several lists at once. Kask's can, as NumPy's."""
    from xarray.core import indexing
    from xarray.core.nputils import NumpyVIndexAdapter

    adapter = indexing.ArrayApiIndexingAdapter
    if getattr(adapter._vindex_get, "knows_kask", False):
        return
    get, put = adapter._vindex_get, adapter._vindex_set

    def _vindex_get(self: Any, indexer: Any) -> Any:
        return NumpyVIndexAdapter(self.array)[indexer.tuple] if _is_kask(self.array) else get(self, indexer)

    def _vindex_set(self: Any, indexer: Any, value: Any) -> None:
        if not _is_kask(self.array):
            return put(self, indexer, value)
        NumpyVIndexAdapter(self.array)[indexer.tuple] = value

    vars(_vindex_get)["knows_kask"] = True
    for name, method in (("_vindex_get", _vindex_get), ("_vindex_set", _vindex_set)):
        setattr(adapter, name, method)


def _is_kask(array: Any) -> bool:
    return type(array).__module__.startswith("kask.array")


class UnaskedManager(ChunkManagerEntrypoint):
    """Makes xarray look at its option ``chunk_manager`` where Kask is the only other chunk manager, and knows no array."""

    def __init__(self) -> None:
        self.array_cls = type(self)

    def is_chunked_array(self, data: Any) -> bool:
        """No array is."""
        return False

    def _refused(self) -> Any:
        raise NotImplementedError('this chunk manager makes no arrays; ask for chunked_array_type="kask"')

    def chunks(self, data: Any) -> Any:
        """Refused."""
        return self._refused()

    def normalize_chunks(self, *args: Any, **kwargs: Any) -> Any:
        """Refused."""
        return self._refused()

    def from_array(self, *args: Any, **kwargs: Any) -> Any:
        """Refused."""
        return self._refused()

    def compute(self, *args: Any, **kwargs: Any) -> Any:
        """Refused."""
        return self._refused()

    def apply_gufunc(self, *args: Any, **kwargs: Any) -> Any:
        """Refused."""
        return self._refused()


def _others_run_tasks(scheduler: Any) -> bool:
    """Whether tasks may be run by another process than this one."""
    from kask.base import engine_for
    from kask.engine.embedded import running_engine, synchronous_engine

    return engine_for(scheduler) not in (running_engine(), synchronous_engine())


def _may_be_written_anywhere(target: Any) -> bool:
    return type(target).__module__ in ("xarray.backends.zarr",) or type(target).__module__.startswith("zarr")


class _Growing:
    """A variable of a file, without its shape: along unlimited dimensions it grows while it is written."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def __setitem__(self, index: Any, block: Any) -> None:
        self.target[index] = block


def _written_by_dask(write: Callable[[], Any]) -> Any:
    """What writes when xarray's own Dask graph, which a lazy write of xarray is, comes to it. Dask would take anything else for a constant,
    and nothing would be written."""
    try:
        from dask import delayed  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise NotImplementedError(
            "compute=False makes xarray build a Dask graph, and Dask is not installed; write with kask.delayed(ds.to_netcdf)(path) to put it "
            "off, or with xr.zeros_like(ds).to_zarr(path) to prepare a store that is written by region="
        ) from None
    return delayed(write, pure=False)()
