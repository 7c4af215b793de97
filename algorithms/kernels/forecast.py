"""Sample paths of a recurrent network: the context once for each series, then all paths step by step.

Step t of a series has inputs that are known, and targets at lags of which some are not: those that fall on
points that are missing take the mean of the network's own distribution there, those in the forecast what was
drawn. Layers are those of `lstm.py` without zoneout; from the second on, one adds its input to its output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from algorithms.kernels import simd
from algorithms.kernels.threads import in_parts

KINDS = ("gaussian", "student-T", "negative-binomial", "beta", "deterministic-L1")
ROWS = 4


@dataclass(frozen=True, slots=True)
class Layer:
    """inputs: (4 n, i) float32, gates in the order input, forget, candidate, output.   recurrent: (4 n, n).
    bias: (4 n,), the sum of both."""

    inputs: np.ndarray
    recurrent: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True, slots=True)
class Steps:
    """What is known of n series over t steps, the last of which are the forecast.

    given:   (n, t, i) float32, inputs of the first layer, the l lags last; 0 where a lag is unknown.
    unknown: (n, t) bool, points whose value is not known: missing ones and the forecast.
    real:    (n, t) bool, False before a series begins.   scale: (n,) float32.   lags: (l,) ascending.
    keys:    (n,) uint64: the random numbers of a series depend on its key alone.
    """

    given: np.ndarray
    unknown: np.ndarray
    real: np.ndarray
    scale: np.ndarray
    lags: np.ndarray
    keys: np.ndarray


class Forecaster:
    """Layers, and projections (head: (o, n), head_bias: (o,)) to a distribution of `KINDS`."""

    def __init__(self, layers: Sequence[Layer], head: np.ndarray, head_bias: np.ndarray, kind: str) -> None:
        self.width = layers[0].recurrent.shape[1]
        self.kind = KINDS.index(kind)
        stride = simd.stride(self.width)
        self.first = _gates(layers[0].inputs, self.width).T.copy()  # (i, 4 s)
        self.first_bias = _gates(layers[0].bias[:, None], self.width)[:, 0]
        self.biases = np.stack([_gates(layer.bias[:, None], self.width)[:, 0] for layer in layers])
        self.inputs = np.zeros((len(layers) * stride, 4 * stride), np.float32)
        self.recurrent = np.zeros_like(self.inputs)
        for number, layer in enumerate(layers):
            rows = slice(number * stride, number * stride + self.width)
            self.recurrent[rows] = _gates(layer.recurrent, self.width).T
            if number:
                self.inputs[rows] = _gates(layer.inputs, self.width).T
        self.head = np.zeros((len(head), stride), np.float32)
        self.head[:, : self.width] = head
        self.head_bias = np.ascontiguousarray(head_bias, np.float32)

    def sample(self, steps: Steps, samples: int, horizon: int) -> np.ndarray:
        """(n, samples, horizon) float32 paths of the last `horizon` steps."""
        from algorithms.kernels.draws_cpu import GOLDEN

        n, total, _ = steps.given.shape
        begin = total - horizon
        given = steps.given.reshape(n * total, -1) @ self.first
        given += self.first_bias
        encoded = self._advance(steps, given, np.arange(n), None, 0, begin)
        if self.kind == KINDS.index("deterministic-L1"):  # all paths are the same
            paths = self._advance(steps, given, np.arange(n), encoded, begin, total)[2][:n]
            return np.repeat(paths[:, None, begin:], samples, axis=1)
        owner = np.repeat(np.arange(n), samples)
        numbers = np.tile(np.arange(1, samples + 1, dtype=np.uint64), n)
        with np.errstate(over="ignore"):
            keys = _mixed(steps.keys[owner] + _mixed(numbers * GOLDEN))
        paths = self._advance(steps, given, owner, encoded, begin, total, keys)[2]
        return paths[: n * samples, begin:].reshape(n, samples, horizon)

    def _advance(
        self,
        steps: Steps,
        given: np.ndarray,
        owner: np.ndarray,
        before: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
        first: int,
        last: int,
        keys: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """States and paths of one row an owner, padded to whole fours. `before`: of one row a series."""
        from algorithms.kernels import forecast_cpu

        rows = -(-len(owner) // ROWS) * ROWS
        owner = np.concatenate([owner, np.full(rows - len(owner), owner[-1])]).astype(np.int64)
        layers, stride = len(self.biases), self.head.shape[1]
        if before is None:
            hidden, cells = (np.zeros((layers * rows, stride), np.float32) for _ in range(2))
            paths = np.zeros((rows, steps.real.shape[1]), np.float32)
        else:
            hidden, cells = (
                state.reshape(layers, -1, stride)[:, owner].reshape(-1, stride) for state in before[:2]
            )
            paths = before[2][owner]
        drawn = np.zeros(rows, np.uint64)
        if keys is not None:
            drawn[: len(keys)] = keys
        lags = len(steps.lags)
        shared = (
            given, self.first[len(self.first) - lags :], steps.lags, steps.unknown.view(np.uint8),
            steps.real.view(np.uint8), steps.scale, self.biases, self.inputs, self.recurrent, self.head,
            self.head_bias, self.width, self.kind, owner, hidden, cells, paths, drawn, first, last,
            keys is not None,
        )  # fmt: skip

        def run(start: int, stop: int) -> None:
            gates, below = np.empty((ROWS, 4 * stride), np.float32), np.empty((ROWS, stride), np.float32)
            values, which = np.empty((ROWS, lags), np.float32), np.empty(lags, np.int64)
            raw = np.empty(len(self.head), np.float32)
            forecast_cpu.advance(*shared, gates, below, values, which, raw, ROWS * start, ROWS * stop)

        in_parts(run, rows // ROWS, ROWS * (last - first) * 8 * layers * stride * stride)
        return hidden, cells, paths


def _gates(weight: np.ndarray, width: int) -> np.ndarray:
    """(4 n, k) -> (4 s, k), each gate padded to whole cache lines."""
    stride = simd.stride(width)
    out = np.zeros((4, stride, weight.shape[1]), np.float32)
    out[:, :width] = weight.reshape(4, width, -1)
    return out.reshape(4 * stride, -1)


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """`draws_cpu.mix` of an array."""
    z = numbers.astype(np.uint64)
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = z ^ (z >> np.uint64(31))
    return mixed
