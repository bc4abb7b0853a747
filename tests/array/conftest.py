"""Engines for the tests of arrays, beside those of all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kask.distributed import Client, LocalCluster


@pytest.fixture(scope="module")
def processes() -> Iterator[Client]:
    """A client of two workers that are other processes, which is not the default client."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, memory_limit=0) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
