"""Arrays from and to what looks like one: datasets, memory maps."""

from __future__ import annotations

import dataclasses
import functools
import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import kask.base
from kask.array.base import ArrayBase, in_memory, is_array_like, wrap
from kask.array.kernels.open_datasets import LibraryLock, OpenDataset, held_target, is_of_library
from kask.array.kernels.storage import (
    Described,
    HereOnly,
    MemmapFile,
    Source,
    Target,
    load_again,
    read_block,
    write_block,
)
from kask.array.kernels.stores import ZarrTarget, handle_of, zarr_place, zarr_unit
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.chunks import normalized
from kask.array.ops.slicing import expanded, squeezed
from kask.array.ops.storing_here import Written
from kask.array.ops.zarr_chunks import aligned, is_zarr, mark_shared
from kask.base import Methods, is_kask_collection
from kask.engine import Chunks, Future, GraphBuilder
from kask.expr import Lowering
from kask.expr.lower import AT, BlockCall, Read
from kask.expr.sharing import optimised
from kask.tokens import tokenize

__all__ = ["from_array", "store"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class FromStore(ArrayExpr):
    """A part of something that is read block by block: along each axis from a first element on every so-many-th."""

    family = "from_array"

    source: Source
    places: tuple[tuple[int, int], ...]
    chunks: Chunks
    meta: Any

    def block_call(self) -> BlockCall:
        return BlockCall(read_block, (AT, self.chunks, self.places, self.source))

    def taking(self, taken: Any, chunks: Chunks) -> FromStore:
        places = tuple([(first + step * start, step * by) for (first, step), (start, by, _) in zip(self.places, taken)])
        return dataclasses.replace(self, places=places, chunks=chunks)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Marked(ArrayExpr):
    """One element for each block of an array: that something has been done with it."""

    family = "store"

    array: Any
    func: Callable[..., Any]
    args: tuple[Any, ...]

    @functools.cached_property
    def chunks(self) -> Chunks:
        return Chunks.normalize(list(self.array.grid), [1] * self.array.ndim, 1, 1)

    @functools.cached_property
    def meta(self) -> Any:
        return np.empty((0,) * self.array.ndim, bool)

    def block_call(self) -> BlockCall:
        return BlockCall(self.func, (Read(self.array, tuple(range(self.ndim))), AT, *self.args))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class LoadedAgain(ArrayExpr):
    """What has been stored, read again once it is there."""

    family = "load"

    marks: Any
    target: Target
    chunks: Chunks
    meta: Any

    def block_call(self) -> BlockCall:
        return BlockCall(load_again, (Read(self.marks, tuple(range(self.ndim))), AT, self.chunks, self.target))


class Storing(Methods):
    """Something to be done with each block, which gives nothing."""

    def __init__(self, marks: Sequence[ArrayExpr]) -> None:
        self.marks = marks

    def __kask_graph__(self, builder: GraphBuilder) -> list[str | Future]:
        exprs = self.__kask_exprs__(True)
        Lowering(builder).add(exprs)
        return [output for expr in exprs for output in expr.outputs]

    def __kask_exprs__(self, optimized: bool) -> list[Any]:
        from kask.array.ops.staged import closed_or_first

        roots = closed_or_first(list(self.marks))
        return optimised(roots) if optimized else roots

    @staticmethod
    def __kask_prepare__(works: list[Storing], target: Any) -> None:
        """Run the stages that have to be over before it is known what is stored."""
        from kask.array.ops.staged import close

        close([mark for work in works for mark in work.marks], target)

    def __kask_postcompute__(self) -> tuple[Callable[..., Any], tuple]:
        return _nothing, ()

    def __kask_postpersist__(self) -> tuple[Callable[..., Any], tuple]:
        return _nothing, ()

    def __kask_delayed__(self) -> Any:
        from kask.array.ops.delaying import finished

        return finished(self, self.marks)

    def __kask_tokenize__(self) -> Any:
        return [mark.token for mark in self.marks]


def _nothing(results: list[Any]) -> None:
    return None


def from_array(
    x: Any,
    chunks: Any = "auto",
    name: str | bool | None = None,
    lock: Any = False,
    asarray: bool | None = None,
    fancy: bool = True,
    getitem: Callable[..., Any] | None = None,
    meta: Any = None,
    inline_array: bool = False,
) -> Any:
    """An array of something that looks like one. Datasets and memory maps are read block by block while the array is computed, and only
    as far as it is needed.

    Parameters
    ----------
    x : array-like
        With ``shape``, ``dtype`` and slices, or anything that NumPy makes an array of.
    chunks : int, str, tuple or dict
        How it is cut; ``"auto"`` follows the store's own ``chunks``.
    name : str or False, optional
        Stands for the content of ``x`` in names; False: a new one for each call. By default the content, or how ``x`` describes itself.
    lock : bool or lock
        What to hold while reading: True is one lock for all who read ``x`` in a process.
    asarray : bool, optional
        Whether blocks become NumPy arrays; by default where ``x`` is none of NumPy's kind (has no ``__array_function__``).
    fancy : bool
        Accepted; ``x`` is sliced only.
    getitem : callable, optional
        Called with ``x`` and slices instead of ``x[slices]``.
    meta : array, optional
        An array of the kind that blocks have.
    inline_array : bool
        Accepted; ``x`` is part of the layer that reads it.

    Raises
    ------
    ValueError
        ``x`` is one of Kask's arrays already.

    Examples
    --------
    >>> import numpy as np, kask.array as ka
    >>> ka.from_array(np.arange(6).reshape(2, 3), chunks=(1, 3)).chunks
    ((1, 1), (3,))
    """
    if isinstance(x, ArrayBase):
        raise ValueError("x is one of Kask's arrays already; rechunk() cuts it otherwise")
    x = x if is_array_like(x) else np.asarray(x)
    is_plain = lock is False and getitem is None and meta is None and asarray in (None, isinstance(x, np.ndarray))
    is_mapped = isinstance(x, np.memmap) and x.filename is not None and x.mode != "c"
    if is_plain and not is_mapped and hasattr(x, "__array_function__"):
        return wrap(in_memory(x, chunks))
    stored: Any = MemmapFile(x) if is_mapped else handle_of(x) if getitem is None else x
    # Also what it looks like is asked for under the library's lock.
    x = stored if isinstance(stored, OpenDataset) else x
    lock = LibraryLock() if not lock and is_of_library(x) else lock
    dtype, shape = np.dtype(x.dtype), tuple(x.shape)
    if asarray is None:
        asarray = not hasattr(x, "__array_function__") or is_mapped
    if name is False:
        token = uuid.uuid4().hex
    else:
        token = tokenize(name) if isinstance(name, str) else tokenize(stored, getitem)
    cut = normalized(chunks, shape, dtype, previous=_chunks_of(x, shape, dtype))
    if meta is None:
        meta = empty_meta(dtype, len(shape)) if asarray else x[(slice(0, 0),) * len(shape)]
    else:
        meta = empty_meta(dtype, len(shape), meta)
    return wrap(FromStore(Source(stored, token, lock, getitem, asarray), ((0, 1),) * len(shape), cut, meta))


def _chunks_of(x: Any, shape: tuple[int, ...], dtype: Any) -> Chunks | None:
    """How a store is cut, if it is: shards are what it writes at once."""
    for own in (getattr(x, "shards", None), getattr(x, "chunks", None)):
        if isinstance(own, tuple | list) and len(own) == len(shape):
            return normalized(tuple(own), shape, dtype)
    return None


def _regions_of(regions: Any, count: int) -> list[Any]:
    if regions is None:
        return [None] * count
    if isinstance(regions, slice):
        regions = [(regions,)]
    elif isinstance(regions, tuple) and not all(part is None or isinstance(part, tuple | list) for part in regions):
        regions = [regions]
    if len(regions) == 1 and count > 1:
        regions = list(regions) * count
    if len(regions) != count:
        raise ValueError(f"there are {len(regions)} regions for {count} arrays to store")
    return list(regions)


def refuse_masks(expr: ArrayExpr, what: str) -> None:
    """What cannot be written with its mask is not written without it."""
    if isinstance(expr.meta, np.ma.MaskedArray):
        raise TypeError(f"{what} has no masks, but the array is masked: write what ka.ma.filled(x, value) gives")


class _Part(NamedTuple):
    """An array and the slices of a target where it is written to; axes of one element were added to it."""

    expr: ArrayExpr
    region: Any
    added: tuple[int, ...] = ()


def _without_integers(expr: ArrayExpr, region: Any) -> _Part:
    """A region whose integers are slices of one element."""
    if not isinstance(region, tuple | list):
        return _Part(expr, region)
    added = tuple([axis for axis, part in enumerate(region) if isinstance(part, int | np.integer)])
    if not added or len(region) != expr.ndim + len(added):
        return _Part(expr, region)
    slices = [slice(part, part + 1 or None) if axis in added else part for axis, part in enumerate(region)]
    return _Part(expanded(expr, added), tuple(slices), added)


def _places_of(region: Any, array: ArrayExpr, target: Any) -> tuple[tuple[int, int], ...] | None:
    """First element and step along each axis of the part of a target that an array is written to."""
    there = getattr(target, "shape", None) if not is_kask_collection(target) else None
    if region is None:
        if there is not None and tuple(there) != array.shape:
            raise ValueError(f"an array of shape {array.shape} cannot be stored in a target of shape {tuple(there)}")
        return None
    is_tuple = isinstance(region, tuple | list)
    if not is_tuple or len(region) != array.ndim or not all(isinstance(part, slice) for part in region):
        raise ValueError(
            f"regions= has the region {region!r}, but a region is a tuple of slices, one for each of the {array.ndim} axes of the array, and of integers for axes that it has not"
        )
    places = []
    for axis, part in enumerate(region):
        length = there[axis] if there is not None else (part.stop if part.stop is not None else 2**62)
        start, stop, step = part.indices(length)
        count = len(range(start, stop, step))
        if step < 0 or count != array.shape[axis]:
            raise ValueError(
                f"regions={region!r} has {count} elements along axis {axis}, but the array has {array.shape[axis]} there"
                if step > 0
                else f"regions={region!r} goes backwards along axis {axis}"
            )
        places.append((start, step))
    return tuple(places)


def store(
    sources: Any,
    targets: Any,
    lock: Any = True,
    regions: Any = None,
    compute: bool = True,
    return_stored: bool = False,
    load_stored: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Write arrays into what looks like an array, block by block.

    Parameters
    ----------
    sources : array or sequence of arrays
        What is written.
    targets : array-like, Delayed or sequence of these
        Where to, one for each source: anything that takes ``target[slices] = block``. What is written to must be reached from where
        tasks run; into an array of NumPy in memory, this process writes what others compute (with ``compute=True``), while a
        ``numpy.memmap`` is opened by tasks by the name of its file. Blocks that do not fit the chunks of a Zarr array are cut otherwise
        first. An open dataset of h5py, netCDF4 or h5netcdf is written by the process that has it open.
    lock : bool or lock
        What to hold while writing: True is a lock for each target in a process, where one is needed. A lock of the ``threading`` module
        holds in one process, so others refuse it.
    regions : tuple of slices and integers, or sequence of these, optional
        The part of each target; by default all of it. Along axes that have an integer the array has no axis.
    compute : bool
        Whether to write now. Otherwise something lazy is returned.
    return_stored : bool
        Whether to return arrays that read what was written.
    load_stored : bool, optional
        Whether these are in memory already; by default only where nothing is written now.
    **kwargs
        For :func:`kask.compute`.

    Returns
    -------
    None, something lazy that writes, or an array, or a tuple of arrays if there is a sequence of sources

    Raises
    ------
    ValueError
        Numbers or shapes of sources, targets and regions that do not fit.
    SerializationError
        Other processes would have to write to an open dataset, to an array in memory (with ``compute=False``), or to one chunk of a Zarr
        array that regions of several sources share.

    Examples
    --------
    >>> import numpy as np, kask.array as ka
    >>> target = np.zeros(4)
    >>> ka.store(ka.arange(2, chunks=1), target, regions=(slice(1, 3),))
    >>> target
    array([0., 0., 1., 0.])
    """
    is_one = isinstance(sources, ArrayBase)
    sources = [sources] if is_one or isinstance(sources, np.ndarray) or not np.iterable(sources) else list(sources)
    for source in sources:
        if not isinstance(source, ArrayBase):
            raise TypeError(f"store() writes Kask's arrays, got {type(source).__name__}")
    targets = [targets] if is_one or not np.iterable(targets) else list(targets)
    if len(sources) != len(targets):
        raise ValueError(f"there are {len(sources)} arrays to store, but {len(targets)} targets")
    for target in targets:
        if not hasattr(type(target), "__setitem__") and not is_kask_collection(target):
            raise TypeError(f"a target of store() takes target[slices] = block, but a {type(target).__name__} does not")
    if not isinstance(lock, bool) and lock is not None and not hasattr(type(lock), "__enter__"):
        raise TypeError(f"lock={lock!r} is neither a bool nor a lock")
    parts = [
        _without_integers(source.expr, region) for source, region in zip(sources, _regions_of(regions, len(sources)))
    ]
    exprs, goals = _planned([part.expr for part in parts], targets, lock, [part.region for part in parts])
    marks: list[ArrayExpr] = [Marked(expr, write_block, (expr.chunks, goal)) for expr, goal in zip(exprs, goals)]
    ready = [
        LoadedAgain(mark, goal, expr.chunks, empty_meta(_dtype_there(target, expr.dtype), expr.ndim))
        for mark, goal, expr, target in zip(marks, goals, exprs, targets)
    ]
    work = Storing(marks)
    if not compute:
        lazy = [wrap(squeezed(expr, part.added)) for expr, part in zip(ready, parts)]
        return _alone(lazy, is_one) if return_stored else work
    _write(exprs, marks, goals, kwargs)
    if not return_stored:
        return None
    there = [wrap(squeezed(_stored_array(expr).expr, part.added)) for expr, part in zip(ready, parts)]
    if load_stored:
        there = [array.persist(**kwargs) for array in there]
    return _alone(there, is_one)


def _dtype_there(target: Any, dtype: np.dtype) -> np.dtype:
    """The type that elements have in a target: its own where that is known for certain."""
    return np.dtype(target.dtype) if isinstance(target, np.ndarray) or is_zarr(target) else dtype


def _write(exprs: list[ArrayExpr], marks: list[ArrayExpr], goals: list[Target], kwargs: dict[str, Any]) -> None:
    """Write now: by the tasks that compute, or, where these may run in other processes, from here into what is in memory here."""
    is_far = kask.base.engine_for(kwargs.get("scheduler")).kind == "remote"
    here = [is_far and isinstance(goal.array, HereOnly) for goal in goals]
    there = [mark for mark, is_here in zip(marks, here) if not is_here]
    fillings = [Written(expr, goal) for expr, goal, is_here in zip(exprs, goals, here) if is_here]
    kask.base.compute(*([Storing(there)] if there else []), *fillings, traverse=False, **kwargs)


def _alone(arrays: list[Any], is_one: bool) -> Any:
    return arrays[0] if is_one else tuple(arrays)


def _planned(
    exprs: list[ArrayExpr], targets: list[Any], lock: Any, regions: list[Any]
) -> tuple[list[ArrayExpr], list[Target]]:
    """How arrays are cut to be stored, and what tasks write to."""
    names: dict[Any, str] = {}
    cut, goals, zarrs = [], [], []
    for expr, target, region in zip(exprs, targets, regions):
        held = _held(target)
        places = _places_of(region, expr, held if isinstance(held, OpenDataset) else target)
        key: Any = id(target)
        if isinstance(held, ZarrTarget):
            refuse_masks(expr, "a Zarr array")
            key, own = zarr_place(held.array), places or ((0, 1),) * expr.ndim
            expr = aligned(expr, zarr_unit(held.array), own)
            zarrs.append((held, expr, own))
        cut.append(expr)
        goals.append(Target(held, names.setdefault(key, uuid.uuid4().hex), lock, places))
    shared = mark_shared(zarrs)
    for goal in goals:
        if lock is True and isinstance(goal.array, ZarrTarget) and zarr_place(goal.array.array) not in shared:
            # Each chunk is written by one task, so all can be written at once.
            goal.lock = False
    return cut, goals


def _held(target: Any) -> Any:
    """What tasks get of a target: a memory map is opened by them, so that other processes write to the file, and datasets have the lock of
    their library."""
    if isinstance(target, np.memmap) and target.filename is not None and target.mode in ("r+", "w+"):
        return MemmapFile(target, "r+")
    if isinstance(target, np.ndarray):
        return HereOnly(target)
    if is_zarr(target):
        return ZarrTarget(target)
    held = held_target(target)
    return target if held is None else held


def _stored_array(expr: LoadedAgain) -> Any:
    """What has been written already, to be read when it is needed."""
    written = expr.target.array
    done = written.array if isinstance(written, HereOnly) else _Done(expr.target)
    places = expr.target.places or ((0, 1),) * expr.ndim
    # Copied, as the target may be written to again while blocks of it are kept.
    source = Source(done, expr.target.token, expr.target.lock, _copied, True)
    return wrap(FromStore(source, places, expr.chunks, expr.meta))


def _copied(array: Any, index: tuple[slice, ...]) -> Any:
    return np.array(array[index])


class _Done(Described):
    """A target that is read again; a lazy one is asked for anew."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def open(self) -> Any:
        """What was written to."""
        from kask.array.kernels.storage import resolve

        return resolve(self.target.array)
