"""The nine losses against torch's automatic differentiation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optml.algorithms.linear_learner.hyperparameters import Hyperparameters
from optml.algorithms.linear_learner.losses import CLASSIFYING, OBJECTIVES, Loss

PARAMETERS = {
    "hinge_loss": 0.7,
    "quantile_loss": 0.9,
    "huber_loss": 0.8,
    "eps_insensitive_squared_loss": 0.3,
    "eps_insensitive_absolute_loss": 0.3,
}
ROWS, MODELS = 200, 3


def _in_torch(loss: Loss, z: Any, y: Any) -> Any:
    """The loss of the table, of (n, M, C) scores, as torch's own functions say it where it has them."""
    import torch
    from torch.nn import functional

    p = loss.parameter
    if loss.name == "softmax_loss":
        return functional.cross_entropy(
            z.permute(0, 2, 1), y.long()[:, None].expand(-1, z.shape[1]), reduction="none"
        )
    z, y = z[:, :, 0], y[:, None].expand(-1, z.shape[1])
    e = z - y
    match loss.name:
        case "logistic":
            return functional.binary_cross_entropy_with_logits(z, y, reduction="none")
        case "hinge_loss":  # the usual one, of labels -1 and 1 and scores 2z - 1, halved
            return torch.clamp(p - (2 * y - 1) * (2 * z - 1), min=0) / 2
        case "squared_loss":
            return functional.mse_loss(z, y, reduction="none")
        case "absolute_loss":
            return functional.l1_loss(z, y, reduction="none")
        case "quantile_loss":
            return torch.maximum(-p * e, (1 - p) * e)
        case "huber_loss":
            return functional.huber_loss(z, y, reduction="none", delta=p)
        case "eps_insensitive_squared_loss":
            return torch.relu(e * e - p * p)
        case _:
            return torch.relu(e.abs() - p)


@pytest.mark.parametrize(
    ("name", "weighted"), [*((name, False) for name in OBJECTIVES), *((name, True) for name in CLASSIFYING)]
)
def test_values_and_gradients_are_those_of_autograd(name: str, weighted: bool) -> None:
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    loss = Loss(name, PARAMETERS.get(name, 0.0))
    classes = 5 if name == "softmax_loss" else 1
    labels = max(classes, 2)
    classifying = name in CLASSIFYING
    z = generator.normal(size=(ROWS, MODELS, classes)) * 2
    y = generator.integers(labels, size=ROWS).astype(float) if classifying else generator.normal(size=ROWS)
    weights = generator.uniform(0.5, 3, (labels, MODELS)) if weighted else None

    scores = torch.tensor(z, requires_grad=True)
    values = _in_torch(loss, scores, torch.tensor(y))
    if weights is not None:
        values = values * torch.tensor(weights[y.astype(int)])
    values.sum().backward()
    np.testing.assert_allclose(loss.value(z, y, weights), values.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(loss.gradient(z, y, weights), scores.grad.numpy(), rtol=1e-6, atol=1e-12)


def test_hinge_turns_at_one_half() -> None:
    z = np.array([[[0.5]]])
    loss = Loss("hinge_loss", 1.0)
    assert loss.value(z, np.array([0.0])) == loss.value(z, np.array([1.0])) == 0.5


def test_extreme_scores_stay_finite() -> None:
    z = np.array([[[1e4, -1e4, 0.0]]])
    for name in OBJECTIVES:
        scores = z if name == "softmax_loss" else z[:, :, :1]
        for label in (0.0, 1.0):
            assert np.isfinite(Loss(name).value(scores, np.array([label]))).all()
            assert np.isfinite(Loss(name).gradient(scores, np.array([label]))).all()


def test_a_scaled_loss_measures_in_label_units() -> None:
    generator = np.random.default_rng(1)
    z, y, unit = generator.normal(size=(50, 2, 1)) * 3, generator.normal(size=50), 7.0
    for name, degree in [("huber_loss", 2), ("eps_insensitive_squared_loss", 2), ("quantile_loss", 1)]:
        loss = Loss(name, 0.4)
        np.testing.assert_allclose(
            loss.in_units_of(unit).value(z * unit, y * unit), loss.value(z, y) * unit**degree, rtol=1e-12
        )


def test_each_loss_takes_its_own_hyperparameter() -> None:
    hyperparameters = {
        "loss": "quantile_loss",
        "quantile": 0.9,
        "margin": 3,
        "huber_delta": 4,
        "loss_insensitivity": 5,
    }
    assert (
        Loss.of(Hyperparameters.model_validate({"predictor_type": "regressor"} | hyperparameters)).parameter
        == 0.9
    )
