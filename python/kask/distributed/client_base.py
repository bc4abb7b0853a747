"""What the parts of ``Client`` count on from each other."""

from __future__ import annotations

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
