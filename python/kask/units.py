"""Sizes, durations and counts as people write them."""

from __future__ import annotations

import math
import numbers
import operator
import re
from typing import Any

from kask._kask import parse_memory as memory_of
from kask._kask import parse_size

_NUMBER = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([a-zA-Zµ]*)\s*")
_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6} | {
    "min": 60.0, "m": 60.0, "minutes": 60.0, "minute": 60.0,
    "h": 3600.0, "hour": 3600.0, "hours": 3600.0, "d": 86400.0, "day": 86400.0, "days": 86400.0,
}  # fmt: skip


def parse_bytes(text: str | int | float | numbers.Real) -> int:
    """A number of bytes.

    Examples
    --------
    >>> parse_bytes("4GiB"), parse_bytes("1.5 kB"), parse_bytes(12)
    (4294967296, 1500, 12)
    """
    size = _number(text)
    if size is not None and math.isfinite(size) and (size == 0 or size >= 1):
        return int(size)
    # What is neither a text nor a number of bytes is refused with the same words.
    return parse_size(text if isinstance(text, str) else repr(text))


def parse_memory(value: Any) -> str | int | float:
    """What somebody says of an amount of memory: ``"auto"``, bytes as an integer (0 is no limit), or a share of what there is as a float.

    Examples
    --------
    >>> parse_memory("4GiB"), parse_memory("50%"), parse_memory(0.5), parse_memory(0)
    (4294967296, 0.5, 0.5, 0)
    """
    number = _number(value)
    if number is None:
        return memory_of(value)
    return memory_of(str(int(number)) if isinstance(number, numbers.Integral) else float(number))


def parse_seconds(text: str | int | float | numbers.Real) -> float:
    """A duration in seconds.

    Examples
    --------
    >>> parse_seconds("100 ms"), parse_seconds("2h"), parse_seconds(3)
    (0.1, 7200.0, 3.0)
    """
    seconds = _number(text)
    if seconds is not None:
        return float(seconds)
    match = _NUMBER.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[2].lower() not in _SECONDS:
        raise ValueError(
            f"{text!r} is not a duration; write seconds, or a number with a unit such as '30s' or '100 ms'"
        )
    return float(match[1]) * _SECONDS[match[2].lower()]


def whole_number(name: str, value: Any, minimum: int, maximum: int = 2**31 - 1) -> int:
    """A count that somebody gave as the argument ``name``; NumPy's integers are some, too.

    Examples
    --------
    >>> whole_number("n_workers", 2, 1)
    2
    >>> whole_number("n_workers", 0, 1, 4096)
    Traceback (most recent call last):
    ValueError: n_workers= must be a whole number from 1 to 4096, got 0
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not minimum <= number <= maximum:
        wanted = f"of at least {minimum}" if number is None or number < minimum else f"of at most {maximum}"
        if maximum < 2**31 - 1:
            wanted = f"from {minimum} to {maximum}"
        raise ValueError(f"{name}= must be a whole number {wanted}, got {value!r}")
    return number


def _number(value: Any) -> Any:
    """``value`` if it is a number, one of NumPy's maybe."""
    return None if isinstance(value, bool) or not isinstance(value, numbers.Real) else value


def format_bytes(count: int) -> str:
    """A size for people.

    Examples
    --------
    >>> format_bytes(3 * 2**30), format_bytes(12)
    ('3.00 GiB', '12 B')
    """
    for unit, size in (("PiB", 2**50), ("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size * 0.9:
            return f"{count / size:.2f} {unit}"
    return f"{count} B"


def format_seconds(seconds: float) -> str:
    """A duration for people.

    Examples
    --------
    >>> format_seconds(0.25), format_seconds(75), format_seconds(7260)
    ('0.2s', '1m 15s', '2h  1m')
    """
    if seconds < 60:
        return f"{seconds:.1f}s"
    if seconds < 3600:
        return f"{int(seconds // 60)}m {int(seconds % 60):2d}s"
    return f"{int(seconds // 3600)}h {int(seconds % 3600 // 60):2d}m"
