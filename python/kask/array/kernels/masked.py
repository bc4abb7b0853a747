"""What tasks run for masked arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Like", "Masked", "fix_invalid", "is_set", "masked_array", "mean_of", "with_fill_value"]


class Masked:
    """A function of ``numpy.ma`` that masks elements; blocks always have a whole mask."""

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func
        self.__name__ = func.__name__

    def __call__(self, block: Any, *args: Any) -> Any:
        result = self.func(block, *args)
        result.mask = np.ma.getmaskarray(result)
        return result

    def __reduce__(self) -> Any:
        return Masked.named, (self.__name__,)

    @staticmethod
    def named(name: str) -> Masked:
        """That of the function of this name."""
        return Masked(getattr(np.ma, name))

    def __kask_tokenize__(self) -> Any:
        return "numpy.ma", self.__name__


class Like:
    """``zeros_like`` and the like of ``numpy.ma``."""

    def __init__(self, name: str, dtype: np.dtype | None) -> None:
        self.__name__, self.dtype = name, dtype

    def __call__(self, block: Any) -> Any:
        return getattr(np, self.__name__)(np.ma.asanyarray(block), dtype=self.dtype)

    def __kask_tokenize__(self) -> Any:
        return "numpy.ma like", self.__name__, self.dtype


def masked_array(block: Any, mask: Any, fill_value: Any, kwargs: dict[str, Any]) -> Any:
    """``numpy.ma.masked_array`` with a mask that may have no axes."""
    whole = np.broadcast_to(mask, np.shape(block))
    return np.ma.masked_array(block, mask=whole, fill_value=fill_value, **{**kwargs, "copy": False})


def fix_invalid(block: Any, fill_value: Any) -> Any:
    """``numpy.ma.fix_invalid`` of a copy."""
    return np.ma.fix_invalid(block, copy=True, fill_value=fill_value)


def is_set(block: Any) -> Any:
    """Where a block is neither zero nor masked."""
    return np.logical_and(np.ma.getdata(block) != 0, np.logical_not(np.ma.getmaskarray(block)))


def with_fill_value(block: Any, fill_value: Any) -> Any:
    """The block with another fill value; the data are the same."""
    block = np.ma.asanyarray(block).view()
    block.fill_value = fill_value
    return block


def mean_of(total: Any, scale: Any, is_there: Any) -> Any:
    """A quotient, masked where nothing was added."""
    with np.errstate(all="ignore"):
        result = np.true_divide(total, scale)
    return np.ma.masked_array(result, mask=np.logical_not(is_there))
