"""How NumPy's functions, and other libraries, find the functions of Kask.

``np.add(x, 1)`` comes through ``__array_ufunc__``, ``np.concatenate([x, y])`` through ``__array_function__``, and libraries that are written for the
array API standard ask for ``__array_namespace__``.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from kask.array import numpy_calls
from kask.array.base import ArrayBase
from kask.array.ops.assignment_at import ufunc_at
from kask.array.ops.ufunc_calls import call_ufunc, ufunc_accumulate, ufunc_outer, ufunc_reduce, ufunc_reduceat
from kask.base import is_kask_collection
from kask.containers import map_leaves

__all__ = ["array_function", "array_namespace", "array_ufunc", "delegates", "register_chunk_type"]

#: Versions of the array API standard that ``__array_namespace__`` accepts.
API_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")

_chunk_types: list[type] = [np.ndarray, np.generic, np.ma.MaskedArray]
_METHODS: dict[str, Callable[..., Any]] = {
    "outer": ufunc_outer,
    "reduce": ufunc_reduce,
    "accumulate": ufunc_accumulate,
    "reduceat": ufunc_reduceat,
    "at": ufunc_at,
}


def register_chunk_type(type: type) -> None:
    """Says that blocks may be of this type, so that operators of Kask's arrays take such arrays as operands.

    Parameters
    ----------
    type : type
        A class of arrays that has NumPy's protocols ``__array_ufunc__`` and ``__array_function__``.

    Examples
    --------
    >>> import numpy as np
    >>> import kask.array as ka
    >>> class Labelled(np.lib.mixins.NDArrayOperatorsMixin):
    ...     def __array_ufunc__(self, *args, **kwargs):
    ...         return NotImplemented
    >>> ka.register_chunk_type(Labelled)
    """
    if type not in _chunk_types:
        _chunk_types.append(type)


def is_chunk_type(kind: type) -> bool:
    """Whether blocks may be of this type."""
    return issubclass(kind, tuple(_chunk_types)) or kind.__module__.partition(".")[0] in ("cupy", "sparse")


def delegates(other: Any) -> bool:
    """Whether an operator of an array and ``other`` is for ``other`` to do: a DataFrame, an array of xarray, a Delayed."""
    if isinstance(other, ArrayBase) or is_chunk_type(type(other)):
        return False
    return hasattr(type(other), "__array_ufunc__") or is_kask_collection(other)


def _is_ours(arrays: Iterable[Any]) -> bool:
    return not any(array is not None and delegates(array) for array in arrays)


def array_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A ufunc, of NumPy or another library, on arrays of which one at least is Kask's."""
    out: tuple[Any, ...] = kwargs.get("out") or ()
    if not _is_ours((*inputs, *out)):
        return NotImplemented
    if "out" in kwargs and len(out) == 1:
        kwargs = {**kwargs, "out": out[0]}
    if method != "__call__":
        return _METHODS[method](ufunc, *inputs, **kwargs) if method in _METHODS else NotImplemented
    if ufunc.signature is None:
        return call_ufunc(ufunc, *inputs, **kwargs)
    return _generalised(ufunc, inputs, kwargs)


def _generalised(ufunc: Any, inputs: tuple, kwargs: dict[str, Any]) -> Any:
    """Ufuncs of more than single elements: Kask's function of that name, or in general."""
    import kask.array as ka
    from kask.array.ops.gufuncs import apply_gufunc
    from kask.array.ops.ufunc_calls import replace

    name = ufunc.__name__
    if getattr(np, name, None) is ufunc and hasattr(ka, name):
        return getattr(ka, name)(*inputs, **kwargs)
    out = kwargs.pop("out", None)
    options = {name: kwargs.pop(name) for name in ("axes", "axis", "keepdims") if name in kwargs}
    # Its keyword ``signature`` says types.
    func = functools.partial(ufunc, **kwargs) if kwargs else ufunc
    result = apply_gufunc(func, ufunc.signature, *inputs, allow_rechunk=True, **options)
    return result if out is None else replace(out, result)


def array_function(func: Any, types: Iterable[type], args: tuple, kwargs: dict[str, Any]) -> Any:
    """A function of NumPy on arrays of which one at least is Kask's: Kask's function of the same name. Where there is none, the arrays are
    computed, and a warning says so."""
    for kind in types:
        if not issubclass(kind, ArrayBase) and not is_chunk_type(kind):
            return NotImplemented
    ours = _function_of_kask(func)
    if ours is func:
        # It has to do with types and shapes only.
        return func._implementation(*args, **kwargs)
    if ours is not None:
        return numpy_calls.call(func, ours, args, kwargs)
    name = f"{func.__module__}.{func.__name__}"
    warnings.warn(
        f"Kask has no {name}: its arrays are computed, and NumPy's function is called with the results",
        FutureWarning,
        stacklevel=4,
    )
    from kask.base import compute

    collections: list[Any] = []

    def found(leaf: Any) -> Any:
        if isinstance(leaf, ArrayBase):
            collections.append(leaf)
        return leaf

    map_leaves([list(args), dict(kwargs)], found)
    values = iter(compute(*collections))
    args, kwargs = map_leaves(
        [list(args), dict(kwargs)], lambda leaf: next(values) if isinstance(leaf, ArrayBase) else leaf
    )
    return func(*args, **kwargs)


def _function_of_kask(func: Any) -> Any:
    """The function of the same name in the same submodule: ``numpy.linalg.norm`` is ``kask.array.linalg.norm``."""
    import kask.array as ka

    home: Any = ka
    for part in func.__module__.split(".")[1:]:
        if part.startswith("_") or (part in ("lib", "core") and func.__name__ in np.__all__):
            continue
        home = getattr(home, part, None)
        if home is None:
            return None
    ours = getattr(home, func.__name__, None)
    if not callable(ours) or isinstance(ours, type):
        return None
    # A few have Dask's defaults, which are not NumPy's.
    return getattr(ours, "as_in_numpy", ours)


def array_namespace(api_version: str | None = None) -> Any:
    """The module with the functions of the array API standard."""
    if api_version is not None and api_version not in API_VERSIONS:
        raise ValueError(f"api_version must be one of {', '.join(API_VERSIONS)}, got {api_version!r}")
    from kask.array import array_api

    return array_api
