"""Optimizers with MXNet's rules, over groups of parameters that learn at factors of one rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

Name = Literal["sgd", "nag", "adam", "adagrad", "adadelta", "rmsprop"]

BELOW_ONE = 1 - 2**-20  # what Adam takes for a decay of 1, which would leave it without any mean


@dataclass(frozen=True, slots=True)
class Rule:
    """momentum: of sgd, nag and rmsprop.   weight_decay: of all but biases and summands.   betas: of adam.
    eps: summand of denominators; None: torch's.   decay: of rmsprop's and adadelta's means of squares.
    centered: rmsprop's squares are taken from the mean gradient."""

    name: Name
    momentum: float = 0.0
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float | None = None
    decay: float = 0.9
    centered: bool = False


def optimizer(
    rule: Rule, module: torch.nn.Module, rate: float, factor: Callable[[str], float] = lambda name: 1.0
) -> torch.optim.Optimizer:
    """Of all parameters that are trained. Weights and factors of batch norm decay, biases and summands do
    not, as in MXNet.

    factor: of a parameter by its name, what it learns at in terms of the rate."""
    groups: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((factor(name), not name.endswith("bias")), []).append(parameter)
    settings = [
        {
            "params": parameters,
            "weight_decay": rule.weight_decay if decays else 0.0,
            "lr": rate * times,
            "factor": times,
        }
        for (times, decays), parameters in groups.items()
    ]
    return _make(rule, settings, rate)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> bool:
    """The rate of the next updates; was it another before?"""
    changed = False
    for group in optimizer.param_groups:
        changed |= group["lr"] != rate * group["factor"]
        group["lr"] = rate * group["factor"]
    return changed


def _make(rule: Rule, groups: list[dict[str, Any]], rate: float) -> torch.optim.Optimizer:
    momentum = rule.momentum
    eps: dict[str, Any] = {} if rule.eps is None else {"eps": rule.eps}
    betas = min(rule.betas[0], BELOW_ONE), min(rule.betas[1], BELOW_ONE)
    if rule.name in ("sgd", "nag"):
        nesterov = rule.name == "nag" and momentum > 0
        return torch.optim.SGD(groups, rate, momentum, nesterov=nesterov, fused=True)
    if rule.name == "adam":
        return torch.optim.Adam(groups, rate, betas, fused=True, **eps)
    if rule.name == "adagrad":
        return torch.optim.Adagrad(groups, rate, **eps)
    if rule.name == "adadelta":
        return torch.optim.Adadelta(groups, rate, rule.decay, **eps)
    if rule.centered:
        return Graves(groups, rate, rule.decay, momentum, **eps)
    return torch.optim.RMSprop(groups, rate, rule.decay, momentum=momentum, **eps)


class Graves(torch.optim.Optimizer):
    """RMSProp about the mean gradient (Graves, "Generating Sequences With Recurrent Neural Networks", 2013,
    equations 38 to 41), as MXNet has it:

        n = d n + (1 - d) grad^2    g = d g + (1 - d) grad
        delta = m delta - rate grad / sqrt(n - g^2 + eps)

    eps stands under the root: where a gradient hardly changes, n - g^2 is nothing but rounding, and torch's
    own would divide by it, or take the root of less than 0.
    """

    def __init__(
        self, groups: list[dict[str, Any]], lr: float, decay: float, momentum: float, eps: float = 1e-8
    ) -> None:
        super().__init__(groups, {"lr": lr, "decay": decay, "momentum": momentum, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            gradients = [p.grad for p in parameters if p.grad is not None]
            if group["weight_decay"]:
                gradients = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
            states = [self.state[p] for p in parameters]
            for state, parameter in zip(states, parameters, strict=True):
                if not state:
                    state.update({name: torch.zeros_like(parameter) for name in ("n", "g", "delta")})
            n, g, delta = ([state[name] for state in states] for name in ("n", "g", "delta"))
            decay = group["decay"]
            torch._foreach_mul_(n, decay)
            torch._foreach_addcmul_(n, gradients, gradients, 1 - decay)
            torch._foreach_lerp_(g, gradients, 1 - decay)
            root = torch._foreach_addcmul(n, g, g, -1)
            torch._foreach_clamp_min_(root, 0.0)
            torch._foreach_add_(root, group["eps"])
            torch._foreach_sqrt_(root)
            torch._foreach_mul_(delta, group["momentum"])
            torch._foreach_addcdiv_(delta, gradients, root, -group["lr"])
            torch._foreach_add_(parameters, delta)
