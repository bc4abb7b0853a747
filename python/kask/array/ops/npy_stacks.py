"""Stacks of ``.npy`` files."""

from __future__ import annotations

import io
import os
import pickle
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, wrap
from kask.array.kernels.storage import (
    NpyStack,
    Source,
    save_npy,
)
from kask.array.ops.rechunk import rechunked
from kask.array.ops.storage import FromStore, Marked, Storing, refuse_masks
from kask.engine import Chunks
from kask.tokens import tokenize

__all__ = ["from_npy_stack", "to_npy_stack"]


def to_npy_stack(dirname: Any, x: Any, axis: int = 0) -> None:
    """Write an array as a folder of ``.npy`` files, one for each block along an axis, and a file ``info``; Dask reads them too. Each file
    is whole or not there.

    Parameters
    ----------
    dirname : path
        The folder, which is made if it is not there.
    x : array
        What is written; the other axes become whole.
    axis : int
        Along which axis blocks are files.

    Examples
    --------
    >>> import tempfile, kask.array as ka
    >>> folder = tempfile.mkdtemp()
    >>> ka.to_npy_stack(folder, ka.arange(4, chunks=2))
    >>> ka.from_npy_stack(folder).compute()
    array([0, 1, 2, 3])
    """
    if not isinstance(x, ArrayBase):
        raise TypeError(f"to_npy_stack() writes Kask's arrays, got {type(x).__name__}")
    axis = np.lib.array_utils.normalize_axis_index(axis, x.ndim)
    refuse_masks(x.expr, "a .npy file")
    lengths = [Chunks.whole([length]) for length in x.shape]
    lengths[axis] = x.expr.chunks.axis(axis)
    expr = rechunked(x.expr, Chunks.join(lengths))
    folder = os.path.abspath(os.fspath(dirname))
    os.makedirs(folder, exist_ok=True)
    info = {"chunks": expr.chunks.tuples(), "dtype": expr.dtype, "axis": axis}
    Storing([Marked(expr, save_npy, (folder, axis))]).compute()
    # Last, so that who finds it finds the files as well.
    with open(os.path.join(folder, "info"), "wb") as file:
        pickle.dump(info, file)


class _OnlyTypes(pickle.Unpickler):
    """Reads the types that an ``info`` has, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        raise pickle.UnpicklingError(f"{module}.{name} has no place there")


def from_npy_stack(dirname: Any, mmap_mode: str | None = "r") -> Any:
    """An array of a folder that :func:`to_npy_stack` wrote, or Dask.

    Parameters
    ----------
    dirname : path
        The folder.
    mmap_mode : str, optional
        How files are mapped into memory; None: they are read.

    Raises
    ------
    FileNotFoundError
        The folder has no ``info``.
    ValueError
        What ``info`` says cannot be understood.

    Examples
    --------
    >>> import tempfile, kask.array as ka
    >>> folder = tempfile.mkdtemp()
    >>> ka.to_npy_stack(folder, ka.ones((4, 2), chunks=(2, 1)))
    >>> ka.from_npy_stack(folder).chunks
    ((2, 2), (2,))
    """
    folder = os.path.abspath(os.fspath(dirname))
    path = os.path.join(folder, "info")
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no stack of .npy files in {folder}: it has no file 'info'") from None
    try:
        info = _OnlyTypes(io.BytesIO(content)).load()
        chunks, dtype, axis = Chunks(info["chunks"]), np.dtype(info["dtype"]), int(info["axis"])
    except Exception as error:
        raise ValueError(f"{path} does not say what the files in {folder} are: {error}") from error
    stack = NpyStack(folder, chunks.axis(axis).tuples()[0], axis, mmap_mode)
    token = tokenize("npy stack", folder, os.stat(path).st_mtime_ns, mmap_mode, info["chunks"], dtype)
    places = ((0, 1),) * chunks.ndim
    return wrap(FromStore(Source(stack, token, False, None, True), places, chunks, np.empty((0,) * chunks.ndim, dtype)))
