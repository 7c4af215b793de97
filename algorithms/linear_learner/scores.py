"""How good models are on a channel: the objective of each, the choice among them, the metrics of one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optml import memory
from optml.algorithms.cluster import Cluster
from optml.algorithms.linear_learner.calibration import (
    NATURAL,
    Calibration,
    Choice,
    Sweep,
    alike,
    calibrate,
    choose,
)
from optml.algorithms.linear_learner.hyperparameters import Hyperparameters
from optml.algorithms.linear_learner.losses import Loss
from optml.algorithms.linear_learner.model import answers_of
from optml.algorithms.metrics import Metric

MOST_SCORES = 10_000_000  # of a final binary model: beyond so many rows its metrics are a sample's
LEAST_PROBABILITY = 1e-15  # in multiclass_log_loss


class Scores:
    """Absorbs the scores that M models give to the rows of a channel.

    classes: C, the outputs of a model: the classes of a multiclass classifier, else 1.
    weights: (classes, M) or (classes, 1) weights of the classes in the objective, or None.
    unit:    standard deviation that training labels were divided by: scales d of huber_loss and t of the
             eps_insensitive losses, so that the objective is that of training in other units.
    kept:    of a binary classifier, most rows whose scores are kept, M float32 each; of more, a sample drawn
             with `seed`. None: num_calibration_samples. Of other predictors nothing is kept.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        models: int,
        classes: int,
        *,
        weights: np.ndarray | None = None,
        unit: float = 1.0,
        sample_size: int | None = None,
        seed: int = 0,
    ) -> None:
        self.hyperparameters = hyperparameters
        self.loss = Loss.of(hyperparameters).in_units_of(unit)
        self.weights = weights
        self.rows = np.zeros(1, np.int64)
        self.losses = np.zeros(models)  # sums over the rows
        self.sample = _Sample(models, sample_size or hyperparameters.calibration_rows, seed)
        self._errors = np.zeros(2)  # of one regressor: sums of squared and of absolute ones
        self._ranks = np.zeros(3)  # of one multiclass model: sums of hits in the top k, gain, log loss
        self._counts = np.zeros((3, classes if models == 1 else 0), np.int64)  # hits, predicted, true

    def add(self, z: np.ndarray, labels: np.ndarray) -> None:
        """z: (n, M, C) float32 raw scores, a regressor's in units of the label.   labels: (n,) float64."""
        self.rows += len(z)
        with np.errstate(over="ignore", invalid="ignore"):  # of models that diverged
            values = self.loss.value(z, labels)  # (n, M)
        weighted_values = values if self.weights is None else values * self.weights[labels.astype(np.intp)]
        self.losses += weighted_values.sum(axis=0)
        match self.hyperparameters.predictor_type:
            case "binary_classifier":
                self.sample.add(answers_of(z[:, :, 0], self.loss.name), labels > 0)
            case "regressor" if len(self.losses) == 1:
                errors = z[:, 0, 0] - labels
                self._errors += errors @ errors, np.abs(errors).sum()
            case "multiclass_classifier" if len(self.losses) == 1:
                self._add_ranks(z[:, 0], labels.astype(np.intp), values[:, 0])

    def _add_ranks(self, z: np.ndarray, labels: np.ndarray, values: np.ndarray) -> None:
        own = np.take_along_axis(z, labels[:, None], axis=1)
        earlier = np.arange(z.shape[1]) < labels[:, None]  # of equal scores the first class is predicted
        rank = 1 + (z > own).sum(axis=1) + ((z == own) & earlier).sum(axis=1)
        log_loss = np.minimum(values, -np.log(LEAST_PROBABILITY))
        top = rank <= self.hyperparameters.accuracy_top_k
        self._ranks += top.sum(), (1 / np.log2(1 + rank)).sum(), log_loss.sum()
        classes = z.shape[1]
        for place, members in enumerate((labels[rank == 1], z.argmax(axis=1), labels)):
            self._counts[place] += np.bincount(members, minlength=classes)

    def merge(self, cluster: Cluster) -> None:
        """Take together what the hosts absorbed; the same on all of them."""
        if cluster.size > 1:
            cluster.all_sum(self.rows, self.losses, self._errors, self._ranks, self._counts)
            self.sample.merge(cluster)

    def objective(self) -> np.ndarray:
        """Mean loss of each model, (M,) float64; NaN where there are no rows."""
        return self.losses / self.rows if self.rows[0] else np.full(len(self.losses), np.nan)

    def choose(self) -> Choice:
        """The best model, and every model's threshold. Of a binary classifier by its criterion, and of those
        that it does not tell apart by the objective; of others by the objective alone. A model whose scores
        are not finite has the value NaN and is never the best of several."""
        hyperparameters = self.hyperparameters
        objective = self.objective()
        binary = hyperparameters.predictor_type == "binary_classifier"
        if not binary or hyperparameters.criterion == "loss_function":
            name = "sampled_loss_function" if binary else f"{self.loss.token}_objective"
            best = 0 if np.isnan(objective).all() else int(np.nanargmin(objective))
            return Choice(objective, np.full(len(objective), NATURAL), best, name, maximize=False)
        labels = self.sample.labels()
        models = []
        for model, value in enumerate(objective):
            sound = len(labels) > 0 and np.isfinite(value)
            scores = self.sample.scores(model)
            models.append(calibrate(Sweep.of(scores, labels), hyperparameters) if sound else Calibration())
        choice = choose(models, hyperparameters)
        if not np.isfinite(choice.value):
            return choice
        rivals = alike(models, choice.best, self.sample.scores, labels, hyperparameters)
        if self.weights is not None:  # objectives that weigh rows alike
            rivals &= (self.weights == self.weights[:, choice.best :][:, :1]).all(axis=0)
        return replace(choice, best=int(np.where(rivals, objective, np.inf).argmin()))

    def metrics(self, channel: str, threshold: float = NATURAL) -> list[Metric]:
        """The values of one final model (M = 1), in the order in which AWS's image prints them."""
        final = "" if channel == "test" else ":final"
        objective = Metric(
            f"{channel}:objective_loss{final}", float(self.objective()[0]), token=self.loss.token
        )
        of = {
            "binary_classifier": self._of_binary,
            "multiclass_classifier": self._of_multiclass,
            "regressor": self._of_regressor,
        }[self.hyperparameters.predictor_type]
        return [
            objective,
            *(Metric(f"{channel}:{name}", value, token=token) for name, value, token in of(threshold)),
        ]

    def _of_binary(self, threshold: float) -> list[tuple[str, float, str]]:
        beta = self.hyperparameters.f_beta
        labels = self.sample.labels()
        nan = float("nan")
        accuracy = f = precision = recall = auc = nan
        if len(labels) and np.isfinite(self.losses[0]):
            sweep = Sweep.of(self.sample.scores(0), labels)
            at = int(np.searchsorted(sweep.scores, np.float32(threshold), side="right"))  # rows not above it
            place = int(np.searchsorted(sweep.below, at))
            accuracy, precision, recall, f = (
                float(curve[place])
                for curve in (sweep.accuracy(), sweep.precision(), sweep.recall(), sweep.f(beta))
            )
            auc = sweep.auc()
        return [
            ("binary_classification_accuracy", accuracy, ""),
            ("binary_f_beta", f, f"{beta:.3f}"),
            ("precision", precision, ""),
            ("recall", recall, ""),
            ("roc_auc_score", auc, ""),
        ]

    def _of_regressor(self, threshold: float) -> list[tuple[str, float, str]]:
        squared, absolute = (self._errors / (self.rows[0] or np.nan)).tolist()
        return [("mse", squared, ""), ("absolute_loss", absolute, ""), ("rmse", float(np.sqrt(squared)), "")]

    def _of_multiclass(self, threshold: float) -> list[tuple[str, float, str]]:
        """Means over the classes take those that occur among labels or predictions, as scikit-learn's do;
        balanced accuracy is the mean recall of those among the labels."""
        hyperparameters = self.hyperparameters
        hits, answers, true = self._counts
        occurs = answers + true > 0
        recalls = hits / np.maximum(true, 1)
        precisions = hits / np.maximum(answers, 1)
        square = hyperparameters.f_beta**2
        fs = (1 + square) * hits / np.maximum(square * true + answers, 1e-300)
        rows = self.rows[0] or np.nan
        top, gain, log_loss = (self._ranks / rows).tolist()
        return [
            ("multiclass_accuracy", float(hits.sum() / rows), ""),
            ("multiclass_top_k_accuracy", top, f"{hyperparameters.accuracy_top_k:d}"),
            ("dcg", gain, ""),
            ("macro_recall", _mean(recalls[occurs]), ""),
            ("macro_precision", _mean(precisions[occurs]), ""),
            ("macro_f_beta", _mean(fs[occurs]), f"{hyperparameters.f_beta:.3f}"),
            ("multiclass_balanced_accuracy", _mean(recalls[true > 0]), ""),
            ("multiclass_log_loss", log_loss, ""),
        ]


