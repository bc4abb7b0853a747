"""The column "differences" of ``docs/array-api.md``."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import pytest

import kask.array as ka

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(DOCS))
    import array_differences

    yield array_differences
    sys.modules.pop("array_differences")


def test_parameters_that_are_never_read_are_found(page: Any) -> None:
    def some(a: Any, b: Any = None, *, c: Any = None, **d: Any) -> Any:
        """Only a is read; b is not."""
        return [a for _ in d]

    def prototype(a: Any) -> None:
        """Has no body."""

    assert page.unread_parameters(some) == ["b", "c"]
    assert page.unread_parameters(prototype) == []
    assert page.differences("kask.array.concatenate", ka.concatenate) == "no effect: `allow_unknown_chunksizes`"
    assert page.differences("kask.array.Array.rechunk", ka.Array.rechunk) == ""
    assert page.differences("kask.array.sum", ka.sum) == ""


def test_the_tables_speak_of_what_there_is(page: Any) -> None:
    for name, parameters in page.WITHOUT_EFFECT.items():
        assert set(parameters) <= set(inspect.signature(getattr(ka, name.removeprefix("kask.array."))).parameters)
    assert all(hasattr(ka, name.removeprefix("kask.array.")) for name in page.OTHERS)


def test_the_page_has_what_dask_lacks(page: Any) -> None:
    import array_api

    found = array_api.beyond("kask.array", {"kask.array.sum": None})
    assert {"sort", "kron", "c_"} <= set(found)
    assert not {"sum", "linalg", "float64", "pi", "newaxis"} & set(found)
    assert "expr" not in array_api.beyond("kask.array.Array", {})
