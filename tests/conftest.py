"""Engines of every size for the tests: embedded, workers as threads, workers as processes, and a TCP cluster started by the command line.

Clusters live as long as the session; each test gets a client of its own. A test that kills or restarts workers makes its own cluster.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from command_line_cluster import CommandLineCluster
from kask.distributed import Client, LocalCluster

# Where the shell that started the tests in the background has Ctrl-C ignored, so would the programs that they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SIZES = ["embedded", "threads", "processes"]


@pytest.fixture(scope="session", params=SIZES)
def size(request: pytest.FixtureRequest) -> str:
    """Which size of engine."""
    return request.param


@pytest.fixture(scope="session")
def cluster(size: str) -> Iterator[LocalCluster | None]:
    """The session's cluster of this size; None for the embedded engine."""
    if size == "embedded":
        yield None
        return
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=size == "processes", memory_limit=0) as cluster:
        yield cluster


@pytest.fixture
def client(size: str, cluster: LocalCluster | None) -> Iterator[Client]:
    """A client with two threads to run tasks, in one worker or in two."""
    client = Client("embedded", threads_per_worker=2) if cluster is None else Client(cluster)
    with client:
        yield client


@pytest.fixture(scope="session")
def tcp_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLineCluster]:
    """A TCP cluster with two workers, started by the command line."""
    cluster = CommandLineCluster(tmp_path_factory.mktemp("tcp"))
    yield cluster
    cluster.close()


@pytest.fixture
def tcp_client(tcp_cluster: CommandLineCluster) -> Iterator[Client]:
    """A client of it."""
    with Client(scheduler_file=tcp_cluster.file) as client:
        client.wait_for_workers(2, timeout=60)
        yield client


def run_script(
    code: str, *arguments: object, timeout: float = 60, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Python code in a fresh interpreter."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KASK_")}
    environment |= {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)} | variables
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
        check=False,
    )


@pytest.fixture
def script():
    """Runs Python code in a fresh interpreter."""
    return run_script
