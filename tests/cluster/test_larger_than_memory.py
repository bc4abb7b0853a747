"""Computations over ten times the memory limit: right answers, and memory within the limit all the while."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kask.distributed import Client, LocalCluster

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))

import grids
from memory_watch import MemoryWatch

MIB = 2**20
LIMIT = 256 * MIB
SIDE = 724  # a block of 4 MiB
GRID = 26  # 676 blocks: 2.6 GiB


@pytest.mark.timeout(300)
@pytest.mark.parametrize("what", list(grids.PLANNED))
def test_ten_times_the_limit_in_processes(what, tmp_path):
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=LIMIT, local_directory=str(tmp_path)) as cluster,
        Client(cluster) as client,
    ):
        pids = [worker["pid"] for worker in client.scheduler_info()["workers"].values()]
        with MemoryWatch(lambda: pids) as watch:
            result = grids.planned(client._engine, what, GRID, SIDE, seed=1, timeout=240)
        deaths = [worker["deaths"] for worker in cluster.workers.values()]
        counters = client._engine.counters()
    assert result == pytest.approx(grids.looped(what, GRID, SIDE, tmp_path), rel=1e-9)
    assert deaths == [0, 0]
    assert counters["recomputed"] == 0
    assert watch.peak_bytes() <= LIMIT
