"""Computations over ten times the memory limit: right answers, memory within the limit, and no more to disk and back than must be."""

from __future__ import annotations

import functools

import over_memory
import pytest
from over_memory import LIMIT

import beyond_memory

pytestmark = pytest.mark.timeout(300)

# What may be written and read back at most, as shares of the data. A sum needs nothing twice, a deviation by columns one column of
# blocks, a transpose two blocks; an overlap needs three rows of blocks, which is just more than memory; and a deviation from one mean
# of all needs everything twice, as a shuffle does, which cannot begin to merge before all is split.
TRAFFIC = {
    "sum": (0.02, 0.02),
    "standard deviation": (0.1, 0.1),
    "transpose and add": (0.1, 0.1),
    # Which of two neighbours is still in memory when the other needs it is a matter of timing: 0.45 to 1.01 was seen.
    "overlap": (1.2, 1.2),
    "two passes": (1.02, 1.02),
    # Splits need one write and one read of everything. Outputs are let go of soon after they are made: 0.05 to 0.35 of the
    # data was seen to be written before that, since the limit leaves little room for them beside the two that are being merged.
    "shuffle": (1.6, 1.1),
    "rechunk": (1.2, 1.1),
}
# Worker processes write the outputs of shuffles as well, so that they survive.
CHECKPOINTED = {"shuffle": 1.0, "rechunk": 1.0}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loops")
    return functools.cache(lambda what: over_memory.expected(what, folder))


def check(what, outcome, expected, peak_bytes, most_written):
    data = over_memory.data_bytes(what)
    assert data >= 10 * LIMIT
    answer = expected(what)
    assert outcome["result"] == (pytest.approx(answer, rel=1e-9) if isinstance(answer, float) else answer)
    assert outcome["recomputed"] == 0
    written, read = outcome["written"] / data, outcome["read"] / data
    print(f"{what}: written {written:.2f} of the data, read {read:.2f}, peak {peak_bytes / LIMIT:.2f} of the limit")
    assert written <= most_written
    assert read <= TRAFFIC[what][1]
    assert peak_bytes <= LIMIT


@pytest.mark.parametrize("what", list(over_memory.COMPUTATIONS))
def test_ten_times_the_limit_in_processes(what, expected, tmp_path):
    outcome, peak_bytes = beyond_memory.in_processes(lambda client: over_memory.outcome(client, what), LIMIT, tmp_path)
    check(what, outcome, expected, peak_bytes, TRAFFIC[what][0] + CHECKPOINTED.get(what, 0.0))


@pytest.mark.parametrize("what", list(over_memory.COMPUTATIONS))
def test_ten_times_the_limit_embedded(what, expected, tmp_path):
    outcome, peak_bytes = beyond_memory.embedded(over_memory.__file__, what, tmp_path)
    check(what, outcome, expected, peak_bytes, TRAFFIC[what][0])
