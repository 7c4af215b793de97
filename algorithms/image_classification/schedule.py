"""Optimizers with MXNet's rules, and the rate of an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from optml.algorithms.image_classification.hyperparameters import Hyperparameters

BELOW_ONE = 1 - 2**-20  # what Adam takes for a decay of 1, which would leave it without any mean


def rate(hyperparameters: Hyperparameters, epoch: int) -> float:
    """The learning rate of an epoch, from 0: multiplied at the start of each that lr_scheduler_step lists."""
    passed = sum(step <= epoch for step in set(hyperparameters.lr_scheduler_step or ()))
    return float(hyperparameters.learning_rate * hyperparameters.lr_scheduler_factor**passed)


def optimizer(hyperparameters: Hyperparameters, module: torch.nn.Module) -> torch.optim.Optimizer:
    """Weights and factors of batch norm decay, biases and summands do not, as in MXNet."""
    decayed = [p for name, p in module.named_parameters() if not name.endswith("bias")]
    others = [p for name, p in module.named_parameters() if name.endswith("bias")]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": hyperparameters.weight_decay if hyperparameters.sgd else 0.0},
        {"params": others, "weight_decay": 0.0},
    ]
    first = hyperparameters.learning_rate
    betas = min(hyperparameters.beta_1, BELOW_ONE), min(hyperparameters.beta_2, BELOW_ONE)
    nesterov = hyperparameters.optimizer == "nag" and hyperparameters.momentum > 0
    make: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(groups, first, hyperparameters.momentum, fused=True),
        "nag": lambda: torch.optim.SGD(
            groups, first, hyperparameters.momentum, nesterov=nesterov, fused=True
        ),
        "adam": lambda: torch.optim.Adam(groups, first, betas, hyperparameters.eps, fused=True),
        "rmsprop": lambda: torch.optim.RMSprop(groups, first, hyperparameters.gamma, hyperparameters.eps),
    }
    return make[hyperparameters.optimizer]()
