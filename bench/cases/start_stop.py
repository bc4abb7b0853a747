"""Starting and stopping, and importing: what a script pays before and after its work."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import contenders
from measure import Absent, Case, Contender, Goal, Opener


def cases() -> list[Case]:
    systems = Case(
        name="start-stop",
        title="start, run one task, stop",
        unit="ms",
        higher_is_better=False,
        rounds=5,
        contenders=[
            Contender("thread pool", started(contenders.thread_pool)),
            Contender("kask embedded", started(contenders.kask_embedded)),
            Contender("kask processes", started(contenders.kask_processes)),
            Contender("dask processes", started(contenders.dask_processes), rounds=2),
            Contender("ray", started(contenders.ray_processes), rounds=2),
        ],
        goals=[Goal("kask embedded", 20.0), Goal("kask processes", 600.0)],
    )
    imports = Case(
        name="import",
        title="import, in a fresh interpreter",
        unit="ms",
        higher_is_better=False,
        rounds=5,
        contenders=[
            Contender("kask", imported("kask")),
            Contender("kask.distributed", imported("kask.distributed")),
            Contender("dask", imported("dask")),
            Contender("dask.distributed", imported("distributed"), rounds=3),
            Contender("ray", imported("ray"), rounds=3),
        ],
        goals=[Goal("kask", 60.0)],
    )
    return [systems, imports]


def started(open_session: Callable[[], contextlib.AbstractContextManager]) -> Opener:
    @contextlib.contextmanager
    def opener() -> Iterator[Callable[[], float]]:
        def measure() -> float:
            start = time.perf_counter()
            with open_session() as session:
                session.once()
            return 1e3 * (time.perf_counter() - start)

        yield measure

    return opener


def imported(module: str) -> Opener:
    code = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"

    @contextlib.contextmanager
    def opener() -> Iterator[Callable[[], float]]:
        def measure() -> float:
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
            if "ModuleNotFoundError" in done.stderr:
                raise Absent(f"{module} is not installed")
            if done.returncode:
                raise RuntimeError(f"importing {module} failed:\n{done.stderr}")
            return 1e3 * float(done.stdout)

        yield measure

    return opener
