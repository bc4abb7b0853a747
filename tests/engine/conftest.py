"""Engines of every size, without the Python layers above them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from engines import start, submit_to

from kask.engine import Cluster, Engine, Future

SIZES = ["embedded", "sync", "threads", "processes"]


@pytest.fixture(scope="session")
def processes() -> Iterator[Cluster]:
    """Two worker processes, for the whole session."""
    cluster = start(processes=True)
    yield cluster
    cluster.close(10.0)


@pytest.fixture(scope="session")
def threads() -> Iterator[Cluster]:
    """Two workers in this process, for the whole session."""
    cluster = start(processes=False)
    yield cluster
    cluster.close(10.0)


@pytest.fixture(params=SIZES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine of each size."""
    if request.param == "embedded":
        engine = Engine.embedded(2)
    elif request.param == "sync":
        engine = Engine.synchronous()
    else:
        engine = request.getfixturevalue(request.param).engine("test")
    yield engine
    engine.close()


@pytest.fixture
def remote(processes: Cluster) -> Iterator[Engine]:
    """An engine whose workers are processes."""
    engine = processes.engine("remote")
    yield engine
    engine.close()


@pytest.fixture
def embedded() -> Iterator[Engine]:
    """An engine whose workers are threads of this process."""
    engine = Engine.embedded(2)
    yield engine
    engine.close()


@pytest.fixture
def submit(engine: Engine) -> Callable[..., Future]:
    """``submit(func, *args, **kwargs)`` on an engine of each size."""
    return submit_to(engine)
