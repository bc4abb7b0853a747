"""What one fused block runs: a few calls in order, on inputs, earlier results and constants.

A program is made once per layer, travels as the layer's function, and is called once per block. Buffers of its own
intermediate results are written to again where NumPy allows it. Rows of elementwise steps, with a reduction at the end, are run by a kernel
in Rust where they can be (:mod:`kask.expr.fused`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from kask.expr.fused import Run, runs_of
from kask.expr.steps import Position, Step, Use

__all__ = ["Made", "Position", "Program", "Step", "Use", "read_only"]

#: Smaller buffers are cheaper to make than to think about.
_WORTH_REUSING_BYTES = 1 << 15


class Made(NamedTuple):
    """What a program makes beside what it is given."""

    #: The most that its results take at once.
    peak_bytes: int
    #: The steps whose results are made as a whole: those inside a kernel are not.
    steps: tuple[int, ...]


class Program:
    """Calls in order; the value of the last one is the result.

    Parameters
    ----------
    inputs : int
        How many arguments are values; the position follows them if ``wants_position``.
    steps : tuple of Step
        The calls.
    wants_position : bool
        Whether there is one.
    fuses : bool
        Whether kernels may run some of the steps.
    """

    __slots__ = ("fuses", "inputs", "lending", "runs", "steps", "wants_position")

    def __init__(self, inputs: int, steps: tuple[Step, ...], wants_position: bool, fuses: bool = True) -> None:
        self.inputs, self.steps, self.wants_position = inputs, _with_last_uses(inputs, steps), wants_position
        self.fuses = fuses
        #: The calls of functions of the user, which may write to what they get, and which of their arguments nobody needs afterwards.
        self.lending = {
            at: frozenset(
                [n for n, arg in enumerate(step.args) if type(arg) is Use and inputs <= arg.place in step.last]
            )
            for at, step in enumerate(self.steps)
            if getattr(step.func, "is_of_user", False)
        }
        #: Found at the first call, by the first step of each.
        self.runs: dict[int, Run] | None = None

    def __call__(self, *arguments: Any) -> Any:
        values: list[Any] = list(arguments[: self.inputs])
        position = arguments[self.inputs] if self.wants_position else ()
        runs = self._runs()
        skipped = 0
        for at, (func, args, kwargs, last, own) in enumerate(self.steps):
            if skipped:
                skipped -= 1
                continue
            if at in runs:
                run = runs[at]
                result = run(values)
                if result is not NotImplemented:
                    for index in run.last:
                        values[index] = None
                    skipped = run.length - 1
                    values.extend([None] * skipped)
                    values.append(result)
                    continue
            actual = [
                values[arg.place] if type(arg) is Use else _place(arg, position) if type(arg) is Position else arg
                for arg in args
            ]
            if at in self.lending:
                actual = _lent(actual, self.lending[at], values)
            buffer = _reusable(func, actual, values, own) if own and not kwargs else None
            for index in last:
                values[index] = None
            values.append(func(*actual, out=buffer) if buffer is not None else func(*actual, **kwargs))
            del actual, buffer
        result = values[-1]
        # Others have what the program was given, so it may not become somebody's own as its result.
        return read_only(result) if id(result) in map(id, arguments) else result

    def _runs(self) -> dict[int, Run]:
        if self.runs is None:
            self.runs = runs_of(self.inputs, self.steps) if self.fuses else {}
        return self.runs

    def made(self, sizes: Sequence[int], views: Collection[int]) -> Made:
        """What a call makes, if kernels can run what they are meant to.

        Parameters
        ----------
        sizes : sequence of int
            Bytes of each step's result.
        views : collection of int
            The steps whose result is a view of the first value that they take.
        """
        runs, (bases, dying) = self._runs(), self._lives(views)
        held: dict[int, int] = {}
        made: list[int] = []
        alive = peak = at = 0
        while at < len(self.steps):
            end = at + (runs[at].length if at in runs else 1)
            step, place = self.steps[end - 1], self.inputs + end - 1
            if bases[place] == place and end - 1 not in views:
                if at not in runs and type(step.func) is np.ufunc and not step.kwargs:
                    # It is written where a value was that nobody needs any more.
                    old = next((index for index in step.own if held.get(index, 0) >= sizes[end - 1]), None)
                    alive -= held.pop(old, 0) if old is not None else 0
                held[place] = sizes[end - 1]
                alive += held[place]
                peak = max(peak, alive)
                made.append(end - 1)
            alive -= sum([held.pop(index, 0) for over in range(at, end) for index in dying[over]])
            at = end
        return Made(peak, tuple(made))

    def _lives(self, views: Collection[int]) -> tuple[list[int], list[list[int]]]:
        """The value in whose memory each value lies, and by step the values whose memory nobody needs afterwards."""
        bases = list(range(self.inputs + len(self.steps)))
        last_use: dict[int, int] = {}
        for at, step in enumerate(self.steps):
            used = [arg.place for arg in step.args if type(arg) is Use]
            if at in views and used:
                bases[self.inputs + at] = bases[used[0]]
            last_use.update([(bases[place], at) for place in used])
        last_use[bases[-1]] = len(self.steps)
        dying: list[list[int]] = [[] for _ in range(len(self.steps) + 1)]
        for place, at in last_use.items():
            dying[at].append(place)
        return bases, dying

    def __reduce__(self) -> tuple[Any, ...]:
        return Program, (self.inputs, self.steps, self.wants_position, self.fuses)

    def __kask_tokenize__(self) -> Any:
        return "program", self.inputs, self.wants_position, [tuple(step) for step in self.steps]


def _lent(actual: list[Any], free: Collection[int], values: list[Any]) -> list[Any]:
    """Arguments for a function that may write to them: read-only, but for arrays that were made here and that nobody else needs."""
    return [
        value
        if place in free and getattr(value, "base", None) is None and sum([one is value for one in values]) == 1
        else read_only(value)
        for place, value in enumerate(actual)
    ]


def read_only(value: Any) -> Any:
    """A view of an array that cannot be written to, or a list of such views; anything else as it is."""
    if not isinstance(value, np.ndarray):
        return [read_only(one) for one in value] if type(value) is list else value
    view = value.view()
    view.setflags(write=False)
    if isinstance(view, np.ma.MaskedArray):
        view.unshare_mask()
    return view


def _place(arg: Position, position: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([position[axis] if axis >= 0 else ~axis for axis in arg.axes])


def _with_last_uses(inputs: int, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Each step with the values that it is the last to need.

    Other functions than ufuncs may return their argument or a view of it; a buffer is a program's own as long as only ufuncs had it.
    """
    last_use: dict[int, int] = {}
    shared = set(range(inputs)) | {inputs + at for at, step in enumerate(steps) if type(step.func) is not np.ufunc}
    for at, step in enumerate(steps):
        for arg in step.args:
            if type(arg) is Use:
                last_use[arg.place] = at
                if type(step.func) is not np.ufunc:
                    shared.add(arg.place)
    dying: list[list[int]] = [[] for _ in steps]
    for index, at in last_use.items():
        dying[at].append(index)
    last = [tuple(sorted(indices)) for indices in dying]
    own = [tuple([index for index in indices if index not in shared]) for indices in last]
    return tuple([step._replace(last=last[at], own=own[at]) for at, step in enumerate(steps)])


def _reusable(func: Any, actual: list[Any], values: list[Any], own: tuple[int, ...]) -> Any:
    """A buffer that the result of a ufunc fits into exactly, and that is nobody else's; None if there is none."""
    if type(func) is not np.ufunc or func.nout != 1 or func.signature is not None:
        return None
    for index in own:
        value = values[index]
        if type(value) is np.ndarray and value.nbytes >= _WORTH_REUSING_BYTES and value.flags.owndata:
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
