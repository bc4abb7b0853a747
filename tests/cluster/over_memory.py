"""Computations over more than memory holds, for any engine: as functions, and as a script that runs one embedded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import beyond_memory  # which finds what bench/ has
import grids
import kask
from kask import shuffle
from kask.distributed import Client

MIB = 2**20
LIMIT = 256 * MIB
SIDE, GRID = 724, 26  # 676 blocks of 4 MiB: 2.6 GiB
DATA = 8 * SIDE**2 * GRID**2

KEYS, ROWS, TABLES, OUTPUTS = 4096, 131_072, 650, 200  # tables of 4 MiB
WIDTH, BLOCK = 18_432, 64  # 288 blocks of rows, and of columns, of 9 MiB


# -- the deviation from one mean of all, for which every block is needed a second time when all have been made


def planned_two_passes(plan: grids.Plan) -> str:
    here = (plan.data, plan.grid, [0, 1])
    total = plan.tree("total", grids.add_up, grids.add_up, plan.blocks("sum", grids.block_sum, [here]), {0: 4, 1: 4})
    inputs = [here, (total, [1, 1], [("fixed", 0), ("fixed", 0)])]
    moments = plan.blocks("moments", grids.moments_of_difference, inputs, (DATA // 8,))
    return plan.tree("deviation", grids.join_moments, grids.deviation, moments, {0: 4, 1: 4})


def two_passes(client: Client) -> float:
    plan = grids.Plan(GRID, SIDE, seed=1)
    return plan.run(client._engine, planned_two_passes(plan), 240)


def two_passes_plainly() -> float:
    blocks = [(i, j) for i in range(GRID) for j in range(GRID)]
    total = grids.add_up([grids.block_sum(grids.make(at, SIDE)) for at in blocks])
    return grids.deviation([grids.moments_of_difference(grids.make(at, SIDE), total, DATA // 8) for at in blocks])


# -- tables by hash


def table(seed: int) -> Any:
    import pyarrow

    rng = np.random.default_rng(seed)
    columns = {name: rng.integers(0, 1 << 40, ROWS) for name in ("number", "other")}
    return pyarrow.table({"key": rng.integers(0, KEYS, ROWS), "row": np.arange(ROWS) + seed * ROWS, **columns})


def digest(table: Any) -> tuple[np.ndarray, np.ndarray, bool]:
    """Rows and sums by key, and whether the rows are in the order of the inputs."""
    keys, rows = table["key"].to_numpy(), table["row"].to_numpy()
    sums = np.zeros(KEYS, np.int64)
    np.add.at(sums, keys, table["number"].to_numpy())
    return np.bincount(keys, minlength=KEYS), sums, bool((np.diff(rows) > 0).all())


def shuffled(client: Client) -> list[Any]:
    tables = [kask.delayed(table, pure=True)(seed) for seed in range(TABLES)]
    outputs = shuffle.shuffle(tables, on="key", npartitions=OUTPUTS)
    parts = client.gather(client.compute([kask.delayed(digest)(output) for output in outputs]))
    owners = sum(counts > 0 for counts, _, _ in parts)
    counts, sums = sum(part[0] for part in parts), sum(part[1] for part in parts)
    return [int(owners.max()), all(part[2] for part in parts), counts.tolist(), sums.tolist()]


def shuffled_plainly() -> list[Any]:
    parts = [digest(table(seed)) for seed in range(TABLES)]
    return [1, True, sum(part[0] for part in parts).tolist(), sum(part[1] for part in parts).tolist()]


# -- an array from blocks of rows to blocks of columns


def rows(place: int) -> np.ndarray:
    return np.random.default_rng(place).integers(0, 1 << 40, (BLOCK, WIDTH))


def weighted(columns: np.ndarray, first: int = 0) -> np.ndarray:
    """The sum of each column, in which every row counts differently."""
    return np.arange(first + 1, first + 1 + len(columns)) @ columns


def turned(client: Client) -> list[int]:
    chunks = (BLOCK,) * (WIDTH // BLOCK)
    blocks = [kask.delayed(rows, pure=True)(place) for place in range(len(chunks))]
    columns = shuffle.rechunk(blocks, (chunks, (WIDTH,)), ((WIDTH,), chunks))
    return np.concatenate(client.gather(client.compute([kask.delayed(weighted)(one) for one in columns]))).tolist()


def turned_plainly() -> list[int]:
    return sum(weighted(rows(place), place * BLOCK) for place in range(WIDTH // BLOCK)).tolist()


# -- all of them


def graph_of(what: str) -> Callable[[Client], float]:
    return lambda client: grids.planned(client._engine, what, GRID, SIDE, seed=1, timeout=240)


COMPUTATIONS: dict[str, Callable[[Client], Any]] = {what: graph_of(what) for what in grids.PLANNED}
COMPUTATIONS |= {"two passes": two_passes, "shuffle": shuffled, "rechunk": turned}
PLAIN = {"two passes": two_passes_plainly, "shuffle": shuffled_plainly, "rechunk": turned_plainly}


def expected(what: str, folder: Path) -> Any:
    """The same without Kask."""
    return PLAIN[what]() if what in PLAIN else grids.looped(what, GRID, SIDE, folder)


def data_bytes(what: str) -> int:
    return {"shuffle": TABLES * ROWS * 8 * 4, "rechunk": 8 * WIDTH**2}.get(what, DATA)


def outcome(client: Client, what: str) -> dict[str, Any]:
    return beyond_memory.outcome(client, COMPUTATIONS[what])


if __name__ == "__main__":
    beyond_memory.serve(outcome, LIMIT)
