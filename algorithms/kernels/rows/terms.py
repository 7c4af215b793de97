"""What the steps of rows share: the state, the five rules and their constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # np.ndarray, or a torch tensor on a CUDA device

SGD, ADAGRAD, RMSPROP, ADADELTA, ADAM = range(5)
KINDS = {"sgd": SGD, "adagrad": ADAGRAD, "rmsprop": RMSPROP, "adadelta": ADADELTA, "adam": ADAM}
MOMENTS = {SGD: 0, ADAGRAD: 1, RMSPROP: 1, ADADELTA: 2, ADAM: 2}  # arrays beside the values

# AWS's constants: the rates at which means forget, and what is added to a divisor.
BETA1, BETA2 = 0.9, 0.999  # Adam's
RHO = 0.9  # of RMSProp and Adadelta
EPSILON = {SGD: 0.0, ADAGRAD: 1e-7, RMSPROP: 1e-8, ADADELTA: 1e-5, ADAM: 1e-8}

REACH = 256  # steps without a gradient after which a row of Adam's hardly moves any more: .9 ** 256 = 2e-12


@dataclass(frozen=True, slots=True)
class State:
    """A table (v, d) and what its optimizer knows of each row; float32, C-contiguous.

    first, second: (v, d) means of gradients or of squares, by kind; (0, d) where there are none.
    stepped: (v,) int64, the number of the update to which a row was brought.
    """

    values: Array
    first: Array
    second: Array
    stepped: Array

    @classmethod
    def of(cls, values: np.ndarray, kind: int) -> State:
        """Before the first update."""
        rows, width = values.shape
        first, second = (
            np.zeros((rows if MOMENTS[kind] > place else 0, width), np.float32) for place in range(2)
        )
        return cls(values, first, second, np.zeros(rows, np.int64))

    def arrays(self) -> dict[str, Array]:
        return {"values": self.values, "first": self.first, "second": self.second, "stepped": self.stepped}


@dataclass(frozen=True, slots=True)
class Rule:
    """kind: of the five.   lazy: a row without a gradient keeps its means as they are, and does not move.
    decay: so many times a row is added to its gradient."""

    kind: int
    lazy: bool = False
    decay: float = 0.0


def corrected(rate: float, update: int) -> float:
    """Adam's learning rate of an update, counted from 1, with both corrections for means that began at 0."""
    return float(rate * np.sqrt(1 - BETA2**update) / (1 - BETA1**update))
