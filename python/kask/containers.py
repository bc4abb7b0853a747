"""Walking the containers that users nest collections and futures in: lists, tuples, sets, dicts, slices and dataclasses.

The engine walks arguments in the same way (``crates/kask-python/src/scan.rs``).
"""

from __future__ import annotations

import copy
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
    if isinstance(value, dict):
        return _map_dict(value, change)
    if kind is slice:
        old = (value.start, value.stop, value.step)
        ends = [map_leaves(end, change) for end in old]
        return value if all(map(_is, ends, old)) else slice(*ends)
    if dataclasses.is_dataclass(kind) and not isinstance(value, type):
        return _map_dataclass(value, change)
    return change(value)


def _is(left: Any, right: Any) -> bool:
    return left is right


def _map_dict(value: dict[Any, Any], change: Callable[[Any], Any]) -> Any:
    """Ordered and default dicts, counters: a copy, in which values are replaced."""
    changed = {}
    for key, old in value.items():
        new = map_leaves(old, change)
        if new is not old:
            changed[key] = new
    if not changed:
        return value
    other = copy.copy(value)
    for key, new in changed.items():
        other[key] = new
    return other


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
    if isinstance(value, dict):
        return any(any_leaf(item, wanted) for item in value.values())
    if kind is slice:
        return any(any_leaf(end, wanted) for end in (value.start, value.stop, value.step))
    if dataclasses.is_dataclass(kind) and not isinstance(value, type):
        return any(any_leaf(getattr(value, field.name, None), wanted) for field in dataclasses.fields(value))
    return wanted(value)
