"""What tasks of reductions run: a function of one block, and of partial results that are joined along the first reduced axis."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.kernels.backends import to_numpy
from kask.array.kernels.blockwise import concatenated

__all__ = [
    "ArgCombine",
    "ArgFinish",
    "ArgPart",
    "Combine",
    "Finished",
    "Part",
    "in_strips",
    "is_nan_of",
    "itself",
    "joined",
    "length_along",
    "nan_max",
    "nan_min",
    "only_elements",
]

#: Partial results of more bytes in all are combined strip by strip, in the processor's cache.
_STRIP_BYTES = 1 << 19


def length_along(block: Any, axes: tuple[int, ...]) -> int:
    """Elements of a block for each element of the result."""
    length = 1
    for axis in axes:
        length *= block.shape[axis]
    return length


def joined(parts: list[Any], axes: tuple[int, ...]) -> Any:
    """Partial results side by side along one reduced axis. What is the same everywhere may have one element along the other axes."""
    if len(parts) == 1:
        return parts[0]
    shapes = {part.shape for part in parts}
    if len(shapes) > 1:
        kept = np.broadcast_shapes(*[_kept_shape(shape, axes) for shape in shapes])
        parts = [
            part
            if _kept_shape(part.shape, axes) == kept
            else np.broadcast_to(part, [own if axis in axes else kept[axis] for axis, own in enumerate(part.shape)])
            for part in parts
        ]
    return concatenated(parts, axes[0])


def _kept_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([1 if axis in axes else length for axis, length in enumerate(shape)])


def in_strips(func: Callable[[list[Any]], Any], parts: list[Any], axes: tuple[int, ...]) -> Any:
    """``func(parts)``, whose elements do not depend on each other along other axes than these: of large arrays strip by strip, so that
    what it makes on the way is small. Parts and what is made of them are arrays or tuples of arrays."""
    arrays = [array for part in parts for array in (part if type(part) is tuple else (part,))]
    if any(type(array) is not np.ndarray for array in arrays):
        return func(parts)
    size_bytes = sum([array.nbytes for array in arrays])
    if size_bytes <= _STRIP_BYTES:
        return func(parts)
    shape = np.broadcast_shapes(*[_kept_shape(array.shape, axes) for array in arrays])
    cut = max(range(len(shape)), key=shape.__getitem__)
    # Strips of one element look like what is the same everywhere.
    step = max(2, shape[cut] * _STRIP_BYTES // size_bytes)
    if step >= shape[cut]:
        return func(parts)
    whole: list[Any] = []
    for start in range(0, shape[cut], step):
        place = (*[slice(None)] * cut, slice(start, start + step))
        strip = func([_strip_of(part, cut, place) for part in parts])
        made = strip if type(strip) is tuple else (strip,)
        if not whole:
            whole = [
                one
                if one.shape[cut] == 1
                else np.empty((*one.shape[:cut], shape[cut], *one.shape[cut + 1 :]), one.dtype)
                for one in made
            ]
        for one, all_of in zip(made, whole):
            if one is not all_of and all_of.shape[cut] > 1:
                all_of[place] = one
    return tuple(whole) if type(strip) is tuple else whole[0]


def _strip_of(part: Any, cut: int, place: tuple[slice, ...]) -> Any:
    if type(part) is tuple:
        return tuple([_strip_of(array, cut, place) for array in part])
    return part if part.shape[cut] == 1 else part[place]


def only_elements(block: Any, axes: tuple[int, ...], dtype: Any) -> Any:
    """A block that has one element for each of the result, as a partial result of a type; None if it has more, or is none of NumPy's arrays. It
    is the block itself, if that keeps nothing larger alive."""
    if type(block) is not np.ndarray or block.size < 2 or block.dtype.hasobject or length_along(block, axes) != 1:
        return None
    owner = block.base
    is_all = owner is None or (type(owner) is np.ndarray and owner.nbytes <= 2 * block.nbytes)
    return block.astype(dtype, copy=not is_all)


def itself(value: Any) -> Any:
    """What is ready, such as the last partial result of a tree."""
    return value


def nan_min(block: Any, axis: tuple[int, ...], keepdims: bool, **options: Any) -> Any:
    """``np.nanmin``, which warns at once where a block has nothing but NaN."""
    if block.dtype.kind == "O":
        return _extreme_of_objects(np.min, np.inf, block, axis, keepdims, options)
    return np.fmin.reduce(block, axis=axis, keepdims=keepdims, **options)


def nan_max(block: Any, axis: tuple[int, ...], keepdims: bool, **options: Any) -> Any:
    """``np.nanmax``, which warns at once where a block has nothing but NaN."""
    if block.dtype.kind == "O":
        return _extreme_of_objects(np.max, -np.inf, block, axis, keepdims, options)
    return np.fmax.reduce(block, axis=axis, keepdims=keepdims, **options)


def _extreme_of_objects(
    func: Any, fill: float, block: Any, axis: tuple[int, ...], keepdims: bool, options: dict[str, Any]
) -> Any:
    """``np.fmin`` and ``np.fmax`` do not pass over the NaN of objects: it is filled, and put back where there is nothing else."""
    is_nan = is_nan_of(block)
    if not np.any(is_nan):
        return func(block, axis=axis, keepdims=keepdims, **options)
    block = block.copy()
    block[is_nan] = fill
    where = {"where": options["where"]} if "where" in options else {}
    is_only_nan = np.all(is_nan, axis=axis, keepdims=keepdims, **where)
    found = np.empty(np.shape(is_only_nan), object)
    found[...] = func(block, axis=axis, keepdims=keepdims, **options)
    found[is_only_nan] = np.nan
    return found


def is_nan_of(block: Any) -> Any:
    """Which elements are NaN, or NaT: of objects those that are not equal to themselves."""
    if block.dtype.kind == "O":
        return np.asanyarray(np.not_equal(block, block, dtype=object)).astype(np.bool_)
    return np.isnan(block)


#: Functions of which one element is the result itself.
_OF_ONE = {np.sum, np.prod, np.min, np.max, nan_min, nan_max}
#: What a kernel can do, see ``kask.expr.fused``.
_FUSED = {np.sum: "sum", np.prod: "prod", np.min: "min", np.max: "max", np.any: "any", np.all: "all"}


class Part:
    """``func(block, axis=axes, keepdims=True, **options)``; nothing of a block without elements, where ``func`` cannot take these. With
    ``is_combined`` something is done with it before it is a result, so that of one element it may be a part of the block."""

    def __init__(
        self, func: Callable[..., Any], options: dict[str, Any], needs_some: bool = False, is_combined: bool = False
    ) -> None:
        self.func, self.options, self.needs_some, self.is_combined = func, options, needs_some, is_combined
        self.__name__ = getattr(func, "__name__", "part")

    def __call__(self, block: Any, axes: tuple[int, ...], where: Any = None) -> Any:
        if self.needs_some and length_along(block, axes) == 0:
            shape = [1 if axis in axes else length for axis, length in enumerate(block.shape)]
            shape[axes[0]] = 0
            return np.empty_like(block, shape=tuple(shape))
        if self.is_combined and where is None and self.func in _OF_ONE and self.options.keys() <= {"dtype"}:
            made = only_elements(block, axes, self._type_of(block.dtype))
            if made is not None:
                return made
        options = self.options if where is None else {**self.options, "where": where}
        with np.errstate(all="ignore"):
            made = self.func(block, axis=axes, keepdims=True, **options)
        return made if hasattr(made, "dtype") else np.array(made, block.dtype)

    def __kask_fused__(self, dtype: Any) -> tuple[str, Any, None] | None:
        """The reduction that this is, and the type that it is made in."""
        name = _FUSED.get(self.func)
        if name is None or not self.options.keys() <= {"dtype"}:
            return None
        if dtype == np.bool_:
            name = {"min": "all", "max": "any"}.get(name, name)
        return name, self._type_of(dtype), None

    def _type_of(self, dtype: Any) -> Any:
        return self.func(np.ones(1, dtype), axis=0, keepdims=True, **self.options).dtype

    def __kask_tokenize__(self) -> Any:
        return "part", self.func, self.options, self.needs_some, self.is_combined


class Combine:
    """The same of partial results."""

    def __init__(self, func: Callable[..., Any], axes: tuple[int, ...], options: dict[str, Any]) -> None:
        self.func, self.axes, self.options = func, axes, options
        self.__name__ = getattr(func, "__name__", "combine")

    def __call__(self, parts: list[Any]) -> Any:
        return in_strips(self._of, parts, self.axes)

    def _of(self, parts: list[Any]) -> Any:
        whole = joined(parts, self.axes)
        if length_along(whole, self.axes) == 0:
            return whole
        with np.errstate(all="ignore"):
            return self.func(whole, axis=self.axes, keepdims=True, **self.options)

    def __kask_tokenize__(self) -> Any:
        return "combine", self.func, self.axes, self.options


class Finished:
    """The result of the only partial result: with the initial value, of the wanted type, and with a warning where NaN says so."""

    def __init__(self, func: Any, initial: Any, dtype: Any, label: str, warns: str = "") -> None:
        self.func, self.initial, self.dtype, self.warns = func, initial, np.dtype(dtype), warns
        self.__name__ = label

    def __call__(self, partial: Any) -> Any:
        if self.initial is not None:
            partial = self.func(partial, self.initial)
        if self.warns and partial.dtype.kind in "fcmMO" and np.any(is_nan_of(partial)):
            warnings.warn(self.warns, RuntimeWarning, stacklevel=1)
        return partial if partial.dtype == self.dtype else partial.astype(self.dtype)

    def __kask_tokenize__(self) -> Any:
        return "finished", self.func, self.initial, self.dtype.str, self.warns


class ArgPart:
    """The extreme of a block, where it is, and whether there is nothing but NaN: ``func`` is ``np.argmin`` or ``np.argmax``."""

    def __init__(self, func: Callable[..., Any], shape: tuple[int, ...], fill: Any = None) -> None:
        self.func, self.shape, self.fill = func, shape, fill
        self.__name__ = ("nan" if fill is not None else "") + func.__name__

    def __call__(self, start: tuple[int, ...], block: Any, axes: tuple[int, ...]) -> tuple[Any, Any, Any]:
        if not axes:
            block, axes, start, shape = np.reshape(block, (1,)), (0,), (0,), (1,)
            return tuple([np.reshape(one, ()) for one in self._of(start, block, axes, shape)])  # type: ignore[return-value]
        return self._of(start, block, axes, self.shape)

    def _of(self, start: Any, block: Any, axes: tuple[int, ...], shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
        kept_shape = tuple([1 if axis in axes else length for axis, length in enumerate(block.shape)])
        if length_along(block, axes) == 0:
            nothing = tuple([0 if axis == axes[0] else length for axis, length in enumerate(kept_shape)])
            return np.empty(nothing, block.dtype), np.empty(nothing, np.intp), np.empty(nothing, np.bool_)
        ones = (1,) * block.ndim
        is_only_nan: Any = np.zeros(ones, np.bool_)
        if self.fill is not None:
            is_nan = is_nan_of(block)
            is_only_nan = is_nan.all(axis=axes, keepdims=True)
            block = np.where(is_nan, np.array(self.fill, block.dtype), block)
        if len(axes) == 1:
            made = only_elements(block, axes, block.dtype)
            if made is not None:
                return made, np.full(ones, start[axes[0]], np.intp), is_only_nan
            if not hasattr(type(block), "__setitem__"):
                return self._of_other(start, block, axes[0], is_only_nan)
            where = np.asarray(self.func(block, axis=axes[0], keepdims=True))
            return np.take_along_axis(block, where, axes[0]), where + start[axes[0]], is_only_nan
        first = int(self.func(block))
        at = np.unravel_index(first, block.shape)
        flat = 0
        for length, place, before in zip(shape, at, start):
            flat = flat * length + int(place) + before
        extreme = block[tuple([slice(place, place + 1) for place in at])]
        if not hasattr(type(block), "__setitem__"):
            extreme, is_only_nan = to_numpy(extreme), to_numpy(is_only_nan)
        return extreme, np.full(kept_shape, flat, np.intp), is_only_nan

    def _of_other(self, start: Any, block: Any, axis: int, is_only_nan: Any) -> tuple[Any, Any, Any]:
        """Of a block that is no array of NumPy, which need not know how to take elements along an axis. Places are NumPy's."""
        most = np.max if self.func is np.argmax else np.min
        where = to_numpy(self.func(block, axis=axis, keepdims=True)).astype(np.intp)
        return to_numpy(most(block, axis=axis, keepdims=True)), where + start[axis], to_numpy(is_only_nan)

    def __kask_tokenize__(self) -> Any:
        return "argpart", self.func, self.shape, self.fill


