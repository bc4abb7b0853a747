"""Latency: submit one call and wait for its result, the median of many."""

from __future__ import annotations

import statistics

import contenders
from contenders import Session, measuring
from measure import Case, Contender, Goal


def cases() -> list[Case]:
    def median_us(count: int):
        return lambda session: 1e6 * statistics.median(session.once() for _ in range(count))

    def warm_up(session: Session) -> None:
        for _ in range(20):
            session.once()

    def contender(name, open_session, count, rounds=None):
        return Contender(name, measuring(open_session, warm_up, median_us(count)), rounds)

    return [
        Case(
            name="round-trip",
            title="one submit, and wait for its result",
            unit="us",
            higher_is_better=False,
            contenders=[
                contender("thread pool", contenders.thread_pool, 2_000),
                contender("kask embedded", contenders.kask_embedded, 2_000),
                contender("kask processes", contenders.kask_processes, 2_000),
                contender("dask threads", contenders.dask_threads, 200),
                contender("dask processes", contenders.dask_processes, 100, rounds=2),
                contender("ray", contenders.ray_processes, 200, rounds=2),
            ],
            goals=[Goal("kask embedded", 60.0), Goal("kask processes", 200.0)],
        )
    ]
