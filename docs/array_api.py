"""Writes ``docs/array-api.md``: which names of Dask's documented array API exist in Kask, and with which parameters.

``array-names.json`` has the names and their parameters; this script imports ``kask.array`` and compares.
"""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

from api_status import Status, missing_parameters, resolve, summary_lines
from array_differences import differences

REFERENCE = Path(__file__).resolve().parent / "array-names.json"

SECTIONS = [
    "kask.array",
    "kask.array.Array",
    "kask.array.linalg",
    "kask.array.fft",
    "kask.array.random",
    "kask.array.ma",
    "kask.array.stats",
]
OTHERS = "other modules"

#: Where names beyond the documented ones are looked for.
BEYOND = [*SECTIONS, "kask.array.random.Generator"]
#: Attributes of arrays that are of use to Kask alone.
INTERNAL = {"expr", "full", "unknown"}

#: Parameters that are no parameters here: of a constructor that nobody calls, of the array itself, and those that have no names in NumPy.
NOT_ASKED = {
    "kask.array.Array": {"dask", "name", "chunks", "dtype", "meta", "shape"},
    "kask.array.Array.store": {"sources"},
    "kask.array.divmod": {"x", "y"},
    "kask.array.frexp": {"x"},
    "kask.array.modf": {"x"},
}


def page() -> str:
    reference: dict[str, list[str] | None] = json.loads(REFERENCE.read_text())
    tables: dict[str, list[Status]] = {section: [] for section in [*SECTIONS, OTHERS]}
    for name, parameters in reference.items():
        home = name.rpartition(".")[0]
        tables[home if home in SECTIONS else OTHERS].append(status(name, parameters))
    lines = [
        "# Array API",
        "",
        "<!-- Written by `make docs` from docs/array-names.json; do not edit. -->",
        "",
        "Dask's documented array API under Kask's names: what exists, which documented parameters are not accepted, and what differs.",
        "A parameter that is not accepted is refused with an error. Some are accepted so that programs run, and change no result: they",
        "are listed as having no effect. Results are those of NumPy. NumPy's own functions, called with Kask's arrays, have NumPy's names",
        "and order of parameters; the names here have the documented ones. What Kask has besides is [at the end](#beyond-dask). How arrays are",
        "used is told in the [guide](array.md).",
        "",
    ]
    lines += summary_lines(tables)
    for section, rows in tables.items():
        lines += ["", f"## {section}", "", "| name | in Kask | differences |", "|---|---|---|"]
        lines += [f"| `{row.name}` | {row.text} | {_differences(row)} |" for row in rows]
    lines += [
        "",
        "## Beyond Dask",
        "",
        "What Dask does not document under these names. Functions and methods are those of NumPy, or of the array API standard, with the same",
        "names, and the docstrings of the others say what they do.",
        "",
        "| part | names |",
        "|---|---|",
    ]
    for section in BEYOND:
        names = beyond(section, reference)
        if names:
            lines.append(f"| {section} | {', '.join([f'`{name}`' for name in names])} |")
    return "\n".join(lines) + "\n"


def beyond(section: str, reference: dict[str, Any]) -> list[str]:
    """Public names of a module or class that are not documented elsewhere; types and constants of NumPy are not told."""
    home = resolve(section)
    names = [name for name in getattr(home, "__all__", dir(home)) if not name.startswith("_") and name not in INTERNAL]
    told = []
    for name in sorted(set(names), key=str.lower):
        found = getattr(home, name)
        if f"{section}.{name}" in reference or isinstance(found, types.ModuleType | type | float | None):
            continue
        told.append(name)
    return told


def _differences(row: Status) -> str:
    return "" if row.missing is None else differences(row.name, resolve(row.name))


def status(name: str, parameters: list[str] | None) -> Status:
    try:
        found = resolve(name)
    except (ImportError, AttributeError):
        return Status(name, None)
    # What is documented as ``*args`` alone has its parameters in the docstring's text, where they cannot be compared.
    asked = [one for one in parameters or [] if one != "*args" and one not in NOT_ASKED.get(name, ())]
    return Status(name, missing_parameters(found, asked))
