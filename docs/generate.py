"""Writes the generated pages of ``docs/``, or with ``--check`` says which of them are out of step with the code."""

from __future__ import annotations

import sys
from pathlib import Path

import api_status
import array_api
from kask import config

HERE = Path(__file__).resolve().parent

PAGES = {
    "configuration.md": config.markdown,
    "api-status.md": api_status.page,
    "array-api.md": array_api.page,
}


def main() -> int:
    check = sys.argv[1:] == ["--check"]
    stale = []
    for name, make in PAGES.items():
        path, text = HERE / name, make()
        if path.is_file() and path.read_text() == text:
            continue
        if check:
            stale.append(name)
        else:
            path.write_text(text)
            print(f"wrote docs/{name}")
    for name in stale:
        print(f"docs/{name} is out of step with the code\n    do: make docs")
    if check and not stale:
        print(f"docs: ok ({len(PAGES)} generated pages are in step with the code)")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
