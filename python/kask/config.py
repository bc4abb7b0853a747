"""Settings: ``kask.config.get``, ``kask.config.set`` and ``kask.config.describe``.

Sources, the later ones winning: the defaults of ``kask.settings``; the TOML files ``/etc/kask/kask.toml``,
``~/.config/kask/kask.toml`` and the one that ``$KASK_CONFIG`` names; variables such as ``KASK_CLUSTER__N_WORKERS=4``
(a double underscore stands for the dot); ``config.set``. A name or value that no setting knows is refused.
"""

from __future__ import annotations

import os
import threading
import tomllib
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kask.exceptions import ConfigError
from kask.names import did_you_mean, nearest
from kask.settings import TABLE, Setting

__all__ = ["describe", "get", "markdown", "refresh", "set", "source"]

# Variables that are no settings.
_RESERVED = {"KASK_CONFIG", "KASK_LOG", "KASK_TLS_DIR", "KASK_TOKEN_FILE", "KASK_WORKER_CONFIG", "KASK_WORKER_TIMEOUT"}
_MISSING: Any = object()

_lock = threading.RLock()
_found: dict[str, tuple[Any, str]] | None = None
_layers: list[_Layer] = []


class _Layer:
    """What one ``set`` changed; ``owner`` is dead once nothing can end it, ``entered`` once a ``with`` block will."""

    __slots__ = ("entered", "owner", "values")

    def __init__(self, values: dict[str, Any], owner: set) -> None:
        self.values = values
        self.owner = weakref.ref(owner)
        self.entered = False

    def permanent(self) -> bool:
        return not self.entered and self.owner() is None


def _setting(name: str) -> Setting:
    if name not in TABLE:
        raise ConfigError(
            f"there is no setting {name!r}", hint=did_you_mean(name, TABLE) or "kask.config.describe() lists all"
        )
    return TABLE[name]


def _parsed(setting: Setting, value: Any, where: str) -> Any:
    try:
        return setting.parse(value)
    except ValueError as error:
        raise ConfigError(f"{where}: {setting.name} = {value!r}: {error}") from None


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _files() -> list[Path]:
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    files = [Path("/etc/kask/kask.toml"), home / "kask" / "kask.toml"]
    named = os.environ.get("KASK_CONFIG")
    if named:
        if not Path(named).is_file():
            raise ConfigError(f"KASK_CONFIG names the file {named}, which is not there")
        files.append(Path(named))
    return files


def _from_files() -> Iterator[tuple[str, Any, str]]:
    for path in _files():
        try:
            table = tomllib.loads(path.read_text())
        except (FileNotFoundError, PermissionError):
            continue
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not a TOML file: {error}") from None
        for name, value in _flat(table):
            yield name, value, str(path)


def _from_variables() -> Iterator[tuple[str, Any, str]]:
    for variable, value in sorted(os.environ.items()):
        if not variable.startswith("KASK_") or variable in _RESERVED:
            continue
        name = variable.removeprefix("KASK_").lower().replace("__", ".")
        # Other programs may have variables that begin alike; what looks like one of ours must be one.
        if name in TABLE or "." in name or nearest(name, TABLE, 1, cutoff=0.85):
            yield name, value, f"the variable {variable}"


def _load() -> dict[str, tuple[Any, str]]:
    global _found
    with _lock:
        if _found is None:
            found = {}
            for source_of in (_from_files, _from_variables):
                for name, value, where in source_of():
                    try:
                        setting = _setting(name)
                    except ConfigError as error:
                        raise ConfigError(f"{where}: {error}", hint=error.hint) from None
                    found[name] = (_parsed(setting, value, where), where)
            _found = found
        return _found


def _look_up(name: str) -> tuple[Any, str]:
    _setting(name)
    with _lock:
        for layer in reversed(_layers):
            if name in layer.values:
                return layer.values[name], "config.set"
        return _load().get(name) or (TABLE[name].default, "default")


def get(name: str, default: Any = _MISSING) -> Any:
    """The value of a setting.

    Parameters
    ----------
    name : str
        Such as ``"cluster.n_workers"``.
    default : optional
        Returned when nobody has set it; without it the table's default is.

    Raises
    ------
    ConfigError
        There is no such setting.

    Examples
    --------
    >>> import kask
    >>> kask.config.get("cluster.allowed_deaths")
    3
    """
    value, where = _look_up(name)
    if where == "default" and default is not _MISSING:
        return default
    return list(value) if isinstance(value, list) else value


