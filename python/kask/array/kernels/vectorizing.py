"""What tasks of ``vectorize`` run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Slot", "Vectorized"]


class Slot(NamedTuple):
    """Stands among arguments for the block of this number."""

    number: int

    def __kask_tokenize__(self) -> Any:
        return "slot", self.number


class Vectorized:
    """``numpy.vectorize`` of a function, on the first ``count`` of some blocks; it gets the others as they are.

    Parameters
    ----------
    func : callable
    args, kwargs
        Its arguments, with a :class:`Slot` for each block.
    count : int
    otypes : list of dtype, optional
        Of its results.
    signature : str, optional
        The core axes of the first ``count`` blocks and of the results.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        count: int,
        otypes: list[np.dtype] | None,
        signature: str | None,
    ) -> None:
        self.func, self.args, self.kwargs = func, args, kwargs
        self.count, self.otypes, self.signature = count, otypes, signature
        self.__name__ = getattr(func, "__name__", type(func).__name__)

    def __call__(self, *blocks: Any) -> Any:
        whole = blocks[self.count :]

        def call(*values: Any) -> Any:
            given = (*values, *whole)
            args = [given[arg.number] if type(arg) is Slot else arg for arg in self.args]
            kwargs = {name: given[arg.number] if type(arg) is Slot else arg for name, arg in self.kwargs.items()}
            return self.func(*args, **kwargs)

        return np.vectorize(call, otypes=self.otypes, signature=self.signature)(*blocks[: self.count])

    def __kask_tokenize__(self) -> Any:
        kwargs = sorted(self.kwargs.items())
        return "vectorized", self.func, self.args, kwargs, self.count, self.otypes, self.signature
