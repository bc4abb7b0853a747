"""The one table of settings: every name that ``kask.config`` knows, with its type, default, unit and meaning.

To add a setting, add a row, run ``python -m kask.config > docs/configuration.md``, and read it with
``config.get("its.name")`` where it is used.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from typing import Any

from kask.units import parse_bytes, parse_memory, parse_seconds, whole_number

#: Workers of a cluster (`kask worker` starts no more either), and threads of a worker.
MOST_WORKERS = 4096
#: Workers that are busy with themselves for so long are still alive (for `kask scheduler`, too).
LEAST_HEARTBEAT_TIMEOUT_S = 0.1
SCHEDULERS = ("auto", "embedded", "threads", "processes", "sync", "synchronous", "single-threaded")


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """One row: ``parse`` turns what a file, a variable or a call gave into the value, or raises ValueError."""

    name: str
    kind: str
    default: Any
    unit: str
    doc: str
    parse: Callable[[Any], Any]


def _integer(minimum: int, maximum: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        try:
            return whole_number("", int(value) if isinstance(value, str) else value, minimum, maximum)
        except ValueError:
            raise ValueError(f"expected a whole number from {minimum} to {maximum}") from None

    return parse


def _duration(value: Any) -> float:
    seconds = parse_seconds(value)
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise ValueError(f"expected a duration above zero and up to {threading.TIMEOUT_MAX:.0f} seconds")
    return seconds


def _heartbeat(value: Any) -> float:
    seconds = _duration(value)
    if seconds < LEAST_HEARTBEAT_TIMEOUT_S:
        raise ValueError(f"expected a duration of at least {LEAST_HEARTBEAT_TIMEOUT_S} seconds")
    return seconds


def _duration_or_none(value: Any) -> float:
    return 0.0 if parse_seconds(value) == 0 else _duration(value)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if str(value).lower() not in words:
        raise ValueError("expected true or false")
    return words[str(value).lower()]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        text = value.strip()
        value = json.loads(text) if text.startswith("[") else [part.strip() for part in text.split(",") if part.strip()]
    if not isinstance(value, list | tuple) or not all(isinstance(part, str) and part for part in value):
        raise ValueError("expected a list of texts")
    return list(value)


def _share(value: Any) -> float:
    try:
        share = parse_memory(value)
    except ValueError:
        share = 1
    if not isinstance(share, float) or share >= 1:
        raise ValueError("expected a share above 0 and below 1, such as 0.6 or '60%'")
    return share


def _size(value: Any) -> int:
    size = parse_bytes(value)
    if not 0 <= size < 2**63:
        raise ValueError("expected a size such as '20GiB'")
    return size


def _positive_size(value: Any) -> int:
    size = _size(value)
    if size == 0:
        raise ValueError("expected a size above zero, such as '128MiB'")
    return size


def _size_or_auto(value: Any) -> str | int:
    return "auto" if value == "auto" else _size(value)


def _one_of(*words: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return value

    return parse


def _scheduler(value: Any) -> Any:
    # A client object is allowed here; whether it is one is seen where it is used.
    if isinstance(value, str) and value not in SCHEDULERS:
        raise ValueError(f"expected one of {', '.join(SCHEDULERS)}, or a client")
    return value


_WHOLE, _TIME, _YES_NO, _WORD, _WORDS = "whole number", "duration", "true/false", "text", "list of texts"

TABLE = {
    setting.name: setting
    for setting in [
        Setting("array.chunk_size_bytes", "size", 128 * 2**20, "bytes", "How large blocks of arrays are made where the user leaves it to Kask (`chunks=\"auto\"`).", _positive_size),
        Setting("array.fused_kernels", _YES_NO, True, "", "Whether chains of elementwise operations and reductions of arrays run as one kernel that reads memory once.", _boolean),
        Setting("scheduler", _WORD, "auto", "", "Where collections are computed when nothing else is said: the current client, otherwise embedded (`auto`), or one of "
                "`embedded` (alias `threads`), `processes`, `sync` (aliases `synchronous`, `single-threaded`).", _scheduler),
        Setting("embedded.nthreads", _WHOLE, 0, "threads", "Threads of the embedded engine; 0 means one for each usable CPU.", _integer(0, MOST_WORKERS)),
        Setting("embedded.memory_limit", "size", "auto", "bytes", "Memory of the embedded engine: `auto` (what this process may use, less a reserve), 0 (no limit), a size such "
                "as `4GiB`, or a share such as `50%`. Results that do not fit are moved to disk.", parse_memory),
        Setting("client.address", _WORD, "", "", "Scheduler that `Client()` connects to; empty means that it starts a local cluster.", _text),
        Setting("client.scheduler_file", _WORD, "", "", "File that names the scheduler that `Client()` connects to.", _text),
        Setting("client.connect_timeout_s", _TIME, 30.0, "seconds", "How long connecting to a scheduler may take.", _duration),
        Setting("client.close_timeout_s", _TIME, 10.0, "seconds", "How long closing a client waits for running tasks of an embedded engine.", _duration),
        Setting("cluster.n_workers", _WHOLE, 0, "workers", "Workers of a `LocalCluster`; 0 means as many as fit the CPUs.", _integer(0, MOST_WORKERS)),
        Setting("cluster.threads_per_worker", _WHOLE, 0, "threads", "Threads of each of its workers; 0 means as many as fit the CPUs.", _integer(0, MOST_WORKERS)),
        Setting("cluster.memory_limit", "size", "auto", "bytes", "Memory of each of its workers: `auto` (an equal part of what this process may use, less a reserve), 0 (no "
                "limit), a size such as `4GiB`, or a share such as `25%`. A worker that exceeds it is ended and started anew.", parse_memory),
        Setting("cluster.local_directory", _WORD, "", "", "Folder for the files of its workers, among them results that do not fit in memory; empty means one of the system's choice, where sockets are in any case.", _text),
        Setting("cluster.startup_timeout_s", _TIME, 60.0, "seconds", "How long starting its workers may take.", _duration),
        Setting("cluster.close_timeout_s", _TIME, 10.0, "seconds", "How long its workers may take to leave before they are killed.", _duration),
        Setting("cluster.heartbeat_timeout_s", _TIME, 30.0, "seconds", "A worker that shows no sign of life for this long is taken for frozen and replaced.", _heartbeat),
        Setting("cluster.allowed_deaths", _WHOLE, 3, "deaths", "A task that is running each time this many workers die fails with `KilledWorker`.", _integer(1, 2**31 - 1)),
        Setting("cluster.restart_timeout_s", _TIME, 60.0, "seconds", "How long `Client.restart` waits for the workers to be back.", _duration),
        Setting("memory.target", "share", 0.6, "", "Share of a memory limit above which results are moved to disk.", _share),
        Setting("memory.spill_directory", _WORD, "", "", "Folder in which folders for those are made; empty means `cluster.local_directory`, or else one of the system's choice that does "
                "not lie in memory.", _text),
        Setting("memory.spill_limit", "size", 0, "bytes", "Most that each worker may have on disk; 0 means no limit.", _size),
        Setting("memory.spill_reserve", "size", "auto", "bytes", "How much of the disk stays free; `auto` is a twentieth of it, and at most 10 GiB.", _size_or_auto),
        Setting("memory.spill_compression", _WORD, "auto", "", "Whether what is moved to disk is compressed: `auto` (when it pays), `lz4` or `off`.", _one_of("auto", "lz4", "off")),
        Setting("memory.checkpoint_shuffles", _YES_NO, True, "", "Whether worker processes with a memory limit write the outputs of shuffles to disk as they are made, "
                "so that they survive the process.", _boolean),
        Setting("worker.preload", _WORDS, [], "", "Modules that each worker process imports before its first task.", _texts),
        Setting("security.token", _WORD, "", "", "Token of the scheduler that is connected to.", _text),
        Setting("security.token_file", _WORD, "", "", "File that holds that token.", _text),
        Setting("security.tls_ca", _WORD, "", "", "Certificate (PEM) of the authority that signed the cluster's certificates.", _text),
        Setting("security.tls_cert", _WORD, "", "", "This process's certificate (PEM).", _text),
        Setting("security.tls_key", _WORD, "", "", "The certificate's key (PEM).", _text),
        Setting("tokenize.ensure_deterministic", _YES_NO, False, "", "Whether `tokenize` refuses objects that have no deterministic token.", _boolean),
        Setting("progress.interval_s", _TIME, 0.1, "seconds", "How often progress bars are drawn.", _duration),
        Setting("progress.minimum_s", _TIME, 0.0, "seconds", "Computations shorter than this show no `ProgressBar`.", _duration_or_none),
    ]
}  # fmt: skip
