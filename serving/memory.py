"""How much memory a model takes in a multi-model server, and giving it back."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

from optml import cgroup

WORKSPACE = 32 << 20  # bytes that loading a model and its first answers take besides its arrays


def needed(folder: Path) -> int:
    """Bytes that a model folder is expected to take in memory: 1.2 times its size on disk and a workspace."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return int(1.2 * size) + WORKSPACE


def kills(root: Path = Path("/")) -> int:
    """How many processes of this container the kernel has killed for lack of memory."""
    for line in cgroup.read(root / "sys/fs/cgroup/memory.events").splitlines():
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
