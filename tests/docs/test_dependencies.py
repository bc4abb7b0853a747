"""docs/dependencies.md names every library that the workspace or the package asks for, and no other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def cargo_dependencies() -> set[str]:
    names = set()
    for manifest in [ROOT / "Cargo.toml", ROOT / "xtask" / "Cargo.toml", *ROOT.glob("crates/*/Cargo.toml")]:
        content = tomllib.loads(manifest.read_text())
        tables = [content.get("workspace", {}), content, *content.get("target", {}).values()]
        for table in tables:
            for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
                names |= table.get(kind, {}).keys()
    return {name for name in names if not name.startswith("kask-")}


def python_dependencies() -> set[str]:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = content["project"]
    asked = [*content["build-system"]["requires"], *project["dependencies"]]
    for group in [*project["optional-dependencies"].values(), *content["dependency-groups"].values()]:
        asked += group
    names = {re.split(r"[\[<>=!~ ]", requirement)[0] for requirement in asked}
    return names - {"kask"}


def test_every_dependency_is_explained_and_nothing_else() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    explained = set(re.findall(r"^\| `([^`]+)`", page, re.MULTILINE))
    wanted = cargo_dependencies() | python_dependencies()
    assert explained == wanted, (
        f"not explained: {sorted(wanted - explained)}; no longer used: {sorted(explained - wanted)}"
    )
