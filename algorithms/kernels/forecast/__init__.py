"""Sample paths of a recurrent network: the context once for each series, then all paths step by step.

Step t of a series has inputs that are known, and targets at lags of which some are not: those that fall on
points that are missing take the mean of the network's own distribution there, those in the forecast what was
drawn. Layers are those of `lstm` without zoneout; from the second on, one adds its input to its output.

Where a distribution is symmetric, every second path takes the draws of the one before with the sign turned
(antithetic variates: J. M. Hammersley and K. W. Morton, Proc. Cambridge Phil. Soc. 52, 1956). Each path is as
likely as it was, and of as many paths the mean and the quantiles are nearer the true ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optml.algorithms.kernels.machine.simd import LANES, zeros
from optml.algorithms.kernels.machine.threads import in_parts
from optml.algorithms.kernels.machine.tiles import TALL

KINDS = ("gaussian", "student-T", "negative-binomial", "beta", "deterministic-L1")
SYMMETRIC = KINDS[:2]


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

    inputs:  (n, t, i) float32, inputs of the first layer, the l lags last; 0 where a lag is unknown.
    unknown: (n, t) bool, points whose value is not known: missing ones and the forecast.
    real:    (n, t) bool, False before a series begins: such a step begins with a state of zeros (`lstm`).
    scale:   (n,) float32.   lags: (l,) ascending.
    keys:    (n,) uint64: the random numbers of a series depend on its key alone.
    """

    inputs: np.ndarray
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
        self.inputs = layers[0].inputs.T.copy()  # (i, 4 n)
        self.biases = np.stack([layer.bias for layer in layers]).astype(np.float32)
        self._layers = layers
        self.head = _tiles(head.T)
        self.head_bias = np.ascontiguousarray(head_bias, np.float32)

    def sample(self, steps: Steps, samples: int, horizon: int) -> np.ndarray:
        """(n, samples, horizon) float32 paths of the last `horizon` steps."""
        from optml.algorithms.kernels.forecast import cpu as forecast_cpu
        from optml.algorithms.kernels.machine.draws import GOLDEN

        n, total, _ = steps.inputs.shape
        first = total - horizon
        products = steps.inputs.reshape(n * total, -1) @ self.inputs
        products += self.biases[0]
        drawing = self.kind != KINDS.index("deterministic-L1")
        number = samples if drawing else 1  # else all paths are the same
        series = _blocks(np.arange(n))
        owner = _blocks(np.repeat(np.arange(n), number))
        keys = np.zeros(len(owner), np.uint64)
        sides = np.ones(len(owner), np.float32)
        path = np.arange(number)
        if KINDS[self.kind] in SYMMETRIC:
            sides[: n * number] = np.tile(1 - 2 * (path % 2), n)
            path //= 2
        with np.errstate(over="ignore"):
            numbers = np.tile(path.astype(np.uint64) + np.uint64(1), n)
            keys[: n * number] = _mix(steps.keys[owner[: n * number]] + _mix(numbers * GOLDEN))

        layers, lags = len(self.biases), len(steps.lags)
        weights, deep = self._weights(lags), self.width + max(self.width, lags)
        network = (self.biases, weights, self.head, self.head_bias, self.width, self.kind)
        conditions = (
            products, steps.unknown.view(np.uint8), steps.real.view(np.uint8), steps.scale, steps.lags
        )  # fmt: skip
        states = np.empty((n, layers * 2 * self.width), np.float32)
        values = np.empty((n, first), np.float32)
        paths = np.empty((n * number, horizon), np.float32)

        def block() -> tuple[np.ndarray, ...]:
            """What a thread works on."""
            gates = len(weights) // layers * TALL
            heights = (layers * deep + 2 * self.width, layers * self.width, gates, TALL, total, 2)
            tables = (zeros((height, LANES)) for height in heights)
            lines = (zeros((LANES,)) for _ in range(2))
            return (*tables, *lines, *(np.empty(total, np.uint8) for _ in range(2)))

        def encode(start: int, stop: int) -> None:
            forecast_cpu.encode(
                network, conditions, series, block(), states, values, keys, first, start, stop
            )

        def sample(start: int, stop: int) -> None:
            forecast_cpu.sample(
                network, conditions, owner, block(), states, values, keys, sides, drawing, paths, start, stop
            )

        size = LANES * layers * 8 * self.width**2  # of one step
        in_parts(encode, len(series) // LANES, first * size)
        in_parts(sample, len(owner) // LANES, horizon * size)
        paths = paths.reshape(n, number, horizon)
        return paths if drawing else np.repeat(paths, samples, axis=1)

    def _weights(self, lags: int) -> np.ndarray:
        """(layers * tiles, deep * TALL): of a layer's own state, and of what is below it and not `inputs`."""
        below = [layer.inputs for layer in self._layers]
        below[0] = below[0][:, below[0].shape[1] - lags :]
        deep = self.width + max(self.width, lags)
        tiles_of_layers = []
        for layer, inputs in zip(self._layers, below, strict=True):
            rows = np.zeros((deep, 4 * self.width), np.float32)
            rows[: self.width] = layer.recurrent.T
            rows[self.width : self.width + inputs.shape[1]] = inputs.T
            tiles_of_layers.append(_tiles(rows))
        return np.concatenate(tiles_of_layers)


def _blocks(owner: np.ndarray) -> np.ndarray:
    """Padded to whole blocks, by more of the last."""
    rows = -(-len(owner) // LANES) * LANES
    return np.concatenate([owner, np.full(rows - len(owner), owner[-1])]).astype(np.int64)


def _tiles(rows: np.ndarray) -> np.ndarray:
    """(k, m) -> (tiles, k * TALL): as `tiles.tall_tile` reads them, one behind the other."""
    depth, columns = rows.shape
    tiles = -(-columns // TALL)
    whole = np.zeros((depth, tiles * TALL), np.float32)
    whole[:, :columns] = rows
    return whole.reshape(depth, tiles, TALL).transpose(1, 0, 2).reshape(tiles, depth * TALL)


def _mix(numbers: np.ndarray) -> np.ndarray:
    """`draws.mix` of an array."""
    z = numbers.astype(np.uint64)
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits: np.ndarray = z ^ (z >> np.uint64(31))
    return bits