class _Sample:
    """Scores (M, n) float32 and labels of at most `most` rows, of more a uniform sample: each row draws a
    number, and those with the smallest stay. Whether a row stays does not depend on its scores."""

    def __init__(self, models: int, most: int, seed: int) -> None:
        self._models = models
        self._most = most
        self._seed = seed
        self._draws = np.random.default_rng(seed)
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # scores, labels, numbers drawn
        self._rows = 0

    def add(self, scores: np.ndarray, labels: np.ndarray) -> None:
        """scores: (n, M) float32.   labels: (n,) bool."""
        draws = self._draws.random(len(labels), dtype=np.float32)
        self._parts.append((np.ascontiguousarray(scores.T), labels, draws))
        self._rows += len(labels)
        if self._rows > 2 * self._most:
            self._prune()
        self._require_memory()

    def labels(self) -> np.ndarray:
        if len(self._parts) != 1:
            self._join()
        if self._rows > self._most:
            self._prune()
        return self._parts[0][1]

    def scores(self, model: int) -> np.ndarray:
        """The scores of a model in the order of `labels`."""
        scores: np.ndarray = self._parts[0][0][model]
        return scores

    def merge(self, cluster: Cluster) -> None:
        self.labels()
        scores, labels, draws = self._parts[0]
        columns = zip(
            cluster.gather(np.ascontiguousarray(scores.T)),
            cluster.gather(labels.astype(np.uint8)),
            cluster.gather(draws),
            strict=True,
        )
        self._parts = [(rows.T, truth.astype(bool), numbers) for rows, truth, numbers in columns]
        self._rows = sum(len(part[1]) for part in self._parts)

    def _join(self) -> None:
        parts = self._parts or [
            (np.empty((self._models, 0), np.float32), np.empty(0, bool), np.empty(0, np.float32))
        ]
        scores, labels, draws = (np.concatenate(column, axis=-1) for column in zip(*parts, strict=True))
        self._parts = [(np.ascontiguousarray(scores), labels, draws)]

    def _prune(self) -> None:
        self._join()
        scores, labels, draws = self._parts[0]
        places = np.sort(np.argpartition(draws, self._most)[: self._most])
        self._parts = [(scores[:, places], labels[places], draws[places])]
        self._rows = len(places)

    def _require_memory(self) -> None:
        size = 8 * self._models * self._rows  # two copies, while they are joined
        what = f"the scores of {self._models} models for {self._rows} rows, of which thresholds are chosen,"
        memory.require(size, what, "lower num_calibration_samples or num_models")


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
