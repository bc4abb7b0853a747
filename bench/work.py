"""The functions that the benchmarks run. In a module of their own, so that worker processes can
import them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np


def inc(x: int) -> int:
    return x + 1


def total(parts: Any) -> int:
    """The sum of a block of a tree reduction: ``parts`` is nested once for each axis."""
    return sum(map(total, parts)) if isinstance(parts, list | tuple) else parts


def one() -> int:
    return 1


def filled(count: int, value: float) -> np.ndarray:
    """``count`` numbers, all ``value``."""
    return np.full(count, value)


def first_and_last(array: np.ndarray) -> tuple[float, float]:
    return float(array[0]), float(array[-1])


@functools.cache
def noise() -> np.ndarray:
    """1 MiB of random numbers."""
    return np.random.default_rng(0).integers(0, 2**63, 2**17)


def made(seed: int, size: int) -> np.ndarray:
    """``size`` bytes of numbers that LZ4 cannot compress, made as fast as memory is written: others for each seed."""
    numbers = np.empty(size // 8, np.int64)
    whole = size // 2**20 * 2**17
    np.bitwise_xor(noise(), seed, out=numbers[:whole].reshape(-1, 2**17))
    np.bitwise_xor(noise()[: size // 8 - whole], seed, out=numbers[whole:])
    return numbers


def block_sum(block: np.ndarray) -> int:
    return int(block.sum(dtype=np.uint64))


def columns(seed: int, rows: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "key": random.integers(0, 1_000_000, rows),
        "a": random.random(rows),
        "b": random.random(rows),
        "n": np.arange(rows),
    }


def table(seed: int, rows: int) -> Any:
    import pyarrow

    return pyarrow.table(columns(seed, rows))


def table_rows(part: Any) -> int:
    return part.num_rows


def frame(seed: int, rows: int) -> Any:
    import pandas

    return pandas.DataFrame(columns(seed, rows))


def frame_rows(part: Any) -> Any:
    import pandas

    return pandas.Series([len(part)])
