"""Drawing progress: a line in a terminal with plain ANSI codes, or HTML in a notebook."""

from __future__ import annotations

import dataclasses
import html
import shutil
from typing import Any, Protocol

from kask.units import format_seconds


@dataclasses.dataclass(frozen=True)
class State:
    """What is to be drawn. ``families``: name -> (done, failed, total)."""

    done: int
    failed: int
    total: int
    seconds: float
    families: dict[str, tuple[int, int, int]]

    @property
    def share(self) -> float:
        """Share that is done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 1.0

    def completed(self) -> State:
        """The same, all done."""
        total = max(self.total, self.done)
        return dataclasses.replace(self, done=total - self.failed, total=total)


class Painter(Protocol):
    """Draws a state over the one before."""

    def draw(self, state: State, last: bool) -> None: ...
    def end(self) -> None: ...


class TerminalPainter:
    """One line for all and one for each family, redrawn in place; in a file that is no terminal only the last state is written."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._lines = 0
        self._live = bool(getattr(file, "isatty", lambda: False)())

    def draw(self, state: State, last: bool) -> None:
        """Draw; ``last`` leaves the cursor below."""
        if not self._live and not last:
            return
        columns = shutil.get_terminal_size((80, 20)).columns
        lines = [_line("", state.done, state.failed, state.total, columns, format_seconds(state.seconds))]
        if len(state.families) > 1:
            width = min(24, max(map(len, state.families)))
            lines += [
                _line(name[:width].ljust(width), *counts, columns, "") for name, counts in _largest(state.families)
            ]
        back = f"\x1b[{self._lines - 1}A\r" if self._live and self._lines > 1 else "\r" if self._live else ""
        clear = "\x1b[K" if self._live else ""
        self._file.write(
            back + "\n".join(line + clear for line in lines) + ("\x1b[J" if self._live else "") + ("\n" if last else "")
        )
        self._file.flush()
        self._lines = len(lines)

    def end(self) -> None:
        """Leave the cursor below what was drawn."""
        if self._live and self._lines:
            self._file.write("\n")
            self._file.flush()


def _largest(families: dict[str, tuple[int, int, int]], limit: int = 8) -> list[tuple[str, tuple[int, int, int]]]:
    chosen = sorted(families, key=lambda name: -families[name][2])[:limit]
    return [(name, families[name]) for name in families if name in chosen]


def _line(label: str, done: int, failed: int, total: int, columns: int, tail: str) -> str:
    text = f" {done} / {total}" + (f", {failed} failed" if failed else "") + (f"  {tail}" if tail else "")
    width = max(4, min(40, columns - len(label) - len(text) - 10))
    share = min(1.0, done / total) if total else 1.0
    filled = int(share * width)
    return f"{label}{' ' if label else ''}[{'#' * filled}{' ' * (width - filled)}] {share:4.0%}{text}"


class HtmlPainter:
    """Bars in a notebook cell, which the kernel updates."""

    def __init__(self) -> None:
        from IPython.display import HTML, display

        self._html = HTML
        self.handle = display(HTML("<p>...</p>"), display_id=True)

    def draw(self, state: State, last: bool) -> None:
        """Replace the cell's content."""
        if self.handle is not None:
            self.handle.update(self._html(render_html(state)))

    def end(self) -> None:
        """Nothing is left to be tidied."""


def render_html(state: State) -> str:
    """The bars as HTML.

    Examples
    --------
    >>> "5 / 10" in render_html(State(5, 0, 10, 1.0, {}))
    True
    """
    rows = [("", state.done, state.failed, state.total, format_seconds(state.seconds))]
    if len(state.families) > 1:
        rows += [(name, *counts, "") for name, counts in _largest(state.families)]
    cells = "".join(
        f"<tr><td>{html.escape(name)}</td><td><progress value='{done}' max='{max(total, 1)}'></progress></td>"
        f"<td>{done} / {total}{f', {failed} failed' if failed else ''}</td><td>{tail}</td></tr>"
        for name, done, failed, total, tail in rows
    )
    return f"<table class='kask-progress'>{cells}</table>"
