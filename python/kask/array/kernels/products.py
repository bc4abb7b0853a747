"""What tasks run for products of arrays."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.kernels.native_threads import call_blas

__all__ = ["Contract", "Convolve", "Einsum", "PartAsItIs", "Tensordot", "add_parts", "conjugated_dot"]


class Contract:
    """``func`` of blocks, with axes of one element behind its result: one for each axis whose blocks are added afterwards."""

    def __init__(self, func: Callable[..., Any], added: int) -> None:
        self.func, self.added = func, added
        self.__name__ = getattr(func, "__name__", type(func).__name__)

    def __call__(self, *blocks: Any) -> Any:
        result = call_blas(self.func, *blocks)
        if isinstance(result, np.generic) or not hasattr(result, "shape"):
            # Products of objects may be objects.
            result = np.asarray(result)
        if result.dtype.kind == "O" and blocks[0].shape[-1:] == (0,):
            # For some products the sum of no objects is None, to which nothing can be added.
            result = np.zeros(result.shape, object)
        return result.reshape(result.shape + (1,) * self.added) if self.added else result

    def __kask_tokenize__(self) -> Any:
        return "contract", self.func, self.added


class Tensordot:
    """``np.tensordot`` over some axes of both."""

    __name__ = "tensordot"

    def __init__(self, left: tuple[int, ...], right: tuple[int, ...]) -> None:
        self.left, self.right = left, right

    def __call__(self, a: Any, b: Any) -> Any:
        return np.tensordot(a, b, (self.left, self.right))

    def __kask_tokenize__(self) -> Any:
        return "tensordot", self.left, self.right


class Einsum:
    """``np.einsum`` of blocks whose axes have numbers; the result has the axes 0, 1, and so on."""

    __name__ = "einsum"

    def __init__(self, inputs: tuple[tuple[int, ...], ...], ndim: int, options: dict[str, Any]) -> None:
        letters = string.ascii_letters
        sides = ",".join(["".join([letters[axis] for axis in axes]) for axes in inputs])
        self.subscripts, self.options = f"{sides}->{letters[:ndim]}", options

    def __call__(self, *blocks: Any) -> Any:
        result = np.einsum(self.subscripts, *blocks, **self.options)
        # A view of the input, as of "ij->ji", may be read-only; that is fine, nobody writes to it.
        return result

    def __kask_tokenize__(self) -> Any:
        return "einsum", self.subscripts, self.options


class Convolve:
    """The part of a convolution with a whole sequence that the blocks under an interval make, which holds what is around each place."""

    __name__ = "convolve"

    def __init__(self, around: Any) -> None:
        self.around = around

    def __call__(self, position: tuple[int, ...], blocks: list[Any], window: Any) -> Any:
        pieces = self.around.pieces(position[0])
        parts = [block[start : start + length] for block, (start, _, length, _) in zip(blocks, pieces)]
        if sum(map(len, parts)) < len(window):
            # A block without elements of its own.
            return np.zeros(0, np.result_type(*parts, window) if parts else window.dtype)
        return np.convolve(np.concatenate(parts), window, mode="valid")

    def __kask_tokenize__(self) -> Any:
        return "convolve", self.around


def conjugated_dot(a: Any, b: Any) -> Any:
    """The sum of the products of the first's conjugates and the second."""
    return np.dot(a.conj(), b)


class PartAsItIs:
    """A block that is a partial result already."""

    def __init__(self, label: str) -> None:
        self.__name__ = label

    def __call__(self, block: Any, axes: tuple[int, ...]) -> Any:
        return block

    def __kask_tokenize__(self) -> Any:
        return "part as it is", self.__name__


def add_parts(parts: list[Any]) -> Any:
    """The sum, in the type that the parts have. The last node of a level of a tree may have one part only."""
    if len(parts) == 1:
        return parts[0]
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total = np.add(total, part, out=total) if type(total) is np.ndarray else total + part
    return total
