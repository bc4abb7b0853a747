"""``LocalCluster``: starting, scaling, what workers are given, what other processes need, and closing."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time

import pytest

from kask.distributed import Client, LocalCluster, Security, wait
from kask.exceptions import ClientClosedError, ClusterError, UnknownKeywordError


def inc(x):
    return x + 1


def pid():
    return os.getpid()


@pytest.fixture(scope="module")
def shared():
    with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=0) as cluster:
        yield cluster


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def test_a_client_starts_one_by_itself():
    with Client(n_workers=2, threads_per_worker=1, memory_limit=0) as client:
        cluster = client.cluster
        pids = set(client.run(os.getpid).values())
        assert len(pids) == 2
        assert os.getpid() not in pids
        assert client.submit(inc, 1).result() == 2
    assert cluster.status == "closed"
    until(lambda: not any(alive(one) for one in pids))


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{process}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"


def test_descriptions(shared):
    assert "2 workers" in repr(shared)
    assert str(shared.scheduler_address) in repr(shared)
    assert "<table>" in shared._repr_html_()
    workers = shared.workers
    assert len(workers) == 2
    assert all(worker["pid"] and worker["status"] for worker in workers.values())


def test_threads_of_workers():
    with LocalCluster(n_workers=1, threads_per_worker=3, processes=False) as cluster, Client(cluster) as client:
        assert list(client.nthreads().values()) == [3]
        assert set(client.run(os.getpid).values()) == {os.getpid()}


def test_scaling():
    with LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=0) as cluster, Client(cluster) as client:
        futures = client.map(inc, range(20))
        wait(futures)
        cluster.scale(3)
        client.wait_for_workers(3, timeout=30)
        assert len(set(client.run(os.getpid).values())) == 3
        more = client.map(inc, range(100, 140))
        cluster.scale(1)
        until(lambda: len(client.nthreads()) == 1)
        assert client.gather(futures) == list(range(1, 21))
        assert client.gather(more) == list(range(101, 141))


def test_variables_preload_and_directory(tmp_path, monkeypatch):
    (tmp_path / "my_preload.py").write_text("import builtins\nbuiltins.kask_preloaded = 'yes'\n")
    (tmp_path / "my_file.py").write_text("import builtins\nbuiltins.kask_file = 'yes'\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def look():
        import builtins

        return (
            os.environ.get("MY_VARIABLE"),
            builtins.kask_preloaded,
            builtins.kask_file,
            os.environ.get("KASK_WORKER_CONFIG"),
        )

    preload = ["my_preload", str(tmp_path / "my_file.py")]
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, memory_limit=0, env={"MY_VARIABLE": "x"}, preload=preload
        ) as cluster,
        Client(cluster) as client,
    ):
        assert client.submit(look).result() == ("x", "yes", "yes", None)


def test_a_worker_that_cannot_start_is_one_sentence(tmp_path, monkeypatch, capfd):
    (tmp_path / "broken_preload.py").write_text("raise ImportError('no such thing')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    start = time.monotonic()
    with pytest.raises((ClusterError, OSError)) as caught:
        LocalCluster(n_workers=1, threads_per_worker=1, preload="broken_preload")
    assert time.monotonic() - start < 30
    assert "\n" not in str(caught.value)
    assert "78" in str(caught.value) or "broken_preload" in str(caught.value)
    errors = capfd.readouterr().err
    assert "cannot import the preload module broken_preload: ImportError: no such thing" in errors
    assert "Traceback" not in errors


def test_named_resources():
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, memory_limit=0, resources={"GPU": 1}) as cluster,
        Client(cluster) as client,
    ):
        assert client.submit(inc, 1, resources={"GPU": 1}).result() == 2
        future = client.submit(inc, 2, resources={"GPU": 2})
        with pytest.raises(TimeoutError):
            future.result(timeout=0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_workers": -1}, "n_workers="),
        ({"threads_per_worker": 0}, "threads_per_worker="),
        ({"memory_limit": "lots"}, "memory_limit='lots': expected 'auto'"),
        ({"n_workers": 100_000}, "n_workers= must be a whole number from 0 to 4096, got 100000"),
        ({"scheduler_port": 99_999}, "scheduler_port= must be a whole number from 0 to 65535"),
        ({"resources": "GPU"}, "resources= must be a dict such as"),
        ({"resources": {"GPU": 1e13}}, "resources= must map names to amounts from 0 to 1e12"),
        ({"env": 5}, "env= must be a dict"),
        ({"preload": 5}, "preload= must be names of modules, got 5"),
        ({"preload": [5]}, "preload= must be names of modules"),
        ({"processes": "no"}, "processes= must be True or False"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        LocalCluster(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads_per_worker": -1}, "threads_per_worker= must be a whole number from 0 to 4096, got -1"),
        ({"resources": "GPU"}, "resources= must be a dict such as"),
    ],
)
def test_impossible_options_of_an_embedded_client(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Client("embedded", **options)


def test_numbers_of_numpy():
    numpy = pytest.importorskip("numpy")
    options = {"n_workers": numpy.int64(1), "threads_per_worker": numpy.int32(1), "resources": {"GPU": numpy.int64(2)}}
    with LocalCluster(processes=False, **options) as cluster, Client(cluster) as client:
        assert client.submit(inc, 1, resources={"GPU": numpy.float32(2)}).result() == 2


def test_unknown_options():
    with pytest.raises(UnknownKeywordError, match="'n_worker'") as caught:
        LocalCluster(n_worker=2)
    assert "n_workers" in caught.value.hint
    with pytest.raises(UnknownKeywordError, match="'n_worker'"):
        Client(n_worker=2)
    with pytest.raises(UnknownKeywordError, match=r"^Client with an address has no option 'n_workers'"):
        Client("tcp://127.0.0.1:1", n_workers=2)


def test_each_part_has_its_own_time_to_close(monkeypatch):
    given = []
    monkeypatch.setattr(LocalCluster, "_close", lambda self, timeout=None: given.append(timeout) or ends(self, timeout))
    with Client(n_workers=1, threads_per_worker=1, processes=False):
        pass
    client = Client(n_workers=1, threads_per_worker=1, processes=False)
    client.close(timeout="3s")
    assert given == [None, 3.0]


ends = LocalCluster._close


def test_closing_twice_and_using_it_afterwards():
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False)
    cluster.close()
    cluster.close()
    assert cluster.status == "closed"
    with pytest.raises(ClientClosedError, match="closed"):
        Client(cluster)
    assert "closed" in repr(cluster)


def test_clients_of_a_closed_cluster_hear_of_it():
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=0)
    client = Client(cluster)
    slow = client.submit(time.sleep, 30)
    cluster.close(timeout=0.5)
    with pytest.raises(Exception, match=r"clos|cancel|lost|stop"):
        slow.result(timeout=10)
    client.close()


# -- other processes

OTHER = """
import sys, json, time
from kask.distributed import Client
def inc(x):
    return x + 1
