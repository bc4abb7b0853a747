"""Runs the ``python`` blocks of README.md and docs/, each page as one script in a fresh interpreter.

What a block prints must be what its comments say: ``print(x)  # -> 42``. A page's blocks share their names, as a
reader would expect. A block below ``<!-- not run: reason -->`` is left out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"(?P<skip><!-- not run: [^>]+-->\n+)?^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
OPTIONAL = re.compile(
    r"^\s*(?:import|from) (numpy|pandas|polars|pyarrow|zarr|xarray|h5py|netCDF4|scipy|sparse|sklearn|skimage)\b",
    re.MULTILINE,
)
PROMISE = re.compile(r"# -> (.*)$", re.MULTILINE)


def script(page: Path) -> str:
    """The blocks of a page, one after another, at the line numbers that they have in the page."""
    text = page.read_text()
    lines: list[str] = []
    for block in BLOCK.finditer(text):
        if not block["skip"]:
            start = text.count("\n", 0, block.start("code"))
            lines += [""] * (start - len(lines)) + block["code"].splitlines()
    return "\n".join(lines) + "\n"


WITH_EXAMPLES = [page for page in PAGES if script(page).strip()]


@pytest.mark.smoke
@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_print_what_they_promise(page: Path, tmp_path: Path) -> None:
    code = script(page)
    for module in set(OPTIONAL.findall(code)):
        pytest.importorskip(module)
    path = tmp_path / f"{page.stem.replace('-', '_').lower()}_examples.py"
    path.write_text(code)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KASK_")}
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{page.name} fails:\n{done.stderr}"
    assert done.stdout.splitlines() == PROMISE.findall(code), f"{page.name} prints something else:\n{done.stderr}"
    assert done.stderr == ""


def test_blocks_are_found_and_placed_at_their_lines(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "text\n\n```python\na = 1\n```\n<!-- not run: no -->\n```python\nb\n```\n```python\nprint(a)  # -> 1\n```\n"
    )
    assert script(page).splitlines() == [""] * 3 + ["a = 1"] + [""] * 6 + ["print(a)  # -> 1"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}, which is not there"
