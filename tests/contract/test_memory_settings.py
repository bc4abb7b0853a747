"""Memory limits and where results are moved to: what users may write, and what the engine is told."""

from __future__ import annotations

import pytest

from kask import config
from kask.distributed import Client, LocalCluster
from kask.engine import auto_memory_limit, local, memory_limit_bytes
from kask.exceptions import ConfigError


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("auto", "auto"),
        (0, 0),
        ("0", 0),
        (1, 1),
        ("4GiB", 4 << 30),
        (0.5, 0.5),
        ("0.5", 0.5),
        ("50%", 0.5),
        (" 12.5 %", 0.125),
        (2e9, 2_000_000_000),
    ],
)
@pytest.mark.parametrize("name", ["cluster.memory_limit", "embedded.memory_limit"])
def test_limits_are_sizes_shares_or_auto(name, written, meant):
    with config.set({name: written}):
        value = config.get(name)
    assert (value, type(value)) == (meant, type(meant))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cluster.memory_limit", "1.5"),
        ("cluster.memory_limit", "150%"),
        ("cluster.memory_limit", -1),
        ("embedded.memory_limit", "4 apples"),
        ("memory.target", 0),
        ("memory.target", 1.0),
        ("memory.target", "most"),
        ("memory.spill_limit", "much"),
        ("memory.spill_limit", -5),
        ("memory.spill_reserve", "some"),
        ("memory.spill_compression", "zip"),
        ("memory.spill_directory", 3),
    ],
)
def test_what_makes_no_sense_is_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        config.set({name: value})


def test_auto_is_an_equal_part_and_leaves_a_reserve():
    total = memory_limit_bytes()
    assert 0 < local.memory_limit_bytes("auto", 1) < total
    assert local.memory_limit_bytes("auto", 3) == auto_memory_limit(3, True)
    assert 3 * local.memory_limit_bytes("auto", 3) < total
    assert local.memory_limit_bytes("25%", 3) == local.memory_limit_bytes(0.25, 1) == total // 4
    assert local.memory_limit_bytes(None, 3) == local.memory_limit_bytes(0, 3) == 0


@pytest.mark.parametrize("limit", ["lots", "1.5", -1, True])
def test_a_limit_that_makes_no_sense_names_the_argument(limit):
    with pytest.raises(ValueError, match=r"memory_limit="):
        local.memory_limit_bytes(limit)


def test_the_engine_is_told_what_was_set():
    assert local.spill_options() == {
        "target": 0.6,
        "directory": None,
        "limit": 0,
        "reserve": None,
        "compression": "auto",
        "checkpoints": True,
    }
    settings = {
        "memory.target": "40%",
        "memory.spill_limit": "20 GB",
        "memory.spill_reserve": "1GiB",
        "memory.spill_compression": "off",
        "memory.checkpoint_shuffles": False,
        "cluster.local_directory": "/data",
    }
    told = {"target": 0.4, "limit": 20_000_000_000, "reserve": 1 << 30, "compression": "off", "checkpoints": False}
    with config.set(settings):
        assert local.spill_options() == told | {"directory": "/data"}
        assert local.spill_options("/mine") == told | {"directory": "/mine"}
        with config.set({"memory.spill_directory": "/spill"}):
            assert local.spill_options("/mine") == told | {"directory": "/spill"}


@pytest.mark.parametrize("processes", [False, True])
def test_workers_have_folders_of_their_own_that_go_with_them(tmp_path, processes):
    with (
        config.set({"memory.spill_directory": str(tmp_path)}),
        LocalCluster(n_workers=2, threads_per_worker=1, processes=processes, memory_limit="1GiB") as cluster,
        Client(cluster) as client,
    ):
        assert client.submit(abs, -1).result() == 1
        places = sorted(tmp_path.glob("kask-scratch-*/place-*"))
        assert len(places) == 2
        assert all(place.stat().st_mode & 0o777 == 0o700 for place in [*places, places[0].parent])
    assert list(tmp_path.iterdir()) == []
