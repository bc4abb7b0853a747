"""Arrays from and to files and stores."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import in_memory, is_array_like, wrap

__all__ = ["from_array"]


def from_array(
    x: Any,
    chunks: Any = "auto",
    name: str | bool | None = None,
    lock: Any = False,
    asarray: bool | None = None,
    fancy: bool = True,
    getitem: Any = None,
    meta: Any = None,
    inline_array: bool = False,
) -> Any:
    """An array of something that looks like one."""
    return wrap(in_memory(x if is_array_like(x) else np.asarray(x), chunks))
