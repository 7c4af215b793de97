"""Initial values that depend on the seed and the feature alone: not on which features came before, nor on the
host. So a row need not exist before its feature occurs, nor be stored if it never does.

Value j of feature i is made from output number i (k + 1) + j of SplitMix64 (Steele, Lea, Flood, "Fast
Splittable Pseudorandom Number Generators", OOPSLA 2014), whose outputs can be had in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from optml.algorithms.factorization_machines.hyperparameters import Hyperparameters

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
UNIFORM_SCALE = 0.07  # MXNet's default
BLOCK = 1 << 15  # random values made at a time: they stay in the cache


@dataclass(frozen=True, slots=True)
class Distribution:
    """normal: N(0, size^2).   uniform: U(-size, size).   constant: size."""

    method: Literal["normal", "uniform", "constant"]
    size: float

    @classmethod
    def of(cls, hyperparameters: Hyperparameters, group: str) -> Distribution:
        """The initial distribution of a group; a `scale` or `value` that was not given has its default."""
        method = getattr(hyperparameters, f"{group}_init_method")
        name, default = {
            "normal": ("sigma", 0.0),
            "uniform": ("scale", UNIFORM_SCALE),
            "constant": ("value", 0.0),
        }[method]
        value = getattr(hyperparameters, f"{group}_init_{name}")
        return cls(method, default if value is None else value)

    def values(self, outputs: np.ndarray) -> np.ndarray:
        """float32 values of as many uint64 outputs of a generator."""
        if self.method == "constant" or self.size == 0:
            return np.full(outputs.shape, self.size, np.float32)
        high = (outputs >> np.uint64(32)).astype(np.float32)
        high = (high + np.float32(0.5)) * np.float32(2.0**-32)  # in (0, 1]
        size = np.float32(self.size)
        if self.method == "uniform":
            return size * (2 * high - 1)
        low = (outputs & np.uint64(0xFFFFFFFF)).astype(np.float32) * np.float32(2 * np.pi * 2.0**-32)
        normal: np.ndarray = np.sqrt(-2 * np.log(high)) * np.cos(low)  # Box and Muller
        return size * normal


class Initial:
    """The values before training of a seed and hyperparameters."""

    def __init__(self, hyperparameters: Hyperparameters, seed: int) -> None:
        self.seed = seed
        self._columns = hyperparameters.num_factors + 1
        self._factors = Distribution.of(hyperparameters, "factors")
        nothing = Distribution("constant", 0.0)
        self._weights = Distribution.of(hyperparameters, "linear") if hyperparameters.use_linear else nothing
        self._bias = Distribution.of(hyperparameters, "bias") if hyperparameters.use_bias else nothing

    @property
    def bias(self) -> float:
        return float(self._bias.values(self._outputs(np.array([2**64 - 1], np.uint64)))[0])

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """(m, k + 1) float32: the factors and the weight of each of (m,) features."""
        rows = np.empty((len(ids), self._columns), np.float32)
        step = max(1, BLOCK // self._columns)
        column = np.arange(self._columns, dtype=np.uint64)
        for start in range(0, len(ids), step):
            part = ids[start : start + step].astype(np.uint64)[:, None] * np.uint64(self._columns) + column
            outputs = self._outputs(part)
            rows[start : start + step, :-1] = self._factors.values(outputs[:, :-1])
            rows[start : start + step, -1] = self._weights.values(outputs[:, -1])
        return rows

    def _outputs(self, numbers: np.ndarray) -> np.ndarray:
        """The outputs with these numbers (uint64) of the generator that the seed begins."""
        start = _mix(np.array([self.seed % 2**64], np.uint64))
        return _mix(start + (numbers + np.uint64(1)) * GOLDEN)


def _mix(state: np.ndarray) -> np.ndarray:
    """SplitMix64's finalizer; products wrap around."""
    state = (state ^ (state >> np.uint64(30))) * FIRST
    state = (state ^ (state >> np.uint64(27))) * SECOND
    bits: np.ndarray = state ^ (state >> np.uint64(31))
    return bits
