"""``kask.array.image``: arrays of image files."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from typing import Any

from kask.array.kernels.stores import ImageFiles, loaded_image, read_image
from kask.array.ops.storage import from_array

__all__ = ["imread"]


def imread(
    filename: Any, imread: Callable[..., Any] | None = None, preprocess: Callable[..., Any] | None = None
) -> Any:
    """An array of image files of one shape, in the order of their names, each of them a block along a new first axis.

    The first file is read at once, to know the shape; the others while computing, and only those that are needed.

    Parameters
    ----------
    filename : path
        A file name, with ``*``, ``?`` or ``[...]`` for many.
    imread : callable, optional
        Reads a file; by default with the first of scikit-image, imageio and pillow that is installed.
    preprocess : callable, optional
        Called with each image.

    Returns
    -------
    Array
        Of shape ``(files, *shape of an image)``.

    Raises
    ------
    FileNotFoundError
        No file has such a name.
    ValueError
        While computing: an image has another shape or type than the first.

    Examples
    --------
    >>> import os, tempfile, numpy as np
    >>> from kask.array.image import imread
    >>> folder = tempfile.mkdtemp()
    >>> for i in range(3):
    ...     np.save(os.path.join(folder, f"{i}.npy"), np.full((2, 2), i))
    >>> imread(os.path.join(folder, "*.npy"), imread=np.load).sum(axis=(1, 2)).compute()
    array([0, 4, 8])
    """
    pattern = os.path.abspath(os.fspath(filename))
    paths = tuple(sorted(glob.glob(pattern)))
    if not paths and os.path.exists(pattern):
        # A name that happens to have brackets in it.
        paths = (pattern,)
    if not paths:
        raise FileNotFoundError(f"no image file has a name like {pattern}")
    read = read_image if imread is None else imread
    first = loaded_image(paths[0], read, preprocess)
    files = ImageFiles(paths, read, preprocess, first.shape, first.dtype)
    return from_array(files, chunks=((1,) * len(paths), *[(length,) for length in first.shape]))
