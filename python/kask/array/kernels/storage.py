"""Blocks read from and written to what looks like an array: files, datasets, arrays in memory."""

from __future__ import annotations

import contextlib
import os
import pickle
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.kernels.stores import refuse_shared_chunks
from kask.exceptions import SerializationError

__all__ = [
    "Described",
    "HereOnly",
    "MemmapFile",
    "NpyStack",
    "Source",
    "Target",
    "load_again",
    "locked",
    "read_block",
    "resolve",
    "save_npy",
    "write_block",
]

_LOCKS: dict[str, threading.Lock] = {}
_LOCKS_LOCK = threading.Lock()


def locked(lock: Any, name: str) -> Any:
    """The lock to hold: none, one of this process for whoever has the same name, or the one that was given."""
    if lock is False or lock is None:
        return contextlib.nullcontext()
    if lock is not True:
        return lock
    with _LOCKS_LOCK:
        return _LOCKS.setdefault(name, threading.Lock())


def _sendable(lock: Any) -> Any:
    """A lock that goes to another process."""
    try:
        # Whatever else is wrong with it is for those to say who send it.
        with contextlib.suppress(pickle.PicklingError, AttributeError):
            pickle.dumps(lock)
    except TypeError as error:
        raise SerializationError(
            f"lock= is a {type(lock).__module__}.{type(lock).__name__}, which holds in this process only, but tasks run in others; give "
            "lock=True for a lock in each process, or lock=False, or compute with scheduler='threads'"
        ) from error
    return lock


class Source:
    """What is read from, and how."""

    def __init__(self, array: Any, token: str, lock: Any, getitem: Callable[..., Any] | None, asarray: bool) -> None:
        self.array, self.token, self.lock, self.getitem, self.asarray = array, token, lock, getitem, asarray

    def read(self, places: tuple[tuple[int, int, int], ...]) -> Any:
        """Along each axis from a first element on every so-many-th. Stores need not know of steps backwards."""
        forward = [
            (first + step * (length - 1), -step, length) if step < 0 and length else (first, step, length)
            for first, step, length in places
        ]
        index = tuple(
            [
                slice(first, first + step * (length - 1) + 1 if length else first, step)
                for first, step, length in forward
            ]
        )
        array = self.array.open() if isinstance(self.array, Described) else self.array
        with locked(self.lock, self.token):
            found = array[index] if self.getitem is None else self.getitem(array, index)
            # Inside the lock, as some stores read only here.
            found = np.asarray(found) if self.asarray else found
        wanted = tuple([length for _, _, length in places])
        if tuple(getattr(found, "shape", wanted)) != wanted:
            raise ValueError(
                f"{_said(array)} has given {found.shape} elements where {wanted} were to be read: it has not the shape any more that it had"
            )
        turned = tuple([slice(None, None, -1 if step < 0 else None) for _, step, _ in places])
        return found[turned] if any(step < 0 for _, step, _ in places) else found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "lock": _sendable(self.lock)}

    def __kask_tokenize__(self) -> Any:
        return "source", self.token


def _said(array: Any) -> str:
    """What an array that is read is, for errors."""
    place = getattr(array, "path", None) or getattr(array, "folder", None)
    parts = [part for part in (getattr(array, "name", None), place) if isinstance(part, str)]
    return " of ".join(parts) or f"an array of the type {type(array).__name__}"


class Described:
    """What says how to get an array where it is needed, instead of being sent there."""

    def open(self) -> Any:
        """The array."""
        raise NotImplementedError


class MemmapFile(Described):
    """A part of a file, mapped into memory."""

    def __init__(self, array: np.memmap, mode: Any = "r") -> None:
        self.mode = mode
        root = array
        while isinstance(root.base, np.memmap):
            root = root.base
        self.path = os.path.abspath(os.fspath(array.filename))  # type: ignore[arg-type]
        self.dtype, self.shape, self.strides = array.dtype, array.shape, array.strides
        self.offset = root.offset + array.ctypes.data - root.ctypes.data

    def open(self) -> np.ndarray:
        """The array.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        OSError
            It is shorter than it was.
        """
        size, needed = os.stat(self.path).st_size, self.offset + self._reach()
        if size < needed:
            raise OSError(
                f"the file {self.path} of a memory map has {size} bytes, but the array of shape {self.shape} and type {self.dtype} in it "
                f"needs {needed}: it has been truncated; write or copy it again"
            )
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        return np.ndarray(self.shape, self.dtype, np.memmap(self.path, np.uint8, self.mode), self.offset, self.strides)

    def _reach(self) -> int:
        """The end of the last element, counted from the first one."""
        if 0 in self.shape:
            return 0
        forward = sum(max(step, 0) * (length - 1) for step, length in zip(self.strides, self.shape))
        return forward + self.dtype.itemsize

    def __kask_tokenize__(self) -> Any:
        found = os.stat(self.path)
        kind = (self.dtype, self.shape, self.strides, self.offset)
        return "memmap", self.path, found.st_mtime_ns, found.st_size, kind


