"""Large values over TCP loopback, beside plain sockets that only move bytes.

The numbers come from ``cargo run --release --package kask-net --example throughput``: 1 GiB in values of 64 MiB from one
process to another, both ways in turn.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator

from cases.core import ROOT
from measure import Absent, Case, Contender, Goal

COMMAND = ["cargo", "run", "--quiet", "--release", "--package", "kask-net", "--example", "throughput"]
LINE = re.compile(r"^best: plain sockets ([\d.]+) GB/s, a connection ([\d.]+) GB/s", re.MULTILINE)


def cases() -> list[Case]:
    best: dict[str, float] = {}
    return [
        Case(
            name="tcp",
            title="1 GiB over TCP loopback between two processes",
            unit="GB/s",
            higher_is_better=True,
            contenders=[Contender(name, opener(name, best)) for name in ("plain sockets", "kask connection")],
            goals=[Goal("kask connection", 0.8, "plain sockets")],
            rounds=1,
        )
    ]


def opener(name: str, best: dict[str, float]) -> Callable[[], contextlib.AbstractContextManager[Callable[[], float]]]:
    @contextlib.contextmanager
    def open_example() -> Iterator[Callable[[], float]]:
        if not best:
            best.update(run_example())
        yield lambda: best[name]

    return open_example


def run_example() -> dict[str, float]:
    try:
        done = subprocess.run(COMMAND, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Absent("cargo is not installed") from None
    found = LINE.search(done.stdout)
    if done.returncode or not found:
        raise RuntimeError(f"throughput failed:\n{done.stdout}{done.stderr}")
    return {"plain sockets": float(found[1]), "kask connection": float(found[2])}
