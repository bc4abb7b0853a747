"""Throughput: ``client.map(inc, range(n))`` and ``gather``. What is slow gets fewer tasks; the unit is a rate."""

from __future__ import annotations

import contenders
from contenders import measuring
from measure import Case, Contender, Goal


def cases() -> list[Case]:
    def rate(count: int):
        return lambda session: count / session.map(count)

    def contender(name, open_session, count, rounds=None):
        warm_up = max(10, count // 100)
        return Contender(name, measuring(open_session, lambda session: session.map(warm_up), rate(count)), rounds)

    return [
        Case(
            name="map",
            title="client.map(inc, range(100_000)) and gather",
            unit="tasks/s",
            higher_is_better=True,
            rounds=5,
            contenders=[
                contender("thread pool", contenders.thread_pool, 100_000),
                contender("kask embedded", contenders.kask_embedded, 100_000),
                contender("kask processes", contenders.kask_processes, 100_000),
                contender("dask threads", contenders.dask_threads, 10_000, rounds=3),
                contender("dask processes", contenders.dask_processes, 2_000, rounds=2),
                contender("ray", contenders.ray_processes, 5_000, rounds=2),
                contender("joblib", contenders.joblib_processes, 20_000, rounds=2),
            ],
            goals=[
                Goal("kask embedded", 2.0, "thread pool"),
                Goal("kask processes", 1.0, "thread pool"),
                Goal("kask processes", 100.0, "dask processes"),
            ],
        )
    ]
