"""PCA in one pass: the state that absorbs rows is their covariance, or a sketch of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import numpy as np
from scipy.sparse import csr_array

from optml import memory
from optml.algorithms.base import Setting
from optml.algorithms.device import Device
from optml.algorithms.metrics import Metric
from optml.algorithms.pca.components import Components, rank
from optml.algorithms.pca.covariance import Covariance
from optml.algorithms.pca.hyperparameters import Hyperparameters
from optml.algorithms.pca.model import Model
from optml.algorithms.pca.sketch import Sketch, piece_rows
from optml.errors import UserError
from optml.formats.records import Records

log = logging.getLogger(__name__)

BATCH_BYTES = 32 << 20  # of rows that are read at a time; mini_batch_size has no say in what comes of them
BATCH_ROWS = (256, 65536)  # but no fewer, and no more
MATRICES = 6  # of feature_dim x feature_dim float64: scatter matrix, copies, what eigh works with


def batch_rows(hyperparameters: Hyperparameters) -> int:
    """The rows of a batch."""
    least, most = BATCH_ROWS
    return min(max(BATCH_BYTES // (4 * hyperparameters.feature_dim), least), most)


class Learner:
    """Absorbs without a word between hosts; they add up what they have in `finish`.

    In randomized mode the covariance is kept as well where it is no larger than what a sketch is shrunk in:
    then it is exact, and faster.
    """

    round: int | None = None
    lockstep = False

    def __init__(self, setting: Setting) -> None:
        self.hyperparameters: Hyperparameters = setting.hyperparameters
        self.cluster = setting.cluster
        self.device = setting.device
        self.state: Covariance | Sketch = self._empty(Device(setting.device))
        self._final: Model | None = None

    def _empty(self, device: Device) -> Covariance | Sketch:
        hyperparameters = self.hyperparameters
        width, rows = hyperparameters.feature_dim, hyperparameters.sketch_rows
        if hyperparameters.algorithm_mode == "randomized":
            if width > rows + piece_rows(rows):
                self._require_memory(4 * 3 * (rows + piece_rows(rows)) * width)
                return Sketch(width, rows, device, centered=hyperparameters.subtract_mean)
            log.info("%d features are few: randomized mode finds the exact components", width)
        elif hyperparameters.extra_components >= 0:
            log.warning("extra_components has no effect in algorithm_mode regular, whose result is exact")
        self._require_memory(8 * MATRICES * width**2)
        return Covariance(width, device, centered=hyperparameters.subtract_mean)

    def update(self, batch: Records) -> Iterable[Metric]:
        if not self.state.rows:
            hyperparameters = self.hyperparameters
            executor = f"<PCAExecutor on {'cpu(0)' if self.device == 'cpu' else self.device}>"
            log.info("The default executor is %s.", executor)
            log.info("%d feature(s) found in 'data'.", hyperparameters.feature_dim)
            log.info(
                "%s is assigned to batch slice from 0 to %d.", executor, hyperparameters.mini_batch_size - 1
            )
        self.state.absorb(batch.features)
        return ()

    def end_round(self) -> Iterable[Metric]:
        return ()

    def evaluate(self, channel: str, batches: Iterable[Records]) -> Iterable[Metric]:
        """Mean over the values of all hosts' rows of the squared difference to what the final model's
        projections tell of them."""
        if self._final is None:
            raise RuntimeError("PCA scores a channel after `finish`")
        totals = np.zeros(2)
        for batch in batches:
            step = len(batch) if not isinstance(batch.features, csr_array) else BATCH_ROWS[0]
            for start in range(0, len(batch), step):
                totals[0] += self._final.squared_error(batch[start : start + step].dense())
            totals[1] += len(batch)
        self.cluster.all_sum(totals)
        mean = totals[0] / max(totals[1] * self.hyperparameters.feature_dim, 1)
        return [Metric(f"{channel}:reconstruction_mse", float(mean))]

    def stopping(self) -> None:
        return None

    def state_dict(self) -> dict[str, np.ndarray]:
        return self.state.state_dict()

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.state.load_state_dict(state)

    def model(self) -> Model | None:
        """Of this host's rows alone; None while they are fewer than the components."""
        if self.state.rows < self.hyperparameters.num_components:
            return None
        if self.cluster.size > 1:
            log.info("The model is of the %d rows that this host has read so far", self.state.rows)
        return self._model(self.state.components(self.hyperparameters.num_components))

    def finish(self) -> tuple[Model, Iterable[Metric]]:
        hyperparameters = self.hyperparameters
        state = self.state.merged(self.cluster)
        if not state.rows:
            raise UserError("channel 'train' is empty: there are no records in its data")
        state_rank = rank(state.rows, hyperparameters.feature_dim, centered=hyperparameters.subtract_mean)
        if state_rank < hyperparameters.num_components:
            log.warning(
                "channel 'train' holds only %d rows%s: of the %d components, those beyond the %d largest "
                "have a singular value of 0 and no meaning; give more rows or lower num_components",
                state.rows,
                ", of which the mean was subtracted" if hyperparameters.subtract_mean else "",
                hyperparameters.num_components,
                state_rank,
            )
        components = state.components(hyperparameters.num_components)
        values = state.rows * hyperparameters.feature_dim
        if state_rank and components.total_variance < values * np.finfo(np.float32).tiny:
            log.warning(
                "the rows of channel 'train' do not vary, or by so little (1e-19) that float32 does not hold "
                "its square: the components have no meaning; multiply small features by a power of ten"
            )
        self._final = self._model(components)
        return self._final, [Metric("train:explained_variance_ratio", components.explained)]

    def _model(self, components: Components) -> Model:
        return Model.of(components, self.hyperparameters.model_dump(mode="json"), self.device)

    def _require_memory(self, size: int) -> None:
        """Better said now than killed without a word, or after hours."""
        hyperparameters = self.hyperparameters
        width = hyperparameters.feature_dim
        if hyperparameters.algorithm_mode == "regular":
            what = f"matrices of feature_dim x feature_dim = {width} x {width} in algorithm_mode regular"
            mend = "set algorithm_mode to randomized, or lower feature_dim"
        else:
            rows = hyperparameters.sketch_rows
            what = f"a sketch of {rows} rows (num_components + extra_components) of {width} features"
            mend = "lower num_components or extra_components"
        memory.require(size, what, mend)
