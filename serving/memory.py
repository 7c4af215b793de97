"""How much memory a model takes in a multi-model server, and giving it back."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

from optml import cgroup
from optml import memory as container

WORKSPACE = 32 << 20  # bytes that loading a model and its first answers take besides its arrays
PARENT = 48 << 20  # bytes of the process that starts the workers, measured
WORKER = 128 << 20  # bytes of a worker besides its model: 70 to 95 MiB, measured, and a request
MAPPED = ".safetensors"  # files that workers map, so that they have them in common


def needed(folder: Path) -> int:
    """Bytes that a model folder is expected to take in memory: 1.2 times its size on disk and a workspace."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return int(1.2 * size) + WORKSPACE


def workers(folder: Path) -> int:
    """How many worker processes with the model of a folder this container's memory holds, at least one."""
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    mapped = sum(size for path, size in sizes.items() if path.suffix == MAPPED)
    own = sum(sizes.values()) - mapped
    return max(1, (container.limit() - PARENT - mapped) // (WORKER + int(1.2 * own)))


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
