"""Writes ``docs/api-status.md``: which names of the reference API exist in Kask, and with which parameters.

``reference-names.json`` lists names and parameters of Dask's documented API under kask names; this script imports
``kask`` and compares. Nothing is judged by hand: what is missing here is missing there.
"""

from __future__ import annotations

import importlib
import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REFERENCE = Path(__file__).resolve().parent / "reference-names.json"

SECTIONS = {
    "api": "kask",
    "delayed-api": "kask.delayed",
    "futures": "kask.distributed",
    "client": "kask.distributed.Client",
}

# Names that are spelled otherwise in Kask.
RENAMED = {
    "kask.is_dask_collection": "kask.is_kask_collection",
    "kask.tokenize.TokenizationError": "kask.exceptions.TokenizationError",
    "kask.tokenize.tokenize": "kask.tokenize",
    "kask.delayed.delayed": "kask.delayed",
}


@dataclass(frozen=True)
class Status:
    """One row. ``missing`` lists parameters; ``None`` means that the name itself is missing."""

    name: str
    missing: list[str] | None

    @property
    def text(self) -> str:
        if self.missing is None:
            return "missing"
        return "yes" if not self.missing else "without " + ", ".join(f"`{parameter}`" for parameter in self.missing)


def page() -> str:
    reference = json.loads(REFERENCE.read_text())
    lines = [
        "# API status",
        "",
        "<!-- Written by `make docs` from docs/reference-names.json; do not edit. -->",
        "",
        "Dask's documented API under Kask's names: what exists, and which documented parameters are not accepted yet. A",
        "parameter that is not accepted is refused with an error, never ignored.",
        "",
    ]
    tables = {
        section: [status(section, name, entry) for name, entry in reference[section].items()] for section in SECTIONS
    }
    lines += summary_lines({SECTIONS[section]: rows for section, rows in tables.items()})
    for section, rows in tables.items():
        lines += ["", f"## {SECTIONS[section]}", "", "| name | in Kask |", "|---|---|"]
        lines += [f"| `{row.name}` | {row.text} |" for row in rows]
    return "\n".join(lines) + "\n"


def summary_lines(tables: dict[str, list[Status]]) -> list[str]:
    """How many names of each table there are, as lines of a table."""
    lines = ["| part | names | complete | some parameters missing | missing |", "|---|---|---|---|---|"]
    for section, rows in tables.items():
        missing = sum(row.missing is None for row in rows)
        complete = sum(row.missing == [] for row in rows)
        partial = len(rows) - complete - missing
        lines.append(f"| {section} | {len(rows)} | {complete} | {partial} | {missing} |")
    return lines


def status(section: str, name: str, entry: dict[str, Any]) -> Status:
    full_name = f"kask.distributed.Client.{name}" if section == "client" else RENAMED.get(name, name)
    try:
        found = resolve(full_name)
    except (ImportError, AttributeError):
        return Status(full_name, None)
    return Status(full_name, missing_parameters(found, entry["params"]))


def resolve(name: str) -> Any:
    """The object of that dotted name; the longest prefix that is a module is imported."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise ImportError(name)


def missing_parameters(found: Any, expected: list[str] | None) -> list[str]:
    if expected is None:
        return []
    try:
        parameters = inspect.signature(found).parameters
    except (TypeError, ValueError):
        return []
    known = {parameter.name for parameter in parameters.values()}
    anything = {kind: any(p.kind is kind for p in parameters.values()) for kind in (inspect.Parameter.VAR_POSITIONAL,)}
    missing = []
    for parameter in expected:
        plain = parameter.lstrip("*")
        if parameter.startswith("**") or plain in known:
            continue
        if parameter.startswith("*") and anything[inspect.Parameter.VAR_POSITIONAL]:
            continue
        missing.append(parameter)
    return missing
