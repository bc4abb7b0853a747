"""What differs from Dask's documented array API, for the page ``docs/array-api.md``.

Parameters that a function never reads are found in its source. The tables have what cannot be seen there: parameters that are only checked or
handed on to where they have no effect, and other differences.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

import kask.array

_METHODS = "kask.array.Array."

#: Parameters that are read, and still change no result.
WITHOUT_EFFECT: dict[str, tuple[str, ...]] = {
    "kask.array.array": ("order",),
    "kask.array.asanyarray": ("inline_array", "like", "order"),
    "kask.array.asarray": ("order",),
    "kask.array.empty": ("order",),
    "kask.array.empty_like": ("order",),
    "kask.array.full": ("order",),
    "kask.array.full_like": ("order",),
    "kask.array.ones": ("order",),
    "kask.array.ones_like": ("order",),
    "kask.array.zeros": ("order",),
    "kask.array.zeros_like": ("order",),
}
#: Differences in a few words.
OTHERS: dict[str, str] = {
    "kask.array.Array": "functions make arrays; there is no constructor of a graph, a name and chunks",
    "kask.array.from_array": "`name` stands for the content of a store in names, and is not the array's `name`",
    "kask.array.from_delayed": "`dtype` or `meta` is needed; a value of another kind is refused when it comes",
    "kask.array.histogram": "`normed` is refused, use `density`",
    "kask.array.histogram2d": "`normed` is refused, use `density`",
    "kask.array.histogramdd": "`normed` is refused, use `density`",
    "kask.array.map_blocks": "with delayed arguments `dtype` or `meta` is needed",
    "kask.array.blockwise": "with delayed arguments `dtype` or `meta` is needed",
}


def differences(name: str, found: Any) -> str:
    """The cell of the page: parameters without effect, and what else differs."""
    unread = [*unread_parameters(found), *WITHOUT_EFFECT.get(name, ())]
    if name.startswith(_METHODS):
        # Methods hand their parameters on to the function of the same name.
        same = name.replace(_METHODS, "kask.array.")
        function = getattr(kask.array, name.removeprefix(_METHODS), None)
        handed_on = [*unread_parameters(function), *WITHOUT_EFFECT.get(same, ())]
        unread += [parameter for parameter in handed_on if parameter in _parameters(found)]
    parts = []
    if unread:
        parts.append("no effect: " + ", ".join(f"`{parameter}`" for parameter in sorted(set(unread))))
    if name in OTHERS:
        parts.append(OTHERS[name])
    return "; ".join(parts)


def _parameters(found: Any) -> Any:
    return inspect.signature(found).parameters if callable(found) else {}


def unread_parameters(func: Any) -> list[str]:
    """Parameters that the source of a function never mentions."""
    func = inspect.unwrap(func) if callable(func) else func
    if not inspect.isfunction(func):
        return []
    node: Any = ast.parse(textwrap.dedent(inspect.getsource(func))).body[0]
    if not isinstance(node, ast.FunctionDef):
        return []
    body = [one for one in node.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
    if not body:
        # A prototype, which has only a docstring.
        return []
    read = {one.id for statement in body for one in ast.walk(statement) if isinstance(one, ast.Name)}
    return [one for one in inspect.signature(func).parameters if one != "self" and one not in read]
