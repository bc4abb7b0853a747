"""Runs computations over more than memory holds, on worker processes and embedded, and tells what they moved and held.

The embedded engine runs in a process of its own, whose memory is only what it and the computation take: a script that calls
:func:`serve`, says when it is ready, waits for a line, runs the computation, prints its outcome as JSON, waits for another line, and ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kask import config
from kask.distributed import Client, LocalCluster

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))

from memory_watch import MemoryWatch

LOOKS_S = 0.02


def outcome(client: Client, result_of: Callable[[Client], Any]) -> dict[str, Any]:
    """The result, and what had to be done for it. Written and read are told with a worker's heartbeats."""
    result = result_of(client)
    time.sleep(1.5)
    metrics = [worker["metrics"] for worker in client.scheduler_info()["workers"].values()]
    moved = {name: sum(of[f"spill_{name}_bytes"] for of in metrics) for name in ("written", "read")}
    counters = client.counters()
    return {"result": result, **moved, **{name: counters[name] for name in ("recomputed", "memory_deaths")}}


def in_processes(run: Callable[[Client], dict[str, Any]], limit: int, folder: Path) -> tuple[dict[str, Any], int]:
    """The outcome on two worker processes, none of which dies, and the most bytes that one of them held."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=limit, local_directory=str(folder)) as cluster,
        Client(cluster) as client,
    ):
        pids = [worker["pid"] for worker in cluster.workers.values()]
        with MemoryWatch(lambda: pids, LOOKS_S) as watch:
            found = run(client)
        deaths = [worker["deaths"] for worker in cluster.workers.values()]
    assert deaths == [0, 0]
    return found, watch.peak_bytes()


def embedded(script: str, what: str, folder: Path) -> tuple[dict[str, Any], int]:
    """The outcome of a script that serves, which leaves nothing in the folder, and the most bytes that it held."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KASK_")}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        [sys.executable, script, what, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        with MemoryWatch(lambda: [process.pid], LOOKS_S) as watch:
            process.stdin.write("run\n")
            process.stdin.flush()
            found = json.loads(process.stdout.readline())
        output, _ = process.communicate("close\n", timeout=60)
        assert (output, process.returncode) == ("closed\n", 0)
    finally:
        process.kill()
        process.communicate()
    assert list(folder.iterdir()) == []
    return found, watch.peak_bytes()


def serve(run: Callable[[Client, str], dict[str, Any]], limit: int) -> None:
    """What a script does: ``python SCRIPT WHAT SPILL_FOLDER``."""
    what, folder = sys.argv[1:]
    with config.set({"memory.spill_directory": folder, "embedded.memory_limit": limit}):
        with Client("embedded", threads_per_worker=2) as client:
            print("ready", flush=True)
            sys.stdin.readline()
            print(json.dumps(run(client, what)), flush=True)
            sys.stdin.readline()
        print("closed", flush=True)
