"""Arrays from and to Zarr and HDF5, whose blocks are aligned to the store's chunks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from kask.array.base import ArrayBase
from kask.array.kernels.storage import Target, write_block
from kask.array.kernels.stores import (
    Hdf5Dataset,
    ZarrSource,
    open_hdf5,
    refuse_shared_chunks,
    zarr_place,
    zarr_unit,
)
from kask.array.node import ArrayExpr
from kask.array.ops.deferring import called
from kask.array.ops.storage import Marked, Storing, from_array, refuse_masks, store
from kask.array.ops.zarr_chunks import Places
from kask.expr import walk

__all__ = ["from_zarr", "to_hdf5", "to_zarr"]


def _library(name: str, needed_by: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImportError(f"{needed_by} needs the package {name}, which is not installed: pip install {name}") from None


# -- Zarr


class _ZarrPlace(NamedTuple):
    """Where a Zarr array is, or will be."""

    url: Any
    component: str | None
    storage_options: dict[str, Any] | None


def from_zarr(
    url: Any,
    component: str | None = None,
    storage_options: dict[str, Any] | None = None,
    chunks: Any = None,
    name: Any = None,
    inline_array: bool = False,
    **kwargs: Any,
) -> Any:
    """An array of a Zarr array, of format 2 or 3, read chunk by chunk and only as far as it is needed.

    Parameters
    ----------
    url : path, URL, zarr.Array or store
        Where it is. A URL such as ``s3://bucket/x.zarr`` is opened with fsspec.
    component : str, optional
        Its path inside of a group.
    storage_options : dict, optional
        For fsspec.
    chunks : int, str, tuple or dict, optional
        How it is cut; by default by the store's chunks, or shards, one a block.
    name : str, optional
        Stands for the content in names. By default each call has a name of its own, as the store may have changed.
    inline_array : bool
        Accepted; see :func:`from_array`.
    **kwargs
        For ``zarr.open_array``.

    Raises
    ------
    FileNotFoundError
        There is no Zarr array.
    ValueError
        There is a group, and ``component`` does not say which array of it.

    Examples
    --------
    >>> import tempfile, kask.array as ka
    >>> folder = tempfile.mkdtemp()
    >>> ka.to_zarr(ka.arange(6, chunks=3), folder, component="x")
    >>> ka.from_zarr(folder, component="x").chunks
    ((3, 3),)
    """
    zarr = _library("zarr", "from_zarr()")
    array = url if isinstance(url, zarr.Array) else _opened_zarr(zarr, url, component, storage_options, "r", kwargs)
    cut = zarr_unit(array) if chunks is None else chunks
    return from_array(array, chunks=cut, name=name, inline_array=inline_array)


def _opened_zarr(zarr: Any, url: Any, component: Any, storage_options: Any, mode: str, kwargs: Any) -> Any:
    """An array that is there."""
    place = os.fspath(url) if isinstance(url, os.PathLike) else url
    where = f"{place}" + (f", component {component!r}" if component else "")
    try:
        return zarr.open_array(place, path=component or "", storage_options=storage_options, mode=mode, **kwargs)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no Zarr array at {where}") from error
    except zarr.errors.NodeTypeValidationError as error:
        group = zarr.open_group(place, path=component or "", storage_options=storage_options, mode="r")
        there = (
            ", ".join(sorted(name for name, one in group.members(max_depth=None) if isinstance(one, zarr.Array)))
            or "none"
        )
        raise ValueError(
            f"{where} is a Zarr group; name one of its arrays with component= (arrays: {there})"
        ) from error
    except (zarr.errors.MetadataValidationError, ValueError, KeyError) as error:
        raise OSError(f"the metadata of the Zarr array at {where} cannot be understood: {error}") from error
    except TypeError:
        # Of an argument that is none.
        raise
    except Exception as error:
        # Servers that do not answer, or want a password: each library has errors of its own for these.
        raise OSError(f"the Zarr array at {where} cannot be opened: {error}") from error


def to_zarr(
    arr: Any,
    url: Any,
    component: str | None = None,
    storage_options: dict[str, Any] | None = None,
    region: tuple[slice, ...] | None = None,
    compute: bool = True,
    return_stored: bool = False,
    mode: str = "a",
    append_axis: int | None = None,
    overwrite: bool = False,
    **zarr_array_kwargs: Any,
) -> Any:
    """Write an array as a Zarr array, each of its chunks by one task.

    Parameters
    ----------
    arr : array
        What is written.
    url : path, URL, store or zarr.Array
        Where to. A ``zarr.Array`` is written to as it is.
    component : str, optional
        The path inside of a group.
    storage_options : dict, optional
        For fsspec.
    region : tuple of slices, optional
        The part of an existing array that is written.
    compute : bool
        Whether to write now. Otherwise something lazy is returned; the array is made, or grows, at once all the same.
    return_stored : bool
        Whether to return an array that reads what was written.
    mode : {"a", "w", "w-", "r+"}
        ``"w"`` replaces what is there, ``"r+"`` writes into what is there; otherwise there must be none.
    append_axis : int, optional
        Make an existing array longer along this axis, and write there.
    overwrite : bool
        The same as ``mode="w"``.
    **zarr_array_kwargs
        For ``zarr.create_array``, such as ``chunks``, ``shards``, ``compressors`` (or ``compressor``, as Zarr 2 calls it),
        ``zarr_format``. By default chunks are as large as the
        largest block. The array is cut otherwise where its blocks do not fit the chunks.

    Returns
    -------
    None, something lazy that writes, or an array

    Raises
    ------
    ValueError
        There is an array already, or the array reads what it would replace; or blocks of a ``region`` meet inside of a chunk, which two tasks would write at the same time.

    Examples
    --------
    >>> import tempfile, kask.array as ka
    >>> folder = tempfile.mkdtemp()
    >>> ka.to_zarr(ka.arange(4, chunks=2), folder)
    >>> ka.to_zarr(ka.arange(3), folder, append_axis=0)
    >>> ka.from_zarr(folder).compute()
    array([0, 1, 2, 3, 0, 1, 2])
    """
    if not isinstance(arr, ArrayBase):
        raise TypeError(f"to_zarr() writes Kask's arrays, got {type(arr).__name__}")
    refuse_masks(arr.expr, "a Zarr array")
    place = _ZarrPlace(url, component, storage_options)
    target, region = _planned(arr.expr, place, region, append_axis, "w" if overwrite else mode, zarr_array_kwargs)
    return store(arr, target, False, region, compute, return_stored)


def _planned(
    expr: ArrayExpr, place: _ZarrPlace, region: Any, append_axis: int | None, mode: str, kwargs: dict[str, Any]
) -> tuple[Any, Any]:
    """Into which Zarr array an array is written, and where there."""
    zarr = _library("zarr", "to_zarr()")
    if mode not in ("a", "w", "w-", "r+"):
        raise ValueError(f"mode= must be 'a', 'w', 'w-' or 'r+', not {mode!r}")
    if region is not None and append_axis is not None:
        raise ValueError("to_zarr() takes region= or append_axis=, not both")
    is_there = isinstance(place.url, zarr.Array)
    into = is_there or region is not None or append_axis is not None or mode == "r+"
    if into and (mode == "w" or kwargs):
        raise ValueError(
            "to_zarr() writes into an array that is there: overwrite, mode='w' and what describes a new array do not fit"
        )
    if not into:
        if mode == "w":
            _refuse_own_source(zarr, expr, *place)
        target = _made_zarr(zarr, expr, *place, mode == "w", kwargs)
    else:
        target = place.url if is_there else _opened_zarr(zarr, *place, "r+", {})
    if append_axis is not None:
        region = _appended(expr, target, append_axis)
    elif region is not None:
        region = tuple(region) if isinstance(region, tuple | list) else (region,)
        refuse_shared_chunks(expr.chunks, target, _region_places(expr, region, target.shape))
    return target, region


def _refuse_own_source(zarr: Any, expr: ArrayExpr, url: Any, component: Any, storage_options: Any) -> None:
    """What is replaced is gone before it is read."""
    try:
        there = _opened_zarr(zarr, url, component, storage_options, "r", {})
    except (OSError, ValueError):
        return
    for one in walk([expr]):
        source = getattr(getattr(one, "source", None), "array", None)
        if isinstance(source, ZarrSource) and str(source.array.store_path) == str(there.store_path):
            raise ValueError(
                f"the array reads the Zarr array {zarr_place(there)}, which it would replace; write it to another place"
            )


def _made_zarr(
    zarr: Any, expr: ArrayExpr, url: Any, component: Any, storage_options: Any, replace: bool, kwargs: dict[str, Any]
) -> Any:
    place = os.fspath(url) if isinstance(url, os.PathLike) else url
    if "compressor" in kwargs and "compressors" in kwargs:
        raise ValueError("to_zarr() takes compressors=, or compressor= for one of them, not both")
    kwargs = {"compressors" if name == "compressor" else name: value for name, value in kwargs.items()}
    options = {"chunks": tuple([max(1, size) for size in expr.chunks.largest]), **kwargs}
    if options.get("shards") is not None and "chunks" not in kwargs:
        # How shards are divided is Zarr's to say; they are what is written at once.
        options["chunks"] = "auto"
    if not isinstance(options["chunks"], str):
        options["chunks"] = tuple(np.broadcast_to(options["chunks"], expr.ndim).tolist())
    try:
        return zarr.create_array(
            store=place,
            name=component,
            shape=expr.shape,
            dtype=expr.dtype,
            overwrite=replace,
            storage_options=storage_options,
            **options,
        )
    except (zarr.errors.ContainsArrayError, zarr.errors.ContainsGroupError) as error:
        where = f"{place}" + (f", component {component!r}" if component else "")
        raise ValueError(
            f"there is a Zarr array or group at {where} already; overwrite=True replaces it, region= and append_axis= write into it"
        ) from error
    except (TypeError, ValueError):
        # Of an argument that does not fit.
        raise
    except Exception as error:
        # A bucket that is not there, a folder that nobody may write to, a server that does not answer.
        raise OSError(f"no Zarr array can be made at {place}: {error}") from error


def _appended(expr: ArrayExpr, target: Any, axis: int) -> tuple[slice, ...]:
    """Where it is written, once the target has grown."""
    axis = np.lib.array_utils.normalize_axis_index(axis, expr.ndim)
    old = tuple(target.shape)
    fits = len(old) == expr.ndim and all(at == axis or old[at] == expr.shape[at] for at in range(expr.ndim))
    if not fits:
        raise ValueError(f"an array of shape {expr.shape} cannot be appended along axis {axis} to one of shape {old}")
    starts = tuple([old[axis] if at == axis else 0 for at in range(expr.ndim)])
    target.resize(tuple([old[at] + expr.shape[at] if at == axis else old[at] for at in range(expr.ndim)]))
    return tuple([slice(start, start + length) for start, length in zip(starts, expr.shape)])


def _region_places(expr: ArrayExpr, region: tuple[slice, ...], shape: tuple[int, ...]) -> Places:
    """Where a region begins, and its steps."""
    if len(region) != expr.ndim or not all(isinstance(part, slice) for part in region):
        raise ValueError(f"region={region!r}, but a region is a slice for each of the {expr.ndim} axes")
    parts = [part.indices(length) for part, length in zip(region, shape)]
    # What goes backwards is refused where it is stored.
    return tuple([(start, max(step, 1)) for start, _, step in parts])


# -- HDF5


def to_hdf5(filename: Any, *args: Any, chunks: Any = True, **kwargs: Any) -> None:
    """Write arrays as datasets of an HDF5 file. One block is written at a time, also by several processes; other datasets of the file stay.

    HDF5 has no transactions: a process that is killed while it writes may leave a file that cannot be read.

    Parameters
    ----------
    filename : path
        The file, made if it is not there. It must be reached from where tasks run.
    *args
        The path of a dataset and an array, or a dict of these.
    chunks : bool, tuple or None
        Chunks of the datasets: True is the largest block, None is a dataset without chunks.
    **kwargs
        For ``h5py.Group.require_dataset``, such as ``compression="gzip"``.

    Raises
    ------
    ValueError
        There is a dataset of another shape or type.
    OSError
        The file is locked by another program, truncated or no HDF5 file.

    Examples
    --------
    >>> import os, tempfile, h5py, kask.array as ka
    >>> path = os.path.join(tempfile.mkdtemp(), "x.h5")
    >>> ka.to_hdf5(path, "/group/x", ka.arange(4, chunks=2))
    >>> ka.from_array(h5py.File(path)["group/x"]).compute()
    array([0, 1, 2, 3])
    """
    _library("h5py", "to_hdf5()")
    if len(args) == 1 and isinstance(args[0], Mapping):
        arrays = dict(args[0])
    elif len(args) == 2 and isinstance(args[0], str):
        arrays = {args[0]: args[1]}
    else:
        raise TypeError("to_hdf5() takes a file, and the path of a dataset and an array, or a dict of these")
    for path, array in arrays.items():
        if not isinstance(array, ArrayBase):
            raise TypeError(f"to_hdf5() writes Kask's arrays, got {type(array).__name__} for {path!r}")
    # Sizes that are not known are found first, also those of arrays in a dict.
    called(_to_hdf5, (os.path.abspath(os.fspath(filename)), list(arrays), list(arrays.values()), chunks, kwargs), {})


def _to_hdf5(file_path: str, names: list[str], arrays: list[Any], chunks: Any, kwargs: dict[str, Any]) -> None:
    marks = []
    with open_hdf5(file_path, "a") as file:
        for path, array in zip(names, arrays):
            expr = array.expr
            options = {**_hdf5_chunks(expr, chunks), **kwargs}
            try:
                dataset = file.require_dataset(path, shape=expr.shape, dtype=expr.dtype, **options)
            except TypeError as error:
                raise ValueError(f"dataset {path!r} of {file_path} cannot be written: {error}") from error
            goal = Target(Hdf5Dataset(file_path, dataset.name), f"{file_path}:{dataset.name}", False, None)
            marks.append(Marked(expr, write_block, (expr.chunks, goal)))
    Storing(marks).compute()


def _hdf5_chunks(expr: ArrayExpr, chunks: Any) -> dict[str, Any]:
    if chunks is True:
        chunks = expr.chunks.largest if expr.ndim and 0 not in expr.shape else None
    return {} if chunks is None or chunks is False else {"chunks": tuple(chunks)}


# -- TileDB
