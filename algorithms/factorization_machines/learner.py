"""Factorization Machines by mini-batch Adam, with a rate, a decay and a start for each group of values."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from optml.algorithms.base import Setting
from optml.algorithms.device import host
from optml.algorithms.factorization_machines.hyperparameters import GROUPS, METHODS, Hyperparameters
from optml.algorithms.factorization_machines.initial import Initial
from optml.algorithms.factorization_machines.model import Model
from optml.algorithms.factorization_machines.parameters import Parameters
from optml.algorithms.factorization_machines.quality import STOPPING_METRICS, metrics
from optml.algorithms.kernels import factorized
from optml.algorithms.kernels.factorized import (  # fmt: skip
    LOSS,
    PAIR,
    PAIR_SQUARED,
    ROWS,
    SCORE,
    SCORE_SQUARED,
)
from optml.algorithms.kernels.factorized.terms import TALLIES, Array, Forward, Step  # fmt: skip
from optml.algorithms.metrics import Metric
from optml.algorithms.stopping import Patience
from optml.errors import UserError
from optml.formats.records import Features, Records

log = logging.getLogger(__name__)

EPSILON = 1e-8
LARGEST = float(np.finfo(np.float32).max)
FEW = 20  # updates below which nothing much can have been learned, whatever the rates
LEAST_PAIR_SHARE = 0.01  # of pair terms in the variance of scores: below, factors have hardly moved


class Learner:
    """State: `Parameters`, the number of updates, and what the epoch's batches add up to.

    The first batch decides, as in AWS's image, between two networks: of sparse batches an update touches
    only the rows of features that occur, decay included; of dense ones all rows. Later batches are brought
    to that form. Every update adds up the gradients of all hosts and divides by the number of their rows.
    """

    round: int | None = None
    lockstep = True

    def __init__(self, setting: Setting) -> None:
        self.hyperparameters: Hyperparameters = setting.hyperparameters
        self.cluster = setting.cluster
        self.device = setting.device
        self.seed = setting.seed
        hyperparameters = self.hyperparameters
        self.classifier = hyperparameters.predictor_type == "binary_classifier"
        self.dense: bool | None = None  # None: no batch yet
        self.updates = 0
        self.epoch = 0
        self.batch = 0  # of the epoch
        self.totals: Array = None  # tallies of the epoch, over all hosts
        self.variances = (0.0, 0.0)  # of pair terms and of scores, in the last whole epoch
        self._begin()
        if self.cluster.rank == 0:
            self._warn_of_idle_values()
            if self.stopping() and "validation" not in setting.channels:
                log.warning("early_stopping_patience has no effect without the channel 'validation'")
            self.parameters.announce()

    def _begin(self) -> None:
        hyperparameters = self.hyperparameters
        initial = Initial(hyperparameters, self.seed)
        self.parameters = Parameters(
            initial, hyperparameters.feature_dim, hyperparameters.num_factors, self.device
        )
        self.totals = self.parameters.device.put(np.zeros(TALLIES))

    def update(self, batch: Records | None) -> Iterable[Metric]:
        if batch is not None:
            self._check(batch, "train")
        if self.dense is None:
            self._choose(batch)
        features, labels = self._form(batch)
        self.updates += 1
        with np.errstate(over="ignore", invalid="ignore"):  # `_require_finite` says it better
            if self.dense:
                self._learn_dense(features, labels)
            else:
                self._learn_sparse(features, labels)
        due = self.batch % self.hyperparameters.batch_metrics_publish_interval == 0
        if due or self.device == "cpu":  # elsewhere a look at the loss would wait for the device
            self._require_finite()
        self.batch += 1
        return self._metrics(batch=self.batch - 1) if due else ()

    def end_round(self) -> Iterable[Metric]:
        self._require_finite()
        totals = host(self.totals)
        rows = totals[ROWS]
        if not rows:
            raise UserError("channel 'train' is empty: there are no records in its data")
        self.variances = (
            max(totals[PAIR_SQUARED] / rows - (totals[PAIR] / rows) ** 2, 0.0),
            max(totals[SCORE_SQUARED] / rows - (totals[SCORE] / rows) ** 2, 0.0),
        )
        metrics_of_epoch = self._metrics(suffix=":epoch")
        self.totals = self.parameters.device.put(np.zeros(TALLIES))
        self.epoch += 1
        self.batch = 0
        return metrics_of_epoch

    def evaluate(self, channel: str, batches: Iterable[Records]) -> Iterable[Metric]:
        """Over the rows of all hosts. A feature that training did not meet has its initial values."""
        totals = np.zeros(TALLIES)
        for batch in batches:
            self._check(batch, channel)
            features, labels = self._form(batch)
            totals += host(self._score(features, labels)[1].tallies)
        self.cluster.all_sum(totals)
        return metrics(channel, totals, self.hyperparameters.predictor_type)

    def stopping(self) -> tuple[Patience, str] | None:
        patience = self.hyperparameters.early_stopping_patience
        metric = STOPPING_METRICS[self.hyperparameters.predictor_type]
        return None if patience is None else (Patience(patience), f"validation:{metric}")

    def state_dict(self) -> dict[str, np.ndarray]:
        progress = [self.updates, self.epoch, self.batch, {None: -1, False: 0, True: 1}[self.dense]]
        return self.parameters.state_dict() | {
            "progress": np.array(progress, np.int64),
            "seed": np.array(self.seed),
            "totals": host(self.totals).copy(),
            "variances": np.array(self.variances),
        }

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.seed = int(state["seed"])
        self._begin()
        self.parameters.load_state_dict(state)
        self.updates, self.epoch, self.batch, dense = state["progress"].tolist()
        self.dense = None if dense < 0 else bool(dense)
        self.totals = self.parameters.device.put(np.array(state["totals"]))
        pairs, scores = state["variances"].tolist()
        self.variances = (pairs, scores)

    def model(self) -> Model | None:
        if self.dense is None:
            return None
        ids, rows = self.parameters.table()
        bias = float(host(self.parameters.state.bias)[0])
        if not (np.isfinite(rows).all() and math.isfinite(bias)):  # no loss tells of the last update
            raise self._divergence(f"parameters are not finite after update {self.updates}")
        hyperparameters = self.hyperparameters
        return Model(
            np.ascontiguousarray(rows[:, :-1]),
            rows[:, -1].copy(),
            bias,
            predictor_type=hyperparameters.predictor_type,
            width=hyperparameters.feature_dim,
            ids=ids,
            initial=None if ids is None else Initial(hyperparameters, self.seed),
            hyperparameters=hyperparameters.model_dump(mode="json"),
        )

    def finish(self) -> tuple[Model, Iterable[Metric]]:
        pairs, scores = self.variances
        hyperparameters = self.hyperparameters
        if self.cluster.rank == 0 and self.updates < FEW:
            rates = {
                "bias": hyperparameters.bias_lr,
                "weight": hyperparameters.linear_lr,
                "factor": hyperparameters.factors_lr,
            }
            bounds = [f"no {name} moved by more than {self.updates * rate:g}" for name, rate in rates.items()]
            log.warning(
                "Only %d update(s) were made, one a mini-batch of %d rows, so that %s: lower mini_batch_size "
                "or raise epochs (%d)",
                self.updates, hyperparameters.mini_batch_size, ", ".join(bounds), hyperparameters.epochs,
            )  # fmt: skip
        if self.cluster.rank == 0 and pairs < LEAST_PAIR_SHARE * scores:
            log.info(
                "The factors have hardly moved: interactions make up %.2g %% of the variance of the scores, "
                "so that this is nearly a linear model. If that is not meant, raise factors_lr (%g) to 0.001 "
                "or 0.01, factors_init_sigma, or epochs (%d)",
                100 * pairs / scores, hyperparameters.factors_lr, hyperparameters.epochs,
            )  # fmt: skip
        model = self.model()
        assert model is not None
        return model, ()

    def _choose(self, batch: Records | None) -> None:
        """One kind of network on all hosts: that of the first one that has data."""
        mine = -1 if batch is None else int(isinstance(batch.features, np.ndarray))
        kinds = [int(kind[0]) for kind in self.cluster.gather(np.array([mine]))]
        self.dense = bool(next(kind for kind in kinds if kind >= 0))
        if self.dense:
            self.parameters.find(np.arange(self.parameters.width))
        if self.cluster.rank == 0:
            kind = "Dense" if self.dense else "Sparse"
            log.info("[%s network] Building a %s network.", kind, kind.lower())
            if batch is not None and batch.origins and batch.origins[0][1].unit != "record":
                log.info(
                    "Channel 'train' holds text, which AWS's image does not read: it takes RecordIO-protobuf"
                )

    def _form(self, batch: Records | None) -> tuple[Features, np.ndarray]:
        """Features (n, d) in the form of the network, and labels (n,) float32; none without a batch."""
        if batch is None:
            empty = np.empty((0, self.hyperparameters.feature_dim if self.dense else 0), np.float32)
            return empty if self.dense else csr_array(empty), np.empty(0, np.float32)
        assert batch.labels is not None
        labels = batch.labels[:, 0].astype(np.float32)
        if self.dense:
            return batch.dense(), labels
        return csr_array(batch.features), labels  # itself where it is one already

    def _score(self, features: Features, labels: np.ndarray) -> tuple[Array, Forward]:
        """The batch where the state is (a view; or dense features and their squares), and its scores."""
        state, answers = self.parameters.state, self.parameters.device.put(labels)
        if self.dense:
            there = self.parameters.device.stage(features)
            pair = there, there * there
            return pair, factorized.score_dense(state, *pair, answers, classifier=self.classifier)
        view = self.parameters.view(features)
        return view, factorized.score(state, view, answers, classifier=self.classifier)

    def _learn_sparse(self, features: csr_array, labels: np.ndarray) -> None:
        view, forward = self._score(features, labels)
        state = self.parameters.state
        if self.cluster.size == 1:
            factorized.learn(state, view, forward, self._step(len(labels)))
            self.totals += forward.tallies
            return
        ids = self.parameters.ids[host(view.distinct)]
        gradients = host(factorized.gradient(state, view, forward))
        every_id, every_row = self.cluster.gather(ids), self.cluster.gather(gradients)
        union = np.unique(np.concatenate(every_id))
        total = np.zeros((len(union), state.rows.shape[1]), np.float32)
        for some, theirs in zip(every_id, every_row, strict=True):  # in the hosts' order, on every host
            total[np.searchsorted(union, some)] += theirs
        count, slope = self._add_up(forward)
        places = self.parameters.find(union)
        factorized.apply(
            self.parameters.state,
            places,
            self.parameters.device.put(total),
            self.parameters.device.put(slope),
            self._step(count),
        )

    def _learn_dense(self, features: np.ndarray, labels: np.ndarray) -> None:
        (there, squares), forward = self._score(features, labels)
        state = self.parameters.state
        width = self.hyperparameters.feature_dim
        gradients = factorized.gradient_dense(
            state.rows[:width], there, squares, forward.sums, forward.slopes
        )
        if self.cluster.size > 1:
            total = np.ascontiguousarray(host(gradients))
            self.cluster.all_sum(total)
            gradients = self.parameters.device.put(total)
        rows, slope = self._add_up(forward)
        factorized.apply(state, self._every, gradients, self.parameters.device.put(slope), self._step(rows))

    @cached_property
    def _every(self) -> Array:
        """The places of all features: their numbers, in a dense network."""
        return self.parameters.device.put(np.arange(self.hyperparameters.feature_dim, dtype=np.int32))

    def _add_up(self, forward: Forward) -> tuple[int, np.ndarray]:
        """Over all hosts: the rows of this update, and the gradient of the bias (1,) float64."""
        sums = np.append(host(forward.tallies), host(forward.slopes).sum(dtype=np.float64))
        self.cluster.all_sum(sums)
        self.totals += self.parameters.device.put(sums[:TALLIES].copy())
        return round(sums[ROWS]), sums[TALLIES:].copy()

    def _step(self, rows: int) -> Step:
        hyperparameters = self.hyperparameters
        clip = hyperparameters.clip_gradient or 0.0
        return Step.number(
            self.updates,
            (
                hyperparameters.factors_lr,
                hyperparameters.linear_lr * hyperparameters.use_linear,
                hyperparameters.bias_lr * hyperparameters.use_bias,
            ),
            (hyperparameters.factors_wd, hyperparameters.linear_wd, hyperparameters.bias_wd),
            rescale=1 / max(rows, 1)
            if hyperparameters.rescale_grad is None
            else hyperparameters.rescale_grad,
            clip=clip if clip > 0 else math.inf,
            epsilon=hyperparameters.eps or EPSILON,
        )

    def _metrics(self, suffix: str = "", batch: int | None = None) -> list[Metric]:
        totals = host(self.totals)
        return metrics("train", totals, self.hyperparameters.predictor_type, suffix, batch)

    def _require_finite(self) -> None:
        if not math.isfinite(float(self.totals[LOSS])):
            raise self._divergence(f"the loss is not finite in epoch {self.epoch}, batch {self.batch}")

    def _divergence(self, what: str) -> UserError:
        hyperparameters = self.hyperparameters
        return UserError(
            f"training diverged: {what}. Lower factors_lr ({hyperparameters.factors_lr:g}), linear_lr "
            f"({hyperparameters.linear_lr:g}) or bias_lr ({hyperparameters.bias_lr:g}), give clip_gradient "
            "(1, say), or scale features and labels down"
        )

    def _check(self, batch: Records, channel: str) -> None:
        """Raises UserError for labels that cannot be learned from."""
        if batch.labels is None or batch.labels.shape[1] != 1:
            count = 0 if batch.labels is None else batch.labels.shape[1]
            raise UserError(
                f"{batch.where(0)} has {count or 'no'} labels; channel '{channel}' needs label['values'] "
                "with one number in every record (a CSV its label in the first column)"
            )
        labels = batch.labels[:, 0]
        usable = np.abs(labels) <= LARGEST  # False of NaN
        if not usable.all():
            row = int(np.argmin(usable))
            what = "no label" if np.isnan(labels[row]) else f"the label {labels[row]:g}"
            raise UserError(
                f"{batch.where(row)} has {what}; channel '{channel}' needs a finite number (of 32 bits) as "
                "label['values'] of every record"
            )
        if self.classifier and not ((labels == 0) | (labels == 1)).all():
            row = int(np.argmax((labels != 0) & (labels != 1)))
            raise UserError(
                f"{batch.where(row)} has the label {labels[row]:g}, but predictor_type=binary_classifier "
                "takes 0 and 1: for ratings and other numbers use predictor_type=regressor, or map labels to "
                "0 and 1 (rating >= 4, say)"
            )

    def _warn_of_idle_values(self) -> None:
        hyperparameters = self.hyperparameters
        for group in GROUPS:
            method = getattr(hyperparameters, f"{group}_init_method")
            for name, owner in METHODS.items():
                if f"{group}_init_{name}" in hyperparameters.model_fields_set and method != owner:
                    log.warning(
                        "%s_init_%s is ignored: it belongs to %s_init_method=%s, which is %s",
                        group, name, group, owner, method,
                    )  # fmt: skip
