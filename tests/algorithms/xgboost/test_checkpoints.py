from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from optml.algorithms.xgboost.checkpoints import CHECKSUM, Checkpoints, check, content, restore
from tests.algorithms.xgboost.runs import both, score, train


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


def test_no_flipped_bit_goes_unnoticed(tmp_path: Path) -> None:
    booster = train(both(), tmp_path, num_round=1, max_depth=1).model.members[0].booster
    model = content(booster)
    check(model)
    assert restore(model).save_raw("ubj") == booster.save_raw("ubj")
    start = model.index(b"optml:")
    for place in range(len(model)):
        one_bit_off = model[:place] + bytes([model[place] ^ 16]) + model[place + 1 :]
        if start <= place < start + 70:  # of the checksum itself: the model is whole
            continue
        with pytest.raises(ValueError, match="its checksum is wrong"):
            check(one_bit_off)


@pytest.mark.parametrize("damage", ["flipped", "torn", "empty", "folder", "dangling link", "FIFO"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "checkpoints"
    undisturbed = train(both(), tmp_path, checkpoints=folder)
    newest = folder / "xgboost-checkpoint.9"
    whole = newest.read_bytes()
    newest.unlink()
    if damage == "folder":
        newest.mkdir()
    elif damage == "dangling link":
        newest.symlink_to("nowhere")
    elif damage == "FIFO":
        os.mkfifo(newest)
    else:
        place = len(whole) // 2
        one_bit_off = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        newest.write_bytes({"flipped": one_bit_off, "torn": whole[:-40], "empty": b""}[damage])
    resumed = train(both(), tmp_path, checkpoints=folder)
    assert resumed.lines == undisturbed.lines[9:]
    np.testing.assert_array_equal(score(resumed), score(undisturbed))
    assert f"{newest} cannot be read" in caplog.text


def test_when_all_are_damaged_training_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "xgboost-checkpoint.3").write_bytes(b"{")
    assert len(train(both(), tmp_path, checkpoints=tmp_path).lines) == 10


def test_a_checkpoint_without_a_checksum_is_gone_on_from(tmp_path: Path) -> None:
    booster = train(both(), tmp_path, num_round=4).model.members[0].booster
    (tmp_path / "xgboost-checkpoint.3").write_bytes(booster.save_raw("ubj"))
    assert len(train(both(), tmp_path, checkpoints=tmp_path).lines) == 6


def test_the_model_carries_no_checksum_of_a_checkpoint(tmp_path: Path) -> None:
    train(both(), tmp_path, checkpoints=tmp_path, num_round=4)
    resumed = train(both(), tmp_path, checkpoints=tmp_path)
    assert CHECKSUM not in resumed.model.members[0].booster.attributes()
