"""``import kask`` is cheap, and every public name is there and documented."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import kask

pytestmark = pytest.mark.smoke

EXAMPLE_FREE = {"Worker", "DoneAndNotDoneFutures"}


def test_import_loads_nothing_heavy(script):
    code = """
import sys, time
before = set(sys.modules)
start = time.perf_counter()
import kask
seconds = time.perf_counter() - start
heavy = {"numpy", "pandas", "asyncio", "kask._kask", "concurrent.futures", "cloudpickle"} & (set(sys.modules) - before)
assert not heavy, heavy
print(seconds)
"""
    runs = [script(code) for _ in range(3)]
    assert all(run.returncode == 0 for run in runs), runs[0].stderr
    # A best of three: the machine may be busy, the import may not.
    assert min(float(run.stdout) for run in runs) < 0.06


def test_using_delayed_loads_no_arrays(script):
    run = script(
        "import sys, kask; kask.delayed(abs)(-1).compute(); assert not {'numpy', 'pandas', 'asyncio'} & set(sys.modules)"
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_delayed_is_a_function_whatever_was_imported(script):
    code = "import kask, kask.delayed, kask.base; from kask.delayed import Delayed; assert callable(kask.delayed); from kask import delayed; assert callable(delayed)"
    run = script(code)
    assert (run.returncode, run.stderr) == (0, "")


def test_arrays_need_no_import_of_their_own(script):
    run = script("import kask; assert kask.array.ones(3).sum().compute() == 3")
    assert (run.returncode, run.stderr) == (0, "")
    run = script("from kask import *; import sys; assert 'numpy' not in sys.modules")
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("module", ["kask", "kask.distributed", "kask.diagnostics", "kask.exceptions"])
def test_public_names_exist_and_are_documented(module):
    loaded = importlib.import_module(module)
    for name in loaded.__all__:
        value = getattr(loaded, name)
        assert name in dir(loaded)
        if callable(value) and (value.__module__ or "").startswith("kask.") and not name.startswith("_"):
            assert inspect.getdoc(value), f"{module}.{name} has no docstring"


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = kask.nonsense
    with pytest.raises(AttributeError, match="nonsense"):
        _ = kask.distributed.nonsense


def modules():
    names = ["kask"]
    for info in pkgutil.walk_packages(kask.__path__, "kask."):
        if not info.name.startswith("kask._kask") and info.name != "kask.__main__":
            names.append(info.name)
    return names


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Libraries that other tests import may have asked NumPy for its old way of printing.
    with np.printoptions(legacy=False):
        result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


@pytest.mark.parametrize("cls", ["Client", "LocalCluster", "as_completed", "ClientExecutor"])
def test_methods_of_public_classes_have_examples(cls):
    for name, member in vars(getattr(kask.distributed, cls)).items():
        if not name.startswith("_") and name != "close_at_exit" and inspect.isfunction(member):
            assert ">>>" in (inspect.getdoc(member) or ""), f"{cls}.{name} has no example"
