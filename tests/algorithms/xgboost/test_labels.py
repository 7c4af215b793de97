from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from optml.algorithms.xgboost.hyperparameters import Hyperparameters
from optml.algorithms.xgboost.labels import check
from optml.errors import UserError
from tests.algorithms.xgboost.runs import table


def judge(labels: list[float], **hyperparameters: object) -> None:
    h = Hyperparameters(num_round=1, **hyperparameters)  # type: ignore[arg-type]
    records = table(np.zeros((len(labels), 1), np.float32), labels).blocks[0]
    check(records, np.array(labels), h, "train")


@pytest.mark.parametrize(
    ("hyperparameters", "labels", "message"),
    [
        ({"objective": "binary:logistic"}, [0, 2, 1], "label must be in [0,1] for logistic regression"),
        ({"objective": "binary:hinge"}, [0.5], "label must be 0 or 1"),
        ({"objective": "multi:softmax", "num_class": 3}, [0, 3], "label must be in [0, num_class)"),
        ({"objective": "multi:softprob", "num_class": 3}, [0.5], "label must be in [0, num_class)"),
        ({"objective": "count:poisson"}, [1, -1], "PoissonRegression: label must be nonnegative"),
        ({"objective": "reg:tweedie"}, [-1], "TweedieRegression: label must be nonnegative"),
        ({"objective": "reg:gamma"}, [0], "GammaRegression: label must be positive"),
        ({"objective": "rank:pairwise"}, [-1], "relevance must be nonnegative"),
        ({"objective": "rank:ndcg"}, [32], "at most 31"),
        ({"objective": "rank:ndcg"}, [0.5], "whole"),
        ({"objective": "rank:map"}, [0, 2], "relevance must be 0 or 1"),
        ({"objective": "survival:aft"}, [1, 0], "label must be a positive time"),
        ({}, [1, float("nan")], "label must be a finite number of 32 bits for objective reg:squarederror"),
        ({}, [1e39], "label must be a finite number"),
        ({}, [float("inf")], "label must be a finite number"),
    ],
)
def test_labels_that_an_objective_cannot_take_are_named(
    hyperparameters: dict[str, object], labels: list[float], message: str
) -> None:
    with pytest.raises(UserError) as error:
        judge(labels, **hyperparameters)
    assert message in str(error.value)
    assert "of train/a.csv" in str(error.value)


def test_three_rows_are_named_and_the_others_counted() -> None:
    with pytest.raises(UserError) as error:
        judge([0, 5, 6, 7, 8], objective="binary:logistic")
    message = (
        "label 5 in row 2 of train/a.csv, 6 in row 3 of train/a.csv, 7 in row 4 of train/a.csv and 1 more"
    )
    assert message in str(error.value)


def test_survival_times_may_be_negative() -> None:
    judge([-3, 4], objective="survival:cox")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (range(1, 8), "numbered from 1 to 7: subtract 1 from every label and set num_class to 7, or .* to 8"),
        (range(7), "set num_class to 7 or more"),
        ([-1, 1], "number the classes 0, 1, 2 and so on"),
        ([0, 0.5], "number the classes 0, 1, 2 and so on"),
    ],
)
def test_classes_that_do_not_fit_num_class_are_told_the_cure(labels: Sequence[float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        judge(list(labels), objective="multi:softmax", num_class=6)
