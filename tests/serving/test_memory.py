from pathlib import Path

from optml.serving import memory


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_model_needs_more_than_its_size(tmp_path: Path) -> None:
    write(tmp_path, "deep/model", "x" * 10_000)
    assert memory.needed(tmp_path) == 12_000 + memory.WORKSPACE


def test_kills_for_lack_of_memory_are_counted(tmp_path: Path) -> None:
    assert memory.kills(tmp_path) == 0
    write(tmp_path, "sys/fs/cgroup/memory.events", "oom 2\noom_kill 1\n")
    assert memory.kills(tmp_path) == 1
