"""What clusters leave in the kernel and on disk, and other tools of the tests of chaos."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

MIB = 1 << 20


def block(seed: int) -> np.ndarray:
    """4 MiB that cannot be compressed, and cost little to make again."""
    return np.random.default_rng(seed).integers(0, 1 << 62, MIB // 2)


def block_sum(array: np.ndarray) -> int:
    return int(array.sum() % 1_000_003)


def sums(count: int) -> list[int]:
    """What the sums of the first blocks are."""
    return [block_sum(block(seed)) for seed in range(count)]


def until(condition: Callable[[], Any], what: str, seconds: float = 20.0) -> None:
    """Wait for something to come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether there is such a process; one that has ended and is not yet reaped does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def memory_files(pid: int) -> dict[int, int]:
    """Inode -> resident bytes of Kask's files in memory that a process has open or mapped."""
    found: dict[int, int] = {}
    for folder in ("fd", "map_files"):
        try:
            entries = list(Path(f"/proc/{pid}/{folder}").iterdir())
        except OSError:
            continue
        for entry in entries:
            try:
                if os.readlink(entry).startswith("/memfd:kask"):
                    status = entry.stat()
                    found[status.st_ino] = 512 * status.st_blocks
            except OSError:
                continue
    return found


def holders(inodes: Iterable[int]) -> list[int]:
    """Processes that have one of these files in memory open or mapped."""
    wanted = set(inodes)
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and wanted & memory_files(int(pid)).keys()]


def arena_bytes(pid: int) -> int:
    """Memory behind the arena that a worker process made: the largest of the files that it holds open."""
    return max(memory_files(pid).values(), default=0)


def files(folder: Path) -> list[Path]:
    """All that is in a folder, at any depth."""
    return sorted(path for path in folder.rglob("*") if not path.is_dir())


def spilled(folder: Path) -> list[Path]:
    """The files of spilled values under a folder."""
    return [path for path in files(folder) if path.parent.name.startswith("place-") and path.name.startswith("value-")]


def start_script(code: str, *arguments: object, prefix: tuple[str, ...] = (), **options: Any) -> subprocess.Popen:
    """Python code in a process, whose output can be read line by line."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KASK_")}
    here = str(Path(__file__).resolve().parent)
    environment["PYTHONPATH"] = os.pathsep.join([here, *(path for path in sys.path if path)])
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def command_line(*arguments: object) -> subprocess.Popen:
    """A ``kask`` command that runs on."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        [sys.executable, "-m", "kask", *map(str, arguments)], stdout=subprocess.DEVNULL, env=environment
    )


def line(process: subprocess.Popen) -> list[str]:
    """The words of the next line that a script prints; its errors, if it ended."""
    assert process.stdout is not None and process.stderr is not None
    text = process.stdout.readline()
    assert text, process.stderr.read()
    return text.split()


def close(process: subprocess.Popen) -> None:
    """End a script, whatever it does, and let go of its pipes."""
    if process.poll() is None:
        process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
