"""Optimizers of tables of which a batch touches few rows, at the cost of those rows.

A dense step moves every row: without a gradient, Adam's goes on by its momentum, and means decay. But nothing
looks at a row until a batch touches it. So its k steps without a gradient are made up for then, all at once,
by the sums of the series that they are (q = beta1 / sqrt(beta2), r_s the corrected rate of update s):

    adam      row <- row - m / (sqrt(v) + epsilon') sum_(j=1..k) r_(t+j) q^j
              m <- beta1^k m            v <- beta2^k v
    rmsprop   v <- rho^k v              adadelta   the same of both means

With epsilon' = epsilon sqrt(1 - beta2^t), Adam's sum is exact but for what epsilon, beside sqrt(v), would
gain within the k steps, which nobody sees of gradients above 1e-6. The series is cut at `REACH` terms. Then,
with the gradient g of a step (+ decay times the row):

    sgd       row <- row - rate g
    adagrad   v <- v + g^2                              row <- row - rate g / (sqrt(v) + epsilon)
    rmsprop   v <- rho v + (1 - rho) g^2                row <- row - rate g / (sqrt(v) + epsilon)
    adadelta  v <- rho v + (1 - rho) g^2                step = sqrt((u + epsilon) / (v + epsilon)) g
              u <- rho u + (1 - rho) step^2             row <- row - step         (there is no rate)
    adam      m <- beta1 m + (1 - beta1) g              v <- beta2 v + (1 - beta2) g^2
              row <- row - r_t m / (sqrt(v) + epsilon sqrt(1 - beta2^t))

NumPy arrays take `cpu.py`, CUDA tensors `triton.py`. Rows are told by distinct numbers (u,) int64.
"""

from __future__ import annotations

import numpy as np

from optml.algorithms.kernels.rows.terms import (  # fmt: skip
    ADADELTA,
    ADAGRAD,
    ADAM,
    BETA1,
    BETA2,
    EPSILON,
    RHO,
    RMSPROP,
    Array,
    Rule,
    State,
    corrected,
)


def read(state: State, rule: Rule, rows: Array, update: int, rates: np.ndarray) -> Array:
    """A copy (u, d) of rows as they are after `update` updates, to which they are brought.

    rates: (update,) float64, what `corrected` says of the learning rate of each of them.
    """
    if isinstance(state.values, np.ndarray):
        from optml.algorithms.kernels.rows import cpu

        return cpu.read(state, rule, rows, update, rates)
    from optml.algorithms.kernels.rows import triton

    return triton.read(state, rule, rows, update, rates)


def step(state: State, rule: Rule, rows: Array, gradient: Array, update: int, rate: float) -> None:
    """Update number `update`, from 1 on, of rows that were read after the one before.

    gradient: (u, d) float32, C-contiguous.   rate: the learning rate.
    """
    if isinstance(state.values, np.ndarray):
        from optml.algorithms.kernels.rows import cpu

        cpu.step(state, rule, rows, gradient, update, rate)
        return
    from optml.algorithms.kernels.rows import triton

    triton.step(state, rule, rows, gradient, update, rate)


class Reference:
    """The same by its definition, in float64: every update moves every row, unless the rule is lazy."""

    def __init__(self, values: np.ndarray, rule: Rule) -> None:
        self.values = values.astype(np.float64)
        self.first, self.second = np.zeros_like(self.values), np.zeros_like(self.values)
        self.rule = rule
        self.updates = 0

    def step(self, rows: np.ndarray, gradient: np.ndarray, rate: float) -> None:
        self.updates += 1
        dense = np.zeros_like(self.values)
        dense[rows] = gradient
        touched = rows if self.rule.lazy else np.arange(len(dense))
        w, m, v = self.values[touched], self.first[touched], self.second[touched]
        g = dense[touched] + self.rule.decay * w
        kind = self.rule.kind
        epsilon = EPSILON[kind]
        if kind == ADAM:
            m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g**2
            rate = corrected(rate, self.updates)
            w = w - rate * m / (np.sqrt(v) + epsilon * np.sqrt(1 - BETA2**self.updates))
        elif kind == ADADELTA:
            m = RHO * m + (1 - RHO) * g**2
            moved = np.sqrt((v + epsilon) / (m + epsilon)) * g
            v = RHO * v + (1 - RHO) * moved**2
            w = w - moved
        elif kind in (ADAGRAD, RMSPROP):
            m = m + g**2 if kind == ADAGRAD else RHO * m + (1 - RHO) * g**2
            w = w - rate * g / (np.sqrt(m) + epsilon)
        else:
            w = w - rate * g
        self.values[touched], self.first[touched], self.second[touched] = w, m, v
