"""M linear models side by side, and their optimiser: the state that a step of training changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from optml import memory
from optml.algorithms.cluster import Cluster
from optml.algorithms.device import Device, host
from optml.algorithms.kernels.linear import gradient, scores, update
from optml.algorithms.kernels.linear.terms import FAR, MOMENTS, Array, Problem, Update
from optml.algorithms.kernels.machine.simd import zeros
from optml.algorithms.linear_learner.grid import Point
from optml.algorithms.linear_learner.hyperparameters import Hyperparameters
from optml.algorithms.linear_learner.losses import Loss
from optml.algorithms.linear_learner.scaler import Scaler
from optml.formats.records import Features

if TYPE_CHECKING:
    from optml.algorithms.kernels.linear.triton import CapturedStep

ABSENT = 1e6  # weight of a class that the scaler's rows lack


class Stack:
    """Weights and moments, (d + 1, M * C) float32 each: NumPy arrays, or torch tensors on a CUDA device.

    alive: (M,) bool, models whose loss and weights are numbers still; the others have stopped at 0.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        points: Sequence[Point],
        scaler: Scaler,
        *,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        self.hyperparameters = hyperparameters
        self.models, self.classes = len(points), hyperparameters.outputs
        self.width = len(scaler.mean)
        self.class_weights = _class_weights(hyperparameters, points, scaler.counts)
        self._device = Device(device)
        self._optimizer = points[0].optimizer
        self._require_memory()
        shift, scale = scaler.shift(hyperparameters), scaler.scale(hyperparameters)
        still = scaler.still & (shift != 0)
        loss = Loss.of(hyperparameters)
        ones = np.ones((self.classes, self.models))
        self._problem = Problem(
            loss.name,
            loss.parameter,
            self.models,
            self.classes,
            self._put(ones if self.class_weights is None else self.class_weights),
            self._put(shift),
            self._put(scale),
            self._put(still, bool),
            folded=bool(not still.any() and (np.abs(shift * scale) <= FAR).all()),
        )
        self._schedule = np.array(
            [(p.lr_scheduler_step, p.lr_scheduler_factor, p.lr_scheduler_minimum_lr) for p in points]
        ).T
        self._rates = np.array([point.learning_rate for point in points])
        self._decays = self._columns(np.array([point.wd for point in points]))
        self._l1 = self._columns(np.array([point.l1 for point in points]))
        auto = {"bias_lr_mult": 10.0, "bias_wd_mult": 0.0, "momentum": 0.0, "beta_1": 0.9, "beta_2": 0.999}
        values = {name: getattr(hyperparameters, name) for name in auto}
        self._options = {name: auto[name] if value == "auto" else value for name, value in values.items()}
        self._bias_decays = self._decays * self._options["bias_wd_mult"]

        self.alive = np.ones(self.models, bool)
        self.updates = 0
        self.full = 0  # rows of the largest step
        self.weights: Array = self._state(self._initial(seed))
        self.moments = self._zeros()
        self.losses: Array = self._put(np.zeros(self.models), np.float64)
        self._graph: CapturedStep | None = None

    def start_from(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """Let every model begin with (C, d) weights and (C,) biases for scaled features and labels."""
        one = np.concatenate([weight.T, bias[None]])
        self.weights = self._state(np.tile(one, (1, self.models)))
        self._graph = None

    def step(self, rows: Features, targets: np.ndarray, cluster: Cluster) -> None:
        """One update by the gradient over the rows of all hosts, none of which need have any here: their sum,
        divided by the rows of a full step, so that a row counts the same in a short one.

        targets: (n,) numbers, what regressors are to learn, or classes.
        """
        there, y = self._place(rows), self._put(targets)
        count = len(targets)
        if self._graph is not None and self._graph.size == count and isinstance(rows, np.ndarray):
            self.updates += 1
            self._graph.step(there, y, self._update())
            return
        total_gradient, losses = gradient(there, y, self.weights, self._problem)
        self.losses += losses
        if cluster.size > 1:
            total, sums = np.array([count]), host(total_gradient)
            cluster.all_sum(sums, total)
            count, total_gradient = int(total[0]), self._put(sums)
        if count:
            self.updates += 1
            use_bias = self.hyperparameters.use_bias
            how = self._update()
            self.full = max(self.full, count)
            update(self.weights, self.moments, total_gradient, 1 / self.full, use_bias, how)
            full = count == self.hyperparameters.mini_batch_size and isinstance(rows, np.ndarray)
            if self._device.name.startswith("cuda") and full and cluster.size == 1:
                from optml.algorithms.kernels.linear.triton import CapturedStep

                self._graph = CapturedStep(
                    self.weights,
                    self.moments,
                    self.losses,
                    self._problem,
                    how,
                    size=count,
                    use_bias=use_bias,
                )

    def take_losses(self) -> np.ndarray:
        """The losses (M,) float64 of this host's rows, summed since this was last called."""
        losses = host(self.losses).copy()
        self.losses *= 0
        return losses

    def put_losses(self, losses: np.ndarray) -> None:
        """Go on summing from these, forgetting those since `take_losses` was called."""
        self.losses *= 0
        self.losses += self._put(losses, np.float64)

    def scores(self, rows: Features) -> np.ndarray:
        """z of (n, d) rows under every model, (n, M, C) float32 in units of training; NaN of dead models."""
        z = host(scores(self._place(rows), self.weights, self._problem)).reshape(
            -1, self.models, self.classes
        )
        if not self.alive.all():
            z[:, ~self.alive] = np.nan
        return z

    def bury(self, sound: np.ndarray) -> np.ndarray:
        """Stop the models that are not sound, (M,) bool, or whose weights are not numbers: they get weights 0
        and learn no more. Returns the places of those that died now."""
        weights = host(self.weights)
        finite = np.isfinite(weights).all(axis=0).reshape(self.models, self.classes).all(axis=1)
        dead = self.alive & ~(sound & finite)
        if dead.any():
            columns = np.repeat(dead, self.classes)
            for matrix in (self.weights, *self.moments):
                matrix[:, columns if isinstance(matrix, np.ndarray) else columns.nonzero()[0]] = 0
            self.alive &= ~dead
        return np.flatnonzero(dead)

    def model(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Weights (C, d) and biases (C,) of one model, float64, for scaled features and labels."""
        columns = slice(place * self.classes, (place + 1) * self.classes)
        one = host(self.weights[:, columns]).astype(np.float64)
        return one[:-1].T, one[-1]

    def state_dict(self) -> dict[str, np.ndarray]:
        state = {"weights": self.weights} | {f"moment_{n}": moment for n, moment in enumerate(self.moments)}
        return {name: host(array).copy() for name, array in state.items()} | {
            "alive": self.alive.copy(),
            "updates": np.array(self.updates),
            "full": np.array(self.full),
            "losses": host(self.losses).copy(),
        }

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.weights = self._state(state["weights"])
        self.moments = tuple(self._state(state[f"moment_{n}"]) for n in range(len(self.moments)))
        self.alive = np.array(state["alive"])
        self.updates = int(state["updates"])
        self.full = int(state.get("full", 0))
        self.losses = self._put(np.array(state["losses"]), np.float64)
        self._graph = None

    def _update(self) -> Update:
        """What the next update, `self.updates`, does. A learning rate decays for the k-th time once more than
        k * lr_scheduler_step updates were made (MXNet's FactorScheduler)."""
        rates, options = self._rates, self._options
        if self.hyperparameters.use_lr_scheduler:
            step, factor, minimum = self._schedule
            decays = rates * factor ** ((self.updates - 1) // step)
            rates = np.maximum(decays, np.minimum(minimum, rates))
        first, second = options["momentum"], 0.0
        if self._optimizer == "adam":
            first, second = options["beta_1"], options["beta_2"]
            rates = rates * ((1 - second**self.updates) ** 0.5 / (1 - first**self.updates))
        rates = rates * self.alive
        columns = self._columns(rates)
        bias_rates = columns * self._options["bias_lr_mult"]
        return Update(
            self._optimizer, columns, self._decays, self._l1, bias_rates, self._bias_decays, first, second
        )

    def _columns(self, of_models: np.ndarray) -> Array:
        """(M,) numbers as (M * C,) float32 for the columns."""
        narrow = of_models.astype(np.float32)
        return self._put(narrow if self.classes == 1 else np.repeat(narrow, self.classes))

    def _initial(self, seed: int) -> np.ndarray:
        """First weights; each model has a generator of its own, so they do not depend on how many there
        are."""
        hyperparameters = self.hyperparameters
        weights = np.empty((self.width + 1, self.models, self.classes), np.float32)
        for model in range(self.models):
            generator = np.random.default_rng((seed, 1, model))
            shape = (self.width, self.classes)
            if hyperparameters.init_method == "uniform":
                numbers = generator.uniform(-hyperparameters.init_scale, hyperparameters.init_scale, shape)
            else:
                numbers = generator.normal(0, hyperparameters.init_sigma, shape)
            weights[:-1, model] = numbers
        weights[-1] = hyperparameters.init_bias if hyperparameters.use_bias else 0
        return weights.reshape(self.width + 1, -1)

    def _zeros(self) -> tuple[Array, ...]:
        shape = (self.width + 1, self.models * self.classes)
        return tuple(self._state(np.zeros(shape, np.float32)) for _ in range(MOMENTS[self._optimizer]))

    def _state(self, array: np.ndarray) -> Array:
        """A matrix of the state, copied to where it lives; on a CPU it begins on a cache line, for speed."""
        if self._device.name != "cpu":
            return self._put(np.array(array))
        matrix = zeros(array.shape)
        matrix[:] = array
        return matrix

    def _put(self, array: np.ndarray, kind: Any = np.float32) -> Array:
        """The array where the state lives."""
        return self._device.put(np.ascontiguousarray(array, dtype=kind))

    def _place(self, rows: Features) -> Array:
        """A batch where the kernels take it from: dense rows on the device, copied while the batch before is
        still being computed; sparse ones as they are."""
        return (
            self._device.stage(rows.astype(np.float32, copy=False)) if isinstance(rows, np.ndarray) else rows
        )

    def _require_memory(self) -> None:
        """Better said now than killed without a word: the weights, the moments, a gradient and its parts."""
        matrices = 4 + MOMENTS[self._optimizer]
        size = 4 * matrices * (self.width + 1) * self.models * self.classes
        what = f"{self.models} models of {self.classes} scores over {self.width} features, while they train,"
        memory.require(size, what, "lower num_models")


def _class_weights(
    hyperparameters: Hyperparameters, points: Sequence[Point], counts: np.ndarray
) -> np.ndarray | None:
    """What rows of each class count, (classes, M); None: all 1."""
    multiplier = hyperparameters.positive_example_weight_mult
    if hyperparameters.predictor_type == "binary_classifier" and multiplier != 1:
        ratio = counts[0] / counts[1] if counts.all() else 1.0
        weight = ratio if isinstance(multiplier, str) else multiplier
        positive = [1.0 if multiplier == "auto" and not point.balanced else weight for point in points]
        return np.stack([np.ones(len(points)), positive])
    if (
        hyperparameters.predictor_type == "multiclass_classifier"
        and hyperparameters.balance_multiclass_weights
    ):
        weights = np.full(len(counts), ABSENT)
        np.divide(counts.sum(), counts, out=weights, where=counts > 0)
        return np.repeat(weights[:, None], len(points), axis=1)
    return None
