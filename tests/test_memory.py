"""Memory is what the container may take, not what the machine has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optml import memory
from optml.errors import UserError

MIB = 1 << 20


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 16 GiB, of which 8 are available."""
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    write(tmp_path, "proc/meminfo", f"MemTotal: {16 << 20} kB\nMemFree: 5 kB\nMemAvailable: {8 << 20} kB\n")
    write(tmp_path, "proc/self/cgroup", "0::/\n")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_a_limit_it_is_the_machines(root: Path) -> None:
    write(root, "sys/fs/cgroup/memory.max", "max\n")
    assert memory.limit() == 16 << 30
    assert memory.free() == 8 << 30


def test_a_limit_of_the_container_counts(root: Path) -> None:
    write(root, "sys/fs/cgroup/memory.max", f"{128 * MIB}\n")
    write(root, "sys/fs/cgroup/memory.current", f"{100 * MIB}\n")
    write(root, "sys/fs/cgroup/memory.stat", f"anon 1\ninactive_file {20 * MIB}\n")
    assert memory.limit() == 128 * MIB
    assert memory.free() == 48 * MIB


def test_version_one_of_the_cgroup_counts_too(root: Path) -> None:
    write(root, "proc/self/cgroup", "5:devices:/docker/ab\n4:memory:/docker/ab\n")
    write(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", f"{64 * MIB}\n")
    write(root, "sys/fs/cgroup/memory/memory.usage_in_bytes", f"{MIB}\n")
    assert memory.limit() == 64 * MIB
    assert memory.free() == 63 * MIB


def test_the_tightest_limit_along_the_path_counts(root: Path) -> None:
    write(root, "proc/self/cgroup", "0::/pod/app\n")
    write(root, "sys/fs/cgroup/pod/memory.max", str(256 * MIB))
    write(root, "sys/fs/cgroup/pod/app/memory.max", "max")
    assert memory.limit() == 256 * MIB


def test_what_a_container_cannot_hold_is_refused_with_both_sizes_and_the_remedy(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_program", lambda: 28 * MIB)
    write(root, "sys/fs/cgroup/memory.max", str(128 * MIB))
    memory.require(100 * MIB, "10 trees", "lower num_trees")
    with pytest.raises(UserError) as refused:
        memory.require(101 * MIB, "11 trees", "lower num_trees")
    assert str(refused.value) == (
        "11 trees take 101 MiB, but this container has 100 MiB of memory: lower num_trees, or give it more"
    )


def test_a_container_that_cannot_hold_the_program_is_refused(root: Path) -> None:
    write(root, "sys/fs/cgroup/memory.max", str(128 * MIB))
    memory.require_program(128 * MIB, "K-Means")
    with pytest.raises(UserError, match=r"may take 128 MiB of memory, but DeepAR takes some 300 MiB"):
        memory.require_program(300 * MIB, "DeepAR")


def test_the_program_itself_takes_memory() -> None:
    assert memory.available() < memory.limit()


def test_memory_that_is_kept_is_of_use_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: object) -> None:
        raise OSError("no such library")

    monkeypatch.setattr("ctypes.CDLL", missing)
    memory.keep()  # where the C library has no such options, nothing happens
    monkeypatch.undo()
    memory.keep()
    array = np.ones(1 << 22)
    del array
    assert np.zeros(1 << 22).sum() == 0
