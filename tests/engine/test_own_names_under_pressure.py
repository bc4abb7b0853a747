"""Tasks whose keys the user chose: what is learned of their function is learned for all of them."""

from __future__ import annotations

import numpy as np
import pytest

from kask.distributed import Client, LocalCluster


def large(i: int) -> np.ndarray:
    return np.full(60 * 10**6 // 8, float(i))


@pytest.mark.parametrize("key_of", ["u{}", "('v', {})", "{}-end"])
def test_what_is_learned_of_a_function_holds_for_all_names(key_of: str) -> None:
    """A worker that knew nothing of each new name would admit two large results at a time and be ended."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, memory_limit="400MiB") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        made = [client.submit(large, i, key=key_of.format(i)) for i in range(12)]
        assert [float(client.submit(np.max, block).result(timeout=120)) for block in made] == list(range(12))
        assert client.counters()["memory_deaths"] == 0
        assert "large" in client._engine.families()
