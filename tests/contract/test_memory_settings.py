"""Memory limits and where results are moved to: what users may write, and what the engine is told."""

from __future__ import annotations

import fractions
import logging
import math
import time

import numpy as np
import pytest

from kask import config
from kask.distributed import Client, LocalCluster
from kask.engine import auto_memory_limit, local, memory_limit_bytes
from kask.exceptions import ClusterError, ConfigError


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
        ("1e9", 1_000_000_000),
        ("1.5e9", 1_500_000_000),
        ("1PiB", 1 << 50),
        ("1e-05", 1e-05),
        (1e-05, 1e-05),
        (1.0, 1.0),
        ("100%", 1.0),
        (0.0, 0),
        ("0.0", 0),
        (" AUTO ", "auto"),
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(2**30), 2**30),
        (np.uint8(0), 0),
        (fractions.Fraction(1, 4), 0.25),
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
        ("cluster.memory_limit", "0%"),
        ("cluster.memory_limit", -1),
        ("cluster.memory_limit", -0.5),
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


@pytest.mark.parametrize(
    "limit",
    [
        *("lots", "", "1.5", "2.0", "150%", "0%", "-50%", "-1GiB", "inf", "nan", "1e400", "1_0.5", "1e30"),
        *(-1, -0.5, 1.5, 2.0, 2e9 + 0.5, math.inf, -math.inf, math.nan, 10**30, 1e300),
        *(True, False, np.True_, np.float64(1.5), np.int64(-1), [1], {"a": 1}, b"1GiB", 1j, object()),
    ],
)
def test_a_limit_that_makes_no_sense_names_the_argument(limit):
    with pytest.raises(
        ValueError, match=r"(?s)^memory_limit=.*: expected 'auto', 0 \(no limit\), .* such as 0.5 or '50%'$"
    ):
        local.memory_limit_bytes(limit)


@pytest.mark.parametrize("limit", [1, "1", "1KiB", 1e-300, 2**20 - 1])
def test_less_than_a_worker_needs_is_refused(limit):
    with pytest.raises(ValueError, match=r"memory_limit=.* a worker needs 1 MiB at least: say a size with a unit"):
        local.memory_limit_bytes(limit)
    assert local.memory_limit_bytes("1MiB") == 2**20


def test_a_share_is_one_of_what_there_is():
    assert local.memory_limit_bytes(np.float64(0.5)) == local.memory_limit_bytes("50%") == memory_limit_bytes() // 2


def test_the_engine_is_told_what_was_set():
    assert local.spill_options() == {
        "target": 0.6,
        "directory": None,
        "setting": None,
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
        setting = "the setting cluster.local_directory"
        assert local.spill_options() == told | {"directory": "/data", "setting": setting}
        assert local.spill_options("/mine") == told | {"directory": "/mine", "setting": "local_directory="}
        with config.set({"memory.spill_directory": "/spill"}):
            setting = "the setting memory.spill_directory"
            assert local.spill_options("/mine") == told | {"directory": "/spill", "setting": setting}


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


class TestFoldersThatCannotBeUsed:
    @pytest.fixture(params=["file", "below a file", "of the system"])
    def folder(self, request, tmp_path):
        (tmp_path / "file").write_text("")
        return {"file": tmp_path / "file", "below a file": tmp_path / "file" / "sub", "of the system": "/proc/nope"}[
            request.param
        ]

    @pytest.mark.parametrize("processes", [False, True])
    def test_a_cluster_does_not_start_and_names_folder_argument_and_reason(self, folder, processes):
        with pytest.raises(ClusterError) as caught:
            LocalCluster(
                n_workers=1, threads_per_worker=1, processes=processes, memory_limit="1GiB", local_directory=folder
            )
        text = str(caught.value)
        assert text.startswith(f"local_directory= names {folder}, where no folder for spilled values can be made: ")
        assert "irectory" in text.rsplit(": ", 1)[1]
        assert "may write" in caught.value.hint

    @pytest.mark.parametrize(
        "start", [lambda: Client("embedded", threads_per_worker=1, memory_limit="1GiB"), LocalCluster]
    )
    def test_the_setting_is_named(self, folder, start):
        with (
            config.set({"memory.spill_directory": str(folder)}),
            pytest.raises(ClusterError, match=f"^the setting memory.spill_directory names {folder}, .* can be made: "),
        ):
            start()


def limits(client):
    return {worker["name"]: worker["memory_limit"] for worker in client.scheduler_info()["workers"].values()}


@pytest.mark.parametrize("processes", [False, True])
def test_workers_that_scale_starts_get_their_share_of_auto(processes):
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=processes) as cluster,
        Client(cluster) as client,
    ):
        (first,) = limits(client)
        cluster.scale(3)
        client.wait_for_workers(3, timeout=60)
        parts = {
            name: local.memory_limit_bytes("auto", 1 if name == first else 3, processes) for name in limits(client)
        }
        assert len(parts) == 3
        assert limits(client) == parts
        # Who goes is there until it has gone, and what starts meanwhile gets its part beside it.
        cluster.scale(2)
        deadline = time.monotonic() + 30
        while len(cluster.workers) > 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        cluster.scale(4)
        client.wait_for_workers(4, timeout=60)
        assert sorted(limits(client).values())[:2] == [local.memory_limit_bytes("auto", 4, processes)] * 2


def test_a_limit_that_was_given_stays_when_a_cluster_grows():
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, memory_limit="1GiB") as cluster,
        Client(cluster) as client,
    ):
        cluster.scale(2)
        client.wait_for_workers(2, timeout=60)
        assert list(limits(client).values()) == [2**30] * 2


class TestWarningsOfTheEngine:
    """A file stands where the folder of a worker has to be made, so that the engine has something to say."""

    def make_trouble(self, client, tmp_path):
        (place,) = tmp_path.glob("spill/kask-scratch-*/place-*")
        place.rmdir()
        place.write_text("")
        blocks = client.map(bytearray, [16 * 2**20 + i for i in range(30)])
        errors = [error for error in (block.exception(timeout=60) for block in blocks) if error]
        return place, str(errors[0])

    def test_they_reach_logging(self, tmp_path, caplog):
        spill = {"memory.spill_directory": str(tmp_path / "spill")}
        caplog.set_level(logging.WARNING, "kask")
        with (
            config.set(spill),
            LocalCluster(n_workers=1, threads_per_worker=1, processes=False, memory_limit="300MiB") as cluster,
            Client(cluster) as client,
        ):
            place, error = self.make_trouble(client, tmp_path)
            assert f"cannot be spilled because {place} cannot be used as a spill folder: it is not a folder" in error
            deadline = time.monotonic() + 20
            while not caplog.records:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        (record,) = [one for one in caplog.records if one.name.startswith("kask.")]
        assert (record.name, record.levelname) == ("kask.executor.disk", "WARNING")
        assert record.getMessage().startswith(
            f"values cannot be moved to disk: {place} cannot be used as a spill folder"
        )

    def test_those_of_worker_processes_reach_standard_error(self, tmp_path, capfd):
        with (
            config.set({"memory.spill_directory": str(tmp_path / "spill")}),
            LocalCluster(n_workers=1, threads_per_worker=1, memory_limit="300MiB") as cluster,
            Client(cluster) as client,
        ):
            place, error = self.make_trouble(client, tmp_path)
            assert f"cannot be spilled because {place} cannot be used as a spill folder" in error
        said = capfd.readouterr().err
        assert said.count("WARN kask_executor::disk: values cannot be moved to disk") == 1
        assert str(place) in said
