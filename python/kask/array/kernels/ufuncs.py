"""What tasks run for functions of single elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = [
    "CombineParts",
    "FinishReduction",
    "MaskedUfunc",
    "OneBlock",
    "Outer",
    "Piecewise",
    "PythonUfunc",
    "ReducePart",
    "cast",
    "choose",
    "is_missing",
    "pick",
    "select",
    "stretched",
    "within",
]


class MaskedUfunc:
    """A ufunc where a mask is true; elsewhere what was there before, or 0."""

    def __init__(
        self, func: np.ufunc, dtypes: tuple[np.dtype, ...], has_old: tuple[bool, ...], kwargs: dict[str, Any]
    ) -> None:
        self.func, self.dtypes, self.has_old, self.kwargs = func, dtypes, has_old, kwargs
        self.__name__, self.nout = func.__name__, len(dtypes)

    def __call__(self, *blocks: Any) -> Any:
        inputs, mask, olds = blocks[: self.func.nin], blocks[self.func.nin], iter(blocks[self.func.nin + 1 :])
        shape = np.broadcast_shapes(*[np.shape(block) for block in blocks])
        outs = []
        for dtype, has_old in zip(self.dtypes, self.has_old):
            out = np.zeros(shape, dtype)
            if has_old:
                out[...] = next(olds)
            outs.append(out)
        self.func(*inputs, out=tuple(outs), where=mask, **self.kwargs)
        return outs[0] if len(outs) == 1 else tuple(outs)

    def __kask_tokenize__(self) -> Any:
        return "masked ufunc", self.func, self.dtypes, self.has_old, sorted(self.kwargs.items())


class PythonUfunc:
    """A Python function of single elements, as ``numpy.frompyfunc`` makes it; unlike that it can be pickled."""

    def __init__(self, func: Callable[..., Any], nin: int, nout: int) -> None:
        self.func, self.nin, self.nout = func, nin, nout
        self.__name__ = getattr(func, "__name__", "frompyfunc")
        self._ufunc = np.frompyfunc(func, nin, nout)

    def __call__(self, *blocks: Any, **kwargs: Any) -> Any:
        return self._ufunc(*blocks, **kwargs)

    def reduce(self, block: Any, **kwargs: Any) -> Any:
        """As that of a ufunc."""
        return self._ufunc.reduce(block, **kwargs)

    def accumulate(self, block: Any, **kwargs: Any) -> Any:
        """As that of a ufunc."""
        return self._ufunc.accumulate(block, **kwargs)

    def outer(self, a: Any, b: Any, **kwargs: Any) -> Any:
        """As that of a ufunc."""
        return self._ufunc.outer(a, b, **kwargs)

    def reduceat(self, block: Any, indices: Any, **kwargs: Any) -> Any:
        """As that of a ufunc."""
        return self._ufunc.reduceat(block, indices, **kwargs)

    @property
    def identity(self) -> Any:
        """None: nothing is known of the function."""
        return None

    def __reduce__(self) -> Any:
        return PythonUfunc, (self.func, self.nin, self.nout)

    def __kask_tokenize__(self) -> Any:
        return "frompyfunc", self.func, self.nin, self.nout


class Outer:
    """``func.outer`` of two blocks."""

    def __init__(self, func: np.ufunc, kwargs: dict[str, Any]) -> None:
        self.func, self.kwargs = func, kwargs
        self.__name__ = f"{func.__name__}-outer"

    def __call__(self, a: Any, b: Any) -> Any:
        return self.func.outer(a, b, **self.kwargs)

    def __kask_tokenize__(self) -> Any:
        return "outer", self.func, sorted(self.kwargs.items())


class ReducePart:
    """A block reduced by a ufunc: whether there was anything, and what came out."""

    def __init__(self, func: np.ufunc, dtype: np.dtype | None) -> None:
        self.func, self.dtype = func, dtype
        self.__name__ = func.__name__

    def __call__(self, block: Any, axes: tuple[int, ...]) -> Any:
        if any(block.shape[axis] == 0 for axis in axes):
            return False, None
        return True, self.func.reduce(block, axis=axes, dtype=self.dtype, keepdims=True)

    def __kask_tokenize__(self) -> Any:
        return "reduce part", self.func, self.dtype


class CombineParts:
    """Partial results of :class:`ReducePart` put together, first to last."""

    def __init__(self, func: np.ufunc) -> None:
        self.func = func
        self.__name__ = func.__name__

    def __call__(self, parts: list[Any]) -> Any:
        there = [value for is_there, value in parts if is_there]
        if not there:
            return False, None
        result = there[0]
        for value in there[1:]:
            result = self.func(result, value)
        return True, result

    def __kask_tokenize__(self) -> Any:
        return "combine parts", self.func


class FinishReduction:
    """The result of a reduction by a ufunc."""

    def __init__(self, func: np.ufunc, initial: tuple[Any, ...], dtype: np.dtype) -> None:
        self.func, self.initial, self.dtype = func, initial, dtype
        self.__name__ = func.__name__

    def __call__(self, part: Any) -> Any:
        value = part[1]
        if self.initial:
            value = self.func(np.asarray(self.initial[0], self.dtype), value)
        return value.astype(self.dtype, copy=False) if hasattr(value, "astype") else np.asarray(value, self.dtype)

    def __kask_tokenize__(self) -> Any:
        return "finish reduction", self.func, self.initial, self.dtype


class OneBlock:
    """``getattr(func, method)(block, **kwargs)``."""

    def __init__(self, func: np.ufunc, method: str, kwargs: dict[str, Any]) -> None:
        self.func, self.method, self.kwargs = func, method, kwargs
        self.__name__ = f"{func.__name__}-{method}"

    def __call__(self, block: Any) -> Any:
        return getattr(self.func, self.method)(block, **self.kwargs)

    def __kask_tokenize__(self) -> Any:
        return "one block", self.func, self.method, sorted(self.kwargs.items())


def pick(results: tuple[Any, ...], which: int) -> Any:
    """One of several results."""
    return results[which]


def stretched(block: Any, wider: Any) -> Any:
    """A block, of the shape that it and another one broadcast to."""
    return np.broadcast_to(block, np.broadcast_shapes(np.shape(block), np.shape(wider)))


def cast(block: Any, dtype: np.dtype, casting: str) -> Any:
    """A block in another type."""
    if not hasattr(block, "astype"):
        # The only element of an array of objects without axes.
        block = np.asarray(block, object)
    return block.astype(dtype, casting=casting, copy=False)


cast.__kask_fused__ = "cast"  # type: ignore[attr-defined]


def select(cases: int, default: Any, *blocks: Any) -> Any:
    """``numpy.select`` of so many conditions, followed by as many choices."""
    return np.select(list(blocks[:cases]), list(blocks[cases:]), default)


def choose(mode: Any, places: Any, *choices: Any) -> Any:
    """``numpy.choose``."""
    return np.choose(places, list(choices), mode=mode)


class Piecewise:
    """``numpy.piecewise`` with these functions and their further arguments."""

    def __init__(self, functions: tuple[Any, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.functions, self.args, self.kwargs = functions, args, kwargs
        self.__name__ = "piecewise"

    def __call__(self, block: Any, *conditions: Any) -> Any:
        return np.piecewise(block, list(conditions), list(self.functions), *self.args, **self.kwargs)

    def __kask_tokenize__(self) -> Any:
        return "piecewise", self.functions, self.args, sorted(self.kwargs.items())


def within(block: Any, elements: Any, options: dict[str, Any]) -> Any:
    """Where elements of a block are among others, with an axis of one element for each axis of those."""
    try:
        found = np.isin(block, elements, **options)
    except np.exceptions.DTypePromotionError:
        # Dates and numbers: NumPy finds none where there are few, and raises where there are many.
        found = np.zeros(np.shape(block), bool)
    return np.reshape(found, np.shape(block) + (1,) * np.ndim(elements))


def is_missing(block: Any) -> Any:
    """Where there is no value: NaN, NaT, None."""
    kind = block.dtype.kind
    if kind in "fc":
        return np.isnan(block)
    if kind in "mM":
        return np.isnat(block)
    if kind == "O":
        return np.asarray(np.frompyfunc(_is_none_or_nan, 1, 1)(block)).astype(bool)
    return np.zeros_like(block, dtype=bool)


def _is_none_or_nan(value: Any) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        # Some missing values do not even say whether they equal themselves.
        return True
