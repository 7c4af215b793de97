"""The five optimizers with AWS's constants. Adadelta is our own: rows without a gradient cost it nothing.

adadelta  Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012 (arXiv 1212.5701), rho 0.9, epsilon 1e-5,
          without a learning rate: with E the running mean of squares,
              E[g^2] <- rho E[g^2] + (1 - rho) g^2
              step    = sqrt(E[step^2] + epsilon) / sqrt(E[g^2] + epsilon) * g
              E[step^2] <- rho E[step^2] + (1 - rho) step^2
adam      0.9, 0.999, 1e-8.   adagrad 1e-7.   rmsprop 0.9, 1e-8.   sgd plain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from optml.algorithms.kernels.bags import adadelta_cpu

Tensor = torch.Tensor

RHO, EPSILON = 0.9, 1e-5
SPARSE = ("sgd", "adadelta")  # those that take sparse gradients, and leave other rows as they are


def optimizer(name: str, parameters: Iterable[Tensor], rate: float) -> torch.optim.Optimizer:
    """The optimizer of that name."""
    make: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(parameters, rate),
        "adam": lambda: torch.optim.Adam(parameters, rate, fused=True),
        "adagrad": lambda: torch.optim.Adagrad(parameters, rate, eps=1e-7),
        "adadelta": lambda: Adadelta(parameters),
        "rmsprop": lambda: torch.optim.RMSprop(parameters, rate, alpha=0.9, eps=1e-8),
    }
    return make[name]()


class Adadelta(torch.optim.Optimizer):
    """Takes gradients that are dense, or hold rows of distinct numbers; of one parameter always of one kind.

    A row without a gradient does not move, and both its means shrink by rho: that is made up for when it
    next has one, from the number of steps since (`stepped`, a row each).
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        super().__init__(parameters, {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)  # which makes all of it float32
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        for place, values in state_dict["state"].items():
            own = self.state[parameters[place]]
            for name in {"stepped", "count"} & values.keys():
                own[name] = values[name].to(own[name].device, copy=True)

    def _move(self, parameter: Tensor, gradient: Tensor) -> None:
        state = self.state[parameter]
        if not state:
            state["squares"] = torch.zeros_like(parameter)
            state["steps"] = torch.zeros_like(parameter)
            if gradient.is_sparse:
                state["stepped"] = torch.zeros(len(parameter), dtype=torch.int64, device=parameter.device)
                state["count"] = torch.zeros((), dtype=torch.int64)
        squares, steps = state["squares"], state["steps"]
        if not gradient.is_sparse:
            _step(parameter, squares, steps, gradient.contiguous())
            return
        state["count"] += 1
        count, stepped = int(state["count"]), state["stepped"]
        rows, values = gradient._indices()[0], gradient._values()
        shrunk = (RHO ** (count - 1 - stepped[rows]).double()).float()
        _step_rows(parameter, squares, steps, rows, shrunk, values)
        stepped[rows] = count


def _step(values: Tensor, squares: Tensor, steps: Tensor, gradient: Tensor) -> None:
    """`adadelta_cpu.step`, on any device."""
    if values.device.type == "cpu":
        v, s, d, g = (part.numpy() for part in (values, squares, steps, gradient))
        adadelta_cpu.step(v, s, d, g, RHO, EPSILON)
        return
    squares.mul_(RHO).addcmul_(gradient, gradient, value=1 - RHO)
    step = (steps + EPSILON).sqrt_().div_((squares + EPSILON).sqrt_()).mul_(gradient)
    steps.mul_(RHO).addcmul_(step, step, value=1 - RHO)
    values.sub_(step)


def _step_rows(
    values: Tensor, squares: Tensor, steps: Tensor, rows: Tensor, shrunk: Tensor, gradient: Tensor
) -> None:
    """`adadelta_cpu.step_rows`, on any device."""
    if values.device.type == "cpu":
        v, s, d, r, f, g = (part.numpy() for part in (values, squares, steps, rows, shrunk, gradient))
        adadelta_cpu.step_rows(v, s, d, r, f, g, RHO, EPSILON)
        return
    some = values[rows], squares[rows] * shrunk[:, None], steps[rows] * shrunk[:, None]
    _step(*some, gradient)
    values[rows], squares[rows], steps[rows] = some
