from pathlib import Path

import pytest

from optml import memory as container
from optml.serving import memory, server


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


@pytest.mark.parametrize(("limit", "started"), [(1024, 4), (512, 3), (256, 1), (64, 1)])
def test_no_more_workers_are_started_than_the_container_s_memory_holds(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    limit: int,
    started: int,
) -> None:
    monkeypatch.setattr(container, "ROOT", tmp_path)
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    write(tmp_path, "model/xgboost-model", "x" * 10_000)
    write(tmp_path, "proc/meminfo", "MemTotal: 99999999 kB\n")
    write(tmp_path, "proc/self/cgroup", "0::/\n")
    write(tmp_path, "sys/fs/cgroup/memory.max", str(limit << 20))
    assert server._workers(4) == started
    assert (f"hold {started} workers of this model" in caplog.text) == (started < 4)


def test_what_workers_have_in_common_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "limit", lambda: memory.PARENT + 10 * memory.WORKER + 10_000_000)
    write(tmp_path, "model.safetensors", "x" * 10_000_000)
    assert memory.workers(tmp_path) == 10
    (tmp_path / "model.safetensors").rename(tmp_path / "model.bin")
    assert memory.workers(tmp_path) == 9
