"""Losses and accuracies, checked by hand; epochs that are best, and rates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optml.algorithms.image_classification.best_epoch import BestEpoch
from optml.algorithms.image_classification.hyperparameters import Hyperparameters

torch = pytest.importorskip("torch")

from optml.algorithms.image_classification.losses import (  # noqa: E402
    OneLabel,
    SeveralLabels,
    positive_weights,
    top,
)
from optml.algorithms.image_classification.schedule import optimizer, rate  # noqa: E402


def hyperparameters(**values: Any) -> Hyperparameters:
    return Hyperparameters(num_classes=3, num_training_samples=9, image_shape="1,8,8", **values)


SCORES = torch.tensor([[2.0, 1.0, -1.0], [0.0, -3.0, 4.0]])


def test_one_label_is_cross_entropy_of_softmax() -> None:
    labels = torch.tensor([1, 2])
    expected = -sum(float(SCORES[i].softmax(0)[labels[i]].log()) for i in range(2))
    assert float(OneLabel().loss(SCORES, labels)) == pytest.approx(expected)
    assert int(OneLabel().hits(SCORES, labels)) == 1
    assert int(top(SCORES, labels, 2)) == 2


def test_several_labels_are_right_cell_by_cell() -> None:
    labels = torch.tensor([[1.0, 0, 0], [1, 0, 1]])
    criterion = SeveralLabels()
    p = SCORES.sigmoid()
    expected = -(labels * p.log() + (1 - labels) * (1 - p).log()).sum() / 3
    assert float(criterion.loss(SCORES, labels)) == pytest.approx(float(expected), rel=1e-5)
    # p >= 1/2:            [1 1 0], [1 0 1]
    assert float(criterion.hits(SCORES, labels)) == pytest.approx(5 / 3)
    weights = torch.tensor([2.0, 1.0, 5.0])
    weighted = -(weights * labels * p.log() + (1 - labels) * (1 - p).log()).sum() / 3
    assert float(SeveralLabels(weights).loss(SCORES, labels)) == pytest.approx(float(weighted), rel=1e-5)
    assert int(top(SCORES, labels, 1)) == 2


def test_rare_labels_weigh_more() -> None:
    weights = positive_weights(np.array([1, 50, 99, 0, 100]), 100)
    np.testing.assert_allclose(weights, [99, 1, 0.1, 1, 0.1])
    assert positive_weights(np.array([1]), 1000) == [100]


def verdicts(rule: BestEpoch, *values: float) -> list[str]:
    return [rule.update(value) for value in values]


def test_the_best_epoch_is_one_above_all_before_it() -> None:
    assert verdicts(BestEpoch(hyperparameters()), 0.0, 0.0, 0.5, 0.5, 0.4, 0.6) == [
        "best", "stale", "best", "stale", "stale", "best",
    ]  # fmt: skip


def test_training_stops_where_accuracy_has_not_risen_for_long() -> None:
    settings = {"early_stopping": True, "early_stopping_min_epochs": 4, "early_stopping_patience": 2}
    rule = BestEpoch(hyperparameters(**settings))
    assert verdicts(rule, 0.5, 0.5, 0.5, 0.5) == ["best", "stale", "stale", "stop"]
    rule = BestEpoch(hyperparameters(**settings))
    assert verdicts(rule, 0.5, 0.4, 0.6, 0.6, 0.6) == ["best", "stale", "best", "stale", "stop"]
    rule = BestEpoch(hyperparameters(early_stopping_tolerance=0.1, **settings))  # better, but too little so
    assert verdicts(rule, 0.5, 0.6, 0.61, 0.62) == ["best", "best", "best", "last"]


def test_a_rule_goes_on_from_its_state() -> None:
    settings = {"early_stopping": True, "early_stopping_min_epochs": 1, "early_stopping_patience": 2}
    rule, other = BestEpoch(hyperparameters(**settings)), BestEpoch(hyperparameters(**settings))
    verdicts(rule, 0.5, 0.4)
    other.load_state_dict(rule.state_dict())
    assert other.update(0.4) == "stop"


def test_the_rate_falls_at_the_start_of_each_listed_epoch() -> None:
    settings = hyperparameters(learning_rate=0.8, lr_scheduler_step=(1, 3), lr_scheduler_factor=0.5)
    assert [rate(settings, epoch) for epoch in range(5)] == [0.8, 0.4, 0.4, 0.2, 0.2]
    assert rate(hyperparameters(lr_scheduler_step=(2,)), 2) == pytest.approx(
        0.01
    )  # without a factor: AWS's 0.1
    assert rate(hyperparameters(), 29) == 0.1


@pytest.mark.parametrize("name", ["sgd", "nag", "adam", "rmsprop"])
def test_biases_do_not_decay(name: str) -> None:
    made = optimizer(
        hyperparameters(optimizer=name, weight_decay=0.5, beta_1=1, eps=0.1), torch.nn.Linear(2, 3)
    )
    decays = [group["weight_decay"] for group in made.param_groups]
    assert decays == ([0.5, 0.0] if name in ("sgd", "nag") else [0.0, 0.0])
    assert [len(group["params"]) for group in made.param_groups] == [1, 1]
