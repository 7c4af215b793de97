from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from optml.algorithms.kmeans import ALGORITHM
from optml.algorithms.kmeans.hyperparameters import Hyperparameters


def test_the_guides_second_spelling_is_taken() -> None:
    assert Hyperparameters(feature_dim=2, k=2, init_method="k-means++").init_method == "kmeans++"


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": 0},
        {"feature_dim": 0},
        {"epochs": 0},
        {"extra_center_factor": 0},
        {"extra_center_factor": "many"},
        {"local_lloyd_tol": 1.5},
        {"eval_metrics": ("rmse",)},
        {"init_method": "first"},
        {"half_life_time_size": -1},
        {"batch_size": 10},
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Hyperparameters(**({"feature_dim": 2, "k": 2} | wrong))


def test_the_description_names_every_metric_that_training_reports() -> None:
    assert {metric.name for metric in ALGORITHM.training.metrics} >= {
        "train:msd",
        "train:row_msd",
        "test:msd",
        "test:ssd",
    }
