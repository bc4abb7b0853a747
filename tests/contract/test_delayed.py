"""``kask.delayed`` and what is done with it, on every size of engine."""

from __future__ import annotations

import collections
import copy
import dataclasses
import functools
import operator
import pickle

import pytest

import kask
from kask import delayed
from kask.exceptions import UnknownKeywordError


@dataclasses.dataclass
class Box:
    content: object
    label: str = "box"


Pair = collections.namedtuple("Pair", "left right")


class Number:
    def __init__(self, n):
        self.n = n

    def plus(self, k, *, times=1):
        return self.n + k * times

    def __call__(self, x):
        return self.n * x

    @delayed
    def later(self, x):
        return self.n - x


def inc(x):
    return x + 1


# -- describing; nothing is computed


@delayed
def forbidden():
    raise AssertionError("computed")


def test_describing_computes_nothing():
    x = forbidden()
    y = (x + 1).attribute[3].method(x, k=[x])
    assert isinstance(y.key, str)
    assert repr(y).startswith("Delayed('method-")


def test_things_that_need_the_value_are_refused():
    x = delayed(1)
    for attempt, sentence in [
        (lambda: bool(x), "truth of a Delayed"),
        (lambda: iter(x), "unknown length"),
        (lambda: len(x), "length of a Delayed"),
        (lambda: 1 in x, "contains something"),
        (lambda: setattr(x, "a", 1), "cannot be changed"),
        (lambda: delattr(x, "a"), "cannot be changed"),
        (lambda: operator.setitem(x, 0, 1), "cannot be changed"),
        (lambda: operator.delitem(x, 0), "cannot be changed"),
        (lambda: range(x), "no number"),
    ]:
        with pytest.raises(TypeError, match=sentence):
            attempt()
    with pytest.raises(AttributeError, match="'_private'"):
        _ = x._private
    with pytest.raises(TypeError, match="kask_key_name"):
        delayed(inc)(1, dask_key_name="x")


def test_names_and_keys():
    assert delayed(inc)(1).key.startswith("inc-")
    assert delayed(lambda: 1)().key.startswith("lambda-")
    assert delayed(1, name="one").key == "one"
    assert delayed([delayed(1)], name="list").key == "list"
    assert delayed(inc)(1, kask_key_name="mine").key == "mine"
    assert delayed(inc)(1).key != delayed(inc)(1).key
    assert delayed(inc)(1, pure=True).key == delayed(inc)(1, pure=True).key
    assert delayed(inc, pure=True)(1, pure=False).key != delayed(inc, pure=True)(1, pure=False).key
    assert delayed(5, pure=True).key == delayed(5, pure=True).key
    x = delayed(5)
    assert (x + 1).key == (x + 1).key
    assert x.real.key == x.real.key
    assert x[0].key == x[0].key != x[1].key
    assert delayed(x) is x


@pytest.mark.parametrize("nout", [-1, 1.5, "2", True])
def test_impossible_numbers_of_results(nout):
    with pytest.raises(ValueError, match="nout="):
        delayed(inc, nout=nout)


def test_docstrings_and_names_show_through():
    @delayed
    def documented():
        """What it does."""

    assert documented.__doc__ == "What it does."
    assert documented.__name__ == "documented"


def test_copies_are_the_same_object():
    x = delayed(inc)(1)
    assert copy.copy(x) is x
    assert copy.deepcopy([x])[0] is x


def test_is_kask_collection():
    assert kask.is_kask_collection(delayed(1))
    assert not kask.is_kask_collection(1)
    assert not kask.is_kask_collection(type(delayed(1)))


def test_unknown_keywords_are_refused():
    x = delayed(1)
    for attempt in [
        lambda: x.compute(shceduler="sync"),
        lambda: kask.compute(x, retires=3),
        lambda: kask.persist(x, prioriti=1),
        lambda: kask.optimize(x, fuse=True),
        lambda: x.visualize(filname="x"),
    ]:
        with pytest.raises(UnknownKeywordError, match="has no option"):
            attempt()
    with pytest.raises(UnknownKeywordError) as caught:
        x.compute(num_workers=4)
    assert "embedded.nthreads" in caught.value.hint
    with pytest.raises(UnknownKeywordError, match="'retires'") as caught, kask.annotate(retires=1):
        raise AssertionError("not refused")
    assert "retries" in caught.value.hint


@pytest.mark.parametrize(
    "annotation",
    [
        {"retries": -1},
        {"retries": "x"},
        {"priority": 1.5},
        {"workers": 3},
        {"workers": []},
        {"resources": {"GPU": "x"}},
        {"allow_other_workers": True},
        {"retries": 2**31},
        {"priority": -(10**30)},
        {"resources": {"GPU": 1e13}},
        {"result_bytes": 0.5},
        {"memory_bytes": float("inf")},
    ],
)
def test_impossible_annotations_are_refused(annotation):
    with pytest.raises((TypeError, ValueError), match=next(iter(annotation))), kask.annotate(**annotation):
        raise AssertionError("not refused")


