"""The threshold of a binary classifier, and the best of the models trained side by side.

Candidates for a threshold are the midpoints between neighbouring distinct scores, one below all scores and
one that none exceeds. One sort of the scores gives the confusion matrix at every candidate, and by that the
criterion; of equally good candidates the one closest to 0.5 is taken. A row is positive if its score lies
above the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from optml.algorithms.linear_learner.hyperparameters import Hyperparameters

NATURAL = 0.5  # threshold of a probability, and of hinge_loss as it is defined here


@dataclass(frozen=True, slots=True)
class Choice:
    """values: (M,) criterion of each model.   thresholds: (M,), exact in float32.   best: the model chosen.
    name: of the criterion, as log lines print it.   warning: what the user should know of it, or ""."""

    values: np.ndarray
    thresholds: np.ndarray
    best: int
    name: str
    maximize: bool
    warning: str = ""

    @classmethod
    def of_state_dict(cls, state: Mapping[str, np.ndarray]) -> Choice | None:
        """What `state_dict` left, without the name, which only the evaluation's own log line tells."""
        if "choice_best" not in state:
            return None
        values, thresholds = np.array(state["choice_values"]), np.array(state["choice_thresholds"])
        warning = np.asarray(state["choice_warning"]).tobytes().decode()
        return cls(values, thresholds, int(state["choice_best"]), "", maximize=False, warning=warning)

    def state_dict(self) -> dict[str, np.ndarray]:
        return {
            "choice_values": self.values,
            "choice_thresholds": self.thresholds,
            "choice_best": np.array(self.best),
            "choice_warning": np.frombuffer(self.warning.encode(), np.uint8),
        }

    @property
    def value(self) -> float:
        """The criterion of the best model."""
        return float(self.values[self.best])


