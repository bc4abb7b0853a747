"""Calls on arrays of unknown size, recorded to be made later.

What such a call gives is learned from making it on stand-ins of two sizes: how many axes and which type. Where the stand-ins will not do, or do
not agree, the arrays are closed at once and the call is made, which is always right, but not lazy.
"""

from __future__ import annotations

import functools
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

import kask.base
from kask.array.base import ArrayBase, wrap
from kask.array.ops.creation import Filled
from kask.array.ops.staged import Deferred, Open, close
from kask.containers import map_leaves
from kask.engine import Chunks

__all__ = ["called", "called_like", "deferrable", "deferring_class", "make_deferrable"]

#: Lengths of stand-ins along axes of unknown length. One element is special to many functions.
_LENGTHS = (1, 12)

#: Calls that must not be tried on stand-ins, as they would write them.
_WRITING = frozenset({"store", "to_hdf5", "to_npy_stack", "to_tiledb", "to_zarr"})


#: Functions that change their first argument.
_CHANGING = frozenset({"copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask"})


class _Place:
    """Stands in a call for an array."""

    def __init__(self, index: int) -> None:
        self.index = index

    def __kask_tokenize__(self) -> Any:
        return "place", self.index


class Call:
    """A call, with places for its arrays."""

    def __init__(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.func, self.args, self.kwargs = func, args, kwargs

    @property
    def label(self) -> str:
        """What keys begin with."""
        return getattr(self.func, "__name__", "deferred").strip("_<>")

    def __call__(self, arrays: list[Any]) -> Any:
        def change(leaf: Any) -> Any:
            return arrays[leaf.index] if type(leaf) is _Place else leaf

        args, kwargs = map_leaves((self.args, self.kwargs), change)
        return self.func(*args, **kwargs)

    def __kask_tokenize__(self) -> Any:
        return "call", self.func, self.args, self.kwargs


def called(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``func(*args, **kwargs)``, now or, if it has arrays of unknown size, later."""
    arrays: list[Any] = []
    call = Call(func, *map_leaves((args, kwargs), lambda leaf: _taken(leaf, arrays)))
    is_open = any(array.expr.is_unknown for array in arrays)
    foretold = _foretold(call, arrays) if is_open and call.label not in _WRITING else None
    exprs = tuple([array.expr for array in arrays])
    if foretold is None:
        if is_open:
            close(list(exprs), kask.base.engine_for())
        return _with_sizes(call, exprs, call([_settled(array) for array in arrays]))
    kind, items = foretold
    if kind is None:
        return wrap(Deferred(call, exprs, None, *items[0]))
    return kind([wrap(Deferred(call, exprs, at, *item)) for at, item in enumerate(items)])


def called_like(func: Callable[..., Any], like: Any, *args: Any, **kwargs: Any) -> Any:
    """``func(*args, **kwargs)``, now or later, which gives an array that has the shape and type of ``like``, which is known."""
    if not (_has_unknown(args) or _has_unknown(kwargs.values())):
        return func(*args, **kwargs)
    arrays: list[Any] = []
    call = Call(func, *map_leaves((args, kwargs), lambda leaf: _taken(leaf, arrays)))
    exprs = tuple([array.expr for array in arrays])
    return wrap(Deferred(call, exprs, None, like.expr.shape, like.expr.meta, like.expr.chunks))


def _taken(leaf: Any, arrays: list[Any]) -> Any:
    """A place for an array, which goes to the others; anything else as it is."""
    if not isinstance(leaf, ArrayBase):
        return leaf
    arrays.append(leaf)
    return _Place(len(arrays) - 1)


def _with_sizes(call: Call, exprs: tuple[Any, ...], result: Any) -> Any:
    """What a call on closed arrays gave. An array of known size is still made of the open ones, which can be closed on another engine."""

    def later(item: int | None, array: Any) -> Any:
        expr = array.expr
        return array if expr.is_unknown else wrap(Deferred(call, exprs, item, expr.shape, expr.meta, expr.chunks))

    if isinstance(result, ArrayBase):
        return later(None, result)
    if type(result) in (list, tuple) and result and all(isinstance(item, ArrayBase) for item in result):
        return type(result)([later(at, item) for at, item in enumerate(result)])
    return result


def _settled(array: Any) -> Any:
    """An array whose stage has run, as one like any other."""
    expr = array.expr
    if isinstance(expr, Open) and expr.known is None:
        return wrap(expr.closed())
    # An assignment may have told the size of an array that records calls; its methods would record themselves again.
    return wrap(expr) if isinstance(array, ArrayBase.unknown) and not expr.is_unknown else array


def _foretold(call: Call, arrays: list[Any]) -> Any:
    """What a call gives: None for an array, or list or tuple, and the known lengths and the meta of each array; None if that cannot
    be told."""
    tries = []
    for length in _LENGTHS:
        stand_ins = [_stand_in(array, length) for array in arrays]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = call(stand_ins)
        except Exception:
            # Whatever is wrong with a stand-in need not be wrong with the array.
            return None
        many = type(result) in (list, tuple)
        items = list(result) if many else [result]
        if not items or not all(isinstance(item, ArrayBase) for item in items):
            return None
        tries.append((type(result) if many else None, [(_dims(item.expr), item.expr.meta) for item in items]))
    (kind, first), (other_kind, second) = tries
    if kind is not other_kind or len(first) != len(second):
        return None
    agreed = []
    for (dims, meta), (other_dims, other_meta) in zip(first, second):
        if len(dims) != len(other_dims) or meta.dtype != other_meta.dtype or meta.ndim != len(dims):
            return None
        agreed.append((tuple([ours if ours == theirs else None for ours, theirs in zip(dims, other_dims)]), meta))
    return kind, agreed


def _dims(expr: Any) -> tuple[int | None, ...]:
    return expr.dims if isinstance(expr, Open) else expr.shape


def _stand_in(array: Any, length: int) -> Any:
    expr = array.expr
    if not expr.is_unknown:
        return array
    return wrap(Filled(0, Chunks.whole([length if size is None else size for size in expr.dims]), expr.meta))


def _has_unknown(args: Any) -> bool:
    """Whether there is an array of unknown size among arguments, or in a list or tuple of them."""
    unknown = ArrayBase.unknown
    for arg in args:
        if isinstance(arg, unknown):
            return True
        if type(arg) in (list, tuple) and any(isinstance(item, unknown) for item in arg):
            return True
    return False


def deferrable(func: Callable[..., Any]) -> Callable[..., Any]:
    """The function, made to be called later where it gets arrays of unknown size."""

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        if _has_unknown(args) or (kwargs and _has_unknown(kwargs.values())):
            return called(call, args, kwargs)
        return func(*args, **kwargs)

    return call


class _Changed:
    """What a function makes of its first argument, which it would change; that one stays as it is."""

    def __init__(self, func: Callable[..., None]) -> None:
        self.func, self.__name__ = func, func.__name__

    def __call__(self, target: Any, *args: Any, **kwargs: Any) -> Any:
        changed = wrap(target.expr)
        self.func(changed, *args, **kwargs)
        return changed

    def __kask_tokenize__(self) -> Any:
        return "changed", self.func


def changing(func: Callable[..., None]) -> Callable[..., None]:
    """A function that changes its first argument, made so that with arrays of unknown size that one becomes what is made of it later."""
    first = func.__code__.co_varnames[0]

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> None:
        if first in kwargs:
            args = (kwargs.pop(first), *args)
        target = args[0] if args else None
        if not isinstance(target, ArrayBase) or not (_has_unknown(args) or _has_unknown(kwargs.values())):
            return func(*args, **kwargs)
        if isinstance(target, ArrayBase.unknown):
            result = called(_Changed(func), args, kwargs)
        else:
            result = called_like(_Changed(func), target, *args, **kwargs)
        # It may have a known size now.
        target.expr, target.__class__ = result.expr, type(result)

    return call


def make_deferrable(namespace: dict[str, Any]) -> None:
    """Replace the functions of ``kask.array.ops`` in a namespace, and where they are defined, by deferrable ones."""
    named: list[tuple[str, Any]] = list(namespace.items())
    for name, value in named:
        if not isinstance(value, types.FunctionType) or not value.__module__.startswith("kask.array.ops."):
            continue
        home = vars(sys.modules[value.__module__])
        own = value.__name__
        if not hasattr(value, "__wrapped__") and own in home and home[own] is value:
            namespace[name] = home[own] = changing(value) if own in _CHANGING else deferrable(value)


#: Methods that need to know everything at once, and those that change the array, by functions that find out for themselves.
_NOW = frozenset(
    {
        *("__setitem__", "__iter__", "__reduce__", "__reduce_ex__", "compute_chunk_sizes", "dask", "to_svg"),
        *(
            "__setmask__",
            "fill",
            "flat",
            "item",
            "partition",
            "put",
            "sort",
            "to_dask_dataframe",
            "tobytes",
            "tofile",
            "tolist",
        ),
    }
)


def deferring_class(full: type) -> type:
    """A subclass of ``Array`` for arrays of unknown size, whose methods are recorded."""
    members: dict[str, Any] = {
        "__slots__": (),
        "__doc__": "An array whose size is not known yet.",
        "__module__": "kask.array.collection",
    }
    for base in reversed(full.__mro__):
        if base in ArrayBase.__mro__:
            continue
        for name, value in vars(base).items():
            if name in _NOW or (name.startswith("_") and not name.endswith("__")):
                continue
            if name == "__getitem__":
                members[name] = _getitem
            elif isinstance(value, types.FunctionType):
                members[name] = _method(name, value)
            elif isinstance(value, property):
                members[name] = property(_getter(name))
    for name in ("__array_ufunc__", "__array_function__"):
        if name in members:
            members[name] = _PROTOCOLS[name]
    members["__repr__"] = _unknown_repr
    return type("UnknownArray", (full,), members)


def _method(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return called(_MethodCall(name), (self, *args), kwargs)

    return call


def _getitem(self: Any, index: Any) -> Any:
    from kask.array.ops.masks import part_of_selected

    part = part_of_selected(self.expr, index) if self.expr.is_unknown else None
    return called(_MethodCall("__getitem__"), (self, index), {}) if part is None else wrap(part)


def _getter(name: str) -> Callable[[Any], Any]:
    return lambda self: called(_Attribute(name), (self,), {})


class _MethodCall:
    """Calls a method of an array of known size."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, array: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(array, self.__name__)(*args, **kwargs)

    def __kask_tokenize__(self) -> Any:
        return "method", self.__name__


class _Attribute:
    """Reads an attribute of an array of known size."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, array: Any) -> Any:
        return getattr(array, self.__name__)

    def __kask_tokenize__(self) -> Any:
        return "attribute", self.__name__


def _array_ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    if kwargs.get("out") is not None or method == "at":
        return ArrayBase.full.__array_ufunc__(self, ufunc, method, *inputs, **kwargs)  # type: ignore[attr-defined]
    return called(getattr(ufunc, method), inputs, kwargs)


def _array_function(self: Any, func: Any, kinds: Any, args: Any, kwargs: Any) -> Any:
    if func.__name__ in _CHANGING:
        return ArrayBase.full.__array_function__(self, func, kinds, args, kwargs)  # type: ignore[attr-defined]
    return called(func, tuple(args), dict(kwargs))


_PROTOCOLS = {"__array_ufunc__": _array_ufunc, "__array_function__": _array_function}


def _unknown_repr(self: Any) -> str:
    shape = ", ".join(["?" if size is None else str(size) for size in _dims(self.expr)])
    shape += "," if self.ndim == 1 else ""
    return f"kask.array<{self.expr.label}, shape=({shape}), dtype={self.dtype}, sizes are found while running>"
