"""What a client does, on every size of engine."""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
import queue
import threading
import time

import pytest

import kask
from kask.distributed import Client, Future, fire_and_forget, futures_of, wait
from kask.exceptions import CancelledError, ClientClosedError, ClusterError, SerializationError, UnknownKeywordError


def inc(x):
    return x + 1


def add(x, y=0, *, z=0):
    return x + y + z


def slow_inc(x, delay=0.05):
    time.sleep(delay)
    return x + 1


def fail(x):
    raise ValueError(f"bad {x}")


@dataclasses.dataclass
class Box:
    content: object


Pair = collections.namedtuple("Pair", "left right")


# -- submit


def test_submit(client):
    assert client.submit(add, 1, 2, z=3).result() == 6
    assert client.submit(functools.partial(add, 1), y=2).result() == 3
    assert client.submit(lambda: os.getpid() > 0).result() is True
    assert client.submit(str.upper, "a").result() == "A"
    assert client.submit(Box, 3).result() == Box(3)


def test_keys(client):
    assert client.submit(inc, 1).key == client.submit(inc, 1).key
    assert client.submit(inc, 1).key.startswith("inc-")
    assert client.submit(inc, 1).key != client.submit(inc, 2).key
    assert client.submit(inc, 1, pure=False).key != client.submit(inc, 1, pure=False).key
    assert client.submit(inc, 1, key="mine-one").key == "mine-one"
    x = client.submit(inc, 1)
    assert client.submit(inc, x).key == client.submit(inc, client.submit(inc, 1)).key


def test_pure_calls_are_done_once(client, tmp_path):
    log = tmp_path / "log"

    def once(x):
        with log.open("a") as file:
            file.write("x")
        return x

    futures = [client.submit(once, 1) for _ in range(10)]
    assert client.gather(futures) == [1] * 10
    assert log.read_text() == "x"
    assert client.gather([client.submit(once, 1, pure=False) for _ in range(3)]) == [1] * 3
    assert log.read_text() == "xxxx"


def test_futures_as_arguments_wherever_they_are(client):
    one, two = client.submit(inc, 0), client.submit(inc, 1)
    assert client.submit(add, one, y=two).result() == 3
    assert client.submit(sum, [one, two, 3]).result() == 6
    assert client.submit(lambda x: x, {"a": [one, (two, {"b": two})], one: {two}}).result() == {
        "a": [1, (2, {"b": 2})],
        1: {2},
    }
    assert client.submit(lambda box: box.content, Box([one, Box(two)])).result() == [1, Box(2)]
    assert client.submit(lambda pair: pair.right, Pair(one, two)).result() == 2
    assert client.submit(lambda *args, **kwargs: (args, kwargs), one, k=[two]).result() == ((1,), {"k": [2]})


def test_unknown_keywords_are_refused(client):
    with pytest.raises(UnknownKeywordError, match=r"'retires'.*inc") as caught:
        client.submit(inc, 1, retires=3)
    assert "retries" in caught.value.hint
    with pytest.raises(UnknownKeywordError, match="'w'"):
        client.map(add, [1], w=1)
    with pytest.raises(UnknownKeywordError):
        client.compute(kask.delayed(1), prioriti=3)
    with pytest.raises(UnknownKeywordError):
        client.run(inc, 1, wrokers=[])
    assert client.submit(lambda **kwargs: kwargs, retires=3).result() == {"retires": 3}
    assert client.submit(add, 1, z=3).result() == 4
    with pytest.raises(TypeError, match="must be callable"):
        client.submit(3)
    with pytest.raises(NotImplementedError, match="actors"):
        client.submit(inc, 1, actor=True)


@pytest.mark.parametrize("workers", [0, 1.5, b"w", [None], print])
def test_workers_that_are_no_names_are_refused(client, workers):
    calls = [client.has_what, client.nthreads, client.processing, client.retire_workers]
    calls += [lambda workers: client.run(inc, 1, workers=workers), lambda workers: client.scatter(1, workers=workers)]
    calls += [lambda workers: client.replicate(client.scatter(1), workers=workers)]
    for call in calls:
        with pytest.raises(TypeError, match="workers= must be the name or address of a worker"):
            call(workers=workers)


