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

# What may be written and read back at most, as shares of the data. A sum needs nothing twice, a deviation by columns one column of
# blocks, a transpose two blocks; an overlap needs three rows of blocks, which is just more than memory; and a deviation from one mean
# of all needs everything twice, as a shuffle does, which cannot begin to merge before all is split.
TRAFFIC = {
    "sum": (0.02, 0.02),
    "standard deviation": (0.1, 0.1),
    "transpose and add": (0.1, 0.1),
    # Which of two neighbours is still in memory when the other needs it is a matter of timing: 0.8 to 1.01 was seen.
    "overlap": (1.2, 1.2),
    "two passes": (1.02, 1.02),
    # Splits need one write and one read of everything. What is written beyond that (0.8 to 1.1 of the data was seen) is hardly read
    # again; where it comes from is not known, so this keeps it from getting worse, and says nothing of how little would do.
    "shuffle": (2.1, 1.1),
    "rechunk": (2.1, 1.1),
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
    written, read = outcome["written"] / data, outcome["read"] / data
    print(f"{what}: written {written:.2f} of the data, read {read:.2f}, peak {peak_bytes / LIMIT:.2f} of the limit")
    assert written <= TRAFFIC[what][0]
    assert read <= TRAFFIC[what][1]
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
