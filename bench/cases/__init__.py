"""One file for each measure. A case is listed here in the order in which it is run and printed."""

from __future__ import annotations

from collections.abc import Callable

from cases import (
    array_fused,
    arrays,
    chain,
    core,
    large_graph,
    larger_than_memory,
    map_gather,
    round_trip,
    shared_memory,
    shuffle,
    spill,
    start_stop,
    transport,
)
from measure import Case

ALL: dict[str, Callable[[], list[Case]]] = {
    "core": core.cases,
    "map": map_gather.cases,
    "round-trip": round_trip.cases,
    "chain": chain.cases,
    "large-graph": large_graph.cases,
    "start-stop": start_stop.cases,
    "shared-memory": shared_memory.cases,
    "tcp": transport.cases,
    "spill": spill.cases,
    "larger-than-memory": larger_than_memory.cases,
    "shuffle": shuffle.cases,
    "arrays": arrays.cases,
    "array-fused": array_fused.cases,
}
