"""Parallel NumPy, pandas and Python on an engine written in Rust.

Everything is imported on first use, so that ``import kask`` costs next to nothing.
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kask import array as array
    from kask import config as config
    from kask import distributed as distributed
    from kask import exceptions as exceptions
    from kask import shuffle as shuffle
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
    from kask.explain import explain as explain
    from kask.memory import writable as writable
    from kask.sizeof import sizeof as sizeof
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
    "explain": "explain",
    "sizeof": "sizeof",
    "writable": "memory",
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
_MODULES = ["config", "diagnostics", "distributed", "exceptions", "shuffle"]

__all__ = sorted([*_HOMES, *_MODULES])


def __getattr__(name: str) -> Any:
    # The array module needs NumPy, and so is not one of those that a star imports.
    if name in _MODULES or name == "array":
        return importlib.import_module(f"kask.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'kask' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"kask.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _shadowed(name: str) -> property:
    """An attribute of the package that is what the module of the same name defines under it, not that module."""

    def read(package: types.ModuleType) -> Any:
        return getattr(importlib.import_module(f"kask.{name}"), name)

    def write(package: types.ModuleType, value: Any) -> None:
        # The import system binds a submodule to its package.
        if not isinstance(value, types.ModuleType):
            raise AttributeError(f"kask.{name} cannot be replaced")

    return property(read, write)


class _Package(types.ModuleType):
    delayed = _shadowed("delayed")
    explain = _shadowed("explain")
    sizeof = _shadowed("sizeof")

    # As a global of a user's function it goes to workers by its name, like any other module.
    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, (self.__name__,)


del _HOMES["delayed"], _HOMES["explain"], _HOMES["sizeof"]
sys.modules[__name__].__class__ = _Package
