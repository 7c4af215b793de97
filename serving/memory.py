"""How much memory a multi-model server may still take, and giving it back."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

WORKSPACE = 32 << 20  # bytes that loading a model and its first answers take besides its arrays


def needed(folder: Path) -> int:
    """Bytes that a model folder is expected to take in memory: 1.2 times its size on disk and a workspace."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return int(1.2 * size) + WORKSPACE


def free(root: Path = Path("/")) -> int:
    """Bytes left to this container: the cgroup's limit less what is in use and cannot be dropped, or what the
    machine has available, whichever is less. `root` is where /proc and /sys are looked for."""
    available = 1 << 62
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) << 10
    for folder, limit, used, dropped in (
        ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        bound, usage = _read(root / folder / limit), _read(root / folder / used)
        if bound.isdigit() and usage.isdigit():
            stat = dict(line.split() for line in _read(root / folder / "memory.stat").splitlines())
            available = min(available, int(bound) - int(usage) + int(stat.get(dropped, 0)))
    return max(0, available)


def kills(root: Path = Path("/")) -> int:
    """How many processes of this container the kernel has killed for lack of memory."""
    for line in _read(root / "sys/fs/cgroup/memory.events").splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill":
            return int(count)
    return 0


def give_back() -> None:
    """Hand memory of dropped objects back to the system."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # not glibc
        return


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