def test_annotations_nest():
    with kask.annotate(retries=1, priority=2):
        with kask.annotate(retries=5):
            assert kask.get_annotations() == {"retries": 5, "priority": 2}
        assert kask.get_annotations() == {"retries": 1, "priority": 2}
    assert kask.get_annotations() == {}


# -- computing


def test_calls_operators_attributes_methods_items(client):
    x, n = delayed(6), delayed(Number)(5)
    pairs = [
        (delayed(inc)(x), 7), (x + 1, 7), (1 + x, 7), (x - 1, 5), (1 - x, -5), (x * 2, 12), (2 * x, 12), (x / 4, 1.5), (3 / x, 0.5),
        (x // 4, 1), (13 // x, 2), (x % 4, 2), (13 % x, 1), (divmod(x, 4), (1, 2)), (divmod(13, x), (2, 1)), (x**2, 36), (2**x, 64),
        (x << 1, 12), (1 << x, 64), (x >> 1, 3), (64 >> x, 1), (x & 3, 2), (3 & x, 2), (x | 1, 7), (1 | x, 7), (x ^ 2, 4), (2 ^ x, 4),
        (-x, -6), (+x, 6), (abs(-x), 6), (~x, -7), (round(x / 4, 1), 1.5), (x < 7, True), (x <= 5, False), (x > 7, False), (x >= 6, True),
        (x == 6, True), (x != 6, False), (n.n, 5), (n.plus(1), 6), (n.plus(x, times=2), 17), (n(2), 10), (n(x), 30),
        (delayed([1, 2, 3])[x - 5], 2), (delayed("abc").upper(), "ABC"), (delayed({"k": 4})["k"], 4), (delayed([1, 2, 3])[1:], [2, 3]),
        (delayed(Number(2))(x), 12),
    ]  # fmt: skip
    values = kask.compute(*[lazy for lazy, _ in pairs])
    assert list(values) == [expected for _, expected in pairs]
    assert Number(9).later(2).compute() == 7


def test_lazy_things_in_containers_are_found(client):
    one, two = delayed(1), delayed(inc)(1)
    total = delayed(sum)
    assert total([one, two, [0][0]]).compute() == 3
    assert delayed(dict)(a=one, b=[two, {"c": (one, {two})}]).compute() == {"a": 1, "b": [2, {"c": (1, {2})}]}
    assert delayed(lambda box: box.content)(Box([one])).compute() == [1]
    assert delayed(lambda pair: pair)(Pair(one, [two])).compute() == Pair(1, [2])
    assert delayed([one, {"x": two}, Box(one)]).compute() == [1, {"x": 2}, Box(1)]
    assert delayed(slice)(one, two).compute() == slice(1, 2)
    assert delayed({one: two}).compute() == {1: 2}
    same = delayed(lambda x: x)
    assert delayed([1, 2, 3])[one:].compute() == [2, 3]
    assert same(slice(None, two)).compute() == slice(None, 2)
    for kind in (collections.OrderedDict, functools.partial(collections.defaultdict, list)):
        nested = kind(a=one, b=[two])
        found = same(nested).compute()
        assert found == {"a": 1, "b": [2]} and type(found) is type(nested)
        assert kask.compute(nested) == ({"a": 1, "b": [2]},)
        assert nested["a"] is one


def test_without_traversing_lazy_things_stay_lazy(client):
    inner = delayed(1)
    got = delayed([inner], traverse=False).compute()
    assert kask.is_kask_collection(got[0])
    (got,) = kask.compute([inner], traverse=False)
    assert got[0] is inner


def test_several_results(client):
    low, high = delayed(divmod, nout=2)(17, 5)
    assert kask.compute(low, high) == (3, 2)
    assert len(delayed(divmod, nout=2)(17, 5)) == 2
    assert list(delayed(list, nout=0)()) == []
    assert len(delayed((1, 2, 3), nout=3)) == 3
    (only,) = delayed(list, nout=1)([4])
    assert only.compute() == 4


def test_decorators(client):
    @delayed(pure=True, nout=2)
    def both(x):
        return x, -x

    @delayed
    def double(x):
        return 2 * x

    plus, minus = both(4)
    assert (double(plus) + minus).compute() == 4


def test_compute_takes_iterators_as_lists(client):
    assert kask.compute(delayed(inc)(i) for i in range(3)) == ([1, 2, 3],)
    assert kask.compute({"a": map(delayed(inc), [1, 2])}, zip("ab", [delayed(inc)(0)])) == ({"a": [2, 3]}, [("a", 1)])
    (kept,) = kask.persist(delayed(inc)(i) for i in range(2))
    assert kask.compute(*kept) == (1, 2)
    assert kask.compute(iter([1, 2])) == ([1, 2],)


def test_compute_returns_the_structure_it_was_given(client):
    x = delayed(inc)(0)
    assert kask.compute(x, 5, [x, {"a": (x, x)}], {x.key: x}, Box(x), None) == (
        1,
        5,
        [1, {"a": (1, 1)}],
        {x.key: 1},
        Box(1),
        None,
    )
    assert kask.compute() == ()
    assert kask.compute(1, [2]) == (1, [2])


def test_shared_work_is_done_once(client, tmp_path):
    log = tmp_path / "log"

    @delayed
    def once():
        with log.open("a") as file:
            file.write("x")
        return 1

    x = once()
    assert kask.compute(x + 1, x + 2, [x]) == (2, 3, [1])
    assert log.read_text() == "x"


def test_what_is_not_needed_is_not_computed(client):
    pair = delayed((lambda: 1, forbidden))
    assert kask.compute(delayed(inc)(1), optimize_graph=True) == (2,)
    assert pair[0]().compute() == 1


def test_persist_keeps_results(client, tmp_path):
    log = tmp_path / "log"

    @delayed
    def once():
        with log.open("a") as file:
            file.write("x")
        return 1

    x = once()
    (kept, other), number = kask.persist([x, x + 1], 7)
    assert number == 7
    assert kept.key == x.key
    assert (kept + 1).compute() == 2
    assert other.compute() == 2
    assert kask.compute(kept, [other]) == (1, [2])
    assert kept.persist().compute() == 1
    assert log.read_text() == "x"
    (same,) = kask.optimize(kept)
    assert same.compute() == 1


def test_errors_come_from_the_place_that_raised(client):
    @delayed
    def fails():
        raise ZeroDivisionError("on purpose")

    with pytest.raises(ZeroDivisionError, match="on purpose"):
        (fails() + 1).compute()
    assert (delayed(1) + 1).compute() == 2


def test_pickling(client):
    x = delayed(inc)(delayed(1) + 1)
    again = pickle.loads(pickle.dumps(x))
    assert again.key == x.key
    assert again.compute() == 3
    leaf = pickle.loads(pickle.dumps(delayed(inc)))
    assert leaf(1).compute() == 2
    assert pickle.loads(pickle.dumps(x.real)).compute() == 3


def test_long_chains(client):
    x = delayed(0)
    for _ in range(100_000):
        x = delayed(inc)(x)
    assert x.compute() == 100_000
    assert len(pickle.dumps(x)) > 100_000
    del x


def test_wide_graphs(client):
    parts = [delayed(inc)(i) for i in range(5_000)]
    assert delayed(sum)(parts).compute() == sum(range(1, 5_001))


def test_options_reach_the_tasks(client):
    attempts = delayed(FailsTwice)()
    with kask.annotate(retries=3):
        assert delayed(FailsTwice.value)().compute() in (1, 2, 3)
    assert (attempts is not None) and delayed(inc)(1).compute(priority=5, retries=2) == 2


class FailsTwice:
    @staticmethod
    def value():
        import threading

        state = threading.current_thread().__dict__
        state["kask_attempts"] = state.get("kask_attempts", 0) + 1
        if state["kask_attempts"] % 2:
            raise ValueError("not yet")
        return state["kask_attempts"] // 2


# -- schedulers


@pytest.mark.parametrize("scheduler", ["embedded", "threads", "sync", "synchronous", "single-threaded", "processes"])
def test_schedulers_by_name(scheduler):
    assert (delayed(inc)(1) + 1).compute(scheduler=scheduler) == 3
    with kask.config.set(scheduler=scheduler):
        assert (delayed(inc)(1) + 1).compute() == 3


def test_where_the_schedulers_run():
    import os
    import threading

    def where():
        return os.getpid(), threading.get_ident()

    assert delayed(where)().compute(scheduler="sync") == where()
    pid, thread = delayed(where)().compute(scheduler="threads")
    assert pid == os.getpid()
    assert thread != threading.get_ident()
    assert delayed(where)().compute(scheduler="processes")[0] != os.getpid()


def test_a_client_as_scheduler(client):
    assert delayed(inc)(1).compute(scheduler=client) == 2
    with kask.config.set(scheduler=client):
        assert delayed(inc)(1).compute() == 2


@pytest.mark.parametrize("scheduler", ["thread", 3, object()])
def test_unknown_schedulers_are_refused(scheduler):
    with pytest.raises(ValueError, match=r"scheduler= must be one of .*processes.*or a client"):
        delayed(1).compute(scheduler=scheduler)


def test_computing_inside_a_task(client):
    def outer(n):
        return delayed(sum)([delayed(inc)(i) for i in range(n)]).compute()

    assert delayed(sum)([delayed(outer)(i) for i in range(8)]).compute() == sum(sum(range(1, n + 1)) for n in range(8))