def test_wrong_arguments_are_named(client):
    for call, message in [
        (lambda: client.submit(inc, 1, key=("x", 1)), r"key= must be text, got \('x', 1\)"),
        (lambda: client.run(None), "first argument of run.. must be callable, got None"),
        (lambda: client.get(3, "x"), "must be a dict of keys and tasks, got 3"),
    ]:
        with pytest.raises(TypeError, match=message):
            call()
    with pytest.raises(ValueError, match="n= must be a whole number of at least 1, got 1"):
        client.replicate(client.scatter(1), n=1.5)
    assert client.submit(inc, 1, pure=0).result() == 2
    assert client.scatter(1, broadcast=1).result() == 1


def test_options(client):
    worker = next(iter(client.scheduler_info()["workers"].values()))["name"]
    assert client.submit(inc, 1, workers=[worker], priority=3, retries=1).result() == 2
    assert client.submit(inc, 2, workers="nobody", allow_other_workers=True).result() == 3
    with pytest.raises(ValueError, match="retries="):
        client.submit(inc, 1, retries=-1)
    waiting = client.submit(inc, 3, workers="nobody")
    time.sleep(0.05)
    assert waiting.status == "pending"


def test_retries(client):
    tries = client.submit(threading.get_ident).result() and tmp_counter()
    path = tries

    def flaky():
        with open(path, "a") as file:
            file.write("x")
        if os.path.getsize(path) < 3:
            raise ValueError("not yet")
        return "done"

    assert client.submit(flaky, retries=5, pure=False).result() == "done"
    assert os.path.getsize(path) == 3
    os.truncate(path, 0)
    with pytest.raises(ValueError, match="not yet"):
        client.submit(flaky, retries=1, pure=False).result()
    assert os.path.getsize(path) == 2
    os.remove(path)


def tmp_counter():
    import tempfile

    handle, path = tempfile.mkstemp()
    os.close(handle)
    return path


def test_priorities_decide_the_order():
    done = []
    with Client("embedded", threads_per_worker=1) as client:
        blocker = threading.Event()
        # One runs and one is at hand on the worker when the others come.
        first = [client.submit(blocker.wait, 10, pure=False) for _ in range(2)]
        futures = [client.submit(done.append, priority, priority=priority, pure=False) for priority in (1, 5, 3, -2, 4)]
        blocker.set()
        wait([*first, *futures])
    assert done == [5, 4, 3, 1, -2]


def test_resources_limit_what_runs_together():
    running, most, lock = [0], [0], threading.Lock()

    def task(i):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.02)
        with lock:
            running[0] -= 1

    with Client("embedded", threads_per_worker=4, resources={"disk": 2}) as client:
        client.gather([client.submit(task, i, resources={"disk": 1}) for i in range(10)])
    assert most[0] == 2


def test_coroutines(client):
    async def later(x):
        import asyncio

        await asyncio.sleep(0.01)
        return x + 1

    assert client.submit(later, 1).result() == 2
    assert client.gather(client.map(later, range(20))) == list(range(1, 21))


# -- map


def test_map(client):
    assert client.gather(client.map(inc, range(100))) == list(range(1, 101))
    assert client.gather(client.map(add, [1, 2, 3], [10, 20])) == [11, 22]
    assert client.gather(client.map(add, (i for i in range(5)), iter([1, 1, 1, 1, 1]))) == [1, 2, 3, 4, 5]
    assert client.gather(client.map(add, [1, 2], y=5, z=1)) == [7, 8]
    assert client.map(inc, []) == []
    futures = client.map(inc, range(3))
    assert client.gather(client.map(add, futures, [1, 2, 3])) == [2, 4, 6]
    assert client.gather(client.map(add, [1, 2], y=futures[2])) == [4, 5]
    assert client.gather(client.map(sum, [[futures[0], 5], [futures[1], 6]])) == [6, 8]
    assert [f.key for f in client.map(inc, range(3))] == [f.key for f in client.map(inc, range(3))]


def test_map_with_batches(client):
    assert client.gather(client.map(inc, range(1000), batch_size=64)) == list(range(1, 1001))
    with pytest.raises(ValueError, match="batch_size="):
        client.map(inc, [1], batch_size=0)


def test_map_keys(client):
    futures = client.map(inc, [1, 2], key=["first", "second"])
    assert [f.key for f in futures] == ["first", "second"]
    assert client.gather(futures) == [2, 3]
    assert all(f.key.startswith("mine-") for f in client.map(inc, [3, 4], key="mine"))
    with pytest.raises(ValueError, match="key"):
        client.map(inc, [1, 2, 3], key=["too", "few"])
    with pytest.raises(TypeError, match="at least one iterable"):
        client.map(inc)
    with pytest.raises(TypeError, match="iterables to map over, got 3"):
        client.map(add, [1], 3)


