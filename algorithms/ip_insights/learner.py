"""IP Insights by mini-batch Adam: observed pairs are told from made-up ones."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping

import numpy as np

from optml.algorithms.base import Setting, Stopping
from optml.algorithms.device import host
from optml.algorithms.ip_insights.data import Batch
from optml.algorithms.ip_insights.hyperparameters import Hyperparameters
from optml.algorithms.ip_insights.model import Model
from optml.algorithms.ip_insights.parameters import Parameters
from optml.algorithms.ip_insights.quality import Spread, area_under_curve
from optml.algorithms.ip_insights.sampling import Samples
from optml.algorithms.ip_insights.sketch import Sketch
from optml.algorithms.kernels import pairs as pair_step
from optml.algorithms.kernels.pairs.terms import (
    LOSS,
    RIGHT,
    SAMPLES,
    TALLIES,
    Array,
    Gradient,
    Groups,
    Step,
    View,
)
from optml.algorithms.metrics import Metric
from optml.errors import UserError

log = logging.getLogger(__name__)

ACCURACY, CROSS_ENTROPY = "binary_classification_accuracy", "binary_classification_cross_entropy"
AUC = "validation:discriminator_auc"


class Learner:
    """State: `Parameters`, the number of updates, what the epoch's batches add up to, and which entities
    there are. Every update adds up the gradients of all hosts and divides by the number of their samples.

    The learning rate falls to 0 with the samples of all epochs, in a line: with a constant one, the newest
    negatives of rows that few samples touch weigh more in the end than what distinguishes an entity.
    """

    round: int | None = None
    lockstep = True

    def __init__(self, setting: Setting) -> None:
        self.hyperparameters: Hyperparameters = setting.hyperparameters
        self.cluster = setting.cluster
        self.device = setting.device
        self.parameters = Parameters(self.hyperparameters, setting.seed, setting.device)
        self.updates = 0
        self.epoch = 0
        self.batch = 0  # of the epoch
        self.totals: Array = self.parameters.device.put(np.zeros(TALLIES))  # of the epoch, over all hosts
        self.spread: Spread | None = None  # of the newest validation scores
        self._began = self._spoke = time.perf_counter()  # the epoch; the last line about the speed
        self._samples_told = 0.0  # samples of the epoch before that line
        if self.cluster.rank == 0:
            self.parameters.announce()
        self.seen: Sketch = setting.train.observed.entities  # the tables' memory is known to do by now

    def update(self, batch: Batch | None) -> Iterable[Metric]:
        if self.batch == 0:
            self._began = self._spoke = time.perf_counter()
            self._samples_told = 0.0
        self.updates += 1
        with np.errstate(over="ignore", invalid="ignore"):  # `_require_finite` says it better
            self._learn(batch)
        due = self.batch % self.hyperparameters.batch_metrics_publish_interval == 0
        if due or self.device == "cpu":  # elsewhere a look at the loss would wait for the device
            self._require_finite()
        self.batch += 1
        return self._tell() if due else ()

    def end_round(self) -> Iterable[Metric]:
        self._require_finite()
        totals = host(self.totals)
        if not totals[SAMPLES]:
            raise UserError("channel 'train' is empty: there are no pairs in its data")
        self._share_seen()
        accuracy, loss = _means(totals)
        if self.cluster.rank == 0:
            log.info("Epoch[%d] Train-%s=%f", self.epoch, ACCURACY, accuracy)
            log.info("Epoch[%d] Train-%s=%f", self.epoch, CROSS_ENTROPY, loss)
            log.info("Epoch[%d] Time cost=%.3f", self.epoch, time.perf_counter() - self._began)
        self.totals = self.parameters.device.put(np.zeros(TALLIES))
        self.epoch += 1
        self.batch = 0
        return (
            Metric(f"train:{ACCURACY}:epoch", accuracy),
            Metric(f"train:{CROSS_ENTROPY}:epoch", loss),
        )

    def evaluate(self, channel: str, batches: Iterable[Samples]) -> Iterable[Metric]:
        """The area under the curve of all hosts' pairs against random ones."""
        parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        nothing = np.empty(0, np.float32)
        for samples in batches:
            view = self.parameters.view(samples)
            scores, observed = host(pair_step.score(self.parameters.state, view)), host(view.labels) > 0
            parts[0].append(scores[observed])
            parts[1].append(scores[~observed])
        positives, negatives = (
            np.concatenate(self.cluster.gather(np.concatenate([nothing, *part]))) for part in parts
        )
        if not len(positives):
            return ()
        if not (np.isfinite(positives).all() and np.isfinite(negatives).all()):
            raise self._diverged(f"scores are not finite after update {self.updates}")
        self.spread = Spread.of(positives, negatives)
        return (Metric(AUC, area_under_curve(positives, negatives)),)

    def stopping(self) -> tuple[Stopping, str] | None:
        return None

    def state_dict(self) -> dict[str, np.ndarray]:
        spread = np.empty(0) if self.spread is None else self.spread.array()
        return self.parameters.state_dict() | {
            "progress": np.array([self.updates, self.epoch, self.batch], np.int64),
            "totals": host(self.totals).copy(),
            "seen": self.seen.bits,
            "spread": spread,
        }

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.parameters.load_state_dict(state)
        self.updates, self.epoch, self.batch = state["progress"].tolist()
        self.totals = self.parameters.device.put(np.array(state["totals"]))
        self._samples_told = float(state["totals"][SAMPLES])
        self.seen = Sketch(np.array(state["seen"]))
        self.spread = Spread.of_array(np.array(state["spread"])) if len(state["spread"]) else None

    def model(self) -> Model | None:
        if not self.updates:
            return None
        values = self.parameters.values()
        # No loss tells of the last update. A sum takes no memory.
        if not all(math.isfinite(array.sum(dtype=np.float64)) for array in values.values()):
            raise self._diverged(f"parameters are not finite after update {self.updates}")
        facts = {} if self.spread is None else self.spread.facts()
        return Model(values, self.seen, self.hyperparameters.model_dump(mode="json", by_alias=True), facts)

    def finish(self) -> tuple[Model, Iterable[Metric]]:
        if self.cluster.rank == 0:
            if self.spread is not None:
                self.spread.announce()
            else:
                log.info("Without the channel 'validation' no threshold between scores can be told")
            log.info("Test data is not provided.")
        model = self.model()
        assert model is not None
        return model, ()

    def _learn(self, batch: Batch | None) -> None:
        state = self.parameters.state
        samples, past = (batch.samples, batch.past) if batch is not None else (_nothing(), 0.0)
        view = self.parameters.view(samples)
        gradient = pair_step.gradient(state, view)
        if self.cluster.size == 1:
            pair_step.learn(state, view, gradient, self._step(len(samples), past))
            self.totals += gradient.tallies
        else:
            self._learn_together(view, gradient, len(samples) * past)

    def _learn_together(self, view: View, gradient: Gradient, past: float) -> None:
        """past: the share of the epoch that is past, summed over this host's samples."""
        from optml.algorithms.kernels.pairs.view_cpu import rates_of

        state = self.parameters.state
        tallies, dense = host(gradient.tallies).copy(), np.ascontiguousarray(host(gradient.dense))
        pasts = np.array([past])
        self.cluster.all_sum(tallies, pasts, dense)
        self.totals += self.parameters.device.put(tallies)
        samples = round(float(tallies[SAMPLES]))
        step = self._step(samples, float(pasts[0]) / max(samples, 1))
        tables = (
            (state.entities, view.entities, gradient.slopes, gradient.outputs, _ones),
            (state.prefixes, view.prefixes, None, gradient.inputs, rates_of),
        )
        for table, groups, slopes, vectors, rates in tables:
            if len(table):
                mine = host(pair_step.row_gradients(groups, slopes, vectors))
                touched, summed = self._add_up(len(table), groups, mine)
                ids, parts, summed = map(self.parameters.device.put, (touched, rates(touched), summed))
                pair_step.apply_rows(table, ids, parts, summed, step)
        pair_step.apply_dense(state.dense, self.parameters.device.put(dense), step)

    def _add_up(self, rows: int, groups: Groups, mine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows (u,) that any host touches and the sums (u, d) of their gradients: each host tells those
        that it touches, or the whole table is summed where that is less."""
        every_id = self.cluster.gather(host(groups.rows))
        touched = np.unique(np.concatenate(every_id))
        if sum(map(len, every_id)) < rows:
            summed = np.zeros((len(touched), mine.shape[1]), np.float32)
            for ids, gradients in zip(every_id, self.cluster.gather(mine), strict=True):
                summed[np.searchsorted(touched, ids)] += gradients  # in the hosts' order, on every host
            return touched, summed
        whole = np.zeros((rows, mine.shape[1]), np.float32)
        whole[host(groups.rows)] = mine
        self.cluster.all_sum(whole)
        return touched, whole[touched]

    def _step(self, samples: int, past: float) -> Step:
        hyperparameters = self.hyperparameters
        rate = hyperparameters.learning_rate * max(0.0, 1 - (self.epoch + past) / hyperparameters.epochs)
        return Step.number(self.updates, rate, hyperparameters.weight_decay, 1 / max(samples, 1))

    def _tell(self) -> tuple[Metric, Metric]:
        """The means since the epoch began; the speed since the last line about it."""
        batch, totals = self.batch - 1, host(self.totals)
        accuracy, loss = _means(totals)
        if batch and self.cluster.rank == 0:
            now = time.perf_counter()
            speed = (totals[SAMPLES] - self._samples_told) / max(now - self._spoke, 1e-9)
            log.info(
                "Epoch[%d] Batch [%d]\tSpeed: %.2f samples/sec\t%s=%f\t%s=%f",
                self.epoch, batch, speed, ACCURACY, accuracy, CROSS_ENTROPY, loss,
            )  # fmt: skip
            self._spoke, self._samples_told = now, float(totals[SAMPLES])
        return (
            Metric(f"train:{ACCURACY}", accuracy, batch=batch),
            Metric(f"train:{CROSS_ENTROPY}", loss, batch=batch),
        )

    def _share_seen(self) -> None:
        """Hosts with data of their own have seen other entities."""
        if self.cluster.size > 1:
            bits = np.bitwise_or.reduce(self.cluster.gather(self.seen.bits))
            self.seen = Sketch(bits)

    def _require_finite(self) -> None:
        if not math.isfinite(float(self.totals[LOSS])):
            raise self._diverged(f"the loss is not finite in epoch {self.epoch}, batch {self.batch}")

    def _diverged(self, what: str) -> UserError:
        hyperparameters = self.hyperparameters
        return UserError(
            f"training diverged: {what}. Lower learning_rate ({hyperparameters.learning_rate:g}) or "
            f"weight_decay ({hyperparameters.weight_decay:g})"
        )


def _means(totals: np.ndarray) -> tuple[float, float]:
    """Accuracy and cross entropy."""
    samples = max(float(totals[SAMPLES]), 1.0)
    return float(totals[RIGHT]) / samples, float(totals[LOSS]) / samples


def _ones(rows: np.ndarray) -> np.ndarray:
    return np.ones(len(rows), np.float32)


def _nothing() -> Samples:
    """The batch of a host that has none."""
    return Samples(np.empty(0, np.uint32), np.empty(0, np.uint32), np.empty(0, np.float32), np.empty(0, bool))
