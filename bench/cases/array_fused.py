"""Chains of elementwise operations with a reduction, beside NumPy, Dask (threads), and reading the array once.

``read once`` sums the array in two threads, with NumPy. The array has 12,000 x 6,000 doubles (576 MB) and is cut into 12 blocks.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from measure import Absent, Case, Contender, Goal

SHAPE = (12_000, 6_000)
CHUNKS = (1_000, 6_000)


def cases() -> list[Case]:
    return [
        case(
            "array-polynomial",
            "(3*x**2 + 2*x + 1).sum() of 12,000 x 6,000 doubles",
            polynomial,
            [Goal("kask", 1 / 4, "numpy"), Goal("kask", 1 / 6, "dask threads"), Goal("kask", 1.5, "read once")],
        ),
        case(
            "array-standardise",
            "((x - x.mean(axis=0)) / x.std(axis=0)).sum() of the same",
            standardised,
            [Goal("kask", 1 / 3, "dask threads")],
        ),
    ]


def case(name: str, title: str, work: Callable[[Any], Any], goals: list[Goal]) -> Case:
    makers = {
        "kask": kask_array,
        "kask without kernels": unfused_array,
        "numpy": numpy_array,
        "dask threads": dask_array,
    }
    contenders = [Contender(label, functools.partial(timed, make, work)) for label, make in makers.items()]
    return Case(
        name=name,
        title=title,
        unit="ms",
        higher_is_better=False,
        contenders=[*contenders, Contender("read once", read_once), Contender("memcpy", memcpy)],
        goals=goals,
        rounds=3,
    )


def polynomial(x: Any) -> Any:
    return (3 * x**2 + 2 * x + 1).sum()


def standardised(x: Any) -> Any:
    return ((x - x.mean(axis=0)) / x.std(axis=0)).sum()


@functools.cache
def data() -> Any:
    import numpy as np

    return np.random.default_rng(0).random(SHAPE)


@contextlib.contextmanager
def timed(
    make: Callable[[], tuple[Any, Callable[[Any], Any]]], work: Callable[[Any], Any]
) -> Iterator[Callable[[], float]]:
    array, compute = make()
    compute(work(array[:2_000]))

    def measure() -> float:
        start = time.perf_counter()
        compute(work(array))
        return (time.perf_counter() - start) * 1e3

    yield measure


def kask_array() -> tuple[Any, Callable[[Any], Any]]:
    import kask.array as ka

    return ka.from_array(data(), chunks=CHUNKS), lambda array: array.compute()


def unfused_array() -> tuple[Any, Callable[[Any], Any]]:
    import kask

    array, compute = kask_array()

    def plain(array: Any) -> Any:
        with kask.config.set({"array.fused_kernels": False}):
            return compute(array)

    return array, plain


def numpy_array() -> tuple[Any, Callable[[Any], Any]]:
    return data(), lambda result: result


def dask_array() -> tuple[Any, Callable[[Any], Any]]:
    try:
        import dask.array as da
    except ImportError:
        raise Absent("dask is not installed") from None
    return da.from_array(data(), chunks=CHUNKS), lambda array: array.compute(scheduler="threads", num_workers=2)


@contextlib.contextmanager
def read_once() -> Iterator[Callable[[], float]]:
    array = data()
    with ThreadPoolExecutor(2) as pool:

        def measure() -> float:
            start = time.perf_counter()
            sum(pool.map(lambda begin: array[begin : begin + 1_000].sum(), range(0, SHAPE[0], 1_000)))
            return (time.perf_counter() - start) * 1e3

        yield measure


@contextlib.contextmanager
def memcpy() -> Iterator[Callable[[], float]]:
    import numpy as np

    array = data()
    target = np.zeros_like(array)

    def measure() -> float:
        start = time.perf_counter()
        np.copyto(target, array)
        return (time.perf_counter() - start) * 1e3

    yield measure