@dataclass(frozen=True, slots=True)
class Sweep:
    """Confusion matrices of n rows at k candidates, by ascending threshold.

    scores: (n,) float32, sorted.   below: (k,) rows not above each candidate.
    true_negatives, true_positives: (k,) int64.
    """

    scores: np.ndarray
    below: np.ndarray
    true_negatives: np.ndarray
    true_positives: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, labels: np.ndarray) -> Sweep:
        """scores: (n,) float32 without NaN, n > 0.   labels: (n,) bool."""
        # Integers that sort as the scores do, with the label behind: so one sort takes both along.
        bits = (scores + np.float32(0)).view(np.int32)  # -0.0 is 0.0
        keys = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64)
        keys <<= 1
        keys |= labels
        keys.sort()
        positives_up_to = np.cumsum(keys & 1)
        keys >>= 1
        ends = np.flatnonzero(keys[1:] != keys[:-1])
        bits = keys.astype(np.int32)
        n, positives = len(keys), positives_up_to[-1]
        below = np.concatenate([[0], ends + 1, [n]])
        positives_below = np.concatenate([[0], positives_up_to[ends], [positives]])
        return cls(
            (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(np.float32),
            below,
            below - positives_below,
            positives - positives_below,
        )

    @property
    def positives(self) -> int:
        return int(self.true_positives[0])

    @property
    def negatives(self) -> int:
        return int(self.true_negatives[-1])

    @property
    def false_positives(self) -> np.ndarray:
        return self.negatives - self.true_negatives

    def accuracy(self) -> np.ndarray:
        return np.asarray((self.true_positives + self.true_negatives) / len(self.scores))

    def precision(self) -> np.ndarray:
        """Of what is called positive, the share that is; 0 where nothing is."""
        return np.asarray(self.true_positives / np.maximum(self.true_positives + self.false_positives, 1))

    def recall(self) -> np.ndarray:
        """Of the positives, the share that is called so; 0 where there are none."""
        return np.asarray(self.true_positives / max(self.positives, 1))

    def f(self, beta: float) -> np.ndarray:
        """F_beta = (1 + beta^2) TP / ((1 + beta^2) TP + beta^2 FN + FP); 0 where no row counts."""
        hits = (1 + beta * beta) * self.true_positives
        misses = self.positives - self.true_positives
        total = hits + beta * beta * misses + self.false_positives
        return np.asarray(hits / np.where(total > 0, total, 1))

    def auc(self) -> float:
        """Area under the ROC curve, ties counted half; NaN where one class has no rows."""
        if not self.positives or not self.negatives:
            return float("nan")
        # Positives between two candidates, times the negatives below and half of those between.
        here = -np.diff(self.true_positives)
        middle = (self.true_negatives[1:] + self.true_negatives[:-1]) / 2
        return float(here @ middle / (self.positives * self.negatives))

    def threshold(self, good: np.ndarray) -> tuple[int, float]:
        """Of the candidates where `good`, (k,) bool, the one closest to 0.5, and its threshold."""
        places = np.flatnonzero(good)
        below = self.below[places]
        n = len(self.scores)
        low, high = self.scores[np.maximum(below - 1, 0)], self.scores[np.minimum(below, n - 1)]
        thresholds = ((low.astype(np.float64) + high) / 2).astype(np.float32)
        thresholds = np.where(thresholds < high, thresholds, low)  # no float32 lies between them
        thresholds = np.where(below == 0, np.nextafter(high, np.float32(-np.inf)), thresholds)
        nearest = int(np.abs(thresholds - NATURAL).argmin())
        return int(places[nearest]), float(thresholds[nearest])


@dataclass(frozen=True, slots=True)
class Calibration:
    """What one model reaches at its threshold. held: of a criterion with a target, the quantity to hold."""

    threshold: float = NATURAL
    value: float = float("nan")
    on_target: bool = True
    bound: float = float("nan")


def calibrate(sweep: Sweep, hyperparameters: Hyperparameters) -> Calibration:
    """The threshold that is best by `binary_classifier_model_selection_criteria`.

    A target that no candidate reaches: the candidate that comes closest to it."""
    criterion = hyperparameters.criterion
    if criterion in ("precision_at_target_recall", "recall_at_target_precision"):
        value, bound, target = sweep.precision(), sweep.recall(), hyperparameters.target_recall
        if criterion == "recall_at_target_precision":
            value, bound, target = bound, value, hyperparameters.target_precision
        eligible = bound >= min(target, bound.max())
        best = np.where(eligible, value, -1)
        place, threshold = sweep.threshold(best == best.max())
        return Calibration(threshold, float(value[place]), bool(bound[place] >= target), float(bound[place]))
    value = sweep.accuracy() if criterion == "accuracy" else sweep.f(hyperparameters.criterion_beta)
    place, threshold = sweep.threshold(value == value.max())
    return Calibration(threshold, float(value[place]))


def choose(models: Sequence[Calibration], hyperparameters: Hyperparameters) -> Choice:
    """The best of calibrated models; those that reach the target come before those that do not, and a model
    whose value is NaN (it diverged) comes last."""

    def rank(model: Calibration) -> tuple[bool, bool, float, float]:
        return (
            model.value == model.value,
            model.on_target,
            0.0 if model.on_target else model.bound,
            model.value,
        )

    best = max(range(len(models)), key=lambda index: rank(models[index]))
    return Choice(
        np.array([model.value for model in models]),
        np.array([model.threshold for model in models]),
        best,
        f"sampled_{hyperparameters.criterion}",
        maximize=True,
        warning="" if models[best].on_target else _warning(models[best], hyperparameters),
    )


def alike(
    models: Sequence[Calibration],
    best: int,
    scores: Callable[[int], np.ndarray],
    labels: np.ndarray,
    hyperparameters: Hyperparameters,
) -> np.ndarray:
    """(M,) bool: models that the criterion does not tell from the best one: values that differ by no more
    than the standard error of the difference, over the rows that they are judged by.

    scores: of a model, those (n,) of the rows.   labels: (n,) bool.
    """

    def parts(model: int) -> np.ndarray:
        return _parts(scores(model) > np.float32(models[model].threshold), labels, hyperparameters)

    of_best = parts(best)
    mask = np.zeros(len(models), bool)
    for place, model in enumerate(models):
        if model.value == model.value and model.on_target == models[best].on_target:
            error = np.sqrt(np.square(of_best - parts(place)).sum()) / len(labels)
            mask[place] = models[best].value - model.value <= error
    mask[best] = True
    return mask


def _parts(answers: np.ndarray, labels: np.ndarray, hyperparameters: Hyperparameters) -> np.ndarray:
    """What each row (n,) adds to a criterion, less the mean: criteria are ratios of sums over the rows, here
    linearised (the delta method)."""
    hits = (answers & labels).astype(np.float64)
    match hyperparameters.criterion:
        case "accuracy":
            over, under = (answers == labels).astype(np.float64), np.ones(len(labels))
        case "f_beta":
            square = hyperparameters.criterion_beta**2
            over, under = (1 + square) * hits, answers + square * labels
        case "precision_at_target_recall":
            over, under = hits, answers.astype(np.float64)
        case _:
            over, under = hits, labels.astype(np.float64)
    mean = max(under.mean(), 1 / len(labels))
    return np.asarray((over - over.mean() / mean * under) / mean)


def _warning(model: Calibration, hyperparameters: Hyperparameters) -> str:
    bound, value, target = "recall", "precision", hyperparameters.target_recall
    if hyperparameters.criterion == "recall_at_target_precision":
        bound, value, target = value, bound, hyperparameters.target_precision
    return (
        f"no threshold reaches target_{bound}={target:g}: the best reachable {bound} is "
        f"{model.bound:.6g}, at threshold {model.threshold:.6g}, where {value} is {model.value:.6g}; "
        f"lower target_{bound}, train longer or on more features, or choose by f_beta"
    )
