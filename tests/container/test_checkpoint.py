import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from optml.container import checkpoint as module
from optml.container.checkpoint import Checkpoint, Checkpoints, Position, fingerprint
from optml.container.group import Alone

FACTS = fingerprint(k=1)


def made(folder: Path | None, scratch: Path, facts: str = FACTS) -> Checkpoints:
    return Checkpoints(folder, scratch, name="kmeans-0", fingerprint=facts)


def at(epoch: int, step: int = 0) -> Checkpoint:
    state = {"scalar": np.array(1.5), "matrix": np.arange(6.0).reshape(2, 3).T, "empty": np.empty((0, 2))}
    position = Position(epoch, step, updates=10 * epoch + step)
    return Checkpoint(position, state, {"best": np.array([3])}, {"records": 7})


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    made(tmp_path, tmp_path).save(at(1, 2))
    found = made(tmp_path, tmp_path).resume(Alone())
    assert found is not None
    assert found.position == at(1, 2).position
    assert found.counters == {"records": 7}
    for name, array in at(1, 2).state.items():
        np.testing.assert_array_equal(found.state[name], array)
        assert found.state[name].shape == array.shape
    np.testing.assert_array_equal(found.stopping["best"], [3])


def test_the_last_two_are_kept_and_others_files_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kmeans-10.1.ckpt").write_text("of another host")
    checkpoints = made(tmp_path, tmp_path)
    for checkpoint in (at(0, 5), at(0, 9), at(1), at(9), at(10)):
        checkpoints.save(checkpoint)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "kmeans-0.10.ckpt",
        "kmeans-0.9.ckpt",
        "kmeans-10.1.ckpt",
    ]


@pytest.mark.parametrize("damage", [b"", b"text", None])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    for checkpoint in (at(1), at(2)):
        made(tmp_path, tmp_path).save(checkpoint)
    newest = tmp_path / "kmeans-0.2.ckpt"
    newest.write_bytes(newest.read_bytes()[:-9] if damage is None else damage)
    found = made(tmp_path, tmp_path).resume(Alone())
    assert found is not None
    assert found.position.epoch == 1
    assert "kmeans-0.2.ckpt cannot be read" in caplog.text


def test_no_flipped_bit_goes_unnoticed(tmp_path: Path) -> None:
    made(tmp_path, tmp_path).save(at(1))
    path = tmp_path / "kmeans-0.1.ckpt"
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for place in (*range(7, header, 11), *range(header, len(content))):
        path.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        resumed = made(tmp_path, tmp_path).resume(Alone())
        # Spaces that pad the header are not part of what was written.
        assert resumed is None or content[place : place + 1] == b" ", place


@pytest.mark.parametrize("kind", ["folder", "dangling link", "FIFO"])
def test_what_is_no_file_gives_way_to_the_checkpoint_before(tmp_path: Path, kind: str) -> None:
    checkpoints = made(tmp_path, tmp_path)
    for checkpoint in (at(1), at(2)):
        checkpoints.save(checkpoint)
    newest = tmp_path / "kmeans-0.2.ckpt"
    newest.unlink()
    if kind == "folder":
        newest.mkdir()
        (newest / "something").touch()
    elif kind == "FIFO":
        os.mkfifo(newest)
    else:
        newest.symlink_to("nowhere")
    resuming = made(tmp_path, tmp_path)
    resumed = resuming.resume(Alone())
    assert resumed is not None
    assert resumed.position.epoch == 1
    for checkpoint in (at(2), at(3), at(4)):
        resuming.save(checkpoint)
    again = made(tmp_path, tmp_path).resume(Alone())
    assert again is not None
    assert again.position.epoch == 4


def test_checkpoints_of_another_job_do_not_crowd_out_ours(tmp_path: Path) -> None:
    other = made(tmp_path, tmp_path, fingerprint(k=2))
    for checkpoint in (at(50), at(60)):
        other.save(checkpoint)
    checkpoints = made(tmp_path, tmp_path)
    assert checkpoints.resume(Alone()) is None
    for checkpoint in (at(1), at(2), at(3)):
        checkpoints.save(checkpoint)
    resumed = made(tmp_path, tmp_path).resume(Alone())
    assert resumed is not None
    assert resumed.position.epoch == 3


