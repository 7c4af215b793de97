"""Optimizers in groups, rates by epoch and by update, and the epoch that is best."""

from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.vision.best_epoch import BestEpoch, Early
from optml.algorithms.vision.schedule import cosine, poly, stepped

torch = pytest.importorskip("torch")

from optml.algorithms.vision.optimizers import Graves, Rule, optimizer, set_rate  # noqa: E402


def verdicts(rule: BestEpoch, *values: float) -> list[str]:
    return [rule.update(value) for value in values]


def test_the_best_epoch_is_one_above_all_before_it() -> None:
    announced: list[float] = []
    assert verdicts(BestEpoch(None, announced.append), 0.0, 0.0, 0.5, 0.5, 0.4, 0.6) == [
        "best", "stale", "best", "stale", "stale", "best",
    ]  # fmt: skip
    assert announced == [0.0, 0.5, 0.6]


def test_training_stops_where_the_score_has_not_risen_for_long() -> None:
    rule = BestEpoch(Early(4, 2))
    assert verdicts(rule, 0.5, 0.5, 0.5, 0.5) == ["best", "stale", "stale", "stop"]
    rule = BestEpoch(Early(4, 2))
    assert verdicts(rule, 0.5, 0.4, 0.6, 0.6, 0.6) == ["best", "stale", "best", "stale", "stop"]
    rule = BestEpoch(Early(4, 2, tolerance=0.1))  # better, but too little so
    assert verdicts(rule, 0.5, 0.6, 0.61, 0.62) == ["best", "best", "best", "last"]


def test_a_rule_goes_on_from_its_state() -> None:
    rule, other = BestEpoch(Early(1, 2)), BestEpoch(Early(1, 2))
    verdicts(rule, 0.5, 0.4)
    other.load_state_dict(rule.state_dict())
    assert other.update(0.4) == "stop"


def test_the_rate_falls_at_the_start_of_each_listed_epoch() -> None:
    assert [stepped(0.8, 0.5, (1, 3), epoch) for epoch in range(5)] == [0.8, 0.4, 0.4, 0.2, 0.2]
    assert stepped(0.1, 0.1, (), 29) == 0.1


def test_rates_by_update_are_those_of_aws_s_log() -> None:
    shown = [f"{poly(1e-4, done, 910):.6f}" for done in (20, 40, 475)]
    assert shown == ["0.000098", "0.000096", "0.000051"]
    assert [cosine(0.2, done, 4) for done in (0, 2, 4, 9)] == pytest.approx([0.2, 0.1, 0.0, 0.0])
    assert poly(1.0, 11, 10) == 0.0  # an epoch may have more updates than was said


@pytest.mark.parametrize("name", ["sgd", "nag", "adam", "adagrad", "adadelta", "rmsprop"])
def test_biases_do_not_decay(name: str) -> None:
    made = optimizer(Rule(name, weight_decay=0.5, betas=(1, 0.9), eps=0.1), torch.nn.Linear(2, 3), 0.1)
    assert [group["weight_decay"] for group in made.param_groups] == [0.5, 0.0]
    assert [len(group["params"]) for group in made.param_groups] == [1, 1]


def test_groups_learn_at_factors_of_the_rate() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    made = optimizer(Rule("sgd"), module, 0.1, lambda name: 10.0 if name.startswith("1.") else 1.0)
    assert sorted(group["lr"] for group in made.param_groups) == pytest.approx([0.1, 0.1, 1.0, 1.0])
    assert set_rate(made, 0.2)
    assert sorted(group["lr"] for group in made.param_groups) == pytest.approx([0.2, 0.2, 2.0, 2.0])
    assert not set_rate(made, 0.2)


def test_what_is_not_trained_is_in_no_group() -> None:
    module = torch.nn.Linear(2, 3)
    module.bias.requires_grad_(False)
    assert [len(group["params"]) for group in optimizer(Rule("adam"), module, 0.1).param_groups] == [1]


def test_rmsprop_about_the_mean_is_graves() -> None:
    rng = np.random.default_rng(3)
    gradients = rng.normal(size=(6, 4))
    parameter = torch.nn.Parameter(torch.ones(4))
    module = torch.nn.Module()
    module.weight = parameter
    made = optimizer(Rule("rmsprop", momentum=0.8, decay=0.7, centered=True), module, 0.1)
    n, g, delta, expected = (np.zeros(4) for _ in range(4))
    expected += 1
    for gradient in gradients:
        parameter.grad = torch.from_numpy(gradient).float()
        made.step()
        n, g = 0.7 * n + 0.3 * gradient**2, 0.7 * g + 0.3 * gradient
        delta = 0.8 * delta - 0.1 * gradient / np.sqrt(n - g**2 + 1e-8)
        expected += delta
    np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-4)


def test_rmsprop_about_the_mean_stays_finite_where_a_gradient_never_changes() -> None:
    parameter = torch.nn.Parameter(torch.zeros(3))
    made = Graves([{"params": [parameter], "weight_decay": 0.0}], 1e-4, 0.9, 0.9)
    for _ in range(300):
        parameter.grad = torch.tensor([1e-3, 7.0, 0.0])
        made.step()
    assert bool(torch.isfinite(parameter).all())
    assert parameter.tolist()[2] == 0
