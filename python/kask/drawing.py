"""Task graphs as pictures: by graphviz where it is installed, otherwise by a layered layout of our own, as SVG.

The layout is that of Sugiyama, Tagawa and Toda (1981) in its plainest form: longest-path layers, then a few sweeps that order
each layer by the mean position of its neighbours.
"""

from __future__ import annotations

import html
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

from kask.exceptions import KaskError

Task = tuple[str, str, list[str]]

_FORMATS = ("svg", "png", "pdf", "dot")
_DIRECTIONS = ("BT", "TB", "LR", "RL")
_SWEEPS = 6
_ARROW_HEAD = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0,0 L8,4 L0,8 z" fill="#555"/></marker></defs>'
)


def draw(tasks: list[Task], *, filename: str | None, format: str | None, engine: str | None, rankdir: str) -> Any:
    """Draw tasks ``(key, family, input keys)``; see :func:`kask.visualize`."""
    path = Path(filename) if filename is not None else None
    if format is None and path is not None and path.suffix[1:] in _FORMATS:
        format = path.suffix[1:]
    format = format or "svg"
    if format not in _FORMATS:
        raise ValueError(f"format= must be one of {', '.join(_FORMATS)}, got {format!r}")
    if rankdir not in _DIRECTIONS:
        raise ValueError(f"rankdir= must be one of {', '.join(_DIRECTIONS)}, got {rankdir!r}")
    if engine not in (None, "graphviz", "kask"):
        raise ValueError(f"engine= must be 'graphviz' or 'kask', got {engine!r}")
    picture = _picture(tasks, format, engine, rankdir)
    if path is not None:
        if path.suffix[1:] != format:
            path = path.with_name(f"{path.name}.{format}")
        path.write_bytes(picture if isinstance(picture, bytes) else picture.encode())
    return _displayable(picture, format)


