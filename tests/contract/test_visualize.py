"""Pictures of task graphs."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET

import pytest

import kask
from kask import delayed, drawing
from kask.exceptions import KaskError


def inc(x):
    return x + 1


@pytest.fixture
def graph():
    a = delayed(inc)(1)
    return delayed(sum)([a, delayed(inc)(a)])


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("rankdir", ["BT", "TB", "LR", "RL"])
def test_our_own_layout(graph, tmp_path, rankdir):
    path = tmp_path / "graph.svg"
    svg = graph.visualize(str(path), engine="kask", rankdir=rankdir)
    assert path.read_text() == svg
    assert sorted(texts(svg)) == ["inc", "inc", "sum"]
    assert svg.count("<path d=") == 1 + 3
    root = ET.fromstring(svg)
    width, height = float(root.get("width")), float(root.get("height"))
    for box in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert 0 <= float(box.get("x")) <= width - 130
        assert 0 <= float(box.get("y")) <= height - 30


def test_file_names_and_formats(graph, tmp_path):
    graph.visualize(str(tmp_path / "a"), engine="kask")
    assert (tmp_path / "a.svg").exists()
    graph.visualize(str(tmp_path / "b.dot"))
    assert (tmp_path / "b.dot").read_text().startswith("digraph {")
    kask.visualize(graph, {"x": graph + 1}, filename=str(tmp_path / "c.v1"), engine="kask")
    assert len(texts((tmp_path / "c.v1.svg").read_text())) == 4


def test_what_needs_graphviz_says_so(graph, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(KaskError, match="png needs the program `dot` of graphviz") as caught:
        graph.visualize(str(tmp_path / "x.png"))
    assert "svg" in caught.value.hint
    with pytest.raises(KaskError, match="graphviz"):
        graph.visualize(None, engine="graphviz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
def test_graphviz(graph, tmp_path):
    assert graph.visualize(str(tmp_path / "x.png"))[:4] == b"\x89PNG"
    assert "<svg" in graph.visualize(None)


@pytest.mark.parametrize("bad", [{"format": "bmp"}, {"engine": "paint"}, {"rankdir": "UP"}])
def test_impossible_options(graph, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        graph.visualize(None, **bad)


def test_layers_put_inputs_below():
    tasks = [("d", "f", ["b", "c"]), ("b", "f", ["a"]), ("c", "f", ["a"]), ("a", "f", []), ("e", "f", ["a", "d"])]
    rows = drawing.layers(tasks)
    level = {key: i for i, row in enumerate(rows) for key in row}
    assert all(level[below] < level[key] for key, _, inputs in tasks for below in inputs)


def test_deep_graphs_do_not_recurse():
    tasks = [(str(i), "f", [str(i - 1)] if i else []) for i in range(5_000)]
    assert len(drawing.layers(list(reversed(tasks)))) == 5_000


def test_names_are_escaped():
    svg = drawing.to_svg([("<&>", "<lambda>", [])])
    assert texts(svg) == ["<lambda>"]
    assert '"a\\"b"' in drawing.to_dot([('a"b', "f", [])])


@pytest.mark.parametrize("arguments", [(), (5,), ([1, "x"],), ({},)])
def test_what_has_no_graph_is_refused(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError, match=r"there is no graph: a lazy collection is wanted"):
        kask.visualize(*arguments)
    assert list(tmp_path.iterdir()) == []
