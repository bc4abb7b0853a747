"""Tasks that call the BLAS at the same time share its threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import kask
import kask.array as ka
from kask.array.kernels.native_threads import SharedBlas, call_blas

threadpoolctl = pytest.importorskip("threadpoolctl")
MATRIX = np.random.default_rng(1).random((300, 300))


def blas_threads() -> int:
    return max(library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas")


def test_one_has_all_and_two_have_half_each() -> None:
    with threadpoolctl.threadpool_limits(4, "blas"):
        if blas_threads() != 4:
            pytest.skip("the BLAS cannot be told how many threads to use")
        both, seen = threading.Barrier(2, timeout=30), []

        def product(a: Any, b: Any) -> Any:
            both.wait()
            seen.append(blas_threads())
            both.wait()
            return a @ b

        threads = [threading.Thread(target=call_blas, args=(product, MATRIX, MATRIX)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [2, 2]
        assert blas_threads() == 4
        assert call_blas(lambda a: blas_threads(), MATRIX) == 4
        assert call_blas(lambda a: blas_threads(), MATRIX[:2]) == 4
        with pytest.raises(np.linalg.LinAlgError):
            call_blas(np.linalg.cholesky, -MATRIX)
        assert blas_threads() == 4


def test_never_fewer_than_one() -> None:
    with threadpoolctl.threadpool_limits(2, "blas"):
        shared = SharedBlas()
        with shared, shared, shared:
            assert blas_threads() == 1
        assert blas_threads() == 2


def test_products_are_the_same_with_longer_pieces() -> None:
    a, b = np.random.default_rng(2).random((2, 40, 50))
    for cut in ((10, 7), ((4,) * 10, (1,) * 50), ((0, 20, 20), (49, 1))):
        found = ka.from_array(a, chunks=cut) @ ka.from_array(b.T, chunks=(cut[1], 5))
        np.testing.assert_allclose(found.compute(), a @ b.T, rtol=1e-12)
    # Ten by ten blocks of the result are enough to do, so that nothing has to be added.
    found = ka.from_array(a, chunks=(4, 1)) @ ka.from_array(b.T, chunks=(1, 4))
    assert [family.kind for family in found.explain().families] == ["blockwise"]
    with kask.config.set({"array.chunk_size_bytes": 100}):
        found = ka.from_array(a, chunks=(4, 1)) @ ka.from_array(b.T, chunks=(1, 4))
        assert found.explain().tasks > 100
        np.testing.assert_allclose(found.compute(), a @ b.T, rtol=1e-12)
    # A number needs its pieces.
    assert len((ka.from_array(a[0], chunks=5) @ ka.from_array(b[0], chunks=5)).explain().families) > 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_is_not_held_up() -> None:
    program = """
import os, sys, threading, numpy as np, threadpoolctl
from kask.array.kernels.native_threads import call_blas, shared_blas
threadpoolctl.threadpool_limits(2, "blas")
a, inside, over = np.ones((300, 300)), threading.Event(), threading.Event()
thread = threading.Thread(target=call_blas, args=(lambda a: (inside.set(), over.wait()), a))
thread.start()
inside.wait()
with shared_blas.lock:
    child = os.fork()
    if not child:
        assert call_blas(np.sum, a) == 90_000 and shared_blas.running == 0
        os._exit(0)
over.set()
thread.join()
sys.exit(os.waitpid(child, 0)[1])
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
