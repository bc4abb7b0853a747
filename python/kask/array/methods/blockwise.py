"""The user's own functions on blocks: ``map_blocks``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kask.array.base import ArrayBase
from kask.array.ops import map_blocks


class BlockwiseMethods(ArrayBase):
    """The user's own functions on blocks: ``map_blocks``."""

    __slots__ = ()

    def map_blocks(
        self,
        func: Callable[..., Any],
        *args: Any,
        name: str | None = None,
        token: str | None = None,
        dtype: Any = None,
        chunks: Any = None,
        drop_axis: Any = None,
        new_axis: Any = None,
        enforce_ndim: bool = False,
        meta: Any = None,
        **kwargs: Any,
    ) -> Any:
        """A function of each block. See :func:`kask.array.map_blocks`."""
        return map_blocks.map_blocks(
            func,
            self,
            *args,
            name=name,
            token=token,
            dtype=dtype,
            chunks=chunks,
            drop_axis=drop_axis,
            new_axis=new_axis,
            enforce_ndim=enforce_ndim,
            meta=meta,
            **kwargs,
        )
