"""Kills one worker process with SIGKILL once part of the work is done, and remembers what was lost with it."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable

from kask.distributed import Client, Future, LocalCluster


class Killer:
    """Armed with futures: when ``share`` of them has ended, one worker dies."""

    def __init__(self, client: Client, cluster: LocalCluster, chance: random.Random, family: Callable[[str], str]):
        self._client, self._cluster, self._chance, self._family = client, cluster, chance, family
        self._ended = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.pid = 0
        self.lost: Counter[str] = Counter()

    def arm(self, futures: list[Future], share: float) -> None:
        needed = max(1, int(len(futures) * share))

        def count(_: Future) -> None:
            with self._lock:
                self._ended += 1
                due = self._ended == needed
            if due:
                self._thread = threading.Thread(target=self._kill, name="killer")
                self._thread.start()

        for future in futures:
            future.add_done_callback(count)

    def _kill(self) -> None:
        holds = self._client.has_what()
        victim = self._cluster.workers[self._chance.choice(sorted(self._cluster.workers))]
        self.lost = Counter(self._family(key) for key in holds.get(victim["address"], ()))
        self.pid = victim["pid"]
        os.kill(self.pid, signal.SIGKILL)

    def join(self) -> None:
        """Waits for the deed. Called after the futures have ended."""
        if self._thread is None:
            raise RuntimeError("the work ended before a worker could be killed")
        self._thread.join()
