from pathlib import Path

from serving import memory


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_model_needs_more_than_its_size(tmp_path: Path) -> None:
    write(tmp_path, "deep/model", "x" * 10_000)
    assert memory.needed(tmp_path) == 12_000 + memory.WORKSPACE


def test_the_cgroup_bounds_what_is_free(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", "MemTotal: 9 kB\nMemAvailable: 1000000 kB\n")
    assert memory.free(tmp_path) == 1000000 << 10
    write(tmp_path, "sys/fs/cgroup/memory.max", "5000\n")
    write(tmp_path, "sys/fs/cgroup/memory.current", "4000\n")
    write(tmp_path, "sys/fs/cgroup/memory.stat", "anon 3000\ninactive_file 500\n")
    assert memory.free(tmp_path) == 1500


def test_version_one_of_the_cgroup_counts_too(tmp_path: Path) -> None:
    write(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", "5000\n")
    write(tmp_path, "sys/fs/cgroup/memory/memory.usage_in_bytes", "4000\n")
    assert memory.free(tmp_path) == 1000


def test_a_cgroup_without_a_limit_leaves_the_machine(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", "MemAvailable: 10 kB\n")
    write(tmp_path, "sys/fs/cgroup/memory.max", "max\n")
    assert memory.free(tmp_path) == 10 << 10


def test_kills_for_lack_of_memory_are_counted(tmp_path: Path) -> None:
    assert memory.kills(tmp_path) == 0
    write(tmp_path, "sys/fs/cgroup/memory.events", "oom 2\noom_kill 1\n")
    assert memory.kills(tmp_path) == 1
