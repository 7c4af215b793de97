"""Streaming K-Means: more centers than asked for absorb the rows in one pass, then they are shrunk to k.

D. Sculley, "Web-Scale K-Means Clustering", WWW 2010, for the mini-batch rule; Liberty et al., "Elastic
Machine Learning Algorithms in Amazon SageMaker", SIGMOD 2020, for a state that streams and is finalized.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from optml import memory
from optml.algorithms.base import Setting
from optml.algorithms.device import Device, host
from optml.algorithms.kernels.nearest import Array, Totals, absorb, move, nearest
from optml.algorithms.kmeans import seeding
from optml.algorithms.kmeans.hyperparameters import Hyperparameters
from optml.algorithms.kmeans.model import Model, streaming_state
from optml.algorithms.kmeans.shrink import Clustering, shrink
from optml.algorithms.metrics import Metric
from optml.errors import UserError
from optml.formats.records import Records

log = logging.getLogger(__name__)

AUTO_FACTOR = 10  # most of extra_center_factor=auto
AUTO_TRIALS = 10  # of local_lloyd_num_trials=auto
# Streams of random numbers: drawing the first centers and shrinking have one each, made from the seed when
# they are needed. So neither disturbs the other, and a checkpoint needs no generator's state but the seed.
START, SHRINK = range(2)


class Learner:
    """State: centers C (K, d) and weights w (K,) float64; NumPy arrays, or torch tensors on a CUDA device.

    A mini-batch of b rows over all hosts changes it by

        n_j, S_j = number and sum of the rows nearest to C_j              (`absorb`, summed over the hosts)
        w_j <- w_j * 2^(-b / half_life_time_size)                         (no decay where that is 0)
        C_j <- C_j + (S_j - n_j C_j) / (w_j + n_j)
        w_j <- w_j + n_j
    """

    round: int | None = None
    lockstep = True

    def __init__(self, setting: Setting) -> None:
        self.hyperparameters: Hyperparameters = setting.hyperparameters
        self.cluster = setting.cluster
        self.device = Device(setting.device)
        self.seed = setting.seed
        self.warm = None if setting.warm_start is None else self._warm(setting.warm_start)
        self.centers: Array = None
        self.weights: Array = None
        self.rows = 0  # absorbed over all hosts and epochs
        self.loss: Array = None  # sum of squared distances to the centers as moved, in this epoch
        self.rows_of_epoch = 0  # that the loss is summed over
        self.spread = 0.0  # their quotient, in the last whole epoch
        self._final: np.ndarray | None = None

    def update(self, batch: Records | None) -> Iterable[Metric]:
        width = self.hyperparameters.feature_dim
        rows = np.empty((0, width), np.float32) if batch is None else batch.dense()
        if self.centers is None:
            self._start(rows)
        totals, count = self._agree(absorb(self.device.stage(rows), self.centers), len(rows))
        half_life = self.hyperparameters.half_life_time_size
        if half_life:
            self.weights *= 2.0 ** (-count / half_life)
        self.loss += totals.loss + move(self.centers, self.weights, totals)
        self.rows += count
        self.rows_of_epoch += count
        return ()

    def end_round(self) -> Iterable[Metric]:
        self._require_rows(self.rows)
        loss = self.loss.item()
        if not math.isfinite(loss):
            raise UserError(
                "the squared distances between the rows of channel 'train' are larger than float32 holds: "
                "divide features whose values are beyond 1e18 or so by a power of ten, or remove outliers"
            )
        self.spread = max(loss, 0.0) / max(self.rows_of_epoch, 1)  # rounding must not make it negative
        self.loss *= 0
        self.rows_of_epoch = 0
        return ()

    def evaluate(self, channel: str, batches: Iterable[Records]) -> Iterable[Metric]:
        """Sum and mean of squared distances over the rows of all hosts, to the centers of the final model."""
        if self._final is None:
            raise RuntimeError("K-Means scores a channel after `finish`")
        centers = self.device.put(self._final)
        totals = np.zeros(2)
        for batch in batches:
            _, square_distances = nearest(self.device.stage(batch.dense()), centers)
            totals += float(host(square_distances).sum(dtype=np.float64)), len(batch)
        self.cluster.all_sum(totals)
        scores = {"msd": totals[0] / max(totals[1], 1), "ssd": totals[0]}
        return [
            Metric(f"{channel}:{name}", float(scores[name])) for name in self.hyperparameters.eval_metrics
        ]

    def stopping(self) -> None:
        return None

    def state_dict(self) -> dict[str, np.ndarray]:
        state = {"seed": np.array(self.seed)}
        if self.centers is not None:
            state |= {
                "centers": host(self.centers),
                "weights": host(self.weights),
                "loss": host(self.loss),
                "progress": np.array([self.rows, self.rows_of_epoch, self.spread]),
            }
        return {name: array.copy() for name, array in state.items()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.seed = int(state["seed"])
        if "centers" in state:
            self.centers, self.weights, self.loss = (
                self.device.put(np.array(state[name])) for name in ("centers", "weights", "loss")
            )
            rows, rows_of_epoch, spread = state["progress"].tolist()
            self.rows, self.rows_of_epoch, self.spread = int(rows), int(rows_of_epoch), spread

    def model(self) -> Model | None:
        return None if self.centers is None else self._model(self._shrink())

    def finish(self) -> tuple[Model, Iterable[Metric]]:
        self._require_rows(self.rows)
        log.info("shrinking %d centers into %d", len(self.centers), self.hyperparameters.k)
        clustering = self._shrink()
        for attempt, loss in enumerate(clustering.losses):
            log.info("local kmeans attempt #%d. Current mean square distance %.6f", attempt, loss)
        loss = float(clustering.losses.min())
        log.info("finished shrinking process. Mean Square Distance = %.6f", loss)
        model = self._model(clustering)
        self._final = model.centers
        # Rows lie about their streaming center as the last epoch saw it, and that about its final center.
        return model, [Metric("train:msd", loss), Metric("train:row_msd", self.spread + loss)]

    def _start(self, rows: np.ndarray) -> None:
        """Draw the first centers from the hosts' first mini-batches, the same on every host."""
        hyperparameters = self.hyperparameters
        tally = np.array([len(rows), len(rows) >= hyperparameters.mini_batch_size], np.int64)
        self.cluster.all_sum(tally)
        if not tally[1]:  # the last batches too: no host has more rows
            self._require_rows(int(tally[0]))
        share = -(-hyperparameters.mini_batch_size // self.cluster.size)
        union = np.concatenate(self.cluster.gather(np.ascontiguousarray(rows[:share])))
        if hyperparameters.extra_center_factor == "auto":
            factor = max(1, min(AUTO_FACTOR, len(union) // hyperparameters.k))
            log.info("'extra_center_factor' was set to 'auto', evaluated to %d.", factor)
        else:
            factor = hyperparameters.extra_center_factor
        log.info("number of center slices 1")
        if len(union) < hyperparameters.mini_batch_size:
            log.warning(
                "Batch size %d is bigger than the first batch data. "
                "Effective batch size used to initialize is %d",
                hyperparameters.mini_batch_size,
                len(union),
            )
        centers, weights = self.warm or (np.empty((0, hyperparameters.feature_dim)), np.empty(0))
        self._require_memory(hyperparameters.k * factor)
        missing = hyperparameters.k * factor - len(centers)
        if missing > 0:
            generator = np.random.default_rng((self.seed, START))
            with np.errstate(over="ignore", invalid="ignore"):  # `end_round` tells of squares that overflow
                extra = seeding.draw(union, missing, hyperparameters.init_method, generator)
            centers = np.concatenate([centers, self.cluster.broadcast(extra.astype(np.float64))])
            weights = np.concatenate([weights, np.zeros(missing)])
        self.centers = self.device.put(centers)
        self.weights = self.device.put(weights)
        self.loss = self.device.put(np.zeros(1))

    def _agree(self, totals: Totals, count: int) -> tuple[Totals, int]:
        """What all hosts absorbed together, and how many rows that is."""
        if self.cluster.size == 1:
            return totals, count
        counts, sums, loss = (host(array) for array in (totals.counts, totals.sums, totals.loss))
        self.cluster.all_sum(counts, sums, loss)
        total = round(counts.sum())
        return Totals(self.device.put(counts), self.device.put(sums), self.device.put(loss)), total

    @property
    def _trials(self) -> int:
        trials = self.hyperparameters.local_lloyd_num_trials
        return AUTO_TRIALS if trials == "auto" else trials

    def _shrink(self) -> Clustering:
        hyperparameters = self.hyperparameters
        return shrink(
            host(self.centers),
            host(self.weights),
            hyperparameters.k,
            method=hyperparameters.local_lloyd_init_method,
            trials=self._trials,
            max_iter=hyperparameters.local_lloyd_max_iter,
            tol=hyperparameters.local_lloyd_tol,
            rng=np.random.default_rng((self.seed, SHRINK)),
        )

    def _model(self, clustering: Clustering) -> Model:
        hyperparameters = self.hyperparameters.model_dump(mode="json")
        return Model(
            clustering.centers.astype(np.float32), clustering.weights, hyperparameters, self.device.name
        )

    def _warm(self, folder: Path) -> tuple[np.ndarray, np.ndarray]:
        try:
            centers, weights = streaming_state(folder)
        except UserError as error:  # the folder is where the channel was unpacked, and means nothing to users
            raise UserError(f"channel 'model': {str(error).replace(f'{folder}/', '')}") from error
        width = self.hyperparameters.feature_dim
        if centers.shape[1] != width:
            raise UserError(
                f"hyperparameter feature_dim is {width}, but the centers in the channel 'model' have "
                f"{centers.shape[1]} features: train on the same features, or without that channel"
            )
        return centers, weights

    def _require_rows(self, rows: int) -> None:
        if rows < self.hyperparameters.k:
            raise UserError(
                f"hyperparameter k is {self.hyperparameters.k}, but the channel 'train' holds only "
                f"{rows} rows: give at least k rows, or ask for fewer clusters"
            )

    def _require_memory(self, count: int) -> None:
        """Better said now than killed without a word, or after hours. `count` centers, their sums and two
        copies; for each Lloyd run its k centers, and distances, weights and labels of all `count`."""
        hyperparameters = self.hyperparameters
        trials = self._trials
        size = 8 * (4 * count * hyperparameters.feature_dim)
        size += 8 * trials * (2 * hyperparameters.k * hyperparameters.feature_dim + 4 * count)
        memory.require(
            size,
            f"{count} streaming centers (k * extra_center_factor) of {hyperparameters.feature_dim} features "
            f"and {trials} Lloyd runs of {hyperparameters.k} centers",
            "lower k, extra_center_factor or local_lloyd_num_trials",
        )
