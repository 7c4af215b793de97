from __future__ import annotations

from pathlib import Path

from algorithms.xgboost.checkpoints import Checkpoints


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=3)
    for number in range(100):
        checkpoints.save(number, b"model")
    assert names(tmp_path) == [f"xgboost-checkpoint.{number}" for number in (97, 98, 99)]


def test_rounds_sort_as_numbers(tmp_path: Path) -> None:
    for number in (9, 100, 99):
        (tmp_path / f"xgboost-checkpoint.{number}").write_bytes(b"")
    (tmp_path / "xgboost-checkpoint.7.sagemaker-uploaded").write_bytes(b"")
    (tmp_path / "xgboost-checkpoint_0.ubj").write_bytes(b"")
    assert Checkpoints(tmp_path).rounds() == [9, 99, 100]


def test_files_from_before_the_run_stay(tmp_path: Path) -> None:
    (tmp_path / "xgboost-checkpoint.0").write_bytes(b"old")
    checkpoints = Checkpoints(tmp_path, keep=2)
    for number in range(1, 6):
        checkpoints.save(number, b"new")
    assert names(tmp_path) == [f"xgboost-checkpoint.{number}" for number in (0, 4, 5)]


def test_a_file_on_its_way_to_s3_is_not_pulled_away(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(0, b"model")
    mark = tmp_path / "xgboost-checkpoint.0.sagemaker-uploading"
    mark.write_bytes(b"")
    checkpoints.save(1, b"model")
    assert (tmp_path / "xgboost-checkpoint.0").exists()
    (tmp_path / "xgboost-checkpoint.0.sagemaker-uploaded").write_bytes(b"")
    checkpoints.save(2, b"model")
    assert checkpoints.rounds() == [2]


def test_a_folder_that_cannot_be_written_costs_no_job(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    Checkpoints(tmp_path / "file").save(0, b"model")
