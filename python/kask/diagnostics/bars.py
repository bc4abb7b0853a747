"""Progress bars in terminals and notebooks.

A :class:`Meter` counts, a painter draws (``kask.diagnostics.painters``), and the functions here bring them together.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from kask import base, config
from kask.diagnostics.painters import HtmlPainter, Painter, State, TerminalPainter
from kask.distributed.futures import futures_of
from kask.engine import CompletionQueue, Engine, Future
from kask.settings import TABLE

_DONE = ("memory", "released")
_ALL = ("waiting", "queued", "running", "memory", "failed", "released")


class Meter:
    """Counts futures that have ended, and the tasks of each family below them."""

    def __init__(self, engine: Engine, futures: list[Future], families: bool) -> None:
        self._engine = engine
        self._queue = CompletionQueue(engine)
        self._queue.add(futures)
        self._families = families
        self._names = {future.key.rpartition("-")[0] for future in futures}
        self._total = self._queue.count()
        self._done = self._failed = 0
        self._start = time.monotonic()

    def read(self) -> State:
        """How things stand now."""
        for future in self._queue.pop_ready():
            self._done += 1
            self._failed += future.status in ("error", "lost", "cancelled")
        return self._state()

    def wait(self, seconds: float) -> bool:
        """Wait until everything has ended, at most for so long; whether it has."""
        deadline = time.monotonic() + seconds
        while self._queue.count():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            try:
                future = self._queue.pop(left)
            except TimeoutError:
                return False
            except StopIteration:
                break
            self._done += 1
            self._failed += future.status in ("error", "lost", "cancelled")
        return True

    def _state(self) -> State:
        rows = {}
        if self._families:
            for family, counts in self._engine.families().items():
                total = sum(counts.get(name, 0) for name in _ALL)
                if total:
                    rows[family] = (sum(counts.get(name, 0) for name in _DONE), counts.get("failed", 0), total)
        return State(self._done, self._failed, self._total, time.monotonic() - self._start, rows)


def progress(
    *futures: Any, notebook: bool | None = None, multi: bool = True, complete: bool = True, file: Any = None
) -> Any:
    """Show a progress bar for futures.

    In a terminal this waits until they are done; in a notebook it returns at once and the bar moves on by itself.

    Parameters
    ----------
    *futures : Future, collection, or containers of them
    notebook : bool, optional
        Whether to draw HTML; found out by default.
    multi : bool
        Whether to draw a line for each family of tasks as well.
    complete : bool
        Accepted for compatibility: families that are done are always shown.
    file : file, optional
        Where a terminal bar is drawn; the standard error output by default.

    Returns
    -------
    object or None
        In a notebook something that displays itself.

    Examples
    --------
    >>> import io
    >>> from kask.distributed import Client, progress
    >>> with Client("embedded") as client:
    ...     progress(client.map(abs, range(10)), notebook=False, file=io.StringIO())
    """
    found = futures_of(list(futures))
    if not found:
        raise TypeError("progress() needs futures, or collections that were persisted")
    meter = Meter(found[0].engine, found, multi)
    if notebook is None:
        notebook = _in_notebook()
    interval = config.get("progress.interval_s")
    if not notebook:
        _follow(meter, TerminalPainter(file or sys.stderr), interval)
        return None
    painter = HtmlPainter()
    threading.Thread(
        target=_follow, args=(meter, painter, max(interval, 0.2)), name="kask-progress", daemon=True
    ).start()
    return painter.handle


def _follow(meter: Meter, painter: Painter, interval: float) -> None:
    try:
        while not meter.wait(interval):
            painter.draw(meter.read(), last=False)
        painter.draw(meter.read(), last=True)
    except RuntimeError:
        # The client was closed meanwhile; there is nothing more to show.
        painter.end()
    except BaseException:
        painter.end()
        raise


def _in_notebook() -> bool:
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return type(get_ipython()).__name__ == "ZMQInteractiveShell"


class ProgressBar:
    """Show a progress bar for every computation of a ``with`` block, or of the whole process after ``register()``.

    Parameters
    ----------
    minimum : float or str, optional
        Computations shorter than this (in seconds, or such as ``"1 min"``) show none; the default is the setting ``progress.minimum_s``.
    dt : float or str, optional
        Time between drawings; the default is the setting ``progress.interval_s``.
    out : file, optional
        Where to draw; the standard error output by default.

    Examples
    --------
    >>> import io, kask
    >>> from kask.diagnostics import ProgressBar
    >>> with ProgressBar(out=io.StringIO()):
    ...     kask.delayed(sum)([1, 2]).compute()
    3
    """

    def __init__(self, minimum: float | str | None = None, dt: float | str | None = None, out: Any = None) -> None:
        self._minimum = _seconds("minimum", minimum, "progress.minimum_s")
        self._interval = _seconds("dt", dt, "progress.interval_s")
        if out is not None and not hasattr(out, "write"):
            raise TypeError(f"out= must be a file, got {out!r}")
        self._file = out

    def register(self) -> None:
        """Show bars until :meth:`unregister`.

        Examples
        --------
        >>> from kask.diagnostics import ProgressBar
        >>> bar = ProgressBar()
        >>> bar.register(); bar.unregister()
        """
        base.watchers.append(self._watch)

    def unregister(self) -> None:
        """Show no more bars.

        Examples
        --------
        >>> from kask.diagnostics import ProgressBar
        >>> bar = ProgressBar()
        >>> bar.register(); bar.unregister()
        """
        base.watchers.remove(self._watch)

    def __enter__(self) -> ProgressBar:
        self.register()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.unregister()

    @contextmanager
    def _watch(self, engine: Engine) -> Iterator[None]:
        finished, succeeded = threading.Event(), threading.Event()
        thread = threading.Thread(
            target=self._paint, args=(engine, finished, succeeded), name="kask-progress", daemon=True
        )
        thread.start()
        try:
            yield
            succeeded.set()
        finally:
            finished.set()
            thread.join()

    def _paint(self, engine: Engine, finished: threading.Event, succeeded: threading.Event) -> None:
        meter = _FamilyMeter(engine)
        painter = TerminalPainter(self._file or sys.stderr)
        started = time.monotonic()
        while not finished.wait(self._interval):
            if time.monotonic() - started >= self._minimum:
                painter.draw(meter.read(), last=False)
        state = meter.read()
        if state.seconds >= self._minimum and succeeded.is_set():
            painter.draw(state.completed(), last=True)
        else:
            painter.end()


def _seconds(name: str, value: Any, setting: str) -> float:
    """What was given, or else the setting, which also says what is possible."""
    if value is None:
        return config.get(setting)
    try:
        return TABLE[setting].parse(value)
    except ValueError as error:
        raise ValueError(f"{name}={value!r}: {error}") from None


class _FamilyMeter:
    """Counts all tasks of an engine that came or ended since now."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._start = time.monotonic()
        counters = engine.counters()
        self._before = (counters["submitted"], counters["finished"], counters["failed"])
        # The work itself was submitted before the first reading.
        self._base = counters["finished"] + counters["failed"]

    def read(self) -> State:
        counters = self._engine.counters()
        done = counters["finished"] - self._before[1]
        failed = counters["failed"] - self._before[2]
        total = max(counters["submitted"] - self._base, done + failed)
        return State(done, failed, total, time.monotonic() - self._start, {})
