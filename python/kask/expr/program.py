"""What one fused block runs: a few calls in order, on inputs, earlier results and constants.

A program is made once per layer, travels as the layer's function, and is called once per block. Buffers of its own
intermediate results are written to again where NumPy allows it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Position", "Program", "Step", "Use"]

#: Smaller buffers are cheaper to make than to think about.
_WORTH_REUSING_BYTES = 1 << 15


class Use(NamedTuple):
    """An argument that is a value of the program: inputs come first, then results of steps."""

    place: int


class Position(NamedTuple):
    """An argument that is the position of a block: for each of its axes, an axis of the program's own position, or ``~i`` for i."""

    axes: tuple[int, ...]


class Step(NamedTuple):
    """One call."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    #: Values that nobody needs after this call.
    last: tuple[int, ...] = ()


class Program:
    """Calls in order; the value of the last one is the result.

    Parameters
    ----------
    inputs : int
        How many arguments are values; the position follows them if ``wants_position``.
    steps : tuple of Step
        The calls.
    """

    __slots__ = ("inputs", "steps", "wants_position")

    def __init__(self, inputs: int, steps: tuple[Step, ...], wants_position: bool) -> None:
        self.inputs, self.steps, self.wants_position = inputs, _with_last_uses(inputs, steps), wants_position

    def __call__(self, *arguments: Any) -> Any:
        values: list[Any] = list(arguments[: self.inputs])
        position = arguments[self.inputs] if self.wants_position else ()
        for func, args, kwargs, last in self.steps:
            actual = [
                values[arg.place] if type(arg) is Use else _place(arg, position) if type(arg) is Position else arg
                for arg in args
            ]
            buffer = _reusable(func, actual, values, last, self.inputs) if last and not kwargs else None
            for index in last:
                values[index] = None
            values.append(func(*actual, out=buffer) if buffer is not None else func(*actual, **kwargs))
            del actual, buffer
        return values[-1]

    def __reduce__(self) -> tuple[Any, ...]:
        return Program, (self.inputs, self.steps, self.wants_position)

    def __kask_tokenize__(self) -> Any:
        return "program", self.inputs, self.wants_position, [tuple(step) for step in self.steps]


def _place(arg: Position, position: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([position[axis] if axis >= 0 else ~axis for axis in arg.axes])


def _with_last_uses(inputs: int, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Each step with the values that it is the last to need."""
    last_use: dict[int, int] = {}
    for at, step in enumerate(steps):
        for arg in step.args:
            if type(arg) is Use:
                last_use[arg.place] = at
    dying: list[list[int]] = [[] for _ in steps]
    for index, at in last_use.items():
        dying[at].append(index)
    return tuple(step._replace(last=tuple(sorted(dying[at]))) for at, step in enumerate(steps))


def _reusable(func: Any, actual: list[Any], values: list[Any], last: tuple[int, ...], inputs: int) -> Any:
    """A buffer that the result of a ufunc fits into exactly, and that is nobody else's; None if there is none."""
    if type(func) is not np.ufunc or func.nout != 1 or func.signature is not None:
        return None
    for index in last:
        value = values[index]
        if (
            index >= inputs
            and type(value) is np.ndarray
            and value.nbytes >= _WORTH_REUSING_BYTES
            and value.flags.owndata
        ):
            break
    else:
        return None
    kinds: list[Any] = []
    for arg in actual:
        if type(arg) is np.ndarray:
            if arg.shape != value.shape and arg.ndim:
                return None
            kinds.append(arg.dtype)
        elif isinstance(arg, np.generic):
            kinds.append(arg.dtype)
        elif type(arg) in (int, float, complex):
            kinds.append(type(arg))
        else:
            return None
    try:
        resolved = func.resolve_dtypes((*kinds, None))
    except (TypeError, ValueError):
        return None
    return value if resolved[-1] == value.dtype and not value.dtype.hasobject else None
