"""How much memory a job may take: that of its container where it has a limit, else the machine's.

The kernel ends a process that takes more without a word; so what is known to be needed is said before.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from optml import cgroup
from optml.errors import UserError

ROOT = Path("/")  # where /proc and /sys are looked for


def available(device: str = "cpu") -> int:
    """Bytes that the data and states of a job may take: of a GPU, or of this container, or of the machine,
    less what the program itself took before it asked for the first time."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.get_device_properties(device).total_memory)
    return max(0, limit() - _program())


def require(needed: int, what: str, remedy: str, device: str = "cpu") -> None:
    """Raise UserError if `needed` bytes for `what` (plural) are more than are available; `remedy` says
    what to change ("lower k")."""
    most = available(device)
    if needed <= most:
        return
    place = "this GPU" if device.startswith("cuda") else "this container" if _bounded() else "this machine"
    raise UserError(
        f"{what} take {size(needed)}, but {place} has {size(most)} of memory: {remedy}, or give it more"
    )


def require_program(needed: int, title: str) -> None:
    """Raise UserError where a container's limit is below what the program takes before it has read a row."""
    if limit() < needed:
        raise UserError(
            f"this container may take {size(limit())} of memory, but {title} takes some {size(needed)} "
            "before it has read any data: give it more (docker run --memory)"
        )


def limit() -> int:
    """Bytes of memory of this container, or of the machine where that is less or there is no limit."""
    return min(_machine(), _bounds())


def keep() -> None:
    """Let the C library (glibc; others are left alone) keep the memory that is freed, for this process's next
    large arrays: to take it anew from the system costs a page fault for every 4 kB, as much as it costs torch
    to fill it. For a training process, whose steps take the same memory again and again."""
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, value in (
        (-4, 0),  # M_MMAP_MAX: no block by a mapping of its own
        (-1, 1 << 30),  # M_TRIM_THRESHOLD: bytes at the heap's end before any go back
        (-2, 1 << 26),  # M_TOP_PAD: bytes that are taken more than are needed
        (-8, 1),  # M_ARENA_MAX: one heap for all threads, for those of others are small
    ):
        mallopt(option, value)


def free() -> int:
    """Bytes left now: the cgroup's limit less what is in use and cannot be dropped, or what the machine has
    available, whichever is less."""
    left = _meminfo("MemAvailable") or _machine()
    for folder in cgroup.folders("memory", ROOT):
        for bound, usage, dropped in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            most, used = cgroup.read(folder / bound), cgroup.read(folder / usage)
            if most.isdigit() and used.isdigit():
                stat = dict(line.split() for line in cgroup.read(folder / "memory.stat").splitlines())
                left = min(left, int(most) - int(used) + int(stat.get(dropped, 0)))
    return max(0, left)


def size(count: int) -> str:
    """A number of bytes for people."""
    power = max(0, min(3, (count.bit_length() - 1) // 10))
    return f"{count / 1024**power:.3g} {('bytes', 'KiB', 'MiB', 'GiB')[power]}"


def _bounded() -> bool:
    return _bounds() < _machine()


def _bounds() -> int:
    """The tightest limit along the cgroup's path."""
    texts = [
        cgroup.read(folder / name)
        for folder in cgroup.folders("memory", ROOT)
        for name in ("memory.max", "memory.limit_in_bytes")
    ]
    return min((int(text) for text in texts if text.isdigit()), default=1 << 62)


def _machine() -> int:
    return _meminfo("MemTotal") or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _meminfo(name: str) -> int:
    """A value of /proc/meminfo in bytes; 0 where there is none."""
    for line in cgroup.read(ROOT / "proc/meminfo").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    return 0


@cache
def _program() -> int:
    """Bytes of this process that no file backs, so that the kernel cannot drop them."""
    for line in cgroup.read(Path("/proc/self/status")).splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    return 0
