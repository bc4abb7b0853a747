"""Refusing keyword arguments that nobody knows."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kask.exceptions import UnknownKeywordError
from kask.names import did_you_mean


@functools.lru_cache(maxsize=4096)
def _keywords(function: Callable[..., Any]) -> frozenset[str] | None:
    """Names that ``function`` takes by keyword; None when it takes any, or does not tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(
        parameter.name
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    )


def check_function_keywords(caller: str, function: Any, kwargs: Mapping[str, Any], options: Iterable[str]) -> None:
    """Refuse keywords that are neither options of ``caller`` nor parameters of the function.

    Raises
    ------
    UnknownKeywordError
        Names the keyword, and the option that was meant, perhaps.
    """
    try:
        known = _keywords(function)
    except TypeError:
        # Not hashable, so not cached.
        known = _keywords.__wrapped__(function)
    if known is None or known.issuperset(kwargs):
        return
    name = next(name for name in kwargs if name not in known)
    called = getattr(function, "__name__", None) or repr(function)
    raise UnknownKeywordError(
        f"{caller}() got the keyword argument {name!r}, which is neither one of its options nor a parameter of {called}",
        hint=_meant(name, [*options, *known]),
    )


def refuse_unknown(caller: str, kwargs: Mapping[str, Any], options: Iterable[str]) -> None:
    """Refuse all of ``kwargs``, whose names are none of ``options``."""
    called = caller if " " in caller or caller.endswith(")") else f"{caller}()"
    for name in kwargs:
        raise UnknownKeywordError(f"{called} has no option {name!r}", hint=_meant(name, options))


_ELSEWHERE = {
    "num_workers": "use kask.config.set({'embedded.nthreads': n}) before the first computation, or a LocalCluster(n_workers=...)",
    "get": "use scheduler=",
    "dask_key_name": "use kask_key_name=",
    "pool": "use kask.config.set({'embedded.nthreads': n}) before the first computation, or a client",
    "dashboard_address": "there is no dashboard yet; leave it out",
    "loop": "there is no event loop to choose; leave it out",
}


def _meant(name: str, options: Iterable[str]) -> str:
    options = sorted(options)
    return _ELSEWHERE.get(name) or did_you_mean(name, options) or f"the options are {', '.join(options)}"
