"""Futures: states, results, failures, callbacks, pickling into tasks."""

from __future__ import annotations

import asyncio
import gc
import pickle
import sys
import threading
import time
import traceback

import pytest

import kask
from kask.distributed import Future, get_client, wait
from kask.exceptions import CancelledError, RemoteError


def inc(x):
    return x + 1


class CustomError(Exception):
    def __init__(self, number, *, extra=None):
        super().__init__(number)
        self.number = number
        self.extra = extra


class Unpicklable(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


class NeedsTwo(Exception):
    """Cannot be called the way pickle calls it."""

    def __init__(self, a, b):
        super().__init__(a)


def chained():
    try:
        raise KeyError("inner")
    except KeyError as inner:
        error = CustomError(7, extra=[1])
        error.add_note("a note")
        raise error from inner


def test_states(client):
    gate = client.submit(time.sleep, 0.2, pure=False)
    assert gate.status == "pending"
    assert not gate.done()
    assert "pending" in repr(gate)
    assert gate.result() is None
    assert gate.status == "finished"
    assert gate.done()
    assert not gate.cancelled()
    assert gate.exception() is None
    assert gate.traceback() is None
    assert gate.key in repr(gate)
    bad = client.submit(chained)
    wait(bad)
    assert (bad.status, bad.done()) == ("error", True)
    assert "error" in repr(bad)


def test_type_and_client(client, size):
    x = client.submit(inc, 1)
    x.result()
    # Only values in this process have a type without being fetched.
    assert x.type is (None if size == "processes" else int)
    assert x.client is client
    assert isinstance(x, Future)


def test_timeouts(client):
    gate = client.submit(time.sleep, 0.4, pure=False)
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        gate.result(timeout=0.05)
    with pytest.raises(TimeoutError):
        gate.exception(timeout="50 ms")
    with pytest.raises(TimeoutError):
        wait(gate, timeout=0.05)
    assert time.monotonic() - start < 0.35
    gate.result()


def test_exceptions_keep_everything(client):
    future = client.submit(chained)
    with pytest.raises(CustomError) as caught:
        future.result()
    error = caught.value
    assert (error.args, error.number, error.extra) == ((7,), 7, [1])
    assert error.__notes__ == ["a note"]
    assert isinstance(error.__cause__, KeyError)
    assert error.__cause__.args == ("inner",)
    text = "".join(traceback.format_exception(error))
    assert "in chained" in text
    assert 'raise KeyError("inner")' in text
    frames = traceback.extract_tb(future.traceback())
    assert frames[-1].name == "chained"
    assert isinstance(future.exception(), CustomError)
    # Raised again and again, it does not grow.
    lengths = set()
    for _ in range(3):
        try:
            future.result()
        except CustomError as again:
            lengths.add(len(traceback.extract_tb(again.__traceback__)))
    assert len(lengths) == 1


def test_exceptions_pass_through_dependents(client):
    x = client.submit(chained)
    y = client.submit(inc, x)
    with pytest.raises(CustomError):
        y.result()
    assert y.status == "error"


def test_exceptions_that_cannot_be_pickled(client, size):
    def fails():
        raise Unpicklable("the text")

    expected = RemoteError if size == "processes" else Unpicklable
    with pytest.raises(expected, match="the text") as caught:
        client.submit(fails).result()
    if size == "processes":
        assert caught.value.type_name == "Unpicklable"
        assert "in fails" in caught.value.traceback


def test_exceptions_that_cannot_be_unpickled(client, size):
    def fails():
        raise NeedsTwo("one", "two")

    expected = RemoteError if size == "processes" else NeedsTwo
    with pytest.raises(expected, match="one"):
        client.submit(fails).result()


@pytest.mark.parametrize("code", [3, None, "out of apples"])
def test_a_task_that_exits_does_not_end_who_asks_for_its_result(client, code):
    future = client.submit(sys.exit, code, pure=False)
    text = "SystemExit" if code is None else f"SystemExit: {code}"
    for ask in (future.result, lambda: client.gather([future]), kask.delayed(sys.exit)(code).compute):
        with pytest.raises(RemoteError) as caught:
            ask()
        assert str(caught.value) == text
        assert isinstance(caught.value.__cause__, SystemExit)
        assert caught.value.__cause__.code == code
        assert "sys.exit()" in caught.value.hint
    assert isinstance(future.exception(), SystemExit)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_exceptions_that_end_programs_end_only_the_task(client, error):
    def fails():
        raise error("by a task")

    with pytest.raises(BaseException, match="by a task") as caught:
        client.submit(fails, pure=False).result(timeout=20)
    assert caught.type in (error, RemoteError)
    assert client.submit(inc, 1).result() == 2


def test_stop_iteration_is_an_ordinary_failure(client):
    with pytest.raises(StopIteration):
        client.submit(next, iter(())).result()


def test_callbacks(client):
    seen, done = [], threading.Event()

    def note(future):
        seen.append((future.key, future.status))
        done.set()

    x = client.submit(inc, 1)
    x.add_done_callback(note)
    assert done.wait(5)
    done.clear()
    x.add_done_callback(note)
    assert done.wait(5)
    assert seen == [(x.key, "finished")] * 2
    bad = client.submit(chained)
    done.clear()
    bad.add_done_callback(note)
    assert done.wait(5)
    assert seen[-1] == (bad.key, "error")


def test_a_callback_that_fails_harms_nobody(client, capsys):
    x = client.submit(inc, 1)
    x.add_done_callback(lambda future: 1 / 0)
    assert x.result() == 2
    assert client.submit(inc, 2).result() == 3


def test_callbacks_may_submit(client):
    results, done = [], threading.Event()

    def again(future):
        results.append(client.submit(inc, future))
        done.set()

    client.submit(inc, 1).add_done_callback(again)
    assert done.wait(5)
    assert results[0].result() == 3


def test_cancelling_by_the_future(client):
    blockers = [client.submit(time.sleep, 0.2, pure=False) for _ in range(2)]
    x = client.submit(inc, 900)
    x.cancel(reason="not needed")
    assert x.cancelled()
    with pytest.raises(CancelledError, match="not needed"):
        x.result(timeout=5)
    assert isinstance(x.exception(timeout=5), CancelledError)
    wait(blockers)


def test_retrying_by_the_future(client, tmp_path):
    path = tmp_path / "tries"

    def flaky():
        tries = path.read_text() if path.exists() else ""
        path.write_text(tries + "x")
        if not tries:
            raise ValueError("not yet")
        return "done"

    x = client.submit(flaky, pure=False)
    assert isinstance(x.exception(), ValueError)
    x.retry()
    assert x.result() == "done"


def test_release(client):
    x = client.submit(inc, 950)
    x.result()
    x.release()
    deadline = time.monotonic() + 5
    while any(x.key in keys for keys in client.has_what().values()):
        assert time.monotonic() < deadline, "the result is still held"
        time.sleep(0.01)


def test_a_result_lives_while_any_future_of_its_key_does(client):
    first, second = client.submit(inc, 960), client.submit(inc, 960)
    first.result()
    del first
    gc.collect()
    time.sleep(0.05)
    assert second.result() == 961
    assert client.counters()["recomputed"] == 0


def test_a_future_by_its_key(client):
    x = client.submit(inc, 970)
    x.result()
    assert Future(x.key, client).result(timeout=10) == 971


def test_futures_in_tasks(client):
    x = client.submit(inc, 1)

    def inside(data):
        # Hidden from the engine, so it arrives as a future.
        return data.future.result() + 1

    class Hidden:
        def __init__(self, future):
            self.future = future

    assert client.submit(inside, Hidden(x)).result(timeout=30) == 3


def test_futures_as_results_of_tasks(client):
    def outer():
        return get_client().submit(inc, 10)

    inner = client.submit(outer).result(timeout=30)
    assert isinstance(inner, Future)
    assert inner.result(timeout=30) == 11


def test_pickling_outside_of_a_cluster(client, size):
    x = client.submit(inc, 980)
    with client.as_current():
        again = pickle.loads(pickle.dumps(x))
    assert again.key == x.key
    assert again.result(timeout=10) == 981


def test_equality_and_sets(client):
    x, y = client.submit(inc, 1), client.submit(inc, 2)
    assert len({x, y, x}) == 2


def test_waiting_in_many_threads(client):
    gate = client.submit(lambda: time.sleep(0.1) or 5, pure=False)
    results = []
    threads = [threading.Thread(target=lambda: results.append(gate.result())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == [5] * 20


def test_submitting_in_many_threads(client):
    results = []

    def work(start):
        results.append(sum(client.gather(client.map(inc, range(start, start + 200)))))

    threads = [threading.Thread(target=work, args=(i * 100,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == sorted(sum(range(s * 100 + 1, s * 100 + 201)) for s in range(8))


def test_awaiting(client):
    async def main():
        x = client.submit(inc, 1)
        assert await x == 2
        assert await asyncio.gather(*client.map(inc, range(10))) == list(range(1, 11))
        with pytest.raises(CustomError):
            await client.submit(chained)
        slow = client.submit(time.sleep, 0.1, pure=False)
        ticks = 0
        while not slow.done():
            await asyncio.sleep(0.005)
            ticks += 1
        assert ticks > 3

    asyncio.run(main())


def test_thread_locals_survive_between_tasks(client):
    def count():
        here = threading.current_thread().__dict__
        here["kask_count"] = here.get("kask_count", 0) + 1
        return threading.get_ident(), here["kask_count"]

    answers = [client.submit(count, pure=False).result() for _ in range(20)]
    threads = {ident for ident, _ in answers}
    assert len(threads) <= 2
    assert max(number for _, number in answers) >= 10


def test_reschedule(client, tmp_path):
    path = tmp_path / "tries"

    def task():
        tries = path.read_text() if path.exists() else ""
        path.write_text(tries + "x")
        if len(tries) < 2:
            raise kask.exceptions.Reschedule
        return "done"

    assert client.submit(task, pure=False).result(timeout=30) == "done"