def source(name: str) -> str:
    """Where the value of a setting comes from: ``"default"``, a file, a variable, or ``"config.set"``.

    Examples
    --------
    >>> import kask
    >>> with kask.config.set({"cluster.allowed_deaths": 1}):
    ...     kask.config.source("cluster.allowed_deaths")
    'config.set'
    """
    return _look_up(name)[1]


class set:
    """Change settings, for good or for a ``with`` block. They hold for all threads.

    Parameters
    ----------
    values : mapping, optional
        Names (or nested mappings) and values.
    **names
        The same with a double underscore for the dot.

    Raises
    ------
    ConfigError
        There is no such setting, or it cannot have this value.

    Examples
    --------
    >>> import kask
    >>> with kask.config.set(scheduler="sync", cluster__n_workers=2):
    ...     kask.config.get("cluster.n_workers")
    2
    >>> with kask.config.set({"cluster.memory_limit": "4GiB"}):
    ...     kask.config.get("cluster.memory_limit")
    4294967296
    """

    def __init__(self, values: Mapping[str, Any] | None = None, /, **names: Any) -> None:
        given = dict(_flat(values or {})) | {name.replace("__", "."): value for name, value in names.items()}
        parsed = {name: _parsed(_setting(name), value, "config.set") for name, value in given.items()}
        self._layer = _Layer(parsed, self)
        with _lock:
            _load()
            if _layers and _layers[-1].permanent():
                # Nothing can end it any more, so the new layer may take it in and the list stays short.
                below = _layers[-1]
                if len(_layers) > 1 and _layers[-2].permanent():
                    _layers[-2].values.update(below.values)
                    _layers.pop()
            _layers.append(self._layer)

    def __enter__(self) -> set:
        self._layer.entered = True
        return self

    def __exit__(self, *_: object) -> None:
        with _lock:
            if self._layer in _layers:
                _layers.remove(self._layer)


def refresh() -> None:
    """Read files and variables again, and forget what was set with ``config.set``.

    Examples
    --------
    >>> import kask
    >>> kask.config.refresh()
    """
    global _found
    with _lock:
        _found = None
        _layers.clear()


def describe() -> list[Setting]:
    """The table of all settings, in order: ``name``, ``kind``, ``default``, ``unit``, ``doc``.

    Examples
    --------
    >>> import kask
    >>> kask.config.describe()[0].name
    'array.chunk_size_bytes'
    """
    return list(TABLE.values())


def markdown() -> str:
    """The table as the text of ``docs/configuration.md``.

    Examples
    --------
    >>> import kask
    >>> kask.config.markdown().startswith("# Settings")
    True
    """
    lines = [
        "# Settings",
        "",
        "Sources, the later ones winning: defaults; the TOML files `/etc/kask/kask.toml`, `~/.config/kask/kask.toml` and the one that",
        "`$KASK_CONFIG` names; variables such as `KASK_CLUSTER__N_WORKERS=4` (a double underscore stands for the dot); `kask.config.set(...)`,",
        "for good or as a context manager. Unknown names and impossible values are refused. Written by `python -m kask.config`.",
        "",
        "| name | type | default | unit | meaning |",
        "|---|---|---|---|---|",
    ]
    for row in TABLE.values():
        lines.append(f"| `{row.name}` | {row.kind} | `{row.default!r}` | {row.unit} | {row.doc} |")
    return "\n".join(lines) + "\n"


def _values() -> str:
    import json

    lines = []
    for name in TABLE:
        value, where = _look_up(name)
        lines.append(f"{name} = {json.dumps(value, default=str)}  # {where}")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """``python -m kask.config`` prints the documented table, with ``--values`` the values in force and where they come from."""
    import sys

    if arguments not in ([], ["--values"]):
        print(f"usage: python -m kask.config [--values]; got {' '.join(arguments)}", file=sys.stderr)
        return 2
    sys.stdout.write(_values() if arguments else markdown())
    return 0


if __name__ == "__main__":
    import sys

    from kask import config

    try:
        sys.exit(config.main(sys.argv[1:]))
    except ConfigError as error:
        sys.exit(f"kask: {error}" + (f" ({error.hint})" if error.hint else ""))
