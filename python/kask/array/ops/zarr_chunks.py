"""How arrays are cut to be written to Zarr arrays: a chunk is read, changed and written again as a whole, so two tasks must not share one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kask.array.kernels.stores import ZarrTarget, zarr_place, zarr_unit
from kask.array.node import ArrayExpr
from kask.array.ops.rechunk import rechunked
from kask.engine import Chunks

__all__ = ["Places", "aligned", "is_zarr", "mark_shared"]

#: First element and step along each axis.
Places = tuple[tuple[int, int], ...]


def is_zarr(x: Any) -> bool:
    """Whether something is a Zarr array."""
    return type(x).__module__.partition(".")[0] == "zarr" and hasattr(x, "store_path")


def aligned(expr: ArrayExpr, unit: tuple[int, ...], places: Places) -> ArrayExpr:
    """The array, cut where chunks of the store end, if it is not: into blocks about as large as its own."""
    axes = []
    for axis, (size, (start, step)) in enumerate(zip(unit, places)):
        chunks, length = expr.chunks.axis(axis), expr.shape[axis]
        if chunks.first_shared(size, start, step) is not None:
            # After so many places an element is again as far from the end of a chunk.
            period = math.lcm(size, step)
            count = period // step
            first = min(length, -(-(-start % period) // step))
            large = -(-chunks.largest[0] // count) * count
            rest = [Chunks.normalize([length - first], [large], 1, 1)] if length > first else []
            chunks = Chunks.concat([*([Chunks([[first]])] if first else []), *rest])
        axes.append(chunks)
    return rechunked(expr, Chunks.join(axes)) if axes else expr


def mark_shared(written: list[tuple[ZarrTarget, ArrayExpr, Places]]) -> set[str]:
    """The places of Zarr arrays with chunks that several arrays are written to. Their targets get to know that only one process may write to them."""
    by_place: dict[str, list[tuple[ZarrTarget, ArrayExpr, Places]]] = {}
    for target, expr, places in written:
        if 0 not in expr.shape:
            by_place.setdefault(zarr_place(target.array), []).append((target, expr, places))
    shared = set()
    for place, some in by_place.items():
        unit = np.array(zarr_unit(some[0][0].array), int)
        ends = np.array(
            [[(at, at + step * (n - 1)) for (at, step), n in zip(places, expr.shape)] for _, expr, places in some], int
        ).reshape(len(some), -1, 2)
        first, last = ends[..., 0] // unit, ends[..., 1] // unit
        for number in range(1, len(some)):
            met = ((first[:number] <= last[number]) & (last[:number] >= first[number])).all(axis=1)
            if met.any():
                shared.add(place)
                why = (
                    f"arrays {int(met.argmax())} and {number} of those to be stored in the Zarr array {place} have elements in the same chunk "
                    f"of it, where chunks have the shape {tuple(unit.tolist())}, and two processes would overwrite each other's; choose "
                    "regions that end where chunks end, or compute with scheduler='threads'"
                )
                for target, _, _ in some:
                    target.only_here = why
                break
    return shared
