"""Calls of NumPy's functions, in the words of Kask's functions of the same name.

Kask's functions have the order and the names of parameters that Dask documents, which are not always NumPy's: ``numpy.sum(x, 0, None, out)``
and ``kask.array.sum(x, 0, None, keepdims)``. :func:`call` reads the arguments by NumPy's own signature, and hands them on by name.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.ops.ufunc_calls import replace

__all__ = ["call", "parameter_of", "signature_of"]

_Parameter = inspect.Parameter
_BY_PLACE = (_Parameter.POSITIONAL_ONLY, _Parameter.POSITIONAL_OR_KEYWORD)

#: Functions written in C: before 2.4 NumPy does not tell their signatures, and that of ``arange`` is not what it takes.
_SIGNATURES: dict[str, Callable[..., None]] = {
    "arange": lambda start=None, stop=None, step=1, dtype=None, *, device=None: None,
    "array": lambda object, dtype=None, *, copy=True, order="K", subok=False, ndmin=0: None,
    "asanyarray": lambda a, dtype=None, order=None, *, device=None, copy=None: None,
    "asarray": lambda a, dtype=None, order=None, *, device=None, copy=None: None,
    "bincount": lambda x, /, weights=None, minlength=0: None,
    "can_cast": lambda from_, to, casting="safe": None,
    "concatenate": lambda arrays, /, axis=0, out=None, *, dtype=None, casting="same_kind": None,
    "copyto": lambda dst, src, casting="same_kind", where=True: None,
    "dot": lambda a, b, out=None: None,
    "empty": lambda shape, dtype=None, order="C", *, device=None: None,
    "empty_like": lambda prototype, /, dtype=None, order="K", subok=True, shape=None, *, device=None: None,
    "inner": lambda a, b, /: None,
    "lexsort": lambda keys, axis=-1: None,
    "putmask": lambda a, /, mask, values: None,
    "ravel_multi_index": lambda multi_index, dims, mode="raise", order="C": None,
    "result_type": lambda *arrays_and_dtypes: None,
    "unravel_index": lambda indices, shape, order="C": None,
    "vdot": lambda a, b, /: None,
    "where": lambda condition, x=None, y=None, /: None,
    "zeros": lambda shape, dtype=None, order="C", *, device=None: None,
}
#: What NumPy may do, or need not do, and never has to: it changes no result.
_ONLY_ALLOWED = frozenset(["overwrite_input", "subok"])


@functools.cache
def signature_of(func: Any) -> inspect.Signature | None:
    """The signature of a function of NumPy, where it is known."""
    if func.__module__ == "numpy" and func.__name__ == "concat":
        func = np.concatenate
    if func.__module__ == "numpy" and func.__name__ == "arange":
        return inspect.signature(_SIGNATURES["arange"])
    try:
        return inspect.signature(func)
    except ValueError:
        known = _SIGNATURES.get(func.__name__)
        return None if known is None else inspect.signature(known)


@functools.cache
def _names(func: Any, ours: Any) -> dict[str, str | None]:
    """What Kask's function calls each parameter of NumPy's, None where it has none."""
    theirs, here = signature_of(func), inspect.signature(ours).parameters
    assert theirs is not None
    takes_any = any(parameter.kind is _Parameter.VAR_KEYWORD for parameter in here.values())
    places = [parameter for parameter in here.values() if parameter.kind in _BY_PLACE]
    found: dict[str, str | None] = {}
    for place, (name, parameter) in enumerate(theirs.parameters.items()):
        if name in here or (takes_any and parameter.kind is _Parameter.VAR_KEYWORD):
            found[name] = name
            continue
        # What both demand at the same place is the same thing under two names.
        twin = places[place] if place < len(places) else None
        is_twin = twin is not None and _is_demanded(parameter) and _is_demanded(twin)
        found[name] = twin.name if twin is not None and is_twin else None
    return found


def _is_demanded(parameter: inspect.Parameter) -> bool:
    return parameter.default is _Parameter.empty and parameter.kind in _BY_PLACE


@functools.cache
def _firsts(func: Any, ours: Any) -> frozenset[str]:
    """Parameters that both functions demand, at the same places: these may have no name there, or arguments of any number may follow."""
    names, found = _names(func, ours), []
    signature = signature_of(func)
    assert signature is not None
    for (name, parameter), twin in zip(signature.parameters.items(), inspect.signature(ours).parameters.values()):
        if names[name] != twin.name or not _is_demanded(parameter) or not _is_demanded(twin):
            break
        found.append(name)
    return frozenset(found)


def parameter_of(func: Any, ours: Any, name: str) -> str | None:
    """What Kask's function calls a parameter of NumPy's function; None where it has none."""
    return _names(func, ours)[name]


def _is_default(value: Any, default: Any) -> bool:
    if value is default:
        return True
    is_plain = isinstance(value, bool | int | float | str | tuple) and type(value) is type(default)
    return is_plain and value == default


def call(func: Any, ours: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
    """``ours`` with the arguments of a call of ``func``, a function of NumPy.

    Raises
    ------
    TypeError
        A parameter that ``ours`` does not have, with another value than NumPy's default.
    """
    signature = signature_of(func)
    if signature is None:
        return ours(*args, **kwargs)
    names, firsts = _names(func, ours), _firsts(func, ours)
    by_place: list[Any] = []
    by_name: dict[str, Any] = {}
    out = None
    for name, value in signature.bind(*args, **kwargs).arguments.items():
        parameter = signature.parameters[name]
        if parameter.kind is _Parameter.VAR_POSITIONAL:
            by_place.extend(value)
        elif parameter.kind is _Parameter.VAR_KEYWORD:
            by_name.update(value)
        elif name in firsts:
            by_place.append(value)
        elif value is np._NoValue:
            continue
        elif names[name] is not None:
            by_name[str(names[name])] = value
        elif name == "out":
            out = value
        elif name not in _ONLY_ALLOWED and not _is_default(value, parameter.default):
            _refuse(func, name, value, parameter.default)
    result = ours(*by_place, **by_name)
    return result if out is None else replace(out, result)


def _refuse(func: Any, name: str, value: Any, default: Any) -> None:
    if name == "device" and value == "cpu":
        return
    usual = "" if default is np._NoValue else f", only {name}={default!r}"
    raise TypeError(
        f"{func.__module__}.{func.__name__}() of Kask arrays takes no {name}={usual}; compute the arrays first to use it"
    )
