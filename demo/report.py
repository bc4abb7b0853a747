"""The table at the end: what ran, how fast, what was moved and what was computed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """One finished run of the demonstration."""

    name: str
    seconds: float
    tasks: int
    moved_bytes: int
    recomputed: int

    @classmethod
    def between(cls, name: str, seconds: float, before: Mapping[str, int], after: Mapping[str, int]) -> Run:
        """From the scheduler's counters before and after the run."""
        grown = {counter: after[counter] - before.get(counter, 0) for counter in after}
        return cls(name, seconds, grown["finished"], grown["moved_bytes"], grown["recomputed"])


def print_table(runs: list[Run]) -> None:
    print(f"\n{'run':<24}{'tasks':>8}{'seconds':>10}{'tasks/s':>10}{'moved':>12}{'recomputed':>12}")
    for run in runs:
        rate = run.tasks / run.seconds if run.seconds else 0.0
        print(
            f"{run.name:<24}{run.tasks:>8,}{run.seconds:>10.2f}{rate:>10,.0f}"
            f"{size(run.moved_bytes):>12}{run.recomputed:>12,}"
        )


def size(count: int) -> str:
    """``count`` bytes in the unit that suits it."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
