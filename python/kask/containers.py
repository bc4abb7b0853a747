"""Walking the containers that users nest collections and futures in: lists, tuples, sets, dicts and dataclasses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

_LEAVES = frozenset({type(None), bool, int, float, complex, str, bytes})


def map_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    """``value`` with ``change`` applied to everything in it that is no container; itself where nothing changes.

    Examples
    --------
    >>> map_leaves([1, {5: (2, 3)}], lambda x: x + 1)
    [2, {6: (3, 4)}]
    """
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        items = [map_leaves(item, change) for item in value]
        return value if all(map(_is, items, value)) else kind(items)
    if kind is dict:
        pairs = [(map_leaves(key, change), map_leaves(item, change)) for key, item in value.items()]
        same = all(key is old and item is value[old] for (key, item), old in zip(pairs, value, strict=True))
        return value if same else dict(pairs)
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        items = [map_leaves(item, change) for item in value]
        return value if all(map(_is, items, value)) else kind(*items)
    if dataclasses.is_dataclass(kind) and not isinstance(value, type):
        return _map_dataclass(value, change)
    return change(value)


def _is(left: Any, right: Any) -> bool:
    return left is right


def _map_dataclass(value: Any, change: Callable[[Any], Any]) -> Any:
    changed = {}
    for field in dataclasses.fields(value):
        if hasattr(value, field.name):
            old = getattr(value, field.name)
            new = map_leaves(old, change)
            if new is not old:
                changed[field.name] = new
    if not changed:
        return value
    # Not dataclasses.replace: it would run __post_init__, and refuses fields that __init__ does not take.
    import copy

    other = copy.copy(value)
    for name, new in changed.items():
        object.__setattr__(other, name, new)
    return other


def any_leaf(value: Any, wanted: Callable[[Any], bool]) -> bool:
    """Whether something in ``value`` that is no container is ``wanted``.

    Examples
    --------
    >>> any_leaf([1, {"a": "x"}], lambda x: x == "x")
    True
    """
    kind = type(value)
    if kind in _LEAVES:
        return wanted(value)
    if kind in (list, tuple, set, frozenset) or (isinstance(value, tuple) and hasattr(kind, "_fields")):
        return any(any_leaf(item, wanted) for item in value)
    if kind is dict:
        return any(any_leaf(key, wanted) or any_leaf(item, wanted) for key, item in value.items())
    if dataclasses.is_dataclass(kind) and not isinstance(value, type):
        return any(any_leaf(getattr(value, field.name, None), wanted) for field in dataclasses.fields(value))
    return wanted(value)
