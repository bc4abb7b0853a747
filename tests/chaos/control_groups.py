"""Control groups with a memory limit, for tests that run a script in one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from traces import until

# Where groups are mounted, and the file that says that memory is among what is controlled there, with the word to look for.
TWO = (Path("/sys/fs/cgroup"), "cgroup.subtree_control", "memory")
ONE = (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "")


class ControlGroup:
    """A group with a limit, of version 2 where that controls memory and else of version 1. Skips the test where there can be none."""

    def __init__(self, limit: int) -> None:
        tops = [(top, mark) for top, file, mark in (TWO, ONE) if mark in self._words(top / file)]
        if not tops:
            pytest.skip("no control groups are mounted, or they do not control memory")
        top, mark = tops[0]
        self.is_version_2 = bool(mark)
        self.path = top / f"kask-test-{os.getpid()}"
        try:
            self.path.mkdir()
        except OSError as error:
            pytest.skip(f"a control group cannot be made: {error}")
        try:
            (self.path / ("memory.max" if self.is_version_2 else "memory.limit_in_bytes")).write_text(str(limit))
        except OSError as error:
            self.path.rmdir()
            pytest.skip(f"a control group cannot be limited: {error}")

    @staticmethod
    def _words(file: Path) -> list[str]:
        """The words of a file and the empty one; none when there is no such file."""
        try:
            return ["", *file.read_text().split()]
        except OSError:
            return []

    def run(self, code: str, *arguments: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Python code in a process that is in the group, with all that it starts."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KASK_")}
        here = str(Path(__file__).resolve().parent)
        environment["PYTHONPATH"] = os.pathsep.join([here, *(path for path in sys.path if path)])
        enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
        return subprocess.run(
            ["/bin/sh", "-c", enter, str(self.path), sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True, text=True, timeout=timeout, env=environment, check=False,
        )  # fmt: skip

    def kernel_kills(self) -> int:
        """How many of its processes the kernel has killed for want of memory."""
        text = (self.path / ("memory.events" if self.is_version_2 else "memory.oom_control")).read_text()
        return int(dict(line.split() for line in text.splitlines())["oom_kill"])

    def peak_bytes(self) -> int:
        """The most that was in use at once, files that the kernel keeps in memory among it; 0 where the kernel does not say."""
        file = self.path / ("memory.peak" if self.is_version_2 else "memory.max_usage_in_bytes")
        return int(file.read_text()) if file.exists() else 0

    def close(self) -> None:
        until(lambda: not (self.path / "cgroup.procs").read_text(), "its processes end")
        self.path.rmdir()
