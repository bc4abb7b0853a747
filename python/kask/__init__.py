"""Parallel NumPy, pandas and Python on an engine written in Rust.

Everything is imported on first use, so that ``import kask`` costs next to nothing.
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kask import config as config
    from kask import distributed as distributed
    from kask import exceptions as exceptions
    from kask.annotations import annotate as annotate
    from kask.annotations import get_annotations as get_annotations
    from kask.base import compute as compute
    from kask.base import is_kask_collection as is_kask_collection
    from kask.base import optimize as optimize
    from kask.base import persist as persist
    from kask.base import visualize as visualize
    from kask.delayed import delayed as delayed
    from kask.distributed import Client as Client
    from kask.distributed import Future as Future
    from kask.distributed import LocalCluster as LocalCluster
    from kask.distributed import Security as Security
    from kask.distributed import as_completed as as_completed
    from kask.distributed import fire_and_forget as fire_and_forget
    from kask.distributed import get_client as get_client
    from kask.distributed import get_worker as get_worker
    from kask.distributed import progress as progress
    from kask.distributed import rejoin as rejoin
    from kask.distributed import secede as secede
    from kask.distributed import wait as wait
    from kask.distributed import worker_client as worker_client
    from kask.engine import __version__ as __version__
    from kask.tokens import normalize_token as normalize_token
    from kask.tokens import tokenize as tokenize

_HOMES = {
    "__version__": "engine",
    "annotate": "annotations",
    "get_annotations": "annotations",
    "compute": "base",
    "is_kask_collection": "base",
    "optimize": "base",
    "persist": "base",
    "visualize": "base",
    "delayed": "delayed",
    "normalize_token": "tokens",
    "tokenize": "tokens",
} | dict.fromkeys(
    [
        "Client",
        "Future",
        "LocalCluster",
        "Security",
        "as_completed",
        "fire_and_forget",
        "get_client",
        "get_worker",
        "progress",
        "rejoin",
        "secede",
        "wait",
        "worker_client",
    ],
    "distributed",
)
_MODULES = ["config", "diagnostics", "distributed", "exceptions"]

__all__ = sorted([*_HOMES, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"kask.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'kask' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"kask.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(types.ModuleType):
    # The import system binds a submodule to its package's attribute of that name; ``kask.delayed`` is to be the function all the same.
    @property
    def delayed(self) -> Any:
        return importlib.import_module("kask.delayed").delayed

    @delayed.setter
    def delayed(self, value: Any) -> None:
        if not isinstance(value, types.ModuleType):
            raise AttributeError("kask.delayed cannot be replaced")

    # As a global of a user's function it goes to workers by its name, like any other module.
    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, (self.__name__,)


del _HOMES["delayed"]
sys.modules[__name__].__class__ = _Package
