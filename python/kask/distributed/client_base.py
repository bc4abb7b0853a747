"""What the parts of ``Client`` count on from each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kask.distributed.cluster import LocalCluster
    from kask.distributed.security import Security
    from kask.engine import Engine


class ClientBase:
    """Base of the parts, for the type checker: ``client.Client`` is where these are."""

    name: str
    cluster: LocalCluster | None
    _security: Security

    @property
    def _engine(self) -> Engine:
        raise NotImplementedError

    def _call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


def named_workers(workers: Any) -> list[str] | None:
    """What ``workers=`` names, one or several; None is all of them."""
    if workers is None:
        return None
    names = [workers] if isinstance(workers, str) else list(workers) if isinstance(workers, Iterable) else [workers]
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"workers= must be the name or address of a worker, or a list of them, got {workers!r}")
    return names