class HereOnly(Described):
    """An array in the memory of this process, to be written to: what another process writes would be lost with it."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def open(self) -> np.ndarray:
        """The array."""
        return self.array

    def __getstate__(self) -> dict[str, Any]:
        raise SerializationError(
            f"the target of store(), a {type(self.array).__name__} of shape {self.array.shape}, is in the memory of this process, where worker "
            "processes cannot write; use store() with compute=True, x.compute(), or a numpy.memmap of a file that workers reach"
        )


class NpyStack:
    """Files ``0.npy``, ``1.npy`` ... with the blocks of an array along an axis."""

    def __init__(self, folder: str, sizes: tuple[int, ...], axis: int, mmap_mode: Any) -> None:
        self.folder, self.sizes, self.axis, self.mmap_mode = folder, sizes, axis, mmap_mode

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        ends = np.cumsum(self.sizes)
        wanted = np.arange(ends[-1])[index[self.axis]]
        files = np.searchsorted(ends, wanted, side="right")
        parts = []
        for number in np.unique(files).tolist() or [0]:
            path = os.path.join(self.folder, f"{number}.npy")
            try:
                part = np.load(path, mmap_mode=self.mmap_mode)
            except (ValueError, EOFError) as error:
                raise OSError(f"{path} cannot be read, it may be truncated: {error}") from error
            inside = wanted[files == number] - (ends[number] - self.sizes[number])
            step = index[self.axis].step or 1
            start, stop = (int(inside[0]), int(inside[-1]) + 1) if inside.size else (0, 0)
            parts.append(part[(*index[: self.axis], slice(start, stop, step), *index[self.axis + 1 :])])
        return parts[0] if len(parts) == 1 else np.concatenate(parts, self.axis)


def read_block(position: tuple[int, ...], chunks: Any, places: tuple[tuple[int, int], ...], source: Source) -> Any:
    """The block at a position of what is taken of a source: along each axis from a first element on every so-many-th."""
    starts, shape = chunks.block_start(position), chunks.block_shape(position)
    return source.read(tuple([(first + step * at, step, n) for at, n, (first, step) in zip(starts, shape, places)]))


class Target:
    """What is written to, and which part of it: along each axis from a first element on every so-many-th."""

    def __init__(self, array: Any, token: str, lock: Any, places: tuple[tuple[int, int], ...] | None) -> None:
        self.array, self.token, self.lock, self.places = array, token, lock, places
        self.process = os.getpid()

    def part(self, shape: tuple[int, ...]) -> Any:
        """The part of an array in memory that is written to, which has this shape: a view."""
        array = resolve(self.array)
        if isinstance(array, np.ma.MaskedArray) and array.mask is np.ma.nomask:
            # A view of an array without a mask would get one of its own.
            array.mask = np.ma.getmaskarray(array)
        return array[(*self.index((0,) * len(shape), shape), ...)]

    def index(self, starts: tuple[int, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
        """Where a block of the array that is stored is written to."""
        places = self.places or ((0, 1),) * len(shape)
        return tuple(
            [
                slice(first + step * at, first + step * (at + n - 1) + 1 if n else first + step * at, step)
                for at, n, (first, step) in zip(starts, shape, places)
            ]
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "lock": _sendable(self.lock)}

    def __kask_tokenize__(self) -> Any:
        return "target", self.token, self.places


def resolve(array: Any) -> Any:
    """What a lazy target is, or one that is described."""
    from kask.base import is_kask_collection

    if isinstance(array, Described):
        return array.open()
    return array.compute() if is_kask_collection(array) else array


def write_block(block: Any, position: tuple[int, ...], chunks: Any, target: Target) -> Any:
    """Writes a block to its place; gives a mark for whoever waits for it."""
    if 0 not in np.shape(block):
        array = resolve(target.array)
        if hasattr(array, "store_path") and target.process != os.getpid():
            # Of a lazy target: only now is it known to be a Zarr array, and locks hold in one process.
            refuse_shared_chunks(chunks, array, target.places or ((0, 1),) * len(chunks.grid))
        with locked(target.lock, target.token):
            array[target.index(chunks.block_start(position), chunks.block_shape(position))] = block
    return np.ones((1,) * chunks.ndim, bool)


def load_again(mark: Any, position: tuple[int, ...], chunks: Any, target: Target) -> Any:
    """The block that was written."""
    array = resolve(target.array)
    with locked(target.lock, target.token):
        return np.array(array[target.index(chunks.block_start(position), chunks.block_shape(position))])


def save_npy(block: Any, position: tuple[int, ...], folder: str, axis: int) -> Any:
    """Saves a block as the file of its number along an axis; whoever looks finds a whole file or none."""
    handle, path = tempfile.mkstemp(".part", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, block)
        os.chmod(path, 0o666 & ~_umask())
        os.replace(path, os.path.join(folder, f"{position[axis]}.npy"))
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        raise
    return np.ones((1,) * len(position), bool)


def _umask() -> int:
    """The permissions that files shall not have. Asking means setting, so other threads wait."""
    with _LOCKS_LOCK:
        mask = os.umask(0o022)
        os.umask(mask)
    return mask