def test_many_small_tasks(client):
    assert sum(client.gather(client.map(inc, range(20_000)))) == sum(range(1, 20_001))


# -- gather


def test_gather_keeps_structure(client):
    a, b = client.submit(inc, 1), client.submit(inc, 2)
    assert client.gather(a) == 2
    assert client.gather([a, [b, {"x": (a, b)}], 7]) == [2, [3, {"x": (2, 3)}], 7]
    assert client.gather({"a": a, "b": b}) == {"a": 2, "b": 3}
    assert client.gather((a, b)) == (2, 3)
    assert client.gather({a, b}) == {2, 3}
    assert client.gather(f for f in [a, b]) == [2, 3]
    assert client.gather([]) == []
    assert client.gather([a, a, a]) == [2, 2, 2]


def test_gather_of_failures(client):
    good, bad = client.submit(inc, 1), client.submit(fail, 1)
    with pytest.raises(ValueError, match="bad 1"):
        client.gather([good, bad])
    assert client.gather([good, bad, good], errors="skip") == [2, 2]
    assert client.gather({"good": good, "bad": bad, "list": [bad]}, errors="skip") == {"good": 2, "list": []}
    with pytest.raises(ValueError, match="errors="):
        client.gather([good], errors="ignore")


# -- scatter


def test_scatter(client):
    one = client.scatter(5)
    assert isinstance(one, Future)
    assert client.submit(inc, one).result() == 6
    assert client.gather(client.scatter([1, 2, 3])) == [1, 2, 3]
    assert client.gather(client.scatter((1, 2))) == (1, 2)
    assert client.gather(client.scatter({"x": 1, "y": [2]})) == {"x": 1, "y": [2]}
    assert client.gather(client.scatter(i for i in range(3))) == [0, 1, 2]
    assert client.gather(client.scatter(range(3))) == [0, 1, 2]
    assert client.gather(client.scatter({4, 5})) == {4, 5}
    assert client.scatter([]) == []
    assert client.scatter({}) == {}
    assert client.scatter("text").result() == "text"


def test_scattered_keys(client):
    assert client.scatter([1])[0].key == client.scatter([1])[0].key
    assert client.scatter([1], hash=False)[0].key != client.scatter([1], hash=False)[0].key
    assert client.scatter({"by-name": 1})["by-name"].key == "by-name"


def test_scatter_to_all_and_to_some(client):
    workers = list(client.nthreads())
    everywhere = client.scatter([1, 2], broadcast=True)
    assert all(set(holders) == set(workers) for holders in client.who_has(everywhere).values())
    there = client.scatter([3, 4], workers=[workers[-1]])
    assert all(holders == (workers[-1],) for holders in client.who_has(there).values())


# -- compute and persist


def test_compute(client):
    x = kask.delayed(inc)(1)
    future = client.compute(x)
    assert isinstance(future, Future)
    assert future.result() == 2
    a, (b, c) = client.compute([x, [x + 1, 5]])
    assert (a.result(), b.result(), c) == (2, 3, 5)
    assert client.compute({"k": x})["k"].result() == 2
    assert client.compute([x, x + 1], sync=True) == [2, 3]
    assert client.compute(x, sync=True, priority=2, retries=1) == 2
    assert client.compute(7) == 7


def test_persist(client):
    x = client.persist(kask.delayed(inc)(1))
    assert x.compute() == 2
    assert len(futures_of(x)) == 1
    kept = client.persist([kask.delayed(inc)(5), {"a": kask.delayed(inc)(6)}])
    assert kask.compute(kept) == ([6, {"a": 7}],)
    assert len(client.futures_of(kept)) == 2
    assert client.submit(inc, futures_of(x)[0]).result() == 3


def test_delayed_on_futures(client):
    x = client.submit(inc, 1)
    assert kask.delayed(add)(x, [x][0]).compute() == 4
    assert (kask.delayed(x) + 1).compute() == 3
    assert len(futures_of(kask.delayed(inc)(kask.delayed(add)(x)))) == 1


# -- cancel, retry, release


