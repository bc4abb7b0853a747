"""Calls: arguments, inputs inside containers, results, on engines of every size."""

from __future__ import annotations

import collections
import dataclasses
import pickle
import threading
from typing import Any, NamedTuple

import pytest
from engines import map_on, submit_to
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kask.engine import Engine, Future, Hole, Node


def inc(x):
    return x + 1


def same(*args, **kwargs):
    return args, kwargs


@dataclasses.dataclass(frozen=True)
class Pair:
    left: Any
    right: Any


class Point(NamedTuple):
    x: Any
    y: Any


def test_results_of_futures_take_their_place_in_containers(submit):
    one = submit(inc, 0)
    args, kwargs = submit(
        same,
        one,
        [one, {"k": one}],
        (one,),
        {one},
        Point(one, 2),
        Pair(one, [one]),
        slice(one, 5),
        k=collections.OrderedDict(a=one),
    ).result(timeout=10)
    assert args == (1, [1, {"k": 1}], (1,), {1}, Point(1, 2), Pair(1, [1]), slice(1, 5))
    assert type(args[4]) is Point
    assert kwargs == {"k": collections.OrderedDict(a=1)}


def test_futures_in_opaque_objects_stay_futures(submit):
    class Box:
        def __init__(self, content):
            self.content = content

    one = submit(inc, 0)
    one.result(timeout=10)
    assert submit(lambda box: box.content.result(), Box(one)).result(timeout=10) == 1


def test_arguments_that_contain_themselves(embedded):
    loop: list = []
    loop.append(loop)
    assert submit_to(embedded)(len, loop).result(timeout=10) == 1


def test_embedded_passes_by_reference(embedded):
    lock = threading.Lock()
    assert submit_to(embedded)(lambda it: it, lock).result(timeout=10) is lock


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()) | st.binary()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=plain | st.lists(plain, max_size=5) | st.dictionaries(st.text(max_size=3), plain, max_size=3))
def test_values_survive_both_ways(remote, value):
    there = map_on(remote, lambda it: (it, type(it).__name__), [value], pure=False)[0].result(timeout=20)
    assert there == (value, type(value).__name__)
    back = map_on(remote, lambda it: it, [value], pure=False)[0].result(timeout=20)
    assert back == value and type(back) is type(value)


@pytest.mark.parametrize(
    "value",
    [1.5, -0.0, float("inf"), 2**31, -(2**31) - 1, 2**63, -(2**63), 255, 256, "ä" * 300, b"x" * 2000, "\ud800", True],
)
def test_edges_of_small_values(remote, value):
    back = map_on(remote, lambda it: it, [value], pure=False)[0].result(timeout=20)
    assert repr(back) == repr(value)


def test_numbers_that_are_equal_have_keys_of_their_own(embedded):
    keys = {future.key for future in map_on(embedded, type, [1, 1.0, True, "1", b"1"])}
    assert len(keys) == 5


def test_submit_and_map_agree_on_keys(embedded):
    for args in [(5,), (5, "x"), ([1, {2: {3}}],)]:
        one = embedded.submit(same, args, {}, key=None, pure=True, options=None)
        (other,) = map_on(embedded, same, *([arg] for arg in args))
        assert one.key == other.key


def test_maps(engine):
    assert engine.gather(map_on(engine, inc, range(1000))) == list(range(1, 1001))
    assert engine.gather(map_on(engine, pow, [2, 3, 4], [5, 6])) == [32, 729]
    assert engine.gather(map_on(engine, same, [1], k=2)) == [((1,), {"k": 2})]
    one = map_on(engine, inc, [0])[0]
    assert engine.gather(map_on(engine, same, [one, 5, [one]], k=one)) == [
        ((1,), {"k": 1}),
        ((5,), {"k": 1}),
        (([1],), {"k": 1}),
    ]
    assert engine.gather(map_on(engine, inc, [one, 5, one])) == [2, 6, 2]
    named = map_on(engine, inc, [1, 2], keys=["first", "second"])
    assert [future.key for future in named] == ["first", "second"]
    assert engine.gather(named) == [2, 3]
    assert map_on(engine, inc, [1], keys="grow")[0].key.startswith("grow-")
    assert map_on(engine, inc, []) == []
    with pytest.raises(ValueError, match="keys"):
        map_on(engine, inc, [1, 2, 3], keys=["first"])


def test_large_arrays_are_shared_read_only(remote):
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(1_000_000.0)
    back = submit_to(remote)(lambda it: it * 2, array).result(timeout=30)
    numpy.testing.assert_array_equal(back, array * 2)
    assert not back.flags.writeable


def test_strided_and_fortran_arrays(remote):
    numpy = pytest.importorskip("numpy")
    base = numpy.arange(40_000.0).reshape(200, 200)
    for array in (base.T, base[::2, ::3], numpy.asfortranarray(base)):
        numpy.testing.assert_array_equal(submit_to(remote)(lambda it: it, array).result(timeout=30), array)


def test_pickled_futures_are_the_same_future(submit):
    future = submit(inc, 1)
    copy = pickle.loads(pickle.dumps(future))
    assert (copy.key, copy.result(timeout=10)) == (future.key, 2)


def test_holes_and_nodes_survive_pickling():
    assert pickle.loads(pickle.dumps(Hole(3))) == Hole(3)
    node = pickle.loads(pickle.dumps(Node(inc, (1,), {}, "mine", "inc", None)))
    assert (node.key, node.family, node.args) == ("mine", "inc", (1,))


def test_nested_tasks_use_the_engine_of_their_worker(engine: Engine):
    if engine.kind == "sync":
        pytest.skip("tasks of the synchronous engine run where somebody waits")
    from kask.engine import task_engine

    def fib(n):
        if n < 2:
            return n
        inner = task_engine()
        futures = inner.map(fib, [[n - 1, n - 2]], {}, keys=None, pure=True, options=None, batch_size=None)
        return sum(inner.gather(futures))

    assert submit_to(engine)(fib, 10).result(timeout=60) == 55


def test_callbacks_run_once_each(engine):
    called, event = [], threading.Event()
    future = submit_to(engine)(inc, 1)

    def note(ended: Future) -> None:
        called.append(ended)
        if len(called) == 2:
            event.set()

    future.add_done_callback(note)
    future.result(timeout=10)
    future.add_done_callback(note)
    assert event.wait(10)
    assert called == [future, future]
