"""Arrays from and to files and stores."""

from __future__ import annotations

from typing import Any

from kask.array.base import ArrayBase


class StorageMethods(ArrayBase):
    """Arrays from and to files and stores."""

    __slots__ = ()

    def to_delayed(self, optimize_graph: bool = True) -> Any:
        """The blocks as delayed values, in a NumPy array of the grid's shape. Each computes what it needs by itself.

        Examples
        --------
        >>> import kask.array as ka
        >>> ka.arange(4, chunks=2).to_delayed()[1].compute()
        array([2, 3])
        """
        from kask.array.ops.storage import to_delayed

        return to_delayed(self, optimize_graph)

    def store(
        self,
        targets: Any,
        lock: Any = True,
        regions: Any = None,
        compute: bool = True,
        return_stored: bool = False,
        load_stored: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """See :func:`kask.array.store`; with ``return_stored`` one array is returned."""
        from kask.array.ops.storage import store

        found = store(self, targets, lock, regions, compute, return_stored, load_stored, **kwargs)
        return found[0] if return_stored else found
