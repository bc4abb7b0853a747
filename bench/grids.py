"""Computations over a grid of blocks that together are much larger than memory, as graphs for the engine and as plain loops.

Each computation is one pass or two over the same made-up data: block ``(i, j)`` is a square of random numbers whose seed
is its position, so it costs time to make and does not compress. The plain loops do the same arithmetic on two threads; a
computation that needs its data twice writes it to files in the first pass and reads it in the second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

Moments = tuple[int, float, float]


def make(position: tuple[int, int], side: int) -> np.ndarray:
    return np.random.default_rng(position).random((side, side))


def block_sum(block: np.ndarray) -> float:
    return float(block.sum())


def flat(nested: Any) -> Iterator[Any]:
    """The items of a tree node's input, which is nested once for each axis."""
    if isinstance(nested, list):
        for item in nested:
            yield from flat(item)
    else:
        yield nested


def add_up(parts: Any) -> float:
    return math.fsum(flat(parts))


def column_sums(block: np.ndarray) -> np.ndarray:
    return block.sum(axis=0)


def add_arrays(parts: Any) -> np.ndarray:
    arrays = list(flat(parts))
    total = arrays[0].copy()
    for array in arrays[1:]:
        total += array
    return total


def moments_of_difference(block: np.ndarray, sums: np.ndarray, rows: int) -> Moments:
    """Count, mean and sum of squared deviations of ``block - sums / rows``."""
    difference = block - sums / rows
    mean = float(difference.mean())
    difference -= mean
    return difference.size, mean, float(np.vdot(difference, difference))


def join_moments(parts: Any) -> Moments:
    """Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979)."""
    count, mean, squares = 0, 0.0, 0.0
    for other_count, other_mean, other_squares in flat(parts):
        delta, both = other_mean - mean, count + other_count
        squares += other_squares + delta * delta * count * other_count / both
        mean += delta * other_count / both
        count = both
    return count, mean, squares


def deviation(parts: Any) -> float:
    count, _, squares = join_moments(parts)
    return math.sqrt(squares / count)


def sum_of_symmetric(block: np.ndarray, mirrored: np.ndarray) -> float:
    return float(np.abs(block + mirrored.T).sum())


def sum_of_smoothed(around: list[np.ndarray], position: tuple[int, int], grid: int) -> float:
    """The sum of squares of the five-point average of a block, whose neighbours' edges take part.

    ``around`` is the block and its neighbours (as far as there are any), row by row.
    """
    up, left = int(position[0] > 0), int(position[1] > 0)
    columns = 1 + left + int(position[1] < grid - 1)
    rows = [around[start : start + columns] for start in range(0, len(around), columns)]
    center = rows[up][left]
    side = center.shape[0]
    padded = np.zeros((side + 2, side + 2))
    padded[1:-1, 1:-1] = center
    if up:
        padded[0, 1:-1] = rows[0][left][-1]
    if position[0] < grid - 1:
        padded[-1, 1:-1] = rows[up + 1][left][0]
    if left:
        padded[1:-1, 0] = rows[up][0][:, -1]
    if position[1] < grid - 1:
        padded[1:-1, -1] = rows[up][left + 1][:, 0]
    smooth = center + padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    smooth /= 5
    return float(np.vdot(smooth, smooth))


# -- as graphs ---------------------------------------------------------------------------------------------------------


class Plan:
    """A graph for the engine: layers over a grid of ``grid`` by ``grid`` blocks of ``side`` by ``side`` numbers."""

    def __init__(self, grid: int, side: int, seed: int) -> None:
        from kask.engine import GraphBuilder

        self.grid, self.side, self.seed = [grid, grid], side, seed
        self.builder = GraphBuilder()
        self.layers = 0
        self.data = self.blocks("make", make, [], (side,), wants_position=True)

    def name(self, prefix: str) -> str:
        self.layers += 1
        return f"{prefix}-{self.seed:016x}{self.layers:016x}"

    def blocks(
        self, prefix: str, func: Callable, inputs: list, constants: tuple = (), wants_position: bool = False
    ) -> str:
        from kask.engine import Hole, Options

        name = self.name(prefix)
        holes = tuple(Hole(i) for i in range(len(inputs) + wants_position))
        options = Options(result_bytes=8 * self.side**2) if func is make else None
        self.builder.add_blockwise(
            name, func, holes + constants, self.grid, inputs, wants_position=wants_position, options=options
        )
        return name

    def tree(self, prefix: str, combine: Callable, aggregate: Callable, over: str, split: dict[int, int]) -> str:
        from kask.engine import Hole

        name = self.name(prefix)
        self.builder.add_tree_reduce(name, combine, aggregate, (Hole(0),), over, self.grid, split)
        return name

    def run(self, engine: Any, result: str, timeout: float) -> float:
        (future,) = engine.submit_graph(self.builder, [f"('{result}', 0)"])
        return future.result(timeout=timeout)


