"""How much memory the processes of a cluster hold over time, seen from outside.

A process's share is its anonymous memory and the resident part of the shared-memory files that it made (each counted
once, with its maker); pages of files on disk are the kernel's to take back and do not count.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType


def held_bytes(pid: int) -> int:
    """Anonymous memory of ``pid`` and what its own shared-memory file holds; 0 when there is no such process."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        anonymous = sum(1024 * int(fields[name].split()[0]) for name in ("RssAnon", "VmSwap") if name in fields)
        return anonymous + _shared_bytes(pid)
    except (OSError, ValueError):
        return 0


def _shared_bytes(pid: int) -> int:
    """The resident bytes of the largest memory file that the process holds open for writing."""
    largest = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{name}"
        try:
            if os.readlink(path).startswith("/memfd:kask"):
                largest = max(largest, 512 * os.stat(path).st_blocks)
        except OSError:
            continue
    return largest


class MemoryWatch:
    """Samples ``pids()`` until the ``with`` block ends; ``samples`` are (seconds, {pid: bytes})."""

    def __init__(self, pids: Callable[[], list[int]], interval_s: float = 0.05) -> None:
        self.pids, self.interval_s = pids, interval_s
        self.samples: list[tuple[float, dict[int, int]]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        started = time.perf_counter()
        while not self._over.wait(self.interval_s):
            held = {pid: held_bytes(pid) for pid in self.pids()}
            self.samples.append((time.perf_counter() - started, held))

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def peak_bytes(self) -> int:
        """The most that any one process held at any sample."""
        return max((bytes_ for _, held in self.samples for bytes_ in held.values()), default=0)
