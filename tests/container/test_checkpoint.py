import errno
from pathlib import Path

import numpy as np
import pytest

from container.checkpoint import Checkpoint, Checkpoints, Position, fingerprint
from container.cluster import Alone

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
    for checkpoint in (at(0, 5), at(0, 9), at(1), at(9), at(10)):
        made(tmp_path, tmp_path).save(checkpoint)
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
