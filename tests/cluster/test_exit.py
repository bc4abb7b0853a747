"""Leaving: exit codes, quiet standard error, Ctrl-C, forks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

OPENINGS = {
    "embedded": "c = Client('embedded')",
    "threads": "c = Client('inproc', n_workers=2, threads_per_worker=1)",
    "processes": "c = Client(n_workers=2, threads_per_worker=1, memory_limit=0)",
}
WAYS = {
    "idle": "",
    "closed": "c.close()",
    "work under way": "fs = c.map(time.sleep, [0.05] * 200, pure=False)",
    "one long task": "f = c.submit(time.sleep, 1.5)",
    "results held": "fs = c.map(abs, range(1000)); c.gather(fs)",
    "failed": "f = c.submit(int, 'x'); f.exception()",
    "iterating": "from kask.distributed import as_completed; it = iter(as_completed(c.map(abs, range(10)))); next(it)",
    "waiting thread": "import threading; f = c.submit(time.sleep, 1); threading.Thread(target=lambda: f.exception(), daemon=True).start(); time.sleep(0.1)",
    "callback pending": "f = c.submit(time.sleep, 0.5); f.add_done_callback(print)",
    "asynchronous": "import asyncio; a = Client('embedded', asynchronous=True); asyncio.run(a._opened())",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("opening", OPENINGS)
def test_leaving_is_quiet(script, opening, way):
    start = time.monotonic()
    done = script(f"import time\nfrom kask.distributed import Client\n{OPENINGS[opening]}\n{WAYS[way]}")
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("opening", OPENINGS)
def test_exit_codes_and_tracebacks_are_the_users(script, opening):
    done = script(
        f"import sys\nfrom kask.distributed import Client\n{OPENINGS[opening]}\nc.submit(abs, -1).result()\nsys.exit(7)"
    )
    assert (done.returncode, done.stderr) == (7, "")
    done = script(f"from kask.distributed import Client\n{OPENINGS[opening]}\n1 / 0")
    assert done.returncode == 1
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert done.stderr.count("Traceback") == 1


@pytest.mark.parametrize("scheduler", ["embedded", "sync", "processes"])
def test_leaving_after_compute_is_quiet(script, scheduler):
    done = script(f"import kask\nprint(kask.delayed(sum)([1, 2]).compute(scheduler={scheduler!r}))")
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


def test_workers_do_not_outlive_a_killed_client(tmp_path):
    code = "import time, os\nfrom kask.distributed import Client\nc = Client(n_workers=2, threads_per_worker=1, memory_limit=0)\n"
    code += "print(*c.run(os.getpid).values(), flush=True)\ntime.sleep(60)"
    process = start(code)
    pids = [int(part) for part in process.stdout.readline().split()]
    assert len(pids) == 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{pid}") for pid in pids):
        assert time.monotonic() < deadline, "workers live on"
        time.sleep(0.05)


def ended(process, timeout=40):
    """What a process that lines have been read from says until its end. (``communicate`` misses what was read along with these.)"""
    killer = threading.Timer(timeout, process.kill)
    killer.start()
    with process:
        said = process.stdout.read(), process.stderr.read()
    killer.cancel()
    return said


def start(code):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    # A shell that starts the tests in the background has them, and so this child, ignore SIGINT.
    heard = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    return subprocess.Popen(
        [sys.executable, "-c", heard + code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


WAITS = {
    "result": "f.result()",
    "gather": "c.gather([f])",
    "wait": "wait(f)",
    "as_completed": "next(iter(as_completed([f])))",
    "wait_for_workers": "c.wait_for_workers(99)",
    "compute": "kask.delayed(time.sleep)(1.5).compute()",
    "progress": "progress(f, notebook=False)",
}


@pytest.mark.parametrize("waiting", WAITS)
@pytest.mark.parametrize("opening", ["embedded", "processes"])
def test_control_c_stops_a_wait_and_leaves_the_cluster_usable(opening, waiting):
    code = f"""
import time, kask
from kask.distributed import Client, as_completed, progress, wait
{OPENINGS[opening]}
f = c.submit(time.sleep, 1.5)
print("ready", flush=True)
try:
    {WAITS[waiting]}
except KeyboardInterrupt:
    print("stopped", flush=True)
print(c.submit(abs, -5, pure=False).result(timeout=20), flush=True)
"""
    process = start(code)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "stopped\n"
    assert time.monotonic() - sent < 1.0
    out, err = ended(process)
    assert (process.returncode, out, err) == (0, "5\n", "")


def test_control_c_that_nobody_catches(script):
    process = start(
        f"import time\nfrom kask.distributed import Client\n{OPENINGS['processes']}\nprint('ready', flush=True)\nc.submit(time.sleep, 30).result()"
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert "panicked" not in err


def test_control_c_in_a_synchronous_run():
    process = start(
        "import time, kask\nprint('ready', flush=True)\nkask.delayed(time.sleep)(30).compute(scheduler='sync')"
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=15)
    assert process.returncode == -signal.SIGINT


def test_forks(script):
    code = """
import os, sys, kask
from kask.distributed import Client
from kask.exceptions import ClientClosedError
total = kask.delayed(sum)([1, 2])
assert total.compute() == 3
c = Client("embedded")
f = c.submit(abs, -1)
assert f.result() == 1
pid = os.fork()
if pid == 0:
    code = 1
    try:
        try:
            c.submit(abs, -2)
        except ClientClosedError as error:
            assert "forked" in str(error), error
        assert total.compute() == 3
        assert kask.delayed(abs)(-4).compute() == 4
        with Client("embedded") as mine:
            assert mine.submit(abs, -3).result() == 3
        code = 0
    finally:
        sys.stderr.flush()
        if code:
            os._exit(code)
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert c.submit(abs, -2).result() == 2
assert total.compute() == 3
"""
    done = script(code)
    assert (done.returncode, done.stderr) == (0, "")


def test_multiprocessing_with_fork(script):
    code = """
import multiprocessing, kask
def work(n):
    return kask.delayed(sum)(range(n)).compute()
if __name__ == "__main__":
    assert work(4) == 6
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(work, range(5)) == [0, 0, 1, 3, 6]
"""
    done = script(code)
    assert (done.returncode, done.stderr) == (0, "")
