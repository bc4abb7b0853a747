"""Exceptions survive pickling, and keep hints apart from messages."""

from __future__ import annotations

import concurrent.futures
import copy
import pickle
import traceback

import pytest

from kask import exceptions as ex

EXAMPLES = [
    ex.KaskError("message", hint="do this"),
    ex.RemoteError("ValueError", "text", "Traceback ...\n", hint="h"),
    ex.KilledWorker("f-1", ["worker 0 died", "worker 1 died"]),
    ex.CancelledError("cancelled"),
    ex.FutureLostError("lost"),
    ex.OutOfMemoryError("no room", hint="smaller chunks"),
    ex.SerializationError("cannot pickle"),
    ex.GraphError("cycle"),
    ex.ClusterError("no"),
    ex.Reschedule(),
    ex.VersionMismatchError("versions"),
    ex.UnknownKeywordError("keyword", hint="did you mean x?"),
    ex.ClientClosedError("closed"),
    ex.ConfigError("no such"),
    ex.TokenizationError("no token"),
]


def test_all_are_covered():
    assert {type(error).__name__ for error in EXAMPLES} == set(ex.__all__)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_keeps_everything(error, protocol):
    error.add_note("a note")
    back = pickle.loads(pickle.dumps(error, protocol))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert back.args == error.args
    assert back.hint == error.hint
    assert back.__notes__ == error.__notes__
    assert copy.copy(error).args == error.args
    del error.__notes__[-1]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_they_are_made_without_their_initialiser(error):
    """As tblib does, which Dask's ``distributed`` has unpickle all exceptions of a process."""
    made = type(error).__new__(type(error), *error.args)
    assert type(made) is type(error)
    assert made.args == error.args


def test_a_hint_is_no_part_of_the_message_but_is_printed():
    error = ex.KaskError("nothing listens there", hint="start it")
    assert str(error) == "nothing listens there"
    assert "hint: start it" in "".join(traceback.format_exception(error))
    assert not hasattr(ex.KaskError("x"), "__notes__")


def test_families():
    assert issubclass(ex.CancelledError, concurrent.futures.CancelledError)
    assert issubclass(ex.UnknownKeywordError, TypeError)
    assert issubclass(ex.GraphError, ValueError)
    assert all(issubclass(getattr(ex, name), ex.KaskError) for name in ex.__all__)


def test_killed_worker_says_how_they_died():
    error = ex.KilledWorker("f-1", ["worker 0 exited with code 3", "worker 1 was killed by signal 9 (SIGKILL)"])
    assert str(error).startswith("task f-1 was running on 2 workers that died: worker 0 exited with code 3; ")
    assert (error.task, len(error.deaths)) == ("f-1", 2)
