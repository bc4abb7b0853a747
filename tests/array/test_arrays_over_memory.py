"""Arrays of ten times the memory limit: right results, memory within the limit, no process that dies, and no thrashing."""

from __future__ import annotations

import arrays_over_memory
import numpy as np
import pytest
from arrays_over_memory import DATA, LIMIT

import beyond_memory

pytestmark = pytest.mark.timeout(240)

# What may be written and read back, as shares of the data: at least (or nothing was larger than memory) and at most. A total and a
# transpose need nothing twice at another time, and a deviation by columns needs one column of blocks. The three rows of blocks that
# an overlap needs take as much as both workers may hold in values, and a rechunk can merge nothing before all is split.
WRITTEN = {
    "deviation": (0.0, 0.5),
    "total": (0.0, 0.1),
    "overlap": (0.0, 0.1),
    "transpose": (0.0, 0.25),
    "rechunk": (0.7, 2.1),
}
READ = {"deviation": 0.5, "total": 0.1, "overlap": 0.1, "transpose": 0.25, "rechunk": 1.1}


def check(what: str, outcome: dict, peak_bytes: int) -> None:
    assert DATA >= 10 * LIMIT
    written, read = outcome["written"] / DATA, outcome["read"] / DATA
    print(f"{what}: written {written:.2f} of the data, read {read:.2f}, peak {peak_bytes / LIMIT:.2f} of the limit")
    np.testing.assert_allclose(np.array(outcome["result"]), arrays_over_memory.expected(what), rtol=1e-9)
    if what != "deviation":
        assert outcome["result"] == arrays_over_memory.expected(what).tolist()
    assert outcome["memory_deaths"] == outcome["recomputed"] == 0
    assert 0.1 * LIMIT < peak_bytes <= LIMIT
    assert WRITTEN[what][0] <= written <= WRITTEN[what][1]
    assert read <= READ[what]


@pytest.mark.parametrize("what", list(arrays_over_memory.COMPUTATIONS))
def test_ten_times_the_limit_in_processes(what, tmp_path):
    check(what, *beyond_memory.in_processes(lambda client: arrays_over_memory.outcome(client, what), LIMIT, tmp_path))


@pytest.mark.parametrize("what", list(arrays_over_memory.COMPUTATIONS))
def test_ten_times_the_limit_embedded(what, tmp_path):
    check(what, *beyond_memory.embedded(arrays_over_memory.__file__, what, tmp_path))
