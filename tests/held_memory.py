"""The most memory that processes held, seen from outside."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable
from pathlib import Path


def held_bytes(pid: int) -> int:
    """Anonymous memory of a process and what its own arena holds; 0 when there is no such process.

    Pages of files on disk are the kernel's to take back, and an arena counts for the process that made it alone: others have
    it open for reading only.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        return 1024 * sum(int(fields[name].split()[0]) for name in ("RssAnon", "VmSwap")) + _arena_bytes(pid)
    except (OSError, KeyError):
        return 0


def _arena_bytes(pid: int) -> int:
    largest = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(entry).startswith("/memfd:kask-arena") and entry.lstat().st_mode & stat.S_IWUSR:
                largest = max(largest, 512 * entry.stat().st_blocks)
        except OSError:
            continue
    return largest


class PeakMemory:
    """Looks at processes every few milliseconds until the ``with`` block ends; ``bytes`` is the most that one of them held."""

    def __init__(self, pids: Iterable[int], interval_s: float = 0.02) -> None:
        self.pids, self.interval_s, self.bytes = list(pids), interval_s, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._over.wait(self.interval_s):
            self.bytes = max(self.bytes, *map(held_bytes, self.pids))

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
