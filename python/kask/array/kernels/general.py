"""What tasks of ``reduction`` run. Partial results carry where they come from, so that they can be put side by side as they lay."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

from kask.array.kernels.blockwise import concatenated

__all__ = ["GeneralAggregate", "GeneralCombine", "GeneralPart"]


class Placed(NamedTuple):
    """A partial result, and the position of the (first) block that it is of."""

    position: tuple[int, ...]
    value: Any


class GeneralPart:
    """What ``func`` makes of a block."""

    is_of_user = True

    def __init__(self, func: Callable[..., Any], options: dict[str, Any]) -> None:
        self.func, self.options = func, options
        self.__name__ = getattr(func, "__name__", "chunk")

    def __call__(self, position: tuple[int, ...], block: Any, axes: tuple[int, ...], *weights: Any) -> Placed:
        options = {**self.options, "weights": weights[0]} if weights else self.options
        return Placed(tuple(position), self.func(block, axis=axes, keepdims=True, **options))

    def __kask_tokenize__(self) -> Any:
        return "generalpart", self.func, self.options


class GeneralCombine:
    """What ``func`` makes of several partial results."""

    def __init__(self, func: Callable[..., Any], options: dict[str, Any], axes: tuple[int, ...], joins: bool) -> None:
        self.func, self.options, self.axes, self.joins = func, options, axes, joins
        self.__name__ = getattr(func, "__name__", "combine")

    def __call__(self, parts: list[Placed]) -> Any:
        return Placed(parts[0].position, self._called(parts, True))

    def _called(self, parts: list[Placed], keepdims: bool) -> Any:
        return self.func(_nested(parts, self.axes, self.joins), axis=self.axes, keepdims=keepdims, **self.options)

    def __kask_tokenize__(self) -> Any:
        return type(self).__name__, self.func, self.options, self.axes, self.joins


class GeneralAggregate(GeneralCombine):
    """What ``func`` makes of the partial results that are left."""

    def __init__(
        self, func: Callable[..., Any], options: dict[str, Any], axes: tuple[int, ...], joins: bool, keepdims: bool
    ) -> None:
        super().__init__(func, options, axes, joins)
        self.keepdims = keepdims

    def __call__(self, parts: list[Placed]) -> Any:
        return self._called(parts, self.keepdims)

    def __kask_tokenize__(self) -> Any:
        return super().__kask_tokenize__(), self.keepdims


def _nested(parts: list[Placed], axes: tuple[int, ...], joins: bool) -> Any:
    """The values, joined along the axes or as lists of lists. Parts come in C order of their places."""
    if not axes:
        return parts[0].value if joins else [part.value for part in parts]
    axis, *rest = axes
    if rest:
        rows = itertools.groupby(parts, lambda part: part.position[axis])
        values = [_nested(list(row), tuple(rest), joins) for _, row in rows]
    else:
        values = [part.value for part in parts]
    return _side_by_side(values, axis) if joins else values


def _side_by_side(values: list[Any], axis: int) -> Any:
    first = values[0]
    if len(values) == 1:
        return first
    if isinstance(first, dict):
        return {key: _side_by_side([value[key] for value in values], axis) for key in first}
    if isinstance(first, tuple | list):
        return type(first)([_side_by_side(list(ones), axis) for ones in zip(*values)])
    return concatenated(values, axis)
