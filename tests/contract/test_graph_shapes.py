"""Graphs of any shape give what a serial run gives."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kask
from kask import delayed
from kask.exceptions import GraphError

MASK = (1 << 61) - 1


def mix(seed, *inputs):
    """Depends on every input and on their order."""
    value = seed
    for one in inputs:
        value = (value * 1_000_003 + one) & MASK
    return value


def irregular(n, seed):
    """Input numbers of each task: some use what is near, some what is far, some nothing, a few a great deal."""
    rng = random.Random(seed)
    graph = []
    for i in range(n):
        if i == 0 or rng.random() < 0.1:
            graph.append([])
            continue
        near = [i - 1 - min(i - 1, int(rng.expovariate(0.2))) for _ in range(rng.choice((1, 1, 2, 3)))]
        far = [rng.randrange(i) for _ in range(rng.choice((0, 0, 0, 1)))]
        many = [rng.randrange(i) for _ in range(50)] if rng.random() < 0.001 else []
        graph.append([*near, *far, *many])
    return graph


def serial(graph):
    values = []
    for i, inputs in enumerate(graph):
        values.append(mix(i, *[values[j] for j in inputs]))
    return values


def lazily(graph):
    call = delayed(mix)
    nodes = []
    for i, inputs in enumerate(graph):
        nodes.append(call(i, *[nodes[j] for j in inputs]))
    return nodes


@pytest.mark.timeout(240)
def test_a_hundred_thousand_irregular_tasks(client):
    graph = irregular(100_000, seed=1)
    expected, nodes = serial(graph), lazily(graph)
    used = {j for inputs in graph for j in inputs}
    leaves = [i for i in range(len(graph)) if i not in used]
    assert list(kask.compute(*[nodes[i] for i in leaves])) == [expected[i] for i in leaves]


@pytest.mark.timeout(60)
def test_many_results_beside_blocks_of_an_array(client):
    # As long as somebody holds tasks that stand for blocks, these are looked for: once in all, not for each result.
    blocks = pytest.importorskip("kask.array").ones(4, chunks=2).to_delayed().ravel()
    graph = irregular(40_000, seed=3)
    expected, nodes = serial(graph), lazily(graph)
    assert list(kask.compute(*nodes[20_000:], blocks[1])[:-1]) == expected[20_000:]


@pytest.mark.timeout(60)
def test_many_results_with_options(client):
    graph = irregular(40_000, seed=3)
    expected, nodes = serial(graph), lazily(graph)
    assert list(kask.compute(*nodes[20_000:], retries=2)) == expected[20_000:]


def test_every_result_of_an_irregular_graph(client):
    graph = irregular(3_000, seed=2)
    assert list(kask.compute(*lazily(graph))) == serial(graph)


graphs = st.lists(st.lists(st.integers(0, 10**6), max_size=5), min_size=1, max_size=40).map(
    lambda rows: [[j % i for j in row] if i else [] for i, row in enumerate(rows)]
)


@settings(max_examples=340, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=graphs, data=st.data())
def test_random_graphs(client, graph, data):
    expected, nodes = serial(graph), lazily(graph)
    wanted = data.draw(st.lists(st.integers(0, len(graph) - 1), min_size=1, max_size=5))
    way = data.draw(st.sampled_from(["compute", "futures", "persist"]))
    if way == "compute":
        got = list(kask.compute(*[nodes[i] for i in wanted]))
    elif way == "futures":
        got = client.gather(client.compute([nodes[i] for i in wanted]))
    else:
        (kept,) = kask.persist(nodes[len(graph) // 2])
        got = [value for value, _ in [kask.compute(nodes[i], kept) for i in wanted]]
    assert got == [expected[i] for i in wanted]


# -- dict graphs


def test_dict_graphs(client):
    graph = {
        "x": 1,
        "y": (mix, "x", 10),
        ("z", 0): (sum, ["x", "y", (mix, 1, "x")]),
        ("z", 1): (sum, [("z", 0), 5]),
        "same": "y",
        "table": {"a": "x", "b": ["y"]},
        "text": "no key",
        "list": [("z", 1), "x"],
    }
    y = mix(1, 10)
    z = 1 + y + mix(1, 1)
    assert client.get(graph, "y") == y
    assert client.get(graph, [("z", 1), ["same", "x"]]) == [z + 5, [y, 1]]
    assert client.get(graph, ["table", "text", "list"]) == [{"a": 1, "b": [y]}, "no key", [z + 5, 1]]
    futures = client.get(graph, ["x", "y"], sync=False)
    assert client.gather(futures) == [1, y]


def test_equal_names_in_different_graphs_do_not_meet(client):
    assert client.get({"x": (mix, 1)}, "x") == 1
    assert client.get({"x": (mix, 2)}, "x") == 2


def test_deep_dict_graphs(client):
    graph = {0: 0} | {i: (mix, i, i - 1) for i in range(1, 20_000)}
    value = 0
    for i in range(1, 20_000):
        value = mix(i, value)
    # Numbers that name no key stand for themselves: the first argument of each call is a key as well, so its result goes in.
    assert client.get({f"k{i}": (mix, i, f"k{i - 1}") if i else 0 for i in range(20_000)}, "k19999") == value
    assert len(graph) == 20_000


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ({"a": (mix, "b"), "b": (mix, "c"), "c": (mix, "a")}, r"cycle: .*'a'.* -> .*'b'"),
        ({"a": (mix, "a")}, r"cycle: 'a' -> 'a'"),
        ({"b": 1}, "no key 'a'"),
    ],
)
def test_impossible_graphs_name_the_keys(client, graph, message):
    with pytest.raises(GraphError, match=message):
        client.get(graph, "a")
