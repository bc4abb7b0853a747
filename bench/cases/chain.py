"""A chain: each task needs the one before. What is slow gets a shorter chain; the unit is a rate."""

from __future__ import annotations

import contenders
from contenders import measuring
from measure import Case, Contender, Goal


def cases() -> list[Case]:
    def rate(count: int):
        return lambda session: count / session.chain(count)

    def contender(name, open_session, count, rounds=None):
        return Contender(name, measuring(open_session, lambda session: session.chain(50), rate(count)), rounds)

    return [
        Case(
            name="chain",
            title="a chain of 5,000 dependent tasks",
            unit="tasks/s",
            higher_is_better=True,
            contenders=[
                contender("thread pool", contenders.thread_pool, 5_000),
                contender("kask embedded", contenders.kask_embedded, 5_000),
                contender("kask processes", contenders.kask_processes, 5_000),
                contender("dask threads", contenders.dask_threads, 500),
                contender("dask processes", contenders.dask_processes, 300, rounds=2),
                contender("ray", contenders.ray_processes, 1_000, rounds=2),
            ],
            goals=[Goal("kask embedded", 20_000.0), Goal("kask processes", 8_000.0)],
        )
    ]
