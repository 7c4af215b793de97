"""Images run as any user, and read-only: what cannot be written is replaced before anybody looks for it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from optml.container import scratch
from tests.contract.tree import Tree, end

STRANGER = 12345  # a user that /etc/passwd does not know
# Reads everything, for the tests' own Python may lie in somebody's home, but writes no more than others.
AS_STRANGER = (
    "setpriv",
    f"--reuid={STRANGER}",
    f"--regid={STRANGER}",
    "--clear-groups",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
)


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A tree and a home that can be written, and no compiled functions."""
    for name, value in {"HOME": str(tmp_path), "SAGEMAKER_BASE_DIR": str(tmp_path), "USER": "me"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TMPDIR", tempfile.gettempdir())
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())
    yield
    scratch.remove()


def refuse(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """These folders cannot be written: root, as whom tests may run, may write everywhere."""
    ask = os.access

    def access(path: str | Path, mode: int) -> bool:
        return not (mode & os.W_OK and Path(path) in folders) and ask(path, mode)

    monkeypatch.setattr(os, "access", access)


def no_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"])


def test_where_all_can_be_written_nothing_changes(tmp_path: Path) -> None:
    before = dict(os.environ)
    scratch.prepare()
    assert dict(os.environ) == before


def test_without_a_temporary_folder_the_jobs_tree_gives_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_temporary_folder(monkeypatch)
    (tmp_path / "output").mkdir()
    refuse(monkeypatch, tmp_path)
    scratch.prepare()
    folder = Path(os.environ["TMPDIR"])
    assert folder.parent == tmp_path / "output"
    assert tempfile.tempdir == str(folder)
    scratch.remove()
    assert not folder.exists()


def test_where_the_tree_cannot_be_written_shared_memory_gives_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_temporary_folder(monkeypatch)
    monkeypatch.setattr(scratch, "SHARED_MEMORY", tmp_path / "shm")
    (tmp_path / "shm").mkdir()
    refuse(monkeypatch, tmp_path)
    scratch.prepare()
    assert Path(os.environ["TMPDIR"]).parent == tmp_path / "shm"


def test_a_home_that_cannot_be_written_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, tmp_path)
    scratch.prepare()
    assert os.access(os.environ["HOME"], os.W_OK)


def test_compiled_functions_that_cannot_be_written_are_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "numba"
    (image / "kernels_1").mkdir(parents=True)
    (image / "kernels_1" / "a.nbi").write_bytes(b"index")
    (image / "csv.o").write_bytes(b"code")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(image))
    refuse(monkeypatch, image)
    scratch.prepare()
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    assert (folder / "kernels_1" / "a.nbi").read_bytes() == b"index"
    assert (folder / "csv.o").read_bytes() == b"code"
    (folder / "kernels_1" / "b.nbi").write_bytes(b"new")
    assert sorted(path.name for path in image.rglob("*")) == ["a.nbi", "csv.o", "kernels_1"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may run a program as somebody else")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv, to read what only root may")
def test_a_stranger_trains_with_the_functions_that_root_compiled(tmp_path: Path) -> None:
    compiled = tmp_path / "compiled"
    environment = {
        "NUMBA_CACHE_DIR": str(compiled),
        "OPTML_ALGORITHM": "kmeans",
        "HOME": "/",
        "NUMBA_DEBUG_CACHE": "1",
    }
    tree = Tree(tmp_path / "job")
    tree.hyperparameters(k=2, feature_dim=2)
    tree.write("input/config/inputdataconfig.json", {"train": {"ContentType": "text/csv;label_size=0"}})
    tree.write("input/data/train/a.csv", "1,2\n1,3\n8,9\n8,8\n")
    assert tree.train("-m", "optml.container", "train", fresh=True, **environment).code == 0
    before = sorted(compiled.rglob("*"))
    for path in [tmp_path, *tmp_path.parents[:2], *tree.root.rglob("*"), tree.root]:
        path.chmod(0o755)
    for path in [tree.root, *tree.root.rglob("*")]:
        os.chown(path, STRANGER, STRANGER)
    ended = end(tree.start("-m", "optml.container", "train", runner=AS_STRANGER, **environment))
    assert ended.code == 0, ended.log
    assert "data saved to" not in ended.log
    assert sorted(compiled.rglob("*")) == before