def test_cancel(client):
    blockers = [client.submit(time.sleep, 0.3, pure=False) for _ in range(2)]
    x = client.submit(inc, 100)
    y = client.submit(inc, x)
    client.cancel(x, reason="not needed", msg="any more")
    assert x.cancelled()
    assert x.status == "cancelled"
    with pytest.raises(CancelledError, match="not needed any more"):
        x.result(timeout=5)
    with pytest.raises(CancelledError):
        y.result(timeout=5)
    assert client.gather(blockers) == [None, None]
    assert client.submit(inc, 1).result() == 2


def test_a_cancelled_call_can_be_asked_for_again(client):
    blockers = [client.submit(time.sleep, 0.2, pure=False) for _ in range(2)]
    x = client.submit(inc, 200)
    x.cancel()
    del x
    assert client.submit(inc, 200).result() == 201
    wait(blockers)


def test_retry(client):
    path = tmp_counter()

    def flaky():
        with open(path, "a") as file:
            file.write("x")
        if os.path.getsize(path) < 3:
            raise ValueError("not yet")
        return "done"

    x = client.submit(flaky, pure=False)
    y = client.submit(str.upper, x)
    for _ in range(2):
        assert isinstance(y.exception(), ValueError)
        client.retry(y)
    assert y.result() == "DONE"
    os.remove(path)


def test_results_are_released_with_their_futures(client):
    x = client.submit(inc, 300)
    assert x.result() == 301
    key = x.key
    assert any(key in keys for keys in client.has_what().values())
    del x
    deadline = time.monotonic() + 5
    while any(key in keys for keys in client.has_what().values()):
        assert time.monotonic() < deadline, "the result is still held"
        time.sleep(0.01)


def test_inputs_are_released_once_used(client):
    x = client.submit(inc, 400)
    y = client.submit(inc, x)
    inputs = x.key
    del x
    assert y.result() == 402
    deadline = time.monotonic() + 5
    while any(inputs in keys for keys in client.has_what().values()):
        assert time.monotonic() < deadline, "the input is still held"
        time.sleep(0.01)


def test_fire_and_forget(client, tmp_path):
    path = tmp_path / "done"

    def task():
        time.sleep(0.1)
        path.write_text("x")

    fire_and_forget(client.submit(task, pure=False))
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    path.unlink()
    fire_and_forget(kask.delayed(task)())
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(TypeError, match="needs futures"):
        fire_and_forget(3)


# -- asking


def test_information(client):
    info = client.scheduler_info()
    workers = info["workers"]
    assert client.nthreads() == client.ncores() == {address: worker["nthreads"] for address, worker in workers.items()}
    assert sum(client.nthreads().values()) == 2
    address, worker = next(iter(workers.items()))
    assert client.ncores([worker["name"]]) == client.ncores(address) == {address: worker["nthreads"]}
    assert len(client.scheduler_info(n_workers=1)["workers"]) == 1
    assert set(client.processing()) == set(client.has_what()) == set(client.nbytes()) == set(workers)
    client.wait_for_workers(1, timeout=5)
    with pytest.raises(TimeoutError, match=r"of 50 workers were there after 0\.1 s"):
        client.wait_for_workers(50, timeout=0.1)


def test_who_has_what(client):
    x = client.submit(inc, 500)
    wait(x)
    ((key, holders),) = client.who_has(x).items()
    assert key == x.key
    assert len(holders) == 1
    assert x.key in client.has_what()[holders[0]]
    assert x.key in client.who_has()


