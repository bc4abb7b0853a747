"""Computations over ten times the memory limit: right answers, memory within the limit, and no more to disk and back than must be."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import over_memory
import pytest
from over_memory import LIMIT

from kask.distributed import Client, LocalCluster
from memory_watch import MemoryWatch

pytestmark = pytest.mark.timeout(300)

# What may be written and read back at most, as shares of the data. A sum needs nothing twice, an average by columns one column of
# blocks, and an overlap the blocks around one; half of a transpose waits for its mirror image; and a shuffle cannot begin to merge
# before all is split.
TRAFFIC = {
    "sum": 0.02,
    "standard deviation": 1.0,
    "transpose and add": 1.0,
    "overlap": 0.1,
    "shuffle": 1.05,
    "rechunk": 1.05,
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loops")
    return functools.cache(lambda what: over_memory.expected(what, folder))


def check(what, outcome, expected, peak_bytes):
    data = over_memory.data_bytes(what)
    assert data >= 10 * LIMIT
    answer = expected(what)
    assert outcome["result"] == (pytest.approx(answer, rel=1e-9) if isinstance(answer, float) else answer)
    assert outcome["recomputed"] == 0
    shares = {name: outcome[name] / data for name in ("written", "read")}
    print(what, shares, f"peak {peak_bytes / LIMIT:.2f}")
    assert max(shares.values()) <= TRAFFIC[what], shares
    assert peak_bytes <= LIMIT


@pytest.mark.parametrize("what", list(over_memory.COMPUTATIONS))
def test_ten_times_the_limit_in_processes(what, expected, tmp_path):
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=LIMIT, local_directory=str(tmp_path)) as cluster,
        Client(cluster) as client,
    ):
        pids = [worker["pid"] for worker in client.scheduler_info()["workers"].values()]
        with MemoryWatch(lambda: pids) as watch:
            outcome = over_memory.outcome(client, what)
        deaths = [worker["deaths"] for worker in cluster.workers.values()]
    assert deaths == [0, 0]
    check(what, outcome, expected, watch.peak_bytes())


@pytest.mark.parametrize("what", list(over_memory.COMPUTATIONS))
def test_ten_times_the_limit_embedded(what, expected, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KASK_")}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    script = subprocess.Popen(
        [sys.executable, over_memory.__file__, what, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert script.stdout.readline() == "ready\n"
        with MemoryWatch(lambda: [script.pid]) as watch:
            script.stdin.write("run\n")
            script.stdin.flush()
            outcome = json.loads(script.stdout.readline())
        output, _ = script.communicate("close\n", timeout=60)
        assert (output, script.returncode) == ("closed\n", 0)
    finally:
        script.kill()
        script.communicate()
    check(what, outcome, expected, watch.peak_bytes())
    assert list(Path(tmp_path).iterdir()) == []