def planned_sum(plan: Plan) -> str:
    sums = plan.blocks("sum", block_sum, [(plan.data, plan.grid, [0, 1])])
    return plan.tree("total", add_up, add_up, sums, {0: 4, 1: 4})


def planned_deviation(plan: Plan) -> str:
    sums = plan.blocks("column-sums", column_sums, [(plan.data, plan.grid, [0, 1])])
    means = plan.tree("columns", add_arrays, add_arrays, sums, {0: 4})
    rows = plan.grid[0] * plan.side
    inputs = [(plan.data, plan.grid, [0, 1]), (means, [1, plan.grid[1]], [("fixed", 0), 1])]
    moments = plan.blocks("moments", moments_of_difference, inputs, (rows,))
    return plan.tree("deviation", join_moments, deviation, moments, {0: 4, 1: 4})


def planned_transpose(plan: Plan) -> str:
    inputs = [(plan.data, plan.grid, [0, 1]), (plan.data, plan.grid, [1, 0])]
    sums = plan.blocks("symmetric", sum_of_symmetric, inputs)
    return plan.tree("total", add_up, add_up, sums, {0: 4, 1: 4})


def planned_overlap(plan: Plan) -> str:
    inputs = [(plan.data, plan.grid, [("window", 0, 1, 1), ("window", 1, 1, 1)])]
    sums = plan.blocks("smoothed", sum_of_smoothed, inputs, (plan.grid[0],), wants_position=True)
    return plan.tree("total", add_up, add_up, sums, {0: 4, 1: 4})


PLANNED: dict[str, Callable[[Plan], str]] = {
    "sum": planned_sum,
    "standard deviation": planned_deviation,
    "transpose and add": planned_transpose,
    "overlap": planned_overlap,
}


def planned(engine: Any, what: str, grid: int, side: int, seed: int, timeout: float = 3600.0) -> float:
    """Runs one of the computations on an engine."""
    plan = Plan(grid, side, seed)
    return plan.run(engine, PLANNED[what](plan), timeout)


# -- as plain loops ----------------------------------------------------------------------------------------------------


class Loop:
    """The same on two threads, block by block."""

    def __init__(self, grid: int, side: int, folder: Path) -> None:
        self.grid, self.side, self.folder = grid, side, folder
        self.positions = [(i, j) for i in range(grid) for j in range(grid)]

    def each(self, func: Callable[[tuple[int, int]], Any]) -> list[Any]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(func, self.positions))

    def file(self, position: tuple[int, int]) -> Path:
        return self.folder / f"{position[0]}-{position[1]}"

    def make(self, position: tuple[int, int]) -> np.ndarray:
        return make(position, self.side)

    def write(self, position: tuple[int, int]) -> np.ndarray:
        block = self.make(position)
        block.tofile(self.file(position))
        return block

    def read(self, position: tuple[int, int]) -> np.ndarray:
        return np.fromfile(self.file(position)).reshape(self.side, self.side)


def looped_sum(loop: Loop) -> float:
    return add_up(loop.each(lambda at: block_sum(loop.make(at))))


def looped_deviation(loop: Loop) -> float:
    sums = loop.each(lambda at: column_sums(loop.write(at)))
    columns = [add_arrays(sums[j :: loop.grid]) for j in range(loop.grid)]
    rows = loop.grid * loop.side
    return deviation(loop.each(lambda at: moments_of_difference(loop.read(at), columns[at[1]], rows)))


def looped_transpose(loop: Loop) -> float:
    def pair(at: tuple[int, int]) -> float:
        if at[0] > at[1]:
            return 0.0
        block = loop.make(at)
        if at[0] == at[1]:
            return sum_of_symmetric(block, block)
        mirrored = loop.make((at[1], at[0]))
        return sum_of_symmetric(block, mirrored) + sum_of_symmetric(mirrored, block)

    return add_up(loop.each(pair))


def looped_overlap(loop: Loop) -> float:
    loop.each(lambda at: loop.write(at).shape)

    def smoothed(at: tuple[int, int]) -> float:
        rows, columns = ([k for k in (i - 1, i, i + 1) if 0 <= k < loop.grid] for i in at)
        return sum_of_smoothed([loop.read((i, j)) for i in rows for j in columns], at, loop.grid)

    return add_up(loop.each(smoothed))


LOOPED: dict[str, Callable[[Loop], float]] = {
    "sum": looped_sum,
    "standard deviation": looped_deviation,
    "transpose and add": looped_transpose,
    "overlap": looped_overlap,
}


def looped(what: str, grid: int, side: int, folder: Path) -> float:
    """Runs one of the computations as a plain loop; files go to ``folder``."""
    return LOOPED[what](Loop(grid, side, folder))
