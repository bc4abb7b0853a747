"""Computations with arrays of ten times the memory limit, whose results are known, for any engine: as functions, and as a script that runs
one embedded.

The data is a square in which the element in row ``i`` and column ``j`` is ``i * SIDE + j``. Its blocks are made by a function that
the engine knows nothing of, once for each, however often they are read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import beyond_memory
import kask.array as ka
from kask.distributed import Client

MIB = 2**20
LIMIT = 200 * MIB
SIDE = 16_384
DATA = 8 * SIDE**2  # 2 GiB
BLOCK = (512, 512)  # 1024 blocks of 2 MiB


def block(block_id: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    first = [place * length for place, length in zip(block_id, shape)]
    rows = np.arange(first[0], first[0] + shape[0]) * SIDE
    return rows[:, None] + np.arange(first[1], first[1] + shape[1])


def square(shape: tuple[int, int] = BLOCK) -> Any:
    chunks = tuple((length,) * (SIDE // length) for length in shape)
    return ka.map_blocks(block, chunks=chunks, dtype=np.int64, meta=np.empty((0, 0), np.int64), shape=shape)


def deviation() -> Any:
    """Of each column from its mean: all blocks of a column are needed a second time."""
    x = square().astype(float)
    return (x - x.mean(axis=0)).std(axis=0)


def total() -> Any:
    return square().sum()


def laplacian(around: np.ndarray) -> np.ndarray:
    found = -4 * around
    found[1:-1, 1:-1] += around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]
    return found


def overlap() -> Any:
    return abs(ka.map_overlap(laplacian, square(), depth=1, boundary="nearest", dtype=np.int64)).sum()


def transpose() -> Any:
    x = square()
    return (x + x.T).sum(axis=0)


def rechunk() -> Any:
    """From blocks of whole rows to blocks of whole columns, in whose sums every row counts differently."""
    x = square((64, SIDE)).rechunk((SIDE, 64))
    return (x * ka.arange(1, SIDE + 1, chunks=SIDE)[:, None]).sum(axis=0)


COMPUTATIONS: dict[str, Callable[[], Any]] = {
    "deviation": deviation,
    "total": total,
    "overlap": overlap,
    "transpose": transpose,
    "rechunk": rechunk,
}


def expected(what: str) -> np.ndarray:
    """The same by formulas."""
    n, columns = SIDE, np.arange(SIDE)
    if what == "deviation":
        # Columns are the same but for what is added to all of their elements.
        return np.full(n, n * np.sqrt((n**2 - 1) / 12))
    if what == "total":
        return np.array(n**2 * (n**2 - 1) // 2)
    if what == "overlap":
        # A plane has none but at its edges, where it is n in the first and the last row and 1 in the first and the last column; at two of
        # the corners these are subtracted.
        return np.array(2 * n * n + 2 * n - 4)
    if what == "transpose":
        return (n + 1) * (n * (n - 1) // 2 + n * columns)
    rows = n * (n + 1) // 2
    squares = n * (n + 1) * (2 * n + 1) // 6
    return n * (squares - rows) + columns * rows


def outcome(client: Client, what: str) -> dict[str, Any]:
    return beyond_memory.outcome(
        client, lambda client: np.asarray(client.gather(client.compute(COMPUTATIONS[what]()))).tolist()
    )


if __name__ == "__main__":
    beyond_memory.serve(outcome, LIMIT)
