from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optml.algorithms.xgboost.folds import Recorder
from optml.errors import UserError
from tests.algorithms.xgboost.runs import CLASSES, FEATURES, NUMBERS, both, table, train


def test_every_fold_leaves_a_model_and_every_row_a_prediction(tmp_path: Path) -> None:
    result = train(both(), tmp_path, _kfold=4, _num_cv_round=2, num_round=3)
    assert len(result.model.members) == 8
    rows = np.genfromtxt(tmp_path / "predictions.csv", delimiter=",")
    assert rows.shape == (400, 2)
    np.testing.assert_allclose(rows[:, 0], NUMBERS, atol=1e-6)  # six decimals, in the order of the rows
    assert np.corrcoef(rows.T)[0, 1] > 0.8
    result.model.save(tmp_path / "model")
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert names == [f"xgboost-model-{number}" for number in range(8)]


def test_the_lines_of_a_round_are_the_means_of_its_folds(tmp_path: Path) -> None:
    result = train(both(), tmp_path, _kfold=3, _num_cv_round=2, num_round=2)
    last = [line for line in result.lines if line.startswith("[1]")]
    sums = [line for line in result.lines if line.startswith("[2]")]
    assert (len(last), len(sums)) == (6, 3)

    def values(line: str) -> np.ndarray:
        return np.array([float(item.partition(":")[2]) for item in line.split("\t")[1:]])

    for line_of_round, folds in zip(sums, (last[:3], last[3:], last), strict=True):
        np.testing.assert_allclose(
            values(line_of_round), np.mean([values(line) for line in folds], axis=0), atol=2e-5
        )


def test_classes_get_a_probability_and_the_label_most_said(tmp_path: Path) -> None:
    data = {"train": table(FEATURES, CLASSES)}
    train(data, tmp_path, _kfold=3, num_round=5, objective="multi:softprob", num_class=3)
    rows = np.genfromtxt(tmp_path / "predictions.csv", delimiter=",")
    assert rows.shape == (400, 3)
    assert (rows[:, 2] == CLASSES).mean() > 0.7
    assert ((rows[:, 1] > 1 / 3) & (rows[:, 1] <= 1)).all()


def test_a_stopped_job_goes_on_with_the_fold_it_was_at(tmp_path: Path) -> None:
    hyperparameters = {"_kfold": 3, "num_round": 4}
    alone = train(both(), tmp_path, **hyperparameters)
    first = train(both(), tmp_path, checkpoints=tmp_path / "c", stop_after=6, **hyperparameters)
    assert first.model is None
    second = train(both(), tmp_path, checkpoints=tmp_path / "c", **hyperparameters)
    assert first.lines + second.lines == alone.lines
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["model-0", "model-1", "model-2"]


def test_rows_that_cannot_be_parted_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="_kfold=5 needs as many rows"):
        train({"train": table(FEATURES[:3], NUMBERS[:3])}, tmp_path, _kfold=5)
    groups = np.zeros(400, np.int64)
    channels = {"train": table(FEATURES, CLASSES, groups=groups)}
    with pytest.raises(UserError, match="queries of a ranking"):
        train(channels, tmp_path, _kfold=5, objective="rank:ndcg")


def test_probabilities_are_averaged_over_the_rounds() -> None:
    recorder = Recorder(np.array([1.0, 0.0]), 3, True)
    for answers in ([0.6, 0.1], [0.8, 0.5], [0.7, 0.6]):
        recorder.record(np.array([0, 1]), np.array(answers))
    np.testing.assert_allclose(recorder.table(), [[1, 0.7, 1], [0, 0.4, 0]])


def test_numbers_are_averaged_over_the_rounds() -> None:
    recorder = Recorder(np.array([1.0, 2.0]), 2, False)
    recorder.record(np.array([1]), np.array([3.0]))
    recorder.record(np.array([0, 1]), np.array([1.0, 5.0]))
    recorder.record(np.array([0]), np.array([2.0]))
    np.testing.assert_allclose(recorder.table(), [[1, 1.5], [2, 4]])


def test_the_class_most_said_wins() -> None:
    recorder = Recorder(np.array([2.0]), 3, True)
    for answers in ([[0.1, 0.3, 0.6]], [[0.7, 0.2, 0.1]], [[0.1, 0.1, 0.8]]):
        recorder.record(np.array([0]), np.array(answers))
    np.testing.assert_allclose(recorder.table(), [[2, 0.7, 2]])


def test_predictions_too_many_too_few_or_of_another_shape_are_a_fault() -> None:
    recorder = Recorder(np.zeros(2), 1, True)
    recorder.record(np.array([0]), np.array([0.5]))
    with pytest.raises(ValueError, match="fewer than 1"):
        recorder.table()
    with pytest.raises(ValueError, match="more than 1"):
        recorder.record(np.array([0]), np.array([0.5]))
    with pytest.raises(ValueError, match="dimensions"):
        recorder.record(np.array([1]), np.array([[0.5, 0.5]]))