def test_a_damaged_best_state_costs_the_checkpoints_that_need_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = made(tmp_path, tmp_path)
    checkpoints.save(at(1))
    checkpoints.save_best({"a": np.array([1.0])})
    checkpoints.save(at(2))
    best = tmp_path / "kmeans-0.best.ckpt"
    best.write_bytes(best.read_bytes()[:-1] + b"!")
    resumed = made(tmp_path, tmp_path).resume(Alone())
    assert resumed is not None
    assert resumed.position.epoch == 1
    assert "kmeans-0.best.ckpt cannot be read (its checksum is wrong" in caplog.text


def test_a_best_state_damaged_while_the_job_runs_ends_no_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = made(None, tmp_path)
    checkpoints.save_best({"a": np.array([1.0])})
    (tmp_path / "kmeans-0.best.ckpt").write_bytes(b"damaged")
    assert checkpoints.best() is None
    assert "the model is that of the last update" in caplog.text


def test_a_full_folder_costs_a_warning_and_no_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    checkpoints = made(tmp_path, tmp_path)
    with monkeypatch.context() as full:
        full.setattr(Path, "replace", refuse)
        checkpoints.save_best({"a": np.array([3.0])})
        checkpoints.save(at(1))
    best = checkpoints.best()
    assert best is not None
    np.testing.assert_array_equal(best["a"], [3.0])
    assert "kmeans-0.1.ckpt could not be written: No space left" in caplog.text
    assert list(tmp_path.iterdir()) == []

    checkpoints.save(at(2))  # there is room again: the best state comes first
    resuming = made(tmp_path, tmp_path)
    assert resuming.resume(Alone()) is not None
    best = resuming.best()
    assert best is not None
    np.testing.assert_array_equal(best["a"], [3.0])


def test_a_folder_that_cannot_be_read_starts_afresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert made(tmp_path, tmp_path).resume(Alone()) is None
    assert "cannot be read: Permission denied" in caplog.text


def test_other_facts_start_afresh_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made(tmp_path, tmp_path).save(at(1))
    assert made(tmp_path, tmp_path, fingerprint(k=2)).resume(Alone()) is None
    assert "is of a job with other hyperparameters" in caplog.text


def test_the_best_state_needs_no_folder(tmp_path: Path) -> None:
    checkpoints = made(None, tmp_path)
    checkpoints.save(at(1))
    assert checkpoints.best() is None
    checkpoints.save_best({"a": np.array([1.0])})
    checkpoints.save_best({"a": np.array([2.0])})
    best = checkpoints.best()
    assert best is not None
    np.testing.assert_array_equal(best["a"], [2.0])


def test_a_fresh_start_forgets_the_best_state(tmp_path: Path) -> None:
    made(tmp_path, tmp_path).save_best({"a": np.array([1.0])})
    checkpoints = made(tmp_path, tmp_path)
    assert checkpoints.resume(Alone()) is None
    assert checkpoints.best() is None


def test_a_folder_that_is_gone_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made(tmp_path / "gone", tmp_path).save(at(1))
    assert "could not be written" in caplog.text


def test_a_folder_that_cannot_be_written_ends_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    assert made(tmp_path, tmp_path).resume(Alone()) is None


def test_a_large_state_is_written_beside_training_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BESIDE", 8)
    go_on, replace = threading.Event(), Path.replace

    def held(self: Path, target: Path) -> Path:
        go_on.wait()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", held)
    checkpoints = made(tmp_path, tmp_path)
    checkpoint = at(1)
    checkpoints.save(checkpoint)
    checkpoint.state["scalar"][...] = 9  # training goes on
    assert not (tmp_path / "kmeans-0.1.ckpt").exists()
    go_on.set()
    checkpoints.save_best(checkpoint.state)
    assert (tmp_path / "kmeans-0.1.ckpt").exists()  # one after the other
    best = checkpoints.best()
    assert best is not None
    assert best["scalar"] == 9
    resumed = made(tmp_path, tmp_path).resume(Alone())
    assert resumed is not None
    assert resumed.state["scalar"] == 1.5
