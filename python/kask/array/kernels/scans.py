"""What tasks of scans and differences run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.kernels.reductions import in_strips, only_elements
from kask.array.kernels.regions import gather_region, slice_of

__all__ = ["ChainStep", "Gradient", "ScanBlock", "ScanGroup", "Totals"]


class Totals:
    """The total of a block, or of several side by side, along an axis."""

    def __init__(self, func: Callable[..., Any], axis: int, dtype: Any) -> None:
        self.func, self.axis, self.dtype = func, axis, dtype
        self.__name__ = "total"

    def __call__(self, blocks: Any) -> Any:
        if self.func in (np.sum, np.prod) and type(blocks) is not list:
            made = only_elements(blocks, (self.axis,), self.dtype)
            if made is not None:
                return made
        return in_strips(self._of, blocks if type(blocks) is list else [blocks], (self.axis,))

    def _of(self, blocks: list[Any]) -> Any:
        whole = np.concatenate(blocks, axis=self.axis) if len(blocks) > 1 else blocks[0]
        with np.errstate(all="ignore"):
            return self.func(whole, axis=self.axis, keepdims=True, **_typed(self.dtype))

    def __kask_tokenize__(self) -> Any:
        return "totals", self.func, self.axis, self.dtype


class ScanGroup:
    """For several totals: what lies before each of them, in all, if an offset lies before the first."""

    def __init__(
        self, scan: Callable[..., Any], merge: Callable[..., Any], identity: Any, axis: int, dtype: Any
    ) -> None:
        self.scan, self.merge, self.identity, self.axis, self.dtype = scan, merge, identity, axis, dtype
        self.__name__ = "before"

    def __call__(self, totals: list[Any], offset: Any = None) -> Any:
        if offset is None:
            offset = np.full_like(totals[0], self.identity)
        return in_strips(self._of, [offset, *totals[:-1]], (self.axis,))

    def _of(self, totals: list[Any]) -> Any:
        whole = np.concatenate(totals, axis=self.axis)
        with np.errstate(all="ignore"):
            return self.scan(whole, axis=self.axis, **_typed(self.dtype))

    def __kask_tokenize__(self) -> Any:
        return "scangroup", self.scan, self.merge, self.identity, self.axis, self.dtype


class ChainStep:
    """What lies before a total and the total itself; what changes nothing, if nothing lies before."""

    def __init__(self, merge: Callable[..., Any], identity: Any) -> None:
        self.merge, self.identity = merge, identity
        self.__name__ = "before"

    def __call__(self, before: list[Any], totals: list[Any]) -> Any:
        if not before:
            return np.full_like(totals[0], self.identity)
        with np.errstate(all="ignore"):
            return self.merge(before[0], totals[0])

    def __kask_tokenize__(self) -> Any:
        return "chainstep", self.merge, self.identity


class ScanBlock:
    """The scan of a block, with what lies before it."""

    def __init__(self, scan: Callable[..., Any], merge: Callable[..., Any], axis: int, dtype: Any) -> None:
        self.scan, self.merge, self.axis, self.dtype = scan, merge, axis, dtype
        self.__name__ = scan.__name__

    def __call__(self, block: Any, before: Any = None) -> Any:
        with np.errstate(all="ignore"):
            scanned = self.scan(block, axis=self.axis, **_typed(self.dtype))
            if before is None:
                return scanned
            is_own = type(scanned) is np.ndarray and scanned.flags.owndata and not np.may_share_memory(scanned, block)
            if type(self.merge) is np.ufunc and is_own and scanned.dtype == before.dtype == self.dtype:
                return self.merge(before, scanned, out=scanned)
            return self.merge(before, scanned)

    def __kask_tokenize__(self) -> Any:
        return "scanblock", self.scan, self.merge, self.axis, self.dtype


def _typed(dtype: Any) -> dict[str, Any]:
    # Units of time cannot be asked for.
    return {} if dtype.kind == "m" else {"dtype": dtype}


class Gradient:
    """The gradient of a block and some elements beside it, without these. ``is_uneven`` where the distances are known to differ somewhere."""

    def __init__(
        self,
        intervals: tuple[Any, ...],
        chunks: Any,
        axis: int,
        spacing: Any,
        edge_order: int,
        dtype: Any,
        is_uneven: bool,
    ) -> None:
        self.intervals, self.chunks, self.axis, self.is_uneven = intervals, chunks, axis, is_uneven
        self.spacing, self.edge_order, self.dtype = spacing, edge_order, dtype
        self.__name__ = "gradient"

    def __call__(self, position: tuple[int, ...], blocks: list[Any], places: list[Any] | None = None) -> Any:
        shape = self.chunks.block_shape(position)
        if 0 in shape:
            return np.empty(shape, self.dtype)
        block = gather_region(blocks, position, self.intervals, blocks[0])
        interval, at = self.intervals[self.axis], position[self.axis]
        spacing = self.spacing if places is None else gather_region(places, (at,), (interval,), places[0])
        options: dict[str, Any] = {"axis": self.axis, "edge_order": self.edge_order}
        margin = interval.margin(at)
        if self.is_uneven and len(spacing) > 1 and (np.diff(spacing) == spacing[1] - spacing[0]).all():
            block, spacing = self._made_uneven(block, spacing, margin > 0)
            margin += margin > 0
        gradient = np.gradient(block, spacing, **options)
        own = slice_of(margin, 1, shape[self.axis])
        return gradient[tuple([own if axis == self.axis else slice(None) for axis in range(block.ndim)])]

    def _made_uneven(self, block: Any, places: Any, in_front: bool) -> tuple[Any, Any]:
        """With one more element at another distance, so that NumPy takes the formula that it takes for the whole; not at an end of the array."""
        places = places.astype(float) if places.dtype.kind in "iu" else places
        far = 2 * (places[1] - places[0])
        end = block[(*[slice(None)] * self.axis, slice(1) if in_front else slice(-1, None))]
        if in_front:
            return np.concatenate([end, block], self.axis), np.concatenate([places[:1] - far, places])
        return np.concatenate([block, end], self.axis), np.concatenate([places, places[-1:] + far])

    def __kask_tokenize__(self) -> Any:
        how = self.spacing, self.edge_order, self.is_uneven
        return "gradient", self.intervals, self.chunks, self.axis, how
