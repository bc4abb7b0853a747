"""How many CPUs this process may use, as affinity and control groups allow."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def cpu_count() -> int:
    """Number of CPUs that this process may use, at least 1.

    Examples
    --------
    >>> cpu_count() >= 1
    True
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cpus()
    return max(1, count if quota is None else min(count, math.ceil(quota)))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _group_files(version2: str, version1: str) -> list[Path]:
    files = [_CGROUP / version2, _CGROUP / version1]
    # Inside a nested group of version 2 the limit is in the group's own folder or in any above it.
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        number, _, path = line.partition("::")
        if number == "0":
            folder = _CGROUP / path.lstrip("/")
            while folder not in (_CGROUP, folder.parent):
                files.append(folder / version2)
                folder = folder.parent
    return files


def _cgroup_cpus() -> float | None:
    quotas = []
    for file in _group_files("cpu.max", "cpu/cpu.cfs_quota_us"):
        fields = _read(file).split()
        if len(fields) == 1 and fields[0].lstrip("-").isdigit() and int(fields[0]) > 0:
            period = _read(file.with_name("cpu.cfs_period_us"))
            fields.append(period if period.isdigit() else "100000")
        if len(fields) == 2 and fields[0].isdigit() and int(fields[1]) > 0:
            quotas.append(int(fields[0]) / int(fields[1]))
    return min(quotas, default=None)
