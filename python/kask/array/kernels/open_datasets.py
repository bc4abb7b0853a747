"""Datasets that a user has open in a library that takes one call at a time: HDF5 and netCDF.

In the process that has it open such a dataset is used as it is, under one lock for all of them. Other processes open what is in a file
again, by its name, to read it. They never write: HDF5 and netCDF files have one writer.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from kask.exceptions import SerializationError

__all__ = [
    "HDF5_LOCK",
    "LibraryLock",
    "OpenDataset",
    "OpenTarget",
    "held_dataset",
    "held_target",
    "is_of_library",
    "library_of",
]

#: netCDF4 and h5netcdf stand on the library of h5py or on a copy of it, and a file that one thread has open for reading cannot be opened
#: for writing by another.
HDF5_LOCK = threading.RLock()


class LibraryLock:
    """Holds :data:`HDF5_LOCK` of the process that it is in."""

    def __enter__(self) -> None:
        HDF5_LOCK.acquire()

    def __exit__(self, *exception: object) -> None:
        HDF5_LOCK.release()


class _File(NamedTuple):
    """Which variable of which file, and how its library is told to read it."""

    library: str
    path: str
    variable: str
    settings: tuple[tuple[str, Any], ...]

    @contextlib.contextmanager
    def opened(self) -> Iterator[Any]:
        """The variable of a file that is opened for this."""
        if not os.path.exists(self.path):
            raise FileNotFoundError(f"the netCDF file {self.path} is not there")
        try:
            file = self._open()
        except Exception as error:
            raise OSError(
                f"the netCDF file {self.path} cannot be opened: {error}; where another program has it open for writing, close it there, "
                "and write or copy it again where it is damaged"
            ) from error
        with file:
            try:
                variable = file[self.variable]
            except (IndexError, KeyError) as error:
                raise KeyError(f"the netCDF file {self.path} has no variable {self.variable}") from error
            if self.library == "netCDF4":
                for setting, value in self.settings:
                    getattr(variable, setting)(value)
            yield variable

    def _open(self) -> Any:
        if self.library == "netCDF4":
            import netCDF4

            return netCDF4.Dataset(self.path)
        import h5netcdf

        return h5netcdf.File(self.path, "r", **dict(self.settings))


class OpenDataset:
    """A dataset that a user has open. ``file`` says how other processes read it; None: they cannot."""

    def __init__(self, dataset: Any, is_open: Callable[[], bool], where: str, file: _File | None = None) -> None:
        self.dataset, self.is_open, self.where, self.file = dataset, is_open, where, file
        with HDF5_LOCK:
            self.shape, self.chunks = tuple(dataset.shape), _chunks_of(dataset)
            # Of what comes out: a library may scale and mask what is stored.
            self.dtype = np.dtype(object) if dataset.dtype is str else _type_of(dataset)
            self.version = self._version()

    def _version(self) -> Any:
        """What tells the content from that of another time: none where it may change any moment."""
        if self.file is None or _modes(self.file.path) != {os.O_RDONLY}:
            return os.urandom(16)
        found = os.stat(self.file.path)
        return found.st_mtime_ns, found.st_size

    def __getitem__(self, index: Any) -> Any:
        with self._opened() as dataset:
            try:
                return dataset[index]
            except (OSError, RuntimeError) as error:
                raise OSError(f"{self.where} cannot be read: {error}") from error

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        with HDF5_LOCK:
            if self.is_open():
                yield self.dataset
            elif self.file is None:
                raise ValueError(f"{self.where} has been closed; keep it open until everything is computed")
            else:
                with self.file.opened() as dataset:
                    yield dataset

    def __getstate__(self) -> dict[str, Any]:
        if self.file is None:
            raise SerializationError(
                f"{self.where} cannot be opened by other processes, as it is in memory or on a server; compute with "
                "scheduler='threads', or write it to a file first and read that"
            )
        return {**self.__dict__, "dataset": None, "is_open": _never}

    def __kask_tokenize__(self) -> Any:
        return "open dataset", self.file, self.version, self.where


class OpenTarget(OpenDataset):
    """A dataset that a user has open for writing. Only this process can write to it."""

    def __setitem__(self, index: Any, block: Any) -> None:
        with HDF5_LOCK:
            if not self.is_open():
                raise ValueError(f"{self.where} has been closed; keep it open until everything is stored")
            self.dataset[index] = block

    def __getstate__(self) -> dict[str, Any]:
        raise SerializationError(
            f"{self.where} is open in this process, and several processes cannot write to one file; compute with "
            "scheduler='threads', or write with to_zarr(), or to_hdf5() once the file is closed"
        )


def _never() -> bool:
    return False


def _chunks_of(dataset: Any) -> tuple[int, ...] | None:
    """How a dataset is cut in its file."""
    chunks = dataset.chunking() if hasattr(dataset, "chunking") else getattr(dataset, "chunks", None)
    return tuple([int(size) for size in chunks]) if isinstance(chunks, tuple | list) else None


def _type_of(dataset: Any) -> np.dtype:
    if library_of(dataset) != "netCDF4":
        return np.dtype(dataset.dtype)
    return np.dtype(dataset[(slice(0, 0),) * len(dataset.shape) or ...].dtype)


def _modes(path: str) -> set[int]:
    """How this process has a file open: for reading, for writing or both. Nothing where what is called so is in memory."""
    modes = set()
    found = os.stat(path)
    for number in os.listdir("/proc/self/fd"):
        # Others come and go meanwhile.
        with contextlib.suppress(OSError, ValueError, StopIteration):
            if os.path.samestat(found, os.stat(f"/proc/self/fd/{number}")):
                with open(f"/proc/self/fdinfo/{number}") as info:
                    flags = next(line for line in info if line.startswith("flags:"))
                modes.add(int(flags.split()[1], 8) & os.O_ACCMODE)
    return modes


def _is_file(path: Any) -> bool:
    """Whether content is in a file, and not only said to be."""
    return isinstance(path, str) and os.path.isfile(path) and bool(_modes(path))


# -- what the libraries call things


def _held_h5py(x: Any, kind: type[OpenDataset]) -> OpenDataset:
    return kind(x, lambda: bool(x), f"the HDF5 dataset {x.name} of {os.fsdecode(x.file.filename)}")


def _held_netcdf4(x: Any, kind: type[OpenDataset]) -> OpenDataset:
    import netCDF4

    if not isinstance(x, netCDF4.Variable):
        # Of several files that are read as one.
        return kind(
            x, lambda: True, f"the netCDF variable {getattr(x, '_name', '')} of several files".replace("  ", " ")
        )
    group = root = x.group()
    while root.parent is not None:
        root = root.parent
    path = root.filepath()
    variable = f"{group.path.rstrip('/')}/{x.name}"
    settings = (
        ("set_auto_scale", x.scale),
        ("set_auto_mask", x.mask),
        ("set_always_mask", x.always_mask),
        ("set_auto_chartostring", x.chartostring),
    )
    file = _File("netCDF4", os.path.abspath(path), variable, settings) if _is_file(path) else None
    if file is not None and _modes(path) != {os.O_RDONLY}:
        # Other processes see what is in the file.
        root.sync()
    return kind(x, lambda: bool(root.isopen()), f"the netCDF variable {variable} of {path}", file)


def _held_h5netcdf(x: Any, kind: type[OpenDataset]) -> OpenDataset:
    # Variables do not keep their group and file, so this does. Only `_h5path` is whole in the legacy interface.
    root, kept = x._root, x._parent
    path, variable = root.filename, "/" + x._h5path.lstrip("/")
    settings = (("phony_dims", root._phony_dims_mode), ("decode_vlen_strings", root.decode_vlen_strings))
    file = _File("h5netcdf", os.path.abspath(path), variable, settings) if _is_file(path) else None
    if file is not None and root.mode != "r":
        root.flush()
    return kind(x, lambda: kept is not None and not root._closed, f"the netCDF variable {variable} of {path}", file)


_KINDS = {"h5py": _held_h5py, "netCDF4": _held_netcdf4, "h5netcdf": _held_h5netcdf}


def is_of_library(x: Any) -> bool:
    """Whether something is a dataset of h5py, netCDF4 or h5netcdf, or was made by one of these."""
    return library_of(x) in _KINDS


def library_of(x: Any) -> str:
    """The package that the type of something is from."""
    return type(x).__module__.partition(".")[0]


def _held(x: Any, kind: type[OpenDataset]) -> OpenDataset | None:
    if not is_of_library(x):
        return None
    with HDF5_LOCK:
        return _KINDS[library_of(x)](x, kind)


def held_dataset(x: Any) -> OpenDataset | None:
    """What tasks get of a dataset of h5py, netCDF4 or h5netcdf that is read; None for anything else."""
    return _held(x, OpenDataset)


def held_target(x: Any) -> OpenDataset | None:
    """What tasks get of a dataset of h5py, netCDF4 or h5netcdf that is written to; None for anything else."""
    return _held(x, OpenTarget)
