"""What a benchmark is made of: a case, its contenders, its goals; and how a case is measured.

Contenders take turns, round by round, so that a slow minute of the machine hits all of them. Each keeps its best value
and its median.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

# Opens what is needed (a pool, a cluster) and yields a function that measures once and returns the value.
Opener = Callable[[], AbstractContextManager[Callable[[], float]]]


#: Whether cases are made small, where they can be, to see that they work.
quick = False


@dataclass(frozen=True)
class Contender:
    """One way of doing the work. ``rounds`` may be lowered for what is slow and not the point."""

    name: str
    open: Opener
    rounds: int | None = None


@dataclass(frozen=True)
class Goal:
    """``contender`` reaches ``value``, or ``value`` times what ``relative_to`` reaches in the same run."""

    contender: str
    value: float
    relative_to: str | None = None


@dataclass(frozen=True)
class Case:
    """One measure, in one unit."""

    name: str
    title: str
    unit: str
    higher_is_better: bool
    contenders: list[Contender]
    goals: list[Goal]
    rounds: int = 3


@dataclass
class Measured:
    """What a contender reached, or why it could not take part."""

    values: list[float] = field(default_factory=list)
    absent: str = ""

    def best(self, higher_is_better: bool) -> float:
        return max(self.values) if higher_is_better else min(self.values)

    def median(self) -> float:
        return statistics.median(self.values)


class Absent(Exception):
    """A contender that is not installed; the message names it."""


def run(case: Case, rounds: int | None = None) -> dict[str, Measured]:
    """All contenders of ``case``, by name."""
    results = {contender.name: Measured() for contender in case.contenders}
    for contender in turns(case, rounds or case.rounds):
        measured = results[contender.name]
        if measured.absent:
            continue
        try:
            with contender.open() as measure:
                measured.values.append(measure())
        except Absent as absent:
            measured.absent = str(absent)
    return results


def turns(case: Case, rounds: int) -> Iterator[Contender]:
    """Round by round, each round starting one contender later than the one before."""
    count = len(case.contenders)
    for turn in range(rounds):
        for position in range(count):
            contender = case.contenders[(turn + position) % count]
            if contender.rounds is None or turn < contender.rounds:
                yield contender


@dataclass(frozen=True)
class Verdict:
    """A goal and what came of it. ``ratio`` of 1 or more means that the goal was reached."""

    goal: Goal
    needed: float
    reached: float
    ratio: float

    @property
    def ok(self) -> bool:
        return self.ratio >= 1.0


def judge(case: Case, results: dict[str, Measured]) -> list[Verdict]:
    """The best values against the goals. A goal whose contenders were absent is left out."""
    verdicts = []
    for goal in case.goals:
        needed = goal.value
        if goal.relative_to is not None:
            other = results[goal.relative_to]
            if not other.values:
                continue
            needed *= other.best(case.higher_is_better)
        if results[goal.contender].values:
            reached = results[goal.contender].best(case.higher_is_better)
            ratio = reached / needed if case.higher_is_better else needed / reached
            verdicts.append(Verdict(goal, needed, reached, ratio))
    return verdicts
