"""Arrays beside Dask's and NumPy's: products, very many chunks, rechunking and a climatology under a memory limit.

Each measurement is a process of its own (``array_programs.py``), so that none profits from another's threads, imports or
memory. A contender that takes more than ten minutes is ended and left out, and the table says so.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import measure
from cases.spill import direct_seconds, spill_folder
from measure import Absent, Case, Contender, Goal, Opener

PROGRAMS = Path(__file__).resolve().parents[1] / "array_programs.py"
PATIENCE_S = 600

GIB = 2**30


@dataclass(frozen=True)
class Sizes:
    """Arguments of the programs."""

    matmul: tuple[int, ...] = (4000, 1000)
    many: tuple[int, ...] = (300,)
    million: tuple[int, ...] = (1000,)
    rechunk: tuple[int, ...] = (20_000, 250, GIB)
    anomaly: tuple[int, ...] = (3653, 606, 606, 30, 2 * GIB)


QUICK = Sizes((1000, 250), (60,), (100,), (4000, 250, GIB), (1461, 60, 60, 100, 2 * GIB))

peaks: dict[str, list[int]] = {}


def cases() -> list[Case]:
    sizes = QUICK if measure.quick else Sizes()
    return [*products(sizes), *small_chunks(sizes), *larger_than_memory(sizes)]


def products(sizes: Sizes) -> list[Case]:
    title = f"product of two matrices of {sizes.matmul[0]:,} by {sizes.matmul[0]:,}, chunks of {sizes.matmul[1]:,}"
    return [
        Case(
            name="array-matmul",
            title=title,
            unit="s",
            higher_is_better=False,
            contenders=[
                Contender("kask", program("matmul", "kask", sizes.matmul)),
                Contender("numpy", program("matmul", "numpy", sizes.matmul)),
                Contender("dask threads", program("matmul", "dask", sizes.matmul)),
            ],
            goals=[Goal("kask", 1.1, "numpy"), Goal("kask", 1.0, "dask threads")],
        )
    ]


def small_chunks(sizes: Sizes) -> list[Case]:
    many, million = sizes.many[0] ** 2, sizes.million[0] ** 2
    return [
        Case(
            name="array-small-chunks",
            title=f"(g + 1).sum() over {many:,} chunks of one element",
            unit="s",
            higher_is_better=False,
            contenders=[
                Contender("kask", program("small-chunks", "kask", sizes.many)),
                Contender("dask threads", program("small-chunks", "dask", sizes.many), rounds=1),
            ],
            goals=[Goal("kask", 0.5)],
        ),
        Case(
            name="array-small-chunks-peak",
            title="the same: most memory held by the process",
            unit="MB",
            higher_is_better=False,
            contenders=[
                Contender("kask", peak("small-chunks kask")),
                Contender("dask threads", peak("small-chunks dask")),
            ],
            goals=[Goal("kask", 300.0)],
            rounds=1,
        ),
        Case(
            name="array-description",
            title=f"describe (g + 1).sum() over {million:,} chunks",
            unit="s",
            higher_is_better=False,
            contenders=[
                Contender("kask", program("description", "kask", sizes.million)),
                Contender("dask", program("description", "dask", sizes.million), rounds=1),
            ],
            goals=[Goal("kask", 0.05)],
            rounds=1,
        ),
    ]


def larger_than_memory(sizes: Sizes) -> list[Case]:
    side, _, limit = sizes.rechunk
    days, latitudes, longitudes, _, anomaly_limit = sizes.anomaly
    size = days * latitudes * longitudes * 8 / GIB
    return [
        Case(
            name="array-rechunk",
            title=f"rechunk ({side:,}, {side:,}) from rows to columns, a worker of {limit / GIB:g} GiB",
            unit="s",
            higher_is_better=False,
            contenders=[
                Contender("kask", program("rechunk", "kask", sizes.rechunk)),
                Contender("dask", program("rechunk", "dask", sizes.rechunk)),
                Contender("direct writes and reads", direct(8 * side * side)),
            ],
            goals=[Goal("kask", 1.5, "direct writes and reads"), Goal("kask", 0.25, "dask")],
            rounds=1,
        ),
        Case(
            name="array-anomaly",
            title=f"xarray: anomaly by day of the year of {size:.1f} GiB, a worker of {anomaly_limit / GIB:g} GiB",
            unit="s",
            higher_is_better=False,
            contenders=[
                Contender("kask", program("anomaly", "kask", sizes.anomaly)),
                Contender("dask", program("anomaly", "dask", sizes.anomaly)),
            ],
            goals=[Goal("kask", 1 / 3, "dask")],
            rounds=1,
        ),
    ]


def program(name: str, system: str, sizes: tuple[int, ...]) -> Opener:
    """Runs one of the programs, and notes how much memory it held."""

    @contextlib.contextmanager
    def opener() -> Iterator[Callable[[], float]]:
        for needed in (system, *(["xarray", "pandas"] if name == "anomaly" else [])):
            if importlib.util.find_spec(needed) is None:
                raise Absent(f"{needed} is not installed")
        yield lambda: run(name, system, sizes)

    return opener


def run(name: str, system: str, sizes: tuple[int, ...]) -> float:
    command = [sys.executable, str(PROGRAMS), name, system, *map(str, sizes)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            output, errors = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            end(process)
            raise Absent(f"more than {PATIENCE_S} s") from None
        except BaseException:
            end(process)
            raise
    if process.returncode:
        if system == "kask":
            raise RuntimeError(f"{' '.join(command)} failed:\n{errors}")
        raise Absent(f"failed: {reason(errors)}")
    told = json.loads(output.splitlines()[-1])
    peaks.setdefault(f"{name} {system}", []).append(told["peak_bytes"])
    return told["seconds"]


def end(process: subprocess.Popen[str]) -> None:
    """Ends a program and the workers that it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def reason(errors: str) -> str:
    lines = [line for line in errors.splitlines() if line and not line.startswith(" ")]
    return lines[-1].partition(":")[0] if lines else "it said nothing"


def peak(what: str) -> Opener:
    @contextlib.contextmanager
    def opener() -> Iterator[Callable[[], float]]:
        if what not in peaks:
            raise Absent("not measured")
        yield lambda: max(peaks[what]) / 1e6

    return opener


def direct(total: int) -> Opener:
    """The same number of bytes written to the disk and read again, and nothing else done."""

    @contextlib.contextmanager
    def opener() -> Iterator[Callable[[], float]]:
        with tempfile.TemporaryDirectory(dir=spill_folder()) as folder:
            piece = 16 * 2**20
            yield lambda: direct_seconds(Path(folder) / "data", -(-total // piece) * piece)

    return opener
