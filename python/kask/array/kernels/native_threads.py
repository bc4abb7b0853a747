"""Tasks that call the BLAS at the same time share its threads, instead of each starting as many as there are cores.

The number of threads of a BLAS belongs to the process. It is what the user set as long as one of these tasks runs alone; once several run, each gets
its part, until the last has ended. Worker processes of a local cluster start with one thread each, and nothing is done here. Nor is it with
other libraries than OpenBLAS with threads of its own, which is what NumPy's and SciPy's wheels bring; threadpoolctl finds it.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from kask.engine.exits import on_fork

__all__ = ["call_blas", "shared_blas"]

#: Blocks of fewer elements together than this are not worth several threads.
LARGE = 1 << 16

#: With so many, the first of several tasks waits for a moment for those that start at the same time: they would take its threads.
VERY_LARGE, MOMENT_S = 1 << 20, 0.001

#: What the names of functions of OpenBLAS begin and end with.
PREFIXES, SUFFIXES = ("", "scipy_"), ("", "64_", "_64")


class SharedBlas:
    """``with shared_blas:`` while the BLAS is called."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running = 0
        # At the same time, since none was running. Not just now: threads of a BLAS go on waiting for a while when a call has ended.
        self.most = 1
        self.libraries: list[tuple[OpenBlas, int]] = []
        self.modules = -1

    def __enter__(self) -> int:
        """How many are running now."""
        with self.lock:
            if not self.running:
                self._look()
            self.running += 1
            self.most = max(self.most, self.running)
            self._divide()
            return self.running

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        with self.lock:
            self.running -= 1
            if not self.running:
                self.most = 1
                self._divide()

    def forget(self) -> None:
        """In the child of a fork, where none of these tasks is running."""
        was_divided = self.most > 1
        self.lock, self.running, self.most = threading.Lock(), 0, 1
        if was_divided:
            self._divide()

    def _look(self) -> None:
        """Which libraries there are, and how many threads each has. NumPy and SciPy bring one each."""
        loaded = ("numpy.linalg" in sys.modules) + ("scipy.linalg" in sys.modules)
        if loaded != self.modules:
            self.modules = loaded
            self.libraries = [(library, 0) for library in _libraries()]
        self.libraries = [(library, library.get_num_threads() or 1) for library, _ in self.libraries]

    def _divide(self) -> None:
        for library, threads in self.libraries:
            # With one thread there is nothing to share.
            if threads > 1:
                library.set_num_threads(max(1, threads // self.most))


class OpenBlas:
    """The number of threads of a library. threadpoolctl lets one thread of the process change it; here any does, behind one lock."""

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(path)
        self.get_num_threads, self.set_num_threads = [
            next(
                getattr(library, name)
                for name in (
                    f"{prefix}openblas_{what}_num_threads{suffix}" for prefix in PREFIXES for suffix in SUFFIXES
                )
                if hasattr(library, name)
            )
            for what in ("get", "set")
        ]


def _libraries() -> list[OpenBlas]:
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    return [
        OpenBlas(found["filepath"])
        for found in threadpool_info()
        if found["internal_api"] == "openblas" and found["threading_layer"] == "pthreads"
    ]


shared_blas = SharedBlas()
on_fork(shared_blas.forget)


def call_blas(func: Callable[..., Any], *blocks: Any, **options: Any) -> Any:
    """``func`` of blocks, with a part of the threads if others call the BLAS as well."""
    size = sum([getattr(block, "size", 0) for block in blocks])
    if size < LARGE:
        return func(*blocks, **options)
    with shared_blas as running:
        if running == 1 and size >= VERY_LARGE:
            time.sleep(MOMENT_S)
        return func(*blocks, **options)