def test_processing(client):
    gate = [client.submit(slow_inc, i, delay=0.3) for i in range(2)]
    deadline = time.monotonic() + 5
    while not any(gate[0].key in keys for keys in client.processing().values()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    wait(gate)


def test_counters(client):
    before = client.counters()["finished"]
    client.gather(client.map(inc, range(1000, 1010)))
    assert client.counters()["finished"] - before == 10


def test_run(client):
    assert set(client.run(os.getpid)) == set(client.nthreads())
    assert set(client.run(add, 1, y=2).values()) == {3}
    one = next(iter(client.nthreads()))
    assert client.run(inc, 1, workers=[one]) == {one: 2}
    with pytest.raises(ValueError, match="bad 1"):
        client.run(fail, 1)
    assert all(isinstance(answer, ValueError) for answer in client.run(fail, 1, on_error="return").values())
    assert client.run(fail, 1, on_error="ignore") == {}
    assert client.run(inc, 1, wait=False) is None
    with pytest.raises(ClusterError, match="runs no Python"):
        client.run_on_scheduler(os.getpid)


def test_versions(client):
    versions = client.get_versions(check=True, packages=["pytest"])
    assert versions["client"]["pytest"]
    assert set(versions["workers"]) == set(client.nthreads())
    assert versions["scheduler"]["kask"] == kask.__version__


def test_replicate(client):
    x = client.submit(inc, 600)
    client.replicate(x)
    assert set(client.who_has(x)[x.key]) == set(client.nthreads())


# -- being the default


def test_the_default_client(client):
    assert Client.current() is client
    assert kask.get_client() is client
    with Client("embedded", set_as_default=False) as other:
        assert Client.current() is client
        with other.as_current():
            assert Client.current() is other
            assert Client.current(allow_global=False) is other
        assert Client.current() is client
    seen = queue.Queue()
    with client.as_current():
        threading.Thread(target=lambda: seen.put(Client.current())).start()
    assert seen.get(timeout=5) is client


def test_without_a_client():
    with pytest.raises(ValueError, match="no client is open"):
        Client.current()
    with pytest.raises(ValueError, match="no client is open"):
        kask.get_client()


def test_a_closed_client_says_so(size, cluster):
    client = Client("embedded") if cluster is None else Client(cluster)
    x = client.submit(inc, 1)
    assert client.status == "running"
    client.close()
    client.close()
    assert client.status == "closed"
    for attempt in (lambda: client.submit(inc, 1), client.scheduler_info, lambda: client.gather([x])):
        with pytest.raises(ClientClosedError):
            attempt()
    assert "closed" in repr(client)


def test_several_clients_of_one_scheduler(size, cluster):
    if cluster is None:
        pytest.skip("an embedded engine has one client")
    with Client(cluster, name="a") as a, Client(cluster, name="b") as b:
        x, y = a.submit(slow_inc, 700), b.submit(slow_inc, 700)
        assert x.key == y.key
        a.close()
        assert y.result() == 701
        assert b.submit(inc, y).result() == 702


def test_descriptions(client):
    assert "2 threads" in repr(client)
    assert "<b>Client</b>" in client._repr_html_()
    with pytest.raises(TypeError, match="get_client"):
        __import__("pickle").dumps(client)


# -- what cannot be pickled


def test_culprits_are_named(client, size):
    lock = threading.Lock()
    if size != "processes":
        assert client.submit(lambda: lock.locked()).result() is False
        return
    with pytest.raises(SerializationError, match=r"lock"):
        client.submit(lambda: lock.locked()).result()
    with pytest.raises(SerializationError, match=r"lock"):
        client.submit(inc, [1, lock]).result()
    with pytest.raises(SerializationError, match=r"lock"):
        client.submit(threading.Lock).result()
    assert client.submit(inc, 1).result() == 2


# -- large values


def test_64_mb_arguments_and_results(client):
    np = pytest.importorskip("numpy")
    large = np.arange(8_000_000, dtype="f8")
    doubled = client.submit(lambda x: x * 2, large).result()
    assert doubled.nbytes == 64_000_000
    assert (doubled[::1_000_000] == large[::1_000_000] * 2).all()
    text = client.submit(lambda n: b"x" * n, 64 << 20).result()
    assert len(text) == 64 << 20
    placed = client.scatter(large)
    assert client.submit(float, client.submit(np.sum, placed)).result() == float(large.sum())
    parts = client.map(lambda i: np.full(1_000_000, i, dtype="f8"), range(8))
    assert client.submit(lambda arrays: float(sum(a.sum() for a in arrays)), parts).result() == 28_000_000.0


def test_restart_forgets_everything():
    with Client("inproc", n_workers=2, threads_per_worker=1) as client:
        x = client.submit(inc, 1)
        wait(x)
        client.restart(timeout=20)
        assert x.status in ("cancelled", "lost")
        assert client.submit(inc, 1).result() == 2


def test_retire():
    with Client("inproc", n_workers=2, threads_per_worker=1) as client:
        futures = client.map(inc, range(20))
        wait(futures)
        gone = next(iter(client.nthreads()))
        client.retire_workers([gone])
        assert gone not in client.nthreads()
        assert client.gather(futures) == list(range(1, 21))
        assert client.counters()["recomputed"] == 0
