import errno
from pathlib import Path
from typing import Any

import pytest

from optml.container.outputs import publish


class Files:
    """A model that is a few files; `fails` after writing them."""

    width = None

    def __init__(self, fails: bool = False, **files: str) -> None:
        self.files, self.fails = files, fails

    def predict(self, batch: Any, options: Any) -> Any:
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        for name, text in self.files.items():
            path = folder / name.replace("_", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o600)
        if self.fails:
            raise OSError("disk full")
        if "huge" in self.files:
            raise type("SafetensorError", (Exception,), {})("I/O error: No space left (os error 28)")


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_files_and_folders_are_moved_into_place(tmp_path: Path) -> None:
    publish(Files(model="1", deep_file="2"), tmp_path / "model")
    assert names(tmp_path / "model") == ["deep/file", "model"]
    assert (tmp_path / "model/model").stat().st_mode & 0o777 == 0o644


def test_an_earlier_model_is_replaced(tmp_path: Path) -> None:
    publish(Files(model="1", deep_file="2", deep_other="3"), tmp_path)
    publish(Files(model="4", deep_file="5"), tmp_path)
    assert names(tmp_path) == ["deep/file", "model"]
    assert (tmp_path / "model").read_text() == "4"


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    publish(Files(model="1"), tmp_path)
    with pytest.raises(OSError, match="disk full"):
        publish(Files(model="2", more="3", fails=True), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model").read_text() == "1"


def test_what_a_killed_job_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".optml-abc").mkdir()
    (tmp_path / ".optml-abc/half").write_text("")
    publish(Files(model="1"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_full_disk_names_the_model_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as raised:
        publish(Files(huge="1"), tmp_path)
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(tmp_path))
