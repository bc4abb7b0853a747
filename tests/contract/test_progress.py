"""Progress bars."""

from __future__ import annotations

import io
import re

import pytest

import kask
from kask.diagnostics import ProgressBar
from kask.diagnostics.painters import State, TerminalPainter, render_html
from kask.distributed import progress


def inc(x):
    return x + 1


def fail(x):
    raise ValueError(x)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_of_futures(client):
    out = io.StringIO()
    progress(client.map(inc, range(20)), notebook=False, file=out)
    assert re.match(r"\[#+\] 100% 20 / 20", out.getvalue())


def test_progress_counts_failures(client):
    out = Terminal()
    progress([client.submit(inc, 1), client.submit(fail, 1)], notebook=False, file=out)
    assert "2 / 2, 1 failed" in out.getvalue()
    assert out.getvalue().endswith("\n")


def test_progress_of_several_families(client):
    out = Terminal()
    first = client.map(inc, range(5))
    progress(client.map(str, first), notebook=False, file=out)
    assert "inc" in out.getvalue()
    assert "str" in out.getvalue()


def test_progress_of_persisted_collections(client):
    out = io.StringIO()
    kept = client.persist([kask.delayed(inc)(i) for i in range(3)])
    progress(kept, notebook=False, file=out)
    assert "3 / 3" in out.getvalue()


def test_progress_needs_futures(client):
    with pytest.raises(TypeError, match="needs futures"):
        progress(3)


def test_progress_bar(client):
    out = io.StringIO()
    with ProgressBar(out=out):
        kask.compute(*[kask.delayed(inc)(i) for i in range(50)])
    assert re.match(r"\[#+\] 100% (\d+) / \1", out.getvalue())
    before = out.getvalue()
    kask.delayed(inc)(1).compute()
    assert out.getvalue() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minimum": "soon"}, "minimum='soon': 'soon' is not a duration"),
        ({"minimum": -1}, "minimum=-1: expected a duration"),
        ({"dt": 0}, "dt=0: expected a duration above zero"),
        ({"dt": float("inf")}, "dt=inf: expected a duration above zero"),
        ({"out": 5}, "out= must be a file"),
    ],
)
def test_impossible_options_of_a_bar(options, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        ProgressBar(**options)


def test_progress_bar_of_a_failure(client):
    out = Terminal()
    with ProgressBar(out=out, dt=0.01), pytest.raises(ValueError, match="1"):
        kask.delayed(fail)(1).compute()


def test_short_computations_show_nothing(client):
    out = io.StringIO()
    with ProgressBar(minimum=30, out=out):
        kask.delayed(inc)(1).compute()
    assert out.getvalue() == ""


def test_lines_are_redrawn_in_place():
    out = Terminal()
    painter = TerminalPainter(out)
    families = {"a": (1, 0, 2), "b": (0, 0, 2)}
    painter.draw(State(1, 0, 4, 0.1, families), last=False)
    painter.draw(State(4, 0, 4, 0.2, families), last=True)
    assert out.getvalue().count("\x1b[2A\r") == 1
    assert " 25% 1 / 4" in out.getvalue()


def test_html():
    html = render_html(State(1, 0, 2, 0.1, {"<b>": (1, 0, 1), "c": (0, 1, 1)}))
    assert "&lt;b&gt;" in html
    assert "value='1' max='2'" in html
    assert "1 failed" in html
