"""What the plots say of answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optml.algorithms import charts
from optml.formats.records import Records

pytest.importorskip("matplotlib")


def test_confusion_counts_labels_down_and_answers_across(tmp_path: Path) -> None:
    truth, answers = np.array([0.0, 0, 1, 1, 1]), np.array([0.0, 1, 1, 1, 1])
    with charts.sheet(tmp_path / "a.png", "title") as axes:
        said = charts.confusion(axes[0, 0], truth, answers)
        cells = [(*text.get_position(), text.get_text()) for text in axes[0, 0].texts]
    assert said == "accuracy 0.8 over 5 records"
    assert cells == [(0, 0, "1"), (1, 0, "1"), (0, 1, "0"), (1, 1, "3")]  # x: answer, y: label


def test_confusion_of_many_classes_shows_the_most_frequent_ones(tmp_path: Path) -> None:
    truth = np.concatenate([np.arange(50.0), np.arange(20.0)])
    with charts.sheet(tmp_path / "a.png", "title") as axes:
        charts.confusion(axes[0, 0], truth, truth)
        assert [text.get_text() for text in axes[0, 0].get_xticklabels()] == list(map(str, range(20)))
        assert "20 most frequent of 50 classes" in axes[0, 0].get_title(loc="left")


def test_calibration_error_is_the_distance_of_the_bins_from_the_diagonal(tmp_path: Path) -> None:
    probabilities = np.repeat([0.25, 0.75], 100)
    happened = np.concatenate([np.arange(100) < 50, np.arange(100) < 75])
    order = np.random.default_rng(0).permutation(100)  # so that every bin is alike
    happened = np.concatenate([happened[:100][order], happened[100:][order]])
    with charts.sheet(tmp_path / "a.png", "title") as axes:
        charts.calibration(axes[0, 0], probabilities, happened, "probability")
        title = axes[0, 0].get_title(loc="left")
    assert 0.1 < float(title.rpartition(" ")[2]) < 0.25


def test_regression_says_the_error(tmp_path: Path) -> None:
    with charts.sheet(tmp_path / "a.png", "title", columns=2) as axes:
        said = charts.regression(axes[0], np.array([1.0, 2.0]), np.array([1.0, 5.0]))
    assert said == "RMSE 2.121 over 2 records"


def test_text_is_no_formula_and_may_be_of_any_script(tmp_path: Path) -> None:
    with charts.sheet(tmp_path / "a.png", "$x^$ 猫 \\frac") as axes:
        charts.bars(axes[0, 0], ["$5", "a_$b^", "犬\n" + "x" * 99], np.arange(3.0), "$", "^")
        names = [text.get_text() for text in axes[0, 0].get_yticklabels()]
    assert names[2] == "犬 " + "x" * (charts.LONGEST - 3) + "…"


def test_labels_that_are_missing_are_none() -> None:
    features = np.zeros((2, 1), np.float32)
    assert charts.labels_of(Records(features)) is None
    assert charts.labels_of(Records(features, np.array([[1.0], [np.nan]]))) is None
    assert charts.labels_of(Records(features, np.array([[1.0], [0.0]]))).tolist() == [1, 0]  # type: ignore[union-attr]
