"""The scheduler core alone: workers that cost nothing, graphs of 10 thousand to 10 million tasks.

The numbers come from ``cargo run --release --package kask-scheduler --example core_speed``, which prints a line for each
graph. Rates are by processor time inside the core; bytes are what the allocator gave it for the submitted graph.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from measure import Absent, Case, Contender, Goal, Opener

ROOT = Path(__file__).resolve().parents[2]
COMMAND = ["cargo", "run", "--quiet", "--release", "--package", "kask-scheduler", "--example", "core_speed", "--"]
GRAPHS = ("map", "tree", "grid")
SIZES = {"10,000": "10k", "100,000": "100k", "1,000,000": "1M", "10,000,000": "10M"}
LINE = re.compile(r"^(\w+) +(\d+) tasks +(\d+) tasks/s .* (\d+) bytes/task allocated", re.MULTILINE)

ROUNDS = 2
# "Flat": the largest graphs run at no less than this share of the smallest ones' rate.
FLAT = 0.5


def cases() -> list[Case]:
    runs = Runs()
    rate = Case(
        name="core",
        title="the scheduler core alone, by kind and size of the graph",
        unit="tasks/s",
        higher_is_better=True,
        rounds=ROUNDS,
        contenders=[Contender(name, runs.opener(name, "rate")) for name in names()],
        goals=[Goal(f"{graph} 1,000,000", 1e6) for graph in GRAPHS]
        + [Goal(f"{graph} 10,000,000", FLAT, f"{graph} 10,000") for graph in GRAPHS],
    )
    memory = Case(
        name="core-memory",
        title="memory of a waiting task in the scheduler",
        unit="bytes/task",
        higher_is_better=False,
        rounds=1,
        contenders=[Contender(name, runs.opener(name, "bytes")) for name in names()],
        goals=[Goal(f"{graph} 1,000,000", 200.0) for graph in GRAPHS],
    )
    return [rate, memory]


def names() -> list[str]:
    return [f"{graph} {size}" for graph in GRAPHS for size in SIZES]


class Runs:
    """Runs of the example; one run serves the turns of all contenders."""

    def __init__(self) -> None:
        self._done: list[dict[str, dict[str, float]]] = []

    def opener(self, name: str, what: str) -> Opener:
        turn = iter(range(1_000_000))

        @contextlib.contextmanager
        def opener() -> Iterator[Callable[[], float]]:
            number = next(turn)
            while len(self._done) <= number:
                self._done.append(run_example())
            yield lambda: self._done[number][name][what]

        return opener


def run_example() -> dict[str, dict[str, float]]:
    try:
        done = subprocess.run([*COMMAND, *SIZES.values()], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Absent("cargo is not installed") from None
    if done.returncode:
        raise RuntimeError(f"core_speed failed:\n{done.stderr}")
    labels = {digits(size): size for size in SIZES}
    found = {}
    for graph, tasks, rate, nbytes in LINE.findall(done.stdout):
        # A tree of n leaves has a few tasks more or less than asked for.
        nearest = min(labels, key=lambda size: abs(size - int(tasks)))
        found[f"{graph} {labels[nearest]}"] = {"rate": float(rate), "bytes": float(nbytes)}
    missing = set(names()) - found.keys()
    if missing:
        raise RuntimeError(f"core_speed printed nothing for {sorted(missing)}:\n{done.stdout}")
    return found


def digits(size: str) -> int:
    return int(size.replace(",", ""))
