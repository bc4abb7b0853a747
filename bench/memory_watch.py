"""How much memory the processes of a cluster hold over time, and how much is on disk, seen from outside.

A process's share is its anonymous memory and the resident part of the shared-memory files that it made (each counted
once, with its maker); pages of files on disk are the kernel's to take back and do not count.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

Sample = TypeVar("Sample")


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
            # What neighbours lend is open for reading only.
            if os.readlink(path).startswith("/memfd:kask") and os.lstat(path).st_mode & stat.S_IWUSR:
                largest = max(largest, 512 * os.stat(path).st_blocks)
        except OSError:
            continue
    return largest


class Watch(Generic[Sample]):
    """Takes a sample every ``interval_s`` until the ``with`` block ends; ``samples`` are (seconds, sample)."""

    def __init__(self, take: Callable[[], Sample], interval_s: float) -> None:
        self._take, self.interval_s = take, interval_s
        self.samples: list[tuple[float, Sample]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._over.wait(self.interval_s):
            self.samples.append((self.seconds(), self._take()))

    def seconds(self) -> float:
        """Since the block began."""
        return time.perf_counter() - self._started

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()


class MemoryWatch(Watch[dict[int, int]]):
    """Watches the processes ``pids()``; a sample says what each of them held."""

    def __init__(self, pids: Callable[[], list[int]], interval_s: float = 0.05) -> None:
        super().__init__(lambda: {pid: held_bytes(pid) for pid in pids()}, interval_s)

    def peak_bytes(self) -> int:
        """The most that any one process held at any sample."""
        return max((bytes_ for _, held in self.samples for bytes_ in held.values()), default=0)


class DiskWatch(Watch[int]):
    """Watches what the files below a folder take on the disk."""

    def __init__(self, folder: Path, interval_s: float = 0.2) -> None:
        super().__init__(lambda: disk_bytes(folder), interval_s)


def disk_bytes(folder: Path) -> int:
    """What all files below a folder take; those that are gone when they are looked at count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += 512 * os.stat(os.path.join(parent, name)).st_blocks
            except OSError:
                continue
    return total
