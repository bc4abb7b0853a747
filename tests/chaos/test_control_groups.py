"""Inside a real control group: its limit is the one that ``"auto"`` divides, what does not fit goes to disk, and the kernel has no reason to
kill anybody."""

from __future__ import annotations

import json

import pytest
from control_groups import ControlGroup
from traces import MIB, files, sums

pytestmark = pytest.mark.timeout(300)

LIMIT = 700 * MIB
RESERVE = 70 * MIB  # a tenth, for the process that starts the workers
BLOCKS = 525  # of 4 MiB: three times the limit


@pytest.fixture
def group():
    group = ControlGroup(LIMIT)
    yield group
    group.close()


# Everything is needed a second time when all of it has been made.
TWICE = """
import json, sys, time
from kask import config
from kask.distributed import Client, LocalCluster, wait
from traces import block, block_sum

def outcome(client):
    blocks = client.map(block, range(int(sys.argv[3])))
    wait(blocks)
    found = client.gather(client.map(block_sum, blocks))
    time.sleep(1.5)
    workers = client.scheduler_info()["workers"].values()
    written = sum(worker["metrics"]["spill_written_bytes"] for worker in workers)
    counters = {name: client.counters()[name] for name in ("memory_deaths", "recomputed", "workers_lost")}
    return {"sums": found, "limits": [worker["memory_limit"] for worker in workers], "written": written, **counters}

with config.set({"memory.spill_directory": sys.argv[2]}):
    if sys.argv[1] == "embedded":
        with Client("embedded", threads_per_worker=2) as client:
            found = outcome(client)
    else:
        with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=sys.argv[4]) as cluster, Client(cluster) as client:
            held = b"x" * int(sys.argv[5])
            found = outcome(client)
print(json.dumps(found))
"""


@pytest.mark.parametrize("size, workers", [("processes", 2), ("embedded", 1)])
def test_three_times_what_the_group_may_have(group, tmp_path, size, workers):
    done = group.run(TWICE, size, tmp_path, BLOCKS, "auto", 0)
    check(done, group, tmp_path, limits=[(LIMIT - RESERVE) // workers] * workers)


@pytest.mark.parametrize(
    "limit, held", [(LIMIT, 0), ((LIMIT - RESERVE) // 2, LIMIT // 3)], ids=["each has all", "the client takes a third"]
)
def test_workers_give_way_to_each_other_and_to_the_client(group, tmp_path, limit, held):
    done = group.run(TWICE, "processes", tmp_path, BLOCKS, limit, held)
    check(done, group, tmp_path, limits=[limit] * 2)


def check(done, group, tmp_path, limits):
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("sums") == sums(BLOCKS)
    assert found.pop("limits") == limits
    # What was not in memory at the end of the first pass was on disk.
    assert found.pop("written") >= BLOCKS * 4 * MIB - LIMIT
    assert found == {"memory_deaths": 0, "recomputed": 0, "workers_lost": 0}
    assert group.kernel_kills() == 0
    assert group.peak_bytes() <= LIMIT
    assert files(tmp_path) == []


# The first worker may fill what it likes while the other one is as full as its limit allows. It does so at a pace at which a supervisor that
# hardly gets a processor has half a second before all of the group is filled.
TOO_MUCH = """
import json, sys, time
from kask import config
from kask.distributed import Client, LocalCluster, wait
from traces import block, block_sum

def fill():
    parts = []
    while True:
        parts.append(bytearray(b"x") * (4 << 20))
        time.sleep(0.02)

with config.set({"memory.spill_directory": sys.argv[1]}):
    with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="auto") as cluster, Client(cluster) as client:
        first, second = sorted(cluster.workers)
        blocks = client.map(block, range(100), workers=[second])
        wait(blocks)
        error = client.submit(fill, workers=[first]).exception(timeout=200)
        found = {"error": type(error).__name__, "deaths": list(error.deaths), "sums": client.gather(client.map(block_sum, blocks))}
        found |= {"died": [cluster.workers[name]["deaths"] for name in (first, second)], "counted": client.counters()["memory_deaths"]}
print(json.dumps(found))
"""


def test_a_task_that_takes_too_much_is_ended_before_the_kernel_has_to(group, tmp_path):
    done = group.run(TOO_MUCH, tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    deaths = found["deaths"]
    assert found["error"] == "KilledWorker"
    assert deaths and all("ran out of memory" in death and "while running fill" in death for death in deaths), deaths
    # By the supervisor, which says by how much; all of these are the first worker's.
    assert done.stderr.count(f"of its limit of {(LIMIT - RESERVE) // 2 // MIB} MiB") == len(deaths), done.stderr
    assert found["died"] == [len(deaths), 0]
    assert found["counted"] == len(deaths)
    assert found["sums"] == sums(100)
    assert group.kernel_kills() == 0
    assert group.peak_bytes() <= LIMIT
    assert files(tmp_path) == []
