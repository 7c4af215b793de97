from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from optml.algorithms.pca.hyperparameters import Hyperparameters

GIVEN = {"feature_dim": 20, "num_components": 3, "mini_batch_size": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"feature_dim": 0},
        {"num_components": 0},
        {"mini_batch_size": 0},
        {"extra_components": -2},
        {"epochs": 2},
        {"algorithm_mode": "stable"},
        {"subtract_mean": "maybe"},
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Hyperparameters(**(GIVEN | wrong))


@pytest.mark.parametrize("name", list(GIVEN))
def test_what_aws_requires_is_required(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        Hyperparameters(**{key: value for key, value in GIVEN.items() if key != name})


def test_more_components_than_features_are_refused() -> None:
    with pytest.raises(
        ValidationError, match="num_components is 21, but rows of feature_dim=20 have no more"
    ):
        Hyperparameters(**(GIVEN | {"num_components": 21}))


@pytest.mark.parametrize(("components", "extra", "rows"), [(3, -1, 13), (18, -1, 36), (3, 0, 3), (3, 5, 8)])
def test_a_sketch_has_so_many_rows_more(components: int, extra: int, rows: int) -> None:
    hyperparameters = GIVEN | {"num_components": components, "extra_components": extra}
    assert Hyperparameters(**hyperparameters).sketch_rows == rows