def _picture(tasks: list[Task], format: str, engine: str | None, rankdir: str) -> str | bytes:
    if format == "dot":
        return to_dot(tasks, rankdir)
    program = None if engine == "kask" else shutil.which("dot")
    if program is None:
        if format != "svg" or engine == "graphviz":
            raise KaskError(
                f"a picture in the format {format} needs the program `dot` of graphviz, which is not installed"
                if engine != "kask"
                else f"engine='kask' draws SVG only, not {format}",
                hint='install graphviz, or use format="svg"',
            )
        return to_svg(tasks, rankdir)
    done = subprocess.run(
        [program, f"-T{format}"], input=to_dot(tasks, rankdir).encode(), capture_output=True, check=False
    )
    if done.returncode != 0:
        raise KaskError(f"the program `dot` of graphviz failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout if format != "svg" else done.stdout.decode()


def _displayable(picture: str | bytes, format: str) -> Any:
    try:
        from IPython import get_ipython

        if get_ipython() is None:
            return picture
        from IPython.display import SVG, Image
    except ImportError:
        return picture
    if format == "svg":
        return SVG(data=picture)
    return Image(data=picture) if format == "png" else picture


def _color(family: str) -> str:
    return f"hsl({zlib.crc32(family.encode()) % 360}, 60%, 82%)"


def to_dot(tasks: list[Task], rankdir: str = "BT") -> str:
    """The graph in graphviz's language.

    Examples
    --------
    >>> print(to_dot([("a", "inc", [])]))
    digraph {
      rankdir=BT;
      node [shape=box, style="rounded,filled", fillcolor="#e8eef7", fontname=Helvetica];
      "a" [label="inc", tooltip="a"];
    }
    <BLANKLINE>
    """
    lines = [
        "digraph {",
        f"  rankdir={rankdir};",
        '  node [shape=box, style="rounded,filled", fillcolor="#e8eef7", fontname=Helvetica];',
    ]
    lines += [f"  {_quoted(key)} [label={_quoted(family)}, tooltip={_quoted(key)}];" for key, family, _ in tasks]
    lines += [f"  {_quoted(below)} -> {_quoted(key)};" for key, _, inputs in tasks for below in dict.fromkeys(inputs)]
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def layers(tasks: list[Task]) -> list[list[str]]:
    """Keys by layer, inputs before what uses them, ordered to keep edges short.

    Examples
    --------
    >>> layers([("a", "f", []), ("b", "f", ["a"])])
    [['a'], ['b']]
    """
    known = {key: inputs for key, _, inputs in tasks}
    depth: dict[str, int] = {}
    for root in known:
        stack = [root]
        while stack:
            key = stack[-1]
            waiting = [below for below in known[key] if below in known and below not in depth]
            if key not in depth and waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            depth[key] = max((depth[below] + 1 for below in known[key] if below in depth), default=0)
    rows: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for key, level in depth.items():
        rows[level].append(key)
    return _ordered(rows, known)


def _ordered(rows: list[list[str]], inputs: dict[str, list[str]]) -> list[list[str]]:
    above: dict[str, list[str]] = {key: [] for key in inputs}
    for key, below in inputs.items():
        for other in below:
            if other in above:
                above[other].append(key)
    place = {key: i for row in rows for i, key in enumerate(row)}
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for row in rows if forward else reversed(rows):
            neighbours = inputs if forward else above
            mean = {
                key: _mean([place[other] for other in neighbours[key] if other in place], place[key]) for key in row
            }
            row.sort(key=mean.__getitem__)
            place.update({key: i for i, key in enumerate(row)})
    return rows


def _mean(numbers: list[int], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise


def to_svg(tasks: list[Task], rankdir: str = "BT") -> str:
    """The graph as SVG, by our own layout.

    Examples
    --------
    >>> to_svg([("a", "inc", [])]).startswith("<svg")
    True
    """
    rows = layers(tasks)
    family = {key: name for key, name, _ in tasks}
    across, along = (150, 70) if rankdir in ("BT", "TB") else (46, 190)
    widest = max(map(len, rows), default=1)
    spot: dict[str, tuple[float, float]] = {}
    for level, row in enumerate(rows):
        start = (widest - len(row)) / 2
        for i, key in enumerate(row):
            sideways, step = (start + i + 0.5) * across, level if rankdir in ("TB", "LR") else len(rows) - 1 - level
            forward = (step + 0.5) * along
            spot[key] = (sideways, forward) if rankdir in ("BT", "TB") else (forward, sideways)
    size = (widest * across, max(1, len(rows)) * along)
    width, height = size if rankdir in ("BT", "TB") else size[::-1]
    area = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {area} font-family="Helvetica, sans-serif" font-size="12">',
        _ARROW_HEAD,
    ]
    parts += [
        _edge(spot[below], spot[key], rankdir)
        for key, _, inputs in tasks
        for below in dict.fromkeys(inputs)
        if below in spot
    ]
    parts += [_box(x, y, key, family[key]) for key, (x, y) in spot.items()]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _edge(start: tuple[float, float], end: tuple[float, float], rankdir: str) -> str:
    (x1, y1), (x2, y2) = start, end
    if rankdir in ("BT", "TB"):
        y1, y2 = (y1 - 15, y2 + 15) if rankdir == "BT" else (y1 + 15, y2 - 15)
        bend = f"{x1:g},{(y1 + y2) / 2:g} {x2:g},{(y1 + y2) / 2:g}"
    else:
        x1, x2 = (x1 + 65, x2 - 65) if rankdir == "LR" else (x1 - 65, x2 + 65)
        bend = f"{(x1 + x2) / 2:g},{y1:g} {(x1 + x2) / 2:g},{y2:g}"
    return f'<path d="M{x1:g},{y1:g} C{bend} {x2:g},{y2:g}" fill="none" stroke="#555" marker-end="url(#tip)"/>'


def _box(x: float, y: float, key: str, family: str) -> str:
    label = family if len(family) <= 18 else family[:17] + "…"
    return (
        f'<g><title>{html.escape(key)}</title><rect x="{x - 65:g}" y="{y - 15:g}" width="130" height="30" rx="8" fill="{_color(family)}" stroke="#555"/>'
        f'<text x="{x:g}" y="{y + 4:g}" text-anchor="middle">{html.escape(label)}</text></g>'
    )
