"""Arrays of ten times the memory limit: right results, memory within the limit, no process that dies, and no thrashing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import arrays_over_memory
import numpy as np
import pytest
from arrays_over_memory import DATA, LIMIT

from held_memory import PeakMemory
from kask.distributed import Client, LocalCluster

pytestmark = pytest.mark.timeout(240)

# What may be written and read back, as shares of the data: at least (or nothing was larger than memory) and at most. A total and a
# transpose need nothing twice at another time, and a deviation by columns needs one column of blocks. The three rows of blocks that
# an overlap needs take as much as both workers may hold in values, and a rechunk can merge nothing before all is split.
WRITTEN = {
    "deviation": (0.0, 0.5),
    "total": (0.0, 0.1),
    "overlap": (0.1, 1.5),
    "transpose": (0.0, 0.25),
    "rechunk": (0.7, 2.1),
}
READ = {"deviation": 0.5, "total": 0.1, "overlap": 1.5, "transpose": 0.25, "rechunk": 1.1}


def check(what: str, outcome: dict, peak_bytes: int) -> None:
    assert DATA >= 10 * LIMIT
    written, read = outcome["written"], outcome["read"]
    print(f"{what}: written {written:.2f} of the data, read {read:.2f}, peak {peak_bytes / LIMIT:.2f} of the limit")
    np.testing.assert_allclose(np.array(outcome["result"]), arrays_over_memory.expected(what), rtol=1e-9)
    if what != "deviation":
        assert outcome["result"] == arrays_over_memory.expected(what).tolist()
    assert outcome["memory_deaths"] == outcome["recomputed"] == 0
    assert 0.1 * LIMIT < peak_bytes <= LIMIT
    assert WRITTEN[what][0] <= written <= WRITTEN[what][1]
    assert read <= READ[what]


@pytest.mark.parametrize("what", list(arrays_over_memory.COMPUTATIONS))
def test_ten_times_the_limit_in_processes(what, tmp_path):
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=LIMIT, local_directory=str(tmp_path)) as cluster,
        Client(cluster) as client,
    ):
        with PeakMemory(worker["pid"] for worker in cluster.workers.values()) as peak:
            outcome = arrays_over_memory.outcome(client, what)
        deaths = [worker["deaths"] for worker in cluster.workers.values()]
    assert deaths == [0, 0]
    check(what, outcome, peak.bytes)


@pytest.mark.parametrize("what", list(arrays_over_memory.COMPUTATIONS))
def test_ten_times_the_limit_embedded(what, tmp_path):
    """In a process of its own, whose memory is only what the engine and the computation take."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KASK_")}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    script = subprocess.Popen(
        [sys.executable, arrays_over_memory.__file__, what, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert script.stdout.readline() == "ready\n"
        with PeakMemory([script.pid]) as peak:
            script.stdin.write("run\n")
            script.stdin.flush()
            outcome = json.loads(script.stdout.readline())
        output, _ = script.communicate("close\n", timeout=60)
        assert (output, script.returncode) == ("closed\n", 0)
    finally:
        script.kill()
        script.communicate()
    check(what, outcome, peak.bytes)
    assert list(tmp_path.iterdir()) == []