class ArgCombine:
    """The extreme of several partial results; the first of equal ones."""

    def __init__(self, func: Callable[..., Any], axes: tuple[int, ...]) -> None:
        self.func, self.axes = func, axes
        self.__name__ = func.__name__

    def __call__(self, parts: list[tuple[Any, Any, Any]]) -> Any:
        return in_strips(self._of, parts, self.axes)

    def _of(self, parts: list[tuple[Any, Any, Any]]) -> tuple[Any, Any, Any]:
        axis = self.axes[0]
        values, places, is_nan = [joined(list(ones), self.axes) for ones in zip(*parts)]
        if values.shape[axis] == 0:
            return values, places, is_nan
        if len(self.axes) > 1:
            # All axes are reduced, and blocks do not come in the order of the elements.
            order = np.argsort(places, axis=axis, kind="stable")
            values, places = np.take_along_axis(values, order, axis), np.take_along_axis(places, order, axis)
        best = np.asarray(self.func(values, axis=axis, keepdims=True))
        places = np.broadcast_to(places, values.shape)
        best_of = np.take_along_axis(values, best, axis), np.take_along_axis(places, best, axis)
        return *best_of, is_nan.all(axis=axis, keepdims=True)

    def __kask_tokenize__(self) -> Any:
        return "argcombine", self.func, self.axes


class ArgFinish:
    """Where the extreme is."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, partial: tuple[Any, Any, Any]) -> Any:
        values, places, is_nan = partial
        if is_nan.any():
            raise ValueError("All-NaN slice encountered")
        return places if places.shape == values.shape else np.array(np.broadcast_to(places, values.shape))

    def __kask_tokenize__(self) -> Any:
        return "argfinish", self.__name__
