"""How tasks are to be run: the ``kask.annotate`` block, and the checks shared by all who take the same options."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import numbers
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kask.engine import Options
from kask.exceptions import UnknownKeywordError
from kask.names import did_you_mean
from kask.units import parse_bytes, whole_number

__all__ = [
    "NAMES",
    "annotate",
    "checked_resources",
    "current_options",
    "get_annotations",
    "make_options",
    "named_workers",
    "size",
]

NAMES = ("retries", "priority", "workers", "allow_other_workers", "resources", "memory_bytes", "result_bytes")

_current: contextvars.ContextVar[tuple[dict[str, Any], Options] | None] = contextvars.ContextVar(
    "kask_annotations", default=None
)

_override: contextvars.ContextVar[Options | None] = contextvars.ContextVar("kask_overriding_options", default=None)


@contextlib.contextmanager
def annotate(**annotations: Any) -> Iterator[None]:
    """Say how the tasks that are described in a ``with`` block shall be run. Blocks nest; the inner one wins.

    Parameters
    ----------
    retries : int
        How often a task that raised is run again.
    priority : int
        Higher runs first; 0 if nothing is said.
    workers : str or list of str
        Names or addresses of the workers that may run the tasks.
    allow_other_workers : bool
        Whether others will do while none of ``workers`` is there.
    resources : dict
        What a worker must have free for each of the tasks, such as ``{"GPU": 1}``.
    memory_bytes : int or str
        What each of the tasks needs beside its inputs while it runs, its result included, such as ``"1GiB"``. A worker starts a
        task when it has room for it.
    result_bytes : int or str
        How large the result of each of the tasks is, such as ``"256MiB"``. With it :func:`kask.explain` says how much memory a graph
        takes, and ``compute`` refuses at once what cannot fit.

    Raises
    ------
    UnknownKeywordError
        An annotation that does not exist.

    Examples
    --------
    >>> import kask
    >>> with kask.annotate(retries=3, priority=10):
    ...     total = kask.delayed(sum)([1, 2])
    >>> total.compute()
    3
    """
    for name in annotations:
        if name not in NAMES:
            raise UnknownKeywordError(
                f"there is no annotation {name!r}", hint=did_you_mean(name, NAMES) or f"there are {', '.join(NAMES)}"
            )
    merged = get_annotations() | annotations
    token = _current.set((merged, make_options(**merged)))
    try:
        yield
    finally:
        _current.reset(token)


def get_annotations() -> dict[str, Any]:
    """The annotations in force here.

    Examples
    --------
    >>> import kask
    >>> with kask.annotate(priority=1):
    ...     kask.get_annotations()
    {'priority': 1}
    """
    current = _current.get()
    return dict(current[0]) if current else {}


def current_options() -> Options | None:
    """The annotations in force here as the engine wants them; None if there are none."""
    current = _current.get()
    return current[1] if current else None


@contextlib.contextmanager
def using(options: Options | None) -> Iterator[None]:
    """While something is described on behalf of what was annotated so before."""
    if options is current_options():
        yield
        return
    token = _current.set(None if options is None else ({}, options))
    try:
        yield
    finally:
        _current.reset(token)


def unsized_options() -> Options | None:
    """The annotations in force here but for sizes, for tasks beside those that the sizes speak of."""
    options = current_options()
    return _without_sizes(options) if options and (options.memory_bytes or options.result_bytes) else options


def sized_options(memory_bytes: int, result_bytes: int) -> Options | None:
    """The annotations in force here with these sizes above them, where they are not 0. Equal ones are one object."""
    if not (memory_bytes or result_bytes):
        return current_options()
    return _with_sizes(current_options(), memory_bytes, result_bytes)


# The engine keeps annotations once for each object, so calls of one function must share theirs.
@functools.lru_cache(maxsize=256)
def _with_sizes(options: Options | None, memory_bytes: int, result_bytes: int) -> Options:
    base = options or Options()
    return _resized(base, memory_bytes or base.memory_bytes, result_bytes or base.result_bytes)


@functools.lru_cache(maxsize=256)
def _without_sizes(options: Options) -> Options:
    return _resized(options, 0, 0)


def _resized(base: Options, memory_bytes: int, result_bytes: int) -> Options:
    return Options(
        retries=base.retries,
        priority=base.priority,
        workers=base.workers,
        allow_other_workers=base.allow_other_workers,
        resources=base.resources,
        memory_bytes=memory_bytes,
        result_bytes=result_bytes,
    )


@contextlib.contextmanager
def overriding(options: Options | None) -> Iterator[None]:
    """While collections hand over their graphs: what applies to tasks that nobody annotated."""
    token = _override.set(options)
    try:
        yield
    finally:
        _override.reset(token)


def overriding_options() -> Options | None:
    """What the surrounding ``overriding`` block says."""
    return _override.get()


def _whole(name: str, value: Any, minimum: int) -> int:
    if not hasattr(value, "__index__"):
        raise TypeError(f"{name}= must be a whole number, got {value!r}")
    return whole_number(name, int(value) if isinstance(value, bool) else value, minimum)


def named_workers(workers: Any, least: int = 0) -> list[str] | None:
    """What ``workers=`` names, one or several, and so many at least; None is all of them."""
    if workers is None:
        return None
    names = [workers] if isinstance(workers, str) else list(workers) if isinstance(workers, Iterable) else [workers]
    if len(names) < least or not all(isinstance(name, str) for name in names):
        raise TypeError(f"workers= must be the name or address of a worker, or a list of them, got {workers!r}")
    return names


def size(name: str, value: Any) -> int:
    """Bytes of an option such as ``result_bytes="256MiB"``; 0 for None.

    Examples
    --------
    >>> size("result_bytes", "1KiB"), size("result_bytes", None)
    (1024, 0)
    """
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, numbers.Real | str):
        raise TypeError(f"{name}= must be a number of bytes, or a text such as '256MiB', got {value!r}")
    try:
        bytes_ = parse_bytes(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{name}= must be a number of bytes, or a text such as '256MiB', got {value!r}") from None
    if not 0 <= bytes_ < 2**63:
        raise ValueError(f"{name}= must be at least 0 bytes and less than 8 EiB, got {value!r}")
    return bytes_


def checked_resources(value: Any) -> dict[str, float] | None:
    """Amounts of resources as the engine takes them."""
    if not value:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(f"resources= must be a dict such as {{'GPU': 1}}, got {value!r}")
    amounts = {}
    for name, amount in value.items():
        if (
            not isinstance(name, str)
            or isinstance(amount, bool)
            or not isinstance(amount, numbers.Real)
            or not 0 <= float(amount) <= 1e12
        ):
            raise TypeError(f"resources= must map names to amounts from 0 to 1e12, got {name!r}: {amount!r}")
        amounts[name] = float(amount)
    return amounts


def make_options(
    *,
    retries: int | None = None,
    priority: int | None = None,
    workers: str | Iterable[str] | None = None,
    allow_other_workers: bool | None = None,
    resources: Mapping[str, float] | None = None,
    memory_bytes: int | str | None = None,
    result_bytes: int | str | None = None,
) -> Options:
    """Checked options for the engine.

    Examples
    --------
    >>> options = make_options(retries=2, workers="alice")
    """
    names = named_workers(workers, 1)
    if allow_other_workers and names is None:
        raise ValueError("allow_other_workers=True is only of use together with workers=")
    return Options(
        retries=_whole("retries", retries or 0, 0),
        priority=_whole("priority", priority or 0, -(2**31)),
        workers=names,
        allow_other_workers=bool(allow_other_workers),
        resources=checked_resources(resources),
        memory_bytes=size("memory_bytes", memory_bytes),
        result_bytes=size("result_bytes", result_bytes),
    )


def options_for(
    retries: int | None = None,
    priority: int | None = None,
    workers: Any = None,
    allow_other_workers: bool | None = None,
    resources: Any = None,
    memory_bytes: Any = None,
    result_bytes: Any = None,
) -> Options | None:
    """What a call asked for, above the annotations in force; None when nobody asked for anything."""
    if not (retries or priority or workers or allow_other_workers or resources or memory_bytes or result_bytes):
        return current_options()
    asked = {
        "retries": retries,
        "priority": priority,
        "workers": workers,
        "allow_other_workers": allow_other_workers,
        "resources": resources,
        "memory_bytes": memory_bytes,
        "result_bytes": result_bytes,
    }
    return make_options(**(get_annotations() | {name: value for name, value in asked.items() if value}))