with Client(scheduler_file=sys.argv[1]) as client:
    futures = client.map(inc, range(int(sys.argv[2])))
    print(json.dumps([sum(client.gather(futures)), [future.key for future in futures][:2]]))
"""


def run_other(cluster, tmp_path, count):
    file = tmp_path / "scheduler.json"
    cluster.write_scheduler_file(file)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        [sys.executable, "-c", OTHER, str(file), str(count)], stdout=subprocess.PIPE, text=True, env=environment
    )


def test_two_client_processes_with_equal_keys(shared, tmp_path):
    processes = [run_other(shared, tmp_path, 2000) for _ in range(2)]
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert answers[0] == answers[1]
    assert answers[0][0] == sum(range(1, 2001))
    assert all(process.returncode == 0 for process in processes)


def test_the_scheduler_file_is_private(shared, tmp_path):
    file = tmp_path / "scheduler.json"
    shared.write_scheduler_file(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(os.stat(shared.token_file).st_mode) == 0o600


def test_the_scheduler_file_can_be_read_from_another_folder(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(os.path.dirname(shared.token_file))
    security = Security(token_file=os.path.basename(shared.token_file))
    file = tmp_path / "scheduler.json"
    with Client(shared.scheduler_address, security=security) as client:
        client.write_scheduler_file(file)
    monkeypatch.chdir(tmp_path)
    with Client(scheduler_file=file) as client:
        assert client.submit(inc, 1).result() == 2


def test_certificates_that_are_not_all_there_are_named():
    with pytest.raises(ValueError, match=r"tls_client_key= \(or the setting security\.tls_key\) is missing"):
        Client("tls://127.0.0.1:1", security=Security(tls_ca_file="ca.pem", tls_client_cert="client.pem"))


def test_the_token_is_required(shared, tmp_path):
    wrong = tmp_path / "token"
    wrong.write_text("0" * 64)
    for security in (Security(token="0" * 64), Security(token_file=wrong)):
        with pytest.raises(OSError, match="token") as caught:
            Client(shared.scheduler_address, security=security, timeout=5)
        assert "\n" not in str(caught.value)
    with pytest.raises(ClusterError, match="cannot read the token file"):
        Client(shared.scheduler_address, security=Security(token_file=tmp_path / "missing"))
    with Client(shared.scheduler_address, security=Security(token_file=shared.token_file)) as client:
        assert client.submit(inc, 1).result() == 2


def test_on_tcp_loopback():
    with LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=0, host="127.0.0.1") as cluster:
        assert cluster.scheduler_address.startswith("tcp://127.0.0.1:")
        with Client(cluster.scheduler_address, security={"token_file": cluster.token_file}) as client:
            assert client.submit(inc, 1).result() == 2


def test_open_addresses_are_refused():
    with pytest.raises(Exception, match="TLS") as caught:
        LocalCluster(n_workers=1, threads_per_worker=1, host="0.0.0.0")
    assert "kask tls create" in str(caught.value) + str(getattr(caught.value, "hint", ""))


def test_a_cluster_of_threads_has_no_address_for_others(tmp_path):
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster,
        pytest.raises(ClusterError, match="no other process"),
    ):
        cluster.write_scheduler_file(tmp_path / "x")


@pytest.mark.parametrize(
    "address",
    [
        "tcp://127.0.0.1:1",
        "unix:///no/such/socket",
        "nonsense://x",
        "tcp://127.0.0.1:99999",
        "tcp://no-such-host.invalid:1",
    ],
)
def test_wrong_addresses_are_one_sentence_in_time(address):
    start = time.monotonic()
    with pytest.raises((OSError, ValueError)) as caught:
        Client(address, timeout=3)
    assert time.monotonic() - start < 8
    assert str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{}", "[1]"])
def test_broken_scheduler_files(tmp_path, content):
    file = tmp_path / "scheduler.json"
    file.write_text(content)
    with pytest.raises(ClusterError, match=r"scheduler\.json"):
        Client(scheduler_file=file)
    with pytest.raises(ClusterError, match="cannot read"):
        Client(scheduler_file=tmp_path / "missing")


# -- moving between workers


def test_results_move_between_workers(shared):
    with Client(shared) as client:
        one, two = client.nthreads()
        x = client.submit(inc, 1, workers=[one], pure=False)
        y = client.submit(inc, x, workers=[two], pure=False)
        assert y.result() == 3
        assert one in client.who_has(x)[x.key]


def test_restart():
    with Client(n_workers=2, threads_per_worker=1, memory_limit=0) as client:
        before = set(client.run(os.getpid).values())
        x = client.submit(inc, 1)
        wait(x)
        client.restart(timeout=60)
        after = set(client.run(os.getpid).values())
        assert len(after) == 2
        assert not before & after
        assert client.submit(inc, 41).result() == 42


def test_retire():
    with Client(n_workers=2, threads_per_worker=1, memory_limit=0) as client:
        futures = client.map(inc, range(50))
        wait(futures)
        gone = next(iter(client.nthreads()))
        client.retire_workers(gone)
        until(lambda: gone not in client.nthreads())
        assert client.gather(futures) == list(range(1, 51))
        assert client.counters()["recomputed"] == 0


def test_restrictions_to_workers(shared):
    with Client(shared) as client:
        for address, worker in client.scheduler_info()["workers"].items():
            there = client.run(os.getpid, workers=[address])[address]
            assert client.submit(pid, workers=address, pure=False).result() == there
            assert client.submit(pid, workers=[worker["name"]], pure=False).result() == there
            assert set(client.gather(client.map(lambda _: os.getpid(), range(10), workers=address, pure=False))) == {
                there
            }


def test_memory_limits_reach_the_workers():
    with Client(n_workers=1, threads_per_worker=1, memory_limit="512 MiB") as client:
        (worker,) = client.scheduler_info()["workers"].values()
        assert worker["memory_limit"] == 512 << 20


def stay(path):
    """A task that lasts until the file ``go`` is there."""
    path.touch()
    while not path.with_name("go").exists():
        time.sleep(0.01)


def test_work_does_not_wait_behind_tasks_that_were_cancelled(tmp_path):
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
        try:
            future = client.submit(stay, tmp_path / "began")
            until((tmp_path / "began").exists)
            future.cancel()
            for number in range(5):
                assert client.submit(abs, -number).result(timeout=20) == number
        finally:
            (tmp_path / "go").touch()


def test_work_that_stands_behind_a_long_task_moves_to_an_idle_worker(tmp_path):
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
        try:
            long = client.submit(stay, tmp_path / "began")
            short = [
                client.submit(time.sleep, 0.3),
                client.submit(abs, -1),
                client.submit(inc, 1),
                client.submit(len, []),
            ]
            assert client.gather(short) == [None, 1, 2, 0]
            assert not long.done()
        finally:
            (tmp_path / "go").touch()
