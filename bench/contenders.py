"""The systems that are compared, each behind the same three verbs.

``map(n)`` applies ``inc`` to n numbers and brings the results here; ``once(x)`` submits one call and waits for it;
``chain(n)`` runs n calls of which each needs the one before. Each verb returns seconds. All use two threads or two
processes.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from measure import Absent
from work import inc

WORKERS = 2


class Session:
    """An open system. ``offset`` grows, so that no call is answered from the results of an earlier one."""

    def __init__(self, system: Any) -> None:
        self.system = system
        self.offset = 0

    def _fresh(self, count: int) -> range:
        start, self.offset = self.offset, self.offset + count
        return range(start, start + count)

    def map(self, count: int) -> float:
        numbers = self._fresh(count)
        start = time.perf_counter()
        results = self.run_map(numbers)
        seconds = time.perf_counter() - start
        assert results == [x + 1 for x in numbers], f"{type(self).__name__} computed something else"
        return seconds

    def once(self) -> float:
        (number,) = self._fresh(1)
        start = time.perf_counter()
        result = self.run_once(number)
        seconds = time.perf_counter() - start
        assert result == number + 1
        return seconds

    def chain(self, count: int) -> float:
        first = self._fresh(count)[0]
        start = time.perf_counter()
        result = self.run_chain(first, count)
        seconds = time.perf_counter() - start
        assert result == first + count
        return seconds

    def run_map(self, numbers: range) -> list[int]:
        raise NotImplementedError

    def run_once(self, number: int) -> int:
        raise NotImplementedError

    def run_chain(self, number: int, count: int) -> int:
        raise NotImplementedError


class Pool(Session):
    """concurrent.futures.ThreadPoolExecutor."""

    def run_map(self, numbers: range) -> list[int]:
        return list(self.system.map(inc, numbers))

    def run_once(self, number: int) -> int:
        return self.system.submit(inc, number).result()

    def run_chain(self, number: int, count: int) -> int:
        for _ in range(count):
            number = self.system.submit(inc, number).result()
        return number


class Futures(Session):
    """kask.distributed and dask.distributed: the same calls."""

    def run_map(self, numbers: range) -> list[int]:
        return self.system.gather(self.system.map(inc, numbers))

    def run_once(self, number: int) -> int:
        return self.system.submit(inc, number).result()

    def run_chain(self, number: int, count: int) -> int:
        future = self.system.submit(inc, number)
        for _ in range(count - 1):
            future = self.system.submit(inc, future)
        return future.result()


class DaskThreads(Session):
    """dask.delayed on its threaded scheduler."""

    def run_map(self, numbers: range) -> list[int]:
        import dask

        lazy = dask.delayed(inc)
        return list(dask.compute(*[lazy(x) for x in numbers], scheduler="threads", num_workers=WORKERS))

    def run_once(self, number: int) -> int:
        return self.run_map(range(number, number + 1))[0]

    def run_chain(self, number: int, count: int) -> int:
        import dask

        lazy, result = dask.delayed(inc), number
        for _ in range(count):
            result = lazy(result)
        return dask.compute(result, scheduler="threads", num_workers=WORKERS)[0]


class Ray(Session):
    """ray.remote."""

    def run_map(self, numbers: range) -> list[int]:
        import ray

        return ray.get([self.system.remote(x) for x in numbers])

    def run_once(self, number: int) -> int:
        import ray

        return ray.get(self.system.remote(number))

    def run_chain(self, number: int, count: int) -> int:
        import ray

        reference = self.system.remote(number)
        for _ in range(count - 1):
            reference = self.system.remote(reference)
        return ray.get(reference)


class Joblib(Session):
    """joblib.Parallel on its processes; it has no futures, so only ``map``."""

    def run_map(self, numbers: range) -> list[int]:
        import joblib

        return list(self.system(joblib.delayed(inc)(x) for x in numbers))


@contextlib.contextmanager
def thread_pool() -> Iterator[Session]:
    with ThreadPoolExecutor(WORKERS) as pool:
        yield Pool(pool)


@contextlib.contextmanager
def kask_embedded() -> Iterator[Session]:
    from kask.distributed import Client

    with Client("embedded", threads_per_worker=WORKERS) as client:
        yield Futures(client)


@contextlib.contextmanager
def kask_processes() -> Iterator[Session]:
    from kask.distributed import Client, LocalCluster

    with LocalCluster(n_workers=WORKERS, threads_per_worker=1) as cluster, Client(cluster) as client:
        yield Futures(client)


@contextlib.contextmanager
def dask_threads() -> Iterator[Session]:
    _installed("dask")
    yield DaskThreads(None)


@contextlib.contextmanager
def dask_processes() -> Iterator[Session]:
    _installed("distributed")
    from distributed import Client, LocalCluster

    options: dict[str, Any] = {"dashboard_address": None, "silence_logs": logging.ERROR}
    with LocalCluster(n_workers=WORKERS, threads_per_worker=1, **options) as cluster, Client(cluster) as client:
        yield Futures(client)


@contextlib.contextmanager
def ray_processes() -> Iterator[Session]:
    _installed("ray")
    import ray

    ray.init(num_cpus=WORKERS, include_dashboard=False, logging_level=logging.ERROR)
    try:
        yield Ray(ray.remote(inc))
    finally:
        ray.shutdown()


@contextlib.contextmanager
def joblib_processes() -> Iterator[Session]:
    _installed("joblib")
    import joblib

    with joblib.Parallel(n_jobs=WORKERS) as parallel:
        yield Joblib(parallel)


def _installed(module: str) -> None:
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise Absent(f"{module} is not installed")


def measuring(
    open_session: Callable[[], contextlib.AbstractContextManager[Session]],
    warm_up: Callable[[Session], Any],
    measure: Callable[[Session], float],
) -> Callable[[], contextlib.AbstractContextManager[Callable[[], float]]]:
    """An opener: starts the system, warms it up outside of the measurement, hands out the measurement."""

    @contextlib.contextmanager
    def opener() -> Iterator[Callable[[], float]]:
        with open_session() as session:
            warm_up(session)
            yield lambda: measure(session)

    return opener
