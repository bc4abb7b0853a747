"""A cluster started by the command line, for tests that need one over TCP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path


class CommandLineCluster:
    """``kask scheduler`` and ``kask worker`` as processes of their own."""

    def __init__(self, folder: Path, nworkers: int = 2) -> None:
        self.file = folder / "scheduler.json"
        token = folder / "token"
        self._processes = [
            self._start("scheduler", "--port", "0", "--scheduler-file", self.file, "--token-file", token)
        ]
        self.scheduler_pid = self._processes[0].pid
        deadline = time.monotonic() + 30
        while not self.file.exists():
            assert self._processes[0].poll() is None, "the scheduler ended"
            assert time.monotonic() < deadline, "the scheduler wrote no file"
            time.sleep(0.02)
        self.address = json.loads(self.file.read_text())["address"]
        self._processes.append(
            self._start(
                "worker", "--scheduler-file", self.file, "--nworkers", nworkers, "--nthreads", 1, "--memory-limit", 0
            )
        )

    def _start(self, *arguments: object) -> subprocess.Popen:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        return subprocess.Popen(
            [sys.executable, "-m", "kask", *map(str, arguments)], stdout=subprocess.PIPE, env=environment
        )

    def close(self) -> list[int]:
        """Ask both to end; their exit codes."""
        codes = []
        for process in reversed(self._processes):
            process.terminate()
            codes.append(process.wait(timeout=30))
            if process.stdout is not None:
                process.stdout.close()
        return codes
