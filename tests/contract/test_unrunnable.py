"""Tasks that ask for what no worker has: they wait, and whoever waits for them is told."""

from __future__ import annotations

import warnings

import pytest

from kask.distributed import Client, LocalCluster


@pytest.fixture
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, memory_limit=0) as cluster:
        yield cluster


def test_what_waits_for_a_worker_that_is_not_there_is_listed(cluster):
    with Client(cluster) as client, Client(cluster) as other:
        nobody = client.map(abs, [-1, -2], workers=["nobody"], key=["a", "b"])
        later = client.submit(sum, nobody)
        gpu = client.submit(abs, -3, resources={"GPU": 2}, key="gpu")
        found = sorted(client.unrunnable(), key=lambda one: one["tasks"])
        assert found[0] == {"workers": None, "resources": {"GPU": 2.0}, "tasks": 1, "example": "gpu"}
        assert found[1].pop("example") in ("a", "b")
        assert found[1] == {"workers": ("nobody",), "resources": {}, "tasks": 2}
        assert other.unrunnable() == []
        del nobody, later, gpu
        assert client.unrunnable() == []


def test_whoever_waits_for_long_is_warned_once(cluster):
    with Client(cluster) as client:
        x = client.submit(abs, -1, workers=["nobody"], key="x")
        with (
            pytest.warns(
                UserWarning, match=r'the task "x" waits for a worker that fits workers=\["nobody"\]; there are '
            ) as told,
            pytest.raises(TimeoutError),
        ):
            x.result(timeout=6)
        assert [warning.filename for warning in told] == [__file__]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(TimeoutError):
                x.result(timeout=6)


def test_where_warnings_are_errors_the_wait_ends(cluster):
    with Client(cluster) as client, warnings.catch_warnings():
        warnings.simplefilter("error")
        x = client.submit(abs, -1, resources={"GPU": 1}, key="x")
        with pytest.raises(UserWarning, match=r'fits resources={"GPU": 1}'):
            client.gather([x])


def test_a_worker_that_joins_runs_what_waited_for_it():
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, memory_limit=0) as cluster,
        Client(cluster) as client,
    ):
        (name,) = (worker["name"] for worker in client.scheduler_info()["workers"].values())
        x = client.submit(abs, -1, workers=[name[:-1] + "1"])
        assert client.unrunnable()
        cluster.scale(2)
        assert x.result(timeout=30) == 1
        assert client.unrunnable() == []
