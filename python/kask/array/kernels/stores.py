"""What tasks need to read and write datasets in files: handles that can be pickled and opened anywhere."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kask.array.kernels.open_datasets import HDF5_LOCK, held_dataset, library_of
from kask.exceptions import SerializationError
from kask.tokens import tokenize

__all__ = [
    "Hdf5Dataset",
    "ImageFiles",
    "ZarrSource",
    "ZarrTarget",
    "handle_of",
    "open_hdf5",
    "read_image",
    "refuse_shared_chunks",
    "zarr_place",
    "zarr_unit",
]

#: How long to wait for another process that has a file locked.
PATIENCE_S = 60.0


@contextlib.contextmanager
def open_hdf5(path: str, mode: str = "r") -> Iterator[Any]:
    """An HDF5 file, one at a time in a process. Who finds it locked by another process waits.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    OSError
        It is locked for longer than :data:`PATIENCE_S`, truncated, or no HDF5 file.
    """
    import h5py

    if not os.path.isdir(os.path.dirname(path) or "."):
        raise FileNotFoundError(f"the folder of the HDF5 file {path} is not there")
    if mode != "a" and not os.path.exists(path):
        raise FileNotFoundError(f"the HDF5 file {path} is not there")
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with HDF5_LOCK:
            try:
                file = h5py.File(path, mode)
            except OSError as error:
                if "unable to lock file" not in str(error) or time.monotonic() > deadline:
                    raise OSError(_why_not(path, mode, error)) from error
            else:
                with file:
                    yield file
                return
        # Outside of our lock, so that other files can be read meanwhile.
        time.sleep(random.uniform(0.002, 0.02))


def _why_not(path: str, mode: str, error: OSError) -> str:
    reason = str(error)
    if "unable to lock file" in reason:
        return f"the HDF5 file {path} is locked by another program; close it there, or wait until it is done"
    if "already open" in reason:
        return (
            f"the HDF5 file {path} cannot be opened with mode={mode!r} while this program has it open; close it first"
        )
    if "truncated" in reason:
        return f"the HDF5 file {path} is truncated; write or copy it again ({reason})"
    return f"{path} cannot be read as an HDF5 file: {reason}"


class Hdf5Dataset:
    """A dataset of an HDF5 file by its name. The file is opened for each block that is read or written."""

    def __init__(self, path: str, name: str, version: Any = None) -> None:
        self.path, self.name, self.version = path, name, version

    def __getitem__(self, index: Any) -> Any:
        with self._opened("r") as dataset:
            try:
                return dataset[index]
            except OSError as error:
                raise OSError(f"dataset {self.name} of the HDF5 file {self.path} cannot be read: {error}") from error

    def __setitem__(self, index: Any, value: Any) -> None:
        with self._opened("r+") as dataset:
            dataset[index] = value

    @contextlib.contextmanager
    def _opened(self, mode: str) -> Iterator[Any]:
        with open_hdf5(self.path, mode) as file:
            if self.name not in file:
                raise KeyError(f"the HDF5 file {self.path} has no dataset {self.name}")
            yield file[self.name]

    def __kask_tokenize__(self) -> Any:
        return "hdf5", self.path, self.name, self.version


def zarr_place(array: Any) -> str:
    """Where a Zarr array is: its path or URL."""
    store, path = array.store, array.store_path.path
    if hasattr(store, "fs") and hasattr(store, "path"):
        return store.fs.unstrip_protocol("/".join([part for part in (store.path, path) if part]))
    return str(array.store_path)


def zarr_unit(array: Any) -> tuple[int, ...]:
    """What a Zarr array writes at once: its shards, or its chunks."""
    return tuple([max(1, size) for size in (array.shards or array.chunks)])


def refuse_shared_chunks(chunks: Any, array: Any, places: tuple[tuple[int, int], ...]) -> None:
    """Raise an error where two blocks would write the same chunk of a Zarr array."""
    for axis, (size, (start, step)) in enumerate(zip(zarr_unit(array), places)):
        shared = chunks.axis(axis).first_shared(size, start, step)
        if shared is not None:
            raise ValueError(
                f"two blocks of the array would write the same chunk of the store {zarr_place(array)} (number {shared} along axis {axis}, "
                f"where chunks have {size} elements and the region begins at {start}); rechunk the array so that its blocks end where "
                "chunks end"
            )


class ZarrSource:
    """A Zarr array, whose errors say which array it is."""

    def __init__(self, array: Any, token: str | None = None) -> None:
        # What is stored may change, so equal places do not have equal content.
        self.array, self.token = array, token or os.urandom(16).hex()

    def __getitem__(self, index: Any) -> Any:
        try:
            return self.array[index]
        except Exception as error:
            raise OSError(f"the Zarr array {zarr_place(self.array)} cannot be read: {error}") from error

    def __kask_tokenize__(self) -> Any:
        return "zarr", self.token


class ZarrTarget:
    """A Zarr array that is written to. Written where it is kept in memory, it would be lost with the process.

    ``only_here`` says why no other process may write to it, where that is so.
    """

    def __init__(self, array: Any) -> None:
        self.array, self.shape = array, array.shape
        self.process = os.getpid() if _is_in_memory(array.store) else None
        self.only_here: str | None = None

    def __setitem__(self, index: Any, block: Any) -> None:
        self._check()
        try:
            self.array[index] = block
        except OSError as error:
            raise OSError(f"the Zarr array {zarr_place(self.array)} cannot be written: {error}") from error

    def __getitem__(self, index: Any) -> Any:
        self._check()
        return ZarrSource(self.array, "target")[index]

    def __getstate__(self) -> dict[str, Any]:
        if self.only_here is not None:
            raise SerializationError(self.only_here)
        return self.__dict__

    def _check(self) -> None:
        if self.process not in (None, os.getpid()):
            raise ValueError(
                f"the Zarr array {self.array.store_path} is in the memory of another process than this worker; "
                "write to a folder or a URL, or with scheduler='threads'"
            )


def _is_in_memory(store: Any) -> bool:
    """Whether only this process sees what is written to a Zarr store."""
    protocols = getattr(getattr(store, "fs", None), "protocol", ())
    return type(store).__name__ in ("MemoryStore", "GpuMemoryStore") or "memory" in str(_innermost(store, protocols))


def _innermost(store: Any, protocols: Any) -> Any:
    """The protocols of the file system that an asynchronous wrapper wraps."""
    wrapped = getattr(getattr(store, "fs", None), "sync_fs", None)
    return protocols if wrapped is None else wrapped.protocol


def handle_of(x: Any) -> Any:
    """What tasks get of a dataset that a user has open: where it is, so that it can be opened in any process; anything else as it is."""
    library = library_of(x)
    if library == "h5py" and hasattr(x, "file"):
        path = os.fsdecode(x.file.filename)
        # Other drivers have content that is not in the file, or not yet.
        if x.name is None or x.file.driver not in ("sec2", "stdio") or not os.path.isfile(path):
            return held_dataset(x)
        is_open_for_writing = x.file.mode != "r"
        found = os.stat(path)
        version = os.urandom(16) if is_open_for_writing else (found.st_mtime_ns, found.st_size)
        return Hdf5Dataset(os.path.abspath(path), x.name, version)
    if library == "zarr" and hasattr(x, "store_path"):
        return ZarrSource(x)
    held = held_dataset(x)
    return x if held is None else held


def read_image(path: str) -> Any:
    """An image as an array, by the first of these libraries that is installed."""
    try:
        from skimage.io import imread
    except ImportError:
        try:
            from imageio.v3 import imread
        except ImportError:
            try:
                from PIL import Image
            except ImportError:
                raise ImportError(
                    "imread() needs one of scikit-image, imageio and pillow; install one of them"
                ) from None
            with Image.open(path) as image:
                return np.asarray(image)
    return imread(path)


class ImageFiles:
    """Images of one shape, one after another along a new first axis."""

    def __init__(
        self, paths: tuple[str, ...], read: Callable[..., Any], preprocess: Any, shape: tuple, dtype: Any
    ) -> None:
        self.paths, self.read, self.preprocess = paths, read, preprocess
        self.shape, self.dtype = (len(paths), *shape), dtype

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        first, *others = index
        images = [self.load(path)[tuple(others)] for path in self.paths[first]]
        return np.stack(images) if images else np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *others)]

    def load(self, path: str) -> Any:
        """One image, of the shape and type that all have."""
        image = loaded_image(path, self.read, self.preprocess)
        if image.shape != self.shape[1:] or image.dtype != self.dtype:
            raise ValueError(
                f"the image {path} has the shape {image.shape} and the type {image.dtype}, "
                f"but the first one, {self.paths[0]}, has {self.shape[1:]} and {self.dtype}"
            )
        return image

    def __kask_tokenize__(self) -> Any:
        return "images", versions(self.paths), tokenize(self.read, self.preprocess)


def loaded_image(path: str, read: Callable[..., Any], preprocess: Any) -> Any:
    """An image, read and changed as the user wants."""
    try:
        image = read(path)
    except Exception as error:
        raise OSError(f"the image {path} cannot be read: {error}") from error
    return np.asarray(image if preprocess is None else preprocess(image))


def versions(paths: tuple[str, ...]) -> list[Any]:
    """What tells files from others of the same names."""
    found = [os.stat(path) for path in paths]
    return [(path, each.st_mtime_ns, each.st_size) for path, each in zip(paths, found)]
