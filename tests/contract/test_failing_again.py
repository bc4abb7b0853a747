"""What has failed runs again when it is asked for again, and what a traceback holds is let go of with the exception."""

from __future__ import annotations

import gc
import traceback
import weakref
from typing import Any

import numpy as np
import pytest

import kask
import kask.array as ka
from kask.distributed import Client


@pytest.fixture
def missing(tmp_path):
    return tmp_path / "numbers.npy"


def loaded(path: Any, block: Any = None) -> Any:
    return np.load(path)[:2]


def positive(block: Any, path: Any) -> Any:
    return np.load(path)[:2] > 0


MADE = {
    "delayed": lambda path: kask.delayed(loaded, pure=True)(path),
    "array": lambda path: ka.ones(4, chunks=2).map_blocks(lambda block: loaded(path, block), dtype=float),
    "large": lambda path: ka.ones(8_000_000, chunks=4_000_000).map_blocks(
        lambda block: np.resize(loaded(path), len(block)), dtype=float
    ),
    "staged": lambda path: (lambda mask: ka.ones(4, chunks=2)[mask])(
        ka.ones(4, chunks=2).map_blocks(positive, path, dtype=bool)
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_it_runs_again_while_somebody_keeps_the_exception(client, missing, name):
    """As an interactive interpreter does, for its debugger."""
    with pytest.raises(FileNotFoundError) as kept:
        MADE[name](missing).compute()
    np.save(missing, np.ones(3))
    assert np.sum(MADE[name](missing).compute()) >= 2
    assert kept.value.__traceback__ is not None


def test_a_graph_of_keys_runs_again(client, missing):
    with pytest.raises(FileNotFoundError) as kept:
        client.get({"x": (loaded, str(missing))}, "x")
    np.save(missing, np.ones(3))
    assert client.get({"x": (loaded, str(missing))}, "x").sum() == 2
    assert kept.value is not None


class Holder:
    """Something in a frame."""


def test_who_catches_it_does_not_keep_the_futures(client):
    def attempt() -> Any:
        holder = Holder()
        futures = client.map(lambda i: 1 // i, range(3), pure=False)
        with pytest.raises(ZeroDivisionError):
            client.gather(futures)
        with pytest.raises(ZeroDivisionError):
            futures[0].result()
        return weakref.ref(holder)

    holder = attempt()
    gc.collect()
    assert holder() is None


class Coded(Exception):
    """Has another text than it was made of, and slots."""

    __slots__ = ("code",)

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"failed with {code}: {reason}")
        self.code = code


class Fixed(Exception):
    """Cannot be made without its initialiser's arguments."""

    def __new__(cls, *, number: int) -> Fixed:
        return super().__new__(cls, number)

    def __init__(self, *, number: int) -> None:
        self.number = number


def raises(error: Any) -> Any:
    error.add_note("a note")
    raise error from KeyError("cause")


@pytest.mark.parametrize(
    "error",
    [
        Coded(3, reason="no"),
        Fixed(number=4),
        FileNotFoundError(2, "there is none", "a.txt"),
        UnicodeDecodeError("ascii", b"\xff", 0, 1, "no"),
        ExceptionGroup("some", [ValueError(1), TypeError(2)]),
        SyntaxError("no", ("f.py", 1, 2, "text")),
        ImportError("no", name="x", path="y"),
        ValueError(np.arange(3)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_raised_is_as_what_was(error):
    with Client("embedded") as client:
        future = client.submit(raises, error, pure=False)
        found = []
        for _ in range(2):
            with pytest.raises(type(error)) as caught:
                future.result()
            found.append(caught.value)
        for one in (*found, future.exception()):
            assert (type(one), str(one), one.__notes__) == (type(error), str(error), ["a note"])
            assert one.args is error.args or all(a is b for a, b in zip(one.args, error.args, strict=True))
            assert vars(one) == vars(error)
            assert isinstance(one.__cause__, KeyError) and one.__suppress_context__
            for name in ("code", "number", "errno", "filename", "start", "reason", "exceptions", "lineno", "path"):
                assert getattr(one, name, None) == getattr(error, name, None)
            names = [frame.name for frame in traceback.extract_tb(one.__traceback__)]
            assert "raises" in names
