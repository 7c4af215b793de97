"""How many CPUs this container may use: `os.cpu_count()` counts the host's, the cgroup knows ours.

Imported before NumPy and torch, whose BLAS and OpenMP look at the environment once, when they are loaded:
standard library only.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from optml import cgroup

# Read by OpenMP, OpenBLAS, MKL and numba, each when it is loaded.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

# How OpenMP's threads wait for one another. They spin, if left alone, each on a CPU that the thread they wait
# for may need: beside other work, training takes several times as long. Each library brings a runtime of its
# own, and most of them GNU's. Where the user has set one of these, all are left as they are.
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def count(root: Path = Path("/")) -> int:
    """Whole CPUs to run threads on, at least 1: the affinity mask (which holds the cpuset as well), cut to
    the CPU quota of the cgroup, version 1 or 2, rounded up. `root` is where /proc and /sys are looked for."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no affinity
        allowed = os.cpu_count() or 1
    quota = _quota(root)
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def limit_threads(processes: int = 1) -> int:
    """Let the numerical libraries start as many threads as this process has CPUs; returns that number. Those
    of OpenMP sleep while they wait.

    `OMP_NUM_THREADS` wins where it is set, as do the libraries' own variables and those of OpenMP's waiting.
    `processes` share the CPUs. Call it before NumPy or torch is imported.
    """
    chosen = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    threads = int(chosen) if chosen.isdigit() and int(chosen) else max(1, count() // processes)
    for name in THREADS:
        os.environ.setdefault(name, str(threads))
    if not any(os.environ.get(name) for name in WAITING):
        os.environ["OMP_WAIT_POLICY"] = "passive"
    return threads


def _quota(root: Path) -> float | None:
    """CPUs' worth of time per period, the tightest along the cgroup's path; None: no limit."""
    limits = []
    for folder in cgroup.folders("cpu", root):
        limit = cgroup.read(folder / "cpu.max").split()  # version 2: "150000 100000" or "max 100000"
        if not limit:
            limit = [cgroup.read(folder / "cpu.cfs_quota_us"), cgroup.read(folder / "cpu.cfs_period_us")]
        try:
            quota, period = (int(text) for text in limit)
        except ValueError:  # "max", or no such file
            continue
        if quota > 0 and period > 0:
            limits.append(quota / period)
    return min(limits, default=None)
