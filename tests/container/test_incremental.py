import json
import tarfile
from pathlib import Path

import pytest

from optml.container.incremental import unpack
from optml.errors import UserError


def model(folder: Path, slug: str = "kmeans") -> Path:
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"algorithm": slug}))
    return folder


def packed(folder: Path, archive: Path, name: str = ".") -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, name)


@pytest.mark.parametrize("archive", ["model.tar.gz", "other.tar.gz", "deep/model.tar.gz"])
@pytest.mark.parametrize("name", [".", "model"])
def test_an_archive_is_unpacked(tmp_path: Path, archive: str, name: str) -> None:
    packed(model(tmp_path / "made"), tmp_path / "channel" / archive, name)
    folder = unpack(tmp_path / "channel", "kmeans", tmp_path / "scratch")
    assert (folder / "model.json").exists()
    assert folder.is_relative_to(tmp_path / "scratch")


def test_the_log_says_which_model_was_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    packed(model(tmp_path / "made"), tmp_path / "channel/model.tar.gz")
    with caplog.at_level("INFO"):
        unpack(tmp_path / "channel", "kmeans", tmp_path / "scratch")
    assert f"'model' was read from {tmp_path}/channel/model.tar.gz" in caplog.text


def test_unpacked_files_are_taken_as_they_are(tmp_path: Path) -> None:
    assert unpack(model(tmp_path / "channel"), "kmeans", tmp_path) == tmp_path / "channel"


def test_model_tar_gz_wins_over_other_archives(tmp_path: Path) -> None:
    packed(model(tmp_path / "made"), tmp_path / "channel/model.tar.gz")
    (tmp_path / "channel/output.tar.gz").write_text("of something else")
    unpack(tmp_path / "channel", "kmeans", tmp_path / "scratch")


def test_two_archives_are_one_too_many(tmp_path: Path) -> None:
    for name in ("a.tar.gz", "b.tar.gz"):
        packed(model(tmp_path / "made" / name), tmp_path / "channel" / name)
    with pytest.raises(UserError, match=r"holds 2 archives: a\.tar\.gz, b\.tar\.gz"):
        unpack(tmp_path / "channel", "kmeans", tmp_path / "scratch")


def test_another_algorithms_model_names_both(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds a model of pca, but this job trains kmeans"):
        unpack(model(tmp_path / "channel", "pca"), "kmeans", tmp_path)


def test_files_that_are_no_model_are_listed(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError, match=r"holds no model of kmeans; its files: notes\.txt"):
        unpack(tmp_path, "kmeans", tmp_path)


def test_an_empty_channel_is_told(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match="channel 'model' is empty"):
            unpack(folder, "kmeans", tmp_path)
