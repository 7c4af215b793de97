"""Random Cut Forest: one pass draws a sample, the end grows trees over it.

Guha, Mishra, Roy, Schrijvers, "Robust Random Cut Forest Based Anomaly Detection on Streams", ICML 2016; Park,
Ostrouchov, Samatova, Geist, "Reservoir-Based Random Sampling with Replacement from Data Stream", SDM 2004.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping

import numpy as np

from optml import memory
from optml.algorithms.base import Setting
from optml.algorithms.metrics import Metric
from optml.algorithms.random_cut_forest import evaluation
from optml.algorithms.random_cut_forest.forest import Growth, grow
from optml.algorithms.random_cut_forest.hyperparameters import Hyperparameters
from optml.algorithms.random_cut_forest.model import Model
from optml.algorithms.random_cut_forest.sample import KeyedRows, Sample
from optml.errors import UserError
from optml.formats.records import Records

log = logging.getLogger(__name__)

SHUFFLE = "OPTML_RCF_SHUFFLE"  # 1: no tree gets a stretch of the data, but rows from everywhere
DOMINANT = 0.99  # share of one feature in the sum of all ranges: from there on it gets nearly all cuts
SUMMARY_ROWS = 10_000  # of training, whose scores model.json sums up
ALWAYS = {"roc_auc"}  # metrics that no value of eval_metrics asks for


class Learner:
    """State: a sample of at most num_trees * num_samples_per_tree rows."""

    round: int | None = None
    lockstep = False

    def __init__(self, setting: Setting) -> None:
        self.hyperparameters: Hyperparameters = setting.hyperparameters
        self.cluster = setting.cluster
        self.device = setting.device
        self.seed = setting.seed
        self.tuned = setting.tuned
        self.shuffled = os.environ.get(SHUFFLE, "").strip() not in ("", "0")
        self._final: Model | None = None
        parameters = self.hyperparameters
        self.capacity = parameters.num_trees * parameters.num_samples_per_tree
        self._require_memory()
        log.info("Initializing Sampler...")
        self.sample = Sample(self.capacity, parameters.feature_dim, self.seed, self.cluster.rank)
        log.info("Sampler correctly initialized.")
        log.info("Sampling training data...")

    def update(self, batch: Records) -> Iterable[Metric]:
        self.sample.absorb(batch.dense())
        return ()

    def end_round(self) -> Iterable[Metric]:
        log.info("Sampling training data completed.")
        return ()

    def evaluate(self, channel: str, batches: Iterable[Records]) -> Iterable[Metric]:
        """Metrics over the labelled rows of all hosts, by the scores of the final model."""
        if self._final is None:
            raise RuntimeError("Random Cut Forest scores a channel after `finish`")
        scores, anomalous = [np.empty(0)], [np.empty(0, np.bool_)]
        for batch in batches:
            anomalous.append(_anomalous(batch, channel))
            scores.append(self._final.scores(batch.dense()))
        return self._metrics(
            channel,
            np.concatenate(self.cluster.gather(np.concatenate(scores))),
            np.concatenate(self.cluster.gather(np.concatenate(anomalous).astype(np.uint8))).astype(np.bool_),
        )

    def stopping(self) -> None:
        return None

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"seed": np.array(self.seed), **self.sample.state_dict()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.seed = int(state["seed"])
        self.sample.load_state_dict(state)

    def model(self) -> Model | None:
        sample = self.sample.local()
        if sample.rows_seen < self.hyperparameters.num_trees:
            return None
        return self._model(sample, self._grow(sample))

    def finish(self) -> tuple[Model, Iterable[Metric]]:
        log.info("Master node: building Random Cut Forest...")
        log.info("Gathering samples...")
        sample = self.sample.gather(self.cluster)
        log.info("%d samples gathered", len(sample.rows))
        trees = self.hyperparameters.num_trees
        if sample.rows_seen < trees:
            raise UserError(
                f"{sample.rows_seen} rows of channel 'train' cannot fill {trees} trees: "
                "add data, or lower num_trees (not below 50)"
            )
        self._warn(sample)
        log.info("Building Random Cut Forest...")
        growth = self._grow(sample)
        log.info("Random Cut Forest built:\n\n%s", growth.info())
        self._final = self._model(sample, growth)
        return self._final, ()

    def _grow(self, sample: KeyedRows) -> Growth:
        hyperparameters = self.hyperparameters
        return grow(
            sample,
            hyperparameters.num_trees,
            hyperparameters.num_samples_per_tree,
            self.seed,
            shuffled=self.shuffled,
        )

    def _model(self, sample: KeyedRows, growth: Growth) -> Model:
        hyperparameters = self.hyperparameters.model_dump(mode="json")
        model = Model(growth.forest, hyperparameters, device=self.device)
        rows = sample.rows
        if len(rows) > SUMMARY_ROWS:
            rows = rows[np.argpartition(sample.keys, SUMMARY_ROWS)[:SUMMARY_ROWS]]
        scores = model.scores(rows)
        model.facts = {
            "rows_seen": sample.rows_seen,
            "training_score": {
                "rows": len(rows),
                "mean": float(scores.mean()),
                "standard_deviation": float(scores.std()),
                "mean_plus_3_standard_deviations": evaluation.threshold(scores),
            },
        }
        return model

    def _metrics(self, channel: str, scores: np.ndarray, anomalous: np.ndarray) -> list[Metric]:
        metrics = evaluation.measure(scores, anomalous)
        if "roc_auc" not in metrics:
            kind = "1 (anomaly)" if anomalous.all() else "0 (normal)"
            log.warning("every label of channel '%s' is %s: its metrics say little", channel, kind)
        names = set(ALWAYS)
        if "accuracy" in self.hyperparameters.eval_metrics:
            names.add("accuracy")
        if "precision_recall_fscore" in self.hyperparameters.eval_metrics:
            names |= metrics.keys() - {"accuracy"}
        return [
            Metric(f"{channel}:{name}", value)
            for name, value in metrics.items()
            if name in names or f"{channel}:{name}" == self.tuned
        ]

    def _warn(self, sample: KeyedRows) -> None:
        """Of what the forest cannot know and the user may not."""
        rows = sample.rows
        steps = np.diff(rows[:, 0].astype(np.float64))
        monotonic = steps.any() and ((steps >= 0).all() or (steps <= 0).all())
        if monotonic and sample.rows_seen == len(rows) and not self.shuffled:
            log.warning(
                "the rows of channel 'train' are sorted by their first feature, and each tree takes a "
                "stretch of them: set the environment variable %s=1 to shuffle them first",
                SHUFFLE,
            )
        ranges = rows.max(axis=0).astype(np.float64) - rows.min(axis=0)
        if len(ranges) > 1 and ranges.max() > DOMINANT * ranges.sum() > 0:
            log.warning(
                "feature %d (counted from 0) holds %.1f %% of the summed ranges of all %d, so nearly all "
                "cuts are through it: scale the features",
                ranges.argmax(),
                100 * ranges.max() / ranges.sum(),
                len(ranges),
            )

    def _require_memory(self) -> None:
        """Better said now than killed without a word. A sample is at most 3 times its capacity while it is
        cut back; later it stands beside its rows by tree, the forest's points and its boxes, twice these."""
        log.info("Validating memory limits...")
        row = 4 * self.hyperparameters.feature_dim
        sample = 3 * self.capacity * (row + 8)
        size = self.capacity * (6 * row + 64)
        log.info("Available memory in bytes: %d", memory.available())
        log.info("Estimated sample size in bytes: %d", sample)
        log.info("Estimated memory needed to build the forest in bytes: %d", size)
        hyperparameters = self.hyperparameters
        memory.require(
            size,
            f"a sample of num_trees * num_samples_per_tree = {hyperparameters.num_trees} * "
            f"{hyperparameters.num_samples_per_tree} = {self.capacity} rows of "
            f"{hyperparameters.feature_dim} features and the forest of them",
            "lower num_samples_per_tree, or num_trees (not below 50)",
        )
        log.info("Memory limits validated.")


def _anomalous(batch: Records, channel: str) -> np.ndarray:
    """The labels of a batch as true or false (n,)."""
    labels = batch.labels
    if labels is None or labels.shape[1] != 1:
        count = "none" if labels is None else f"{labels.shape[1]} of them"
        raise UserError(
            f"channel '{channel}' needs one label for every row, 1 for an anomaly and 0 for any other, but "
            f"{batch.where(0)} has {count}: put it into the first column of a CSV (text/csv;label_size=1)"
        )
    values = labels[:, 0]
    wrong = ~np.isin(values, (0, 1))
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(
            f"{batch.where(row)} has label {values[row]:g}; expected 1 for an anomaly or 0 for any other row"
        )
    return np.asarray(values == 1)
