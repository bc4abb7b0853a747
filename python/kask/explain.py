"""``kask.explain``: what computing collections would take, told before anything runs.

Rust expands and orders the graph, plays a run through and adds everything up; here it is only printed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from kask.base import Work, engine_for
from kask.engine import GraphBuilder, fitting_outputs
from kask.engine.local import memory_limit_bytes
from kask.rooms import planning_for, room_of
from kask.tables import lined_up
from kask.units import format_bytes, parse_bytes

if TYPE_CHECKING:
    from kask.expr.outline import Outline

__all__ = ["Explanation", "Family", "Need", "explain"]


#: Families that are printed at most.
_PRINTED = 60
#: A task that holds more than so many times what its largest chunk takes holds something else.
_OWN_WORK = 16


class Family(NamedTuple):
    """The tasks of one family that would run: those of a layer, or of delayed calls of the same function."""

    prefix: str
    kind: str
    tasks: int
    edges: int
    result_bytes: int
    unknown: int


class Need(NamedTuple):
    """What one task needs in the memory of its worker."""

    family: str
    task: str
    inputs: int
    inputs_bytes: int
    own_bytes: int
    largest_bytes: int
    """The largest of what it reads, makes on the way and results in."""
    largest_family: str
    """What makes that."""
    largest_shape: tuple[int, ...] | None
    """Elements along each axis, if it is a chunk of an array."""
    shuffled: tuple[int, int] | None
    """Of a merge, which makes some of the outputs of a shuffle: bytes and number of all of them."""
    fitting_limit: int
    """The smallest ``memory_limit`` with which a worker has room for it."""

    @property
    def needs_bytes(self) -> int:
        """Inputs and the task itself together."""
        return self.inputs_bytes + self.own_bytes


class Explanation:
    """What computing collections would take.

    Attributes
    ----------
    families : list of Family
        In the order in which their first tasks would run, with the number of tasks and of inputs, the bytes of all their results,
        and how many of them have a result of unknown size.
    tasks, edges : int
        Tasks that would run, and inputs of all of them.
    produced_bytes : int
        All results together.
    unknown : int
        Tasks whose result has no known size; they count as nothing.
    peak_bytes : int
        The most that would be held at once.
    peak_family : str or None
        The family of the task that brings the peak.
    peak_values : int
        The most results that would be held at once, whatever their size.
    largest : Need or None
        The task that needs most.
    verdict : {"fits", "spills", "cannot fit", "unknown"}
        Whether it fits in the memory of the workers. "unknown" when there is no known size at all.
    spilled_bytes : int
        What is on disk at the peak.
    runners, workers, limit_bytes : int
        What it would run on; ``limit_bytes`` is the memory of a worker, 0 without a limit.
    usable_bytes : int
        What a worker has of that for one task: less than the limit, since the interpreter and libraries take a part of it.
    hint : str or None
        What to do about it.
    before, after : kask.expr.outline.Outline or None
        Of arrays: what is computed of what, as it was written and as it will be computed, with what each takes. Made when it is asked for, and
        printed above the table.
    """

    def __init__(
        self,
        found: Mapping[str, Any],
        runners: int,
        workers: int,
        limit_bytes: int,
        outline: Callable[[bool], Outline | None] = lambda is_optimized: None,
    ) -> None:
        self._outline = outline
        self.families = [Family(*row) for row in found["layers"]]
        self.tasks = sum(family.tasks for family in self.families)
        self.edges = sum(family.edges for family in self.families)
        self.produced_bytes: int = found["produced_bytes"]
        self.unknown: int = found["unknown"]
        self.peak_bytes: int = found["peak_bytes"]
        self.peak_family: str | None = found["peak_family"]
        self.peak_values: int = found["peak_values"]
        self.largest = Need(**found["largest"]) if found["largest"] else None
        self.verdict: str = found["verdict"] if self.largest else "unknown"
        self.spilled_bytes: int = found["spilled_bytes"]
        self.runners, self.workers, self.limit_bytes = runners, workers, limit_bytes
        self.usable_bytes: int = found["usable_bytes"]
        self.hint: str | None = None
        if self.verdict == "cannot fit" and self.largest:
            self.hint = _advice(self.largest, self.usable_bytes)
        elif self.verdict == "unknown" and self.tasks:
            self.hint = (
                "say how large results are with kask.annotate(result_bytes='256MiB') or sizes={'family': '256MiB'}"
            )

    @functools.cached_property
    def before(self) -> Outline | None:
        """Expressions as they were written, each computed by itself."""
        return self._outline(False)

    @functools.cached_property
    def after(self) -> Outline | None:
        """Expressions as they will be computed."""
        return self._outline(True)

    def _outlines(self) -> list[Outline]:
        return [outline for outline in (self.before, self.after) if outline is not None]

    def __repr__(self) -> str:
        above = [text for outline in self._outlines() for text in (repr(outline), "")]
        head = ("family", "kind", "tasks", "edges", "each", "all")
        told, rest = self._told()
        lines = lined_up([head, *map(_cells, told)], left=2)
        return "\n".join([*above, *lines, *rest, "", *(f"{name}: {text}" for name, text in self._facts())])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in ("family", "kind", "tasks", "edges", "each", "all"))
        told, rest = self._told()
        cells = [*map(_cells, told), *[(line,) for line in rest]]
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in cells)
        facts = "".join(f"<li><b>{escape(name)}</b>: {escape(text)}</li>" for name, text in self._facts())
        above = "".join(f"<pre>{escape(repr(outline))}</pre>" for outline in self._outlines())
        return f"{above}<table><tr>{head}</tr>{rows}</table><ul>{facts}</ul>"

    def _told(self) -> tuple[list[Family], list[str]]:
        """The families that are printed, and a line about the others."""
        more = len(self.families) - _PRINTED
        return self.families[:_PRINTED], [f"... and {more:,} more families"] if more > 0 else []

    def _facts(self) -> list[tuple[str, str]]:
        facts = [("tasks", f"{self.tasks:,}, reading {self.edges:,} inputs")]
        known = self.tasks - self.unknown
        results = f"{format_bytes(self.produced_bytes)} in all" if known else "sizes are not known"
        if known and self.unknown:
            results += f", and {self.unknown:,} of {self.tasks:,} of unknown size"
        facts.append(("results", f"{results}; at most {self.peak_values:,} held at once"))
        if self.peak_family is not None:
            facts.append(("peak", f"{format_bytes(self.peak_bytes)}, when a task of {self.peak_family!r} starts"))
        if self.largest is not None:
            facts.append(("largest task", _need_text(self.largest)))
        facts.append(("verdict", self._verdict_text()))
        if self.hint:
            facts.append(("hint", self.hint))
        return facts

    def _verdict_text(self) -> str:
        limit = "no memory limit"
        if self.limit_bytes:
            limit = f"{format_bytes(self.limit_bytes)} each ({format_bytes(self.usable_bytes)} of it for a task)"
        where = f"{_count(self.workers, 'worker')} with {_count(self.runners, 'runner')} and {limit}"
        match self.verdict:
            case "fits":
                return f"fits in {where}"
            case "spills":
                return f"fits in {where} with {format_bytes(self.spilled_bytes)} on disk"
            case "cannot fit":
                return f"cannot fit in {where}, even with everything else on disk"
        return f"unknown for {where}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _cells(family: Family) -> tuple[str, ...]:
    known = family.tasks - family.unknown
    each = format_bytes(family.result_bytes // known) if known else "?"
    total = f"{format_bytes(family.result_bytes)}{' + ?' if family.unknown else ''}" if known else "?"
    return (family.prefix, family.kind, f"{family.tasks:,}", f"{family.edges:,}", each, total)


def _need_text(need: Need) -> str:
    return f"{format_bytes(need.needs_bytes)} for {need.family!r} ({_parts_text(need)})"


def _parts_text(need: Need) -> str:
    if not need.inputs:
        return "all of it for itself"
    return f"{format_bytes(need.inputs_bytes)} for its {_count(need.inputs, 'input')}, {format_bytes(need.own_bytes)} for itself"


def _rounded(count: int, *, up: bool) -> str:
    """A size whose two digits after the point are no more, or no less, than it: who follows a hint literally must be right."""
    for unit in (2**50, 2**40, 2**30, 2**20, 2**10):
        if count >= unit * 0.9:
            hundredths = -(-count * 100 // unit) if up else count * 100 // unit
            count = hundredths * unit // 100
            break
    return format_bytes(count)


def _advice(need: Need, usable_bytes: int) -> str:
    enough = f"workers with a memory_limit of at least {_rounded(need.fitting_limit, up=True)}"
    if need.shuffled and need.own_bytes <= need.inputs_bytes:
        total, outputs = need.shuffled
        number = fitting_outputs(total, usable_bytes)
        return (
            f"{number:,} outputs of the shuffle, of at most {format_bytes(total // number)}, would fit "
            f"instead of {outputs:,} of {format_bytes(total // outputs)}, or {enough}"
        )
    if need.own_bytes > _OWN_WORK * need.largest_bytes:
        # What it takes comes from no chunk: smaller ones might not change it.
        return f"less work for one task, or {enough}"
    fitting = int(need.largest_bytes * usable_bytes / need.needs_bytes)
    shape = f" with the shape {need.largest_shape}" if need.largest_shape else ""
    smaller = (
        f"chunks of {need.largest_family!r} of at most {_rounded(fitting, up=False)} "
        f"instead of {format_bytes(need.largest_bytes)}{shape}"
    )
    # Smaller chunks of the same data are more chunks: a task that reads many must also read no more of them.
    fewer = f" (and no more than {need.inputs} of them for one task)" if need.inputs > 2 else ""
    return f"{smaller}{fewer} would fit, or {enough}"


def cannot_fit(need: Mapping[str, Any], limit_bytes: int, usable_bytes: int) -> tuple[str, str]:
    """Message and hint of the error for a graph with a task that is larger than any worker. Called from Rust."""
    largest = Need(**need)
    message = (
        f"a task of {largest.family!r} needs {format_bytes(largest.needs_bytes)} ({_parts_text(largest)}) and workers have "
        f"{format_bytes(usable_bytes)} of their {format_bytes(limit_bytes)} for it: "
        "it cannot run even if everything else is on disk, so nothing was submitted"
    )
    return message, _advice(largest, usable_bytes)


def _capacity(workers: Mapping[str, Mapping[str, Any]]) -> tuple[int, int, int]:
    """(runners, workers, memory of a worker) of an engine."""
    limits: Sequence[int] = [worker["memory_limit"] for worker in workers.values()]
    return (
        sum(worker["nthreads"] for worker in workers.values()) or 1,
        len(limits) or 1,
        max(limits, default=0) if all(limits) else 0,
    )


def explain(
    *args: Any,
    traverse: bool = True,
    scheduler: Any = None,
    memory_limit: str | int | float | None = None,
    sizes: Mapping[str, str | int] | None = None,
) -> Explanation:
    """Say what computing collections would take, and whether it fits, without running anything.

    The order in which tasks would run is played through with as many runners as there are, every task taking as long as any other.

    Parameters
    ----------
    *args : object
        Collections, or containers with collections inside.
    traverse : bool
        Whether to look into containers.
    scheduler : str or Client, optional
        Where it would run, as for :func:`kask.compute`.
    memory_limit : str, int or float, optional
        Memory of each worker, as for :class:`kask.distributed.LocalCluster`: ``"4GiB"``, ``0.5`` or ``"50%"`` of what there is, ``"auto"``, 0 for
        no limit; by default what the workers have.
    sizes : dict, optional
        How large results are, by family, where the tasks are not annotated with ``result_bytes``: ``{"load": "256MiB"}``.

    Returns
    -------
    Explanation
        Prints as a table, also in notebooks; of arrays, below two trees of expressions: as they were written, and as they will be computed, with
        the number of the layer that makes each. Expressions with the same number are made by the same tasks.

    Examples
    --------
    >>> import kask
    >>> @kask.delayed(result_bytes="100MiB")
    ... def load(i):
    ...     return bytes(i)
    >>> found = kask.explain([load(i) for i in range(20)], memory_limit="1GiB")
    >>> found.verdict, found.tasks, found.peak_bytes // 2**20
    ('spills', 20, 2000)
    >>> kask.explain(load(1), memory_limit="120MiB").verdict
    'cannot fit'
    """
    there = engine_for(scheduler).scheduler_info()["workers"]
    runners, workers, limit_bytes = _capacity(there)
    if memory_limit is not None:
        processes = not all(worker["in_process"] for worker in there.values())
        limit_bytes = memory_limit_bytes(memory_limit, workers, processes)
    room = room_of(there, None if memory_limit is None else limit_bytes)
    with planning_for(lambda: room):
        work = Work(args, traverse, None, is_renamed=True)
    if not work.collections:
        raise TypeError(f"there is no lazy collection in what explain() was given: {args!r:.200}")
    learned = {family: parse_bytes(size) for family, size in (sizes or {}).items()}
    keys = [output for outputs in work.outputs for output in outputs if isinstance(output, str)]

    def found(builder: GraphBuilder, keys: list[str]) -> dict[str, Any]:
        with work.lowering():
            return builder.explain(keys, runners, workers, limit_bytes, learned)

    def outline(is_optimized: bool) -> Outline | None:
        with planning_for(lambda: room):
            roots = work.expressions(is_optimized)
            if not roots:
                return None
            title = "after optimisation" if is_optimized else "before optimisation"
            return roots[0].outline_together(roots, title, is_optimized, found)

    return Explanation(found(work.builder, keys), runners, workers, limit_bytes, outline)
