"""Nearest names, for error messages."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], count: int = 3, cutoff: float = 0.6) -> list[str]:
    """Known names that look like ``name``, best first.

    Examples
    --------
    >>> nearest("retires", ["retries", "priority"])
    ['retries']
    """
    import difflib

    return difflib.get_close_matches(name, list(known), n=count, cutoff=cutoff)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint that names what ``name`` may have been meant to be, or None.

    Examples
    --------
    >>> did_you_mean("retires", ["retries", "priority"])
    'did you mean retries?'
    """
    close = nearest(name, known)
    return f"did you mean {' or '.join(close)}?" if close else None
