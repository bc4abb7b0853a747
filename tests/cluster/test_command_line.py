"""``kask scheduler`` and ``kask worker``: a TCP cluster of separate processes, and what the command line says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import kask
from command_line_cluster import CommandLineCluster
from kask.distributed import as_completed, wait


def inc(x):
    return x + 1


def command(*arguments, **options):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run(
        [sys.executable, "-m", "kask", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
        **options,
    )


# -- on the cluster


def test_work_over_tcp(tcp_client):
    client = tcp_client
    assert client.submit(inc, 1).result() == 2
    futures = client.map(inc, range(2000))
    assert client.gather(client.submit(sum, futures)) == sum(range(1, 2001))
    assert len(set(as_completed(futures))) == 2000
    assert (kask.delayed(inc)(1) + 1).compute() == 3
    assert len(set(client.run(os.getpid).values())) == 2
    with pytest.raises(ZeroDivisionError):
        client.submit(lambda: 1 / 0).result()


def test_a_token_is_found_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cluster = CommandLineCluster(Path(), nworkers=1)
    try:
        monkeypatch.chdir("/")
        with kask.Client(scheduler_file=tmp_path / cluster.file) as client:
            assert client.submit(inc, 1).result(timeout=30) == 2
    finally:
        cluster.close()


def test_large_values_over_tcp(tcp_client):
    data = os.urandom(1 << 20) * 64
    future = tcp_client.scatter(data)
    assert tcp_client.submit(len, future).result() == 64 << 20
    assert tcp_client.submit(bytes, data).result() == data
    assert sum(map(len, tcp_client.gather(tcp_client.map(bytes, [8 << 20] * 8, pure=False)))) == 64 << 20


def test_results_between_workers_over_tcp(tcp_client):
    one, two = tcp_client.nthreads()
    x = tcp_client.submit(bytes, 10_000_000, workers=one)
    assert tcp_client.submit(len, x, workers=two).result() == 10_000_000


def test_two_clients_over_tcp(tcp_client, tcp_cluster):
    with kask.Client(scheduler_file=tcp_cluster.file, set_as_default=False) as other:
        x, y = tcp_client.submit(inc, 5000), other.submit(inc, 5000)
        assert x.key == y.key
        wait(x)
        tcp_client.cancel(x)
        assert y.result() == 5001


# -- the command itself


def test_starting_and_ending_is_quiet(tmp_path):
    cluster = CommandLineCluster(tmp_path, nworkers=1)
    with kask.Client(scheduler_file=cluster.file) as client:
        client.wait_for_workers(1, timeout=60)
        assert client.submit(inc, 1).result() == 2
    assert cluster.close() == [0, 0]
    assert not cluster.file.exists()


def test_version():
    done = command("version")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, f"kask {kask.__version__}", "")


def test_config(monkeypatch):
    monkeypatch.setenv("KASK_CLUSTER__N_WORKERS", "7")
    done = command("config")
    assert done.returncode == 0
    assert "cluster.n_workers = 7  # the variable KASK_CLUSTER__N_WORKERS" in done.stdout
    assert command("config", "--table").stdout == kask.config.markdown()
    assert "Usage: kask config" in command("config", "--help").stdout
    done = command("config", "nonsense")
    assert done.returncode == 2
    assert "unexpected argument 'nonsense'" in done.stderr
    monkeypatch.setenv("KASK_CLUSTER__N_WORKERS", "many")
    done = command("config")
    assert done.returncode == 1
    assert done.stderr.startswith("kask: the variable KASK_CLUSTER__N_WORKERS: cluster.n_workers = 'many'")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["worker"],
        ["worker", "tcp://127.0.0.1:1", "--connect-timeout", "1s"],
        ["scheduler", "--port", "x"],
        ["worker", "--scheduler-file", "/no/such"],
    ],
)
def test_mistakes_are_said_without_a_traceback(arguments):
    done = command(*arguments)
    assert done.returncode != 0
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert "panicked" not in done.stderr


def test_an_open_scheduler_needs_tls():
    done = command("scheduler", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 1
    assert "kask tls create" in done.stderr


def test_a_scheduler_that_goes_away(tmp_path):
    cluster = CommandLineCluster(tmp_path, nworkers=1)
    client = kask.Client(scheduler_file=cluster.file)
    client.wait_for_workers(1, timeout=60)
    slow = client.submit(time.sleep, 60)
    time.sleep(0.2)
    cluster._processes[0].kill()
    start = time.monotonic()
    with pytest.raises(Exception, match=r"scheduler|connection|closed"):
        slow.result(timeout=20)
    assert time.monotonic() - start < 15
    client.close()
    cluster.close()
