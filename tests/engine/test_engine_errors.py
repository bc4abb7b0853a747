"""What a user sees when a task fails, or cannot be sent."""

from __future__ import annotations

import sys
import threading
import traceback

import pytest
from engines import map_on, submit_to

from kask.exceptions import CancelledError, RemoteError, SerializationError


class Awkward(Exception):
    """Pickles, and cannot be unpickled."""

    def __init__(self, first, second):
        super().__init__(first)


class Stubborn(Exception):
    """Cannot be pickled."""

    def __init__(self, message):
        super().__init__(message)
        self.lock = threading.Lock()


def fails(n):
    try:
        {}["missing"]
    except KeyError as cause:
        error = ValueError("bad", n)
        error.add_note("a note")
        error.extra = 7
        raise error from cause


def test_exceptions_keep_everything(submit):
    future = submit(fails, 3)
    error = future.exception(timeout=10)
    assert (type(error), error.args, error.extra, error.__notes__) == (ValueError, ("bad", 3), 7, ["a note"])
    assert isinstance(error.__cause__, KeyError) and error.__cause__.args == ("missing",)
    names = [frame.name for frame in traceback.extract_tb(future.traceback(timeout=10))]
    assert names[-1] == "fails"
    printed = "".join(traceback.format_exception(error))
    assert "raise error from cause" in printed and '{}["missing"]' in printed
    assert future.status == "error"


def test_raising_again_does_not_make_the_traceback_longer(submit):
    future = submit(fails, 4)
    lengths = set()
    for _ in range(3):
        with pytest.raises(ValueError, match="bad") as caught:
            future.result(timeout=10)
        lengths.add(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(lengths) == 1


def test_dependents_fail_with_the_same_error(submit):
    with pytest.raises(ValueError, match="bad"):
        submit(len, submit(fails, 5)).result(timeout=10)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, RecursionError, StopIteration])
def test_no_exception_ends_a_worker(submit, kind):
    def raises():
        raise kind("on purpose")

    assert isinstance(submit(raises).exception(timeout=10), kind)
    assert submit(abs, -2).result(timeout=10) == 2


def test_deep_recursion(submit):
    def down(n):
        return 0 if n == 0 else 1 + down(n - 1)

    assert submit(down, 500).result(timeout=10) == 500
    assert isinstance(submit(down, sys.getrecursionlimit() * 2).exception(timeout=10), RecursionError)


@pytest.mark.parametrize("kind", [Awkward, Stubborn])
def test_exceptions_that_cannot_travel_arrive_as_text(remote, kind):
    def raises():
        raise Awkward("why", 1) if kind is Awkward else Stubborn("why")

    error = submit_to(remote)(raises).exception(timeout=10)
    assert isinstance(error, RemoteError)
    assert kind.__name__ in str(error) and "why" in str(error) and "in raises" in str(error)


def test_culprits_are_named(remote):
    lock = threading.Lock()
    submit = submit_to(remote)
    with pytest.raises(SerializationError, match=r"args\[1\]\['lock'\] is a _thread.lock") as caught:
        submit(len, 1, {"lock": lock})
    assert caught.value.hint == "make the lock inside the task"
    with pytest.raises(SerializationError, match=r"kwargs\['x'\]\[1\] is a _thread.lock"):
        submit(len, x=(1, lock))
    with pytest.raises(SerializationError, match=r"the function lambda .*'lock'"):
        submit(lambda: lock)
    with pytest.raises(SerializationError, match=r"task len-[0-9a-f]{32} .*args\[0\]"):
        map_on(remote, len, ["x", lock], pure=False)
    error = submit(lambda: {"deep": [threading.Lock()]}).exception(timeout=10) or None
    assert error is None
    with pytest.raises(SerializationError, match=r"result of task lambda-.* result\['deep'\]\[0\] is a _thread.lock"):
        submit(lambda: {"deep": [threading.Lock()]}).result(timeout=10)


def test_cancelled_futures(embedded):
    gate = threading.Event()
    submit = submit_to(embedded)
    blockers = [submit(gate.wait, 10) for _ in range(2)]
    future = submit(abs, -1)
    embedded.cancel([future], force=False, reason="not needed")
    assert (future.status, future.cancelled(), future.done()) == ("cancelled", True, True)
    with pytest.raises(CancelledError, match="not needed"):
        future.result()
    gate.set()
    assert embedded.gather(blockers) == [True, True]


def test_a_closed_engine_refuses_work(embedded):
    from kask.exceptions import ClientClosedError

    embedded.close()
    embedded.close()
    with pytest.raises(ClientClosedError):
        submit_to(embedded)(abs, 1)


def test_timeouts(embedded):
    gate = threading.Event()
    future = submit_to(embedded)(gate.wait, 10)
    with pytest.raises(TimeoutError):
        future.result(timeout="10 ms")
    with pytest.raises(TimeoutError, match="0 of 1"):
        embedded.wait([future], 0.01, False)
    gate.set()
    assert future.result(timeout=10)
