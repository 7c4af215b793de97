"""Repeated k-fold cross-validation: a model a fold, and each row predicted by models that never saw it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xgboost

from optml.algorithms.xgboost import engine
from optml.algorithms.xgboost.boosters import Native
from optml.algorithms.xgboost.boosting import BoostingPlan, boost
from optml.algorithms.xgboost.callbacks import line
from optml.algorithms.xgboost.checkpoints import Checkpoints
from optml.algorithms.xgboost.matrix import Channel, Rows, join, stream, whole
from optml.algorithms.xgboost.model import Model
from optml.errors import UserError

log = logging.getLogger(__name__)

PREDICTIONS = "predictions.csv"


def cross_validate(plan: BoostingPlan, channels: dict[str, Channel], width: int) -> Model | None:
    """Train and validation rows merged, split num_cv_round times into kfold folds; on several hosts each
    splits its own rows, and a fold's model is trained on all of theirs.

    The models, in the order of folds, and predictions.csv. None: stopped before the first was done.
    """
    hyperparameters, run = plan.hyperparameters, plan.run
    assert hyperparameters.kfold is not None
    rows = join(block for channel in channels.values() for block in channel.blocks(width))
    classes = hyperparameters.num_class is not None or hyperparameters.objective.startswith("binary:")
    log.info(
        "Run %d-round of %d-fold cross validation with %d rows",
        hyperparameters.num_cv_round,
        hyperparameters.kfold,
        len(rows),
    )
    recorder = Recorder(rows.labels, hyperparameters.num_cv_round, classes)
    members: list[Native] = []
    values: list[list[tuple[str, float]]] = []
    for number, (train, validation) in enumerate(_splits(plan, rows, classes)):
        log.info("Train cross validation fold %d", number % hyperparameters.kfold + 1)
        folder = run.checkpoints and run.checkpoints / f"model-{number}"
        evals = _matrices(plan, rows[train], rows[validation])
        outcome = boost(plan, evals, Checkpoints(folder) if folder else None)
        if outcome.halted:
            return Model(members) if members and hyperparameters.save_model_on_termination == "true" else None
        member = Native(outcome.booster, run.setting.device)
        members.append(member)
        values.append(outcome.values)
        recorder.record(validation, member.predict(rows.features[validation]))
        if len(members) % hyperparameters.kfold == 0:
            log.info("The metrics of round %d cross validation", len(members) // hyperparameters.kfold)
            run.report(
                line(hyperparameters.num_round, _means(values[-hyperparameters.kfold :]), plan.tuned_metric)
            )
    if hyperparameters.num_cv_round > 1:
        log.info("The overall metrics of %d-round cross validation", hyperparameters.num_cv_round)
        run.report(line(hyperparameters.num_round, _means(values), plan.tuned_metric))
    table = np.concatenate(run.setting.cluster.gather(recorder.table()))
    if run.setting.cluster.rank == 0:
        _save(table, run.output)
    return Model(members, feature_names=plan.names)


def _splits(plan: BoostingPlan, rows: Rows, classes: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold

    hyperparameters = plan.hyperparameters
    if rows.groups is not None:
        raise UserError(
            "_kfold parts rows at random, which the queries of a ranking do not survive: leave it out"
        )
    assert hyperparameters.kfold is not None
    if not len(rows):  # this host got none of a sharded channel, and takes part without
        yield from [(np.empty(0, np.intp), np.empty(0, np.intp))] * (
            hyperparameters.kfold * hyperparameters.num_cv_round
        )
        return
    if len(rows) < hyperparameters.kfold:
        raise UserError(
            f"_kfold={hyperparameters.kfold} needs as many rows at least on each host, but there are "
            f"{len(rows)}"
        )
    splitter = RepeatedStratifiedKFold if classes else RepeatedKFold
    folds = splitter(
        n_splits=hyperparameters.kfold,
        n_repeats=hyperparameters.num_cv_round,
        random_state=plan.run.setting.seed,
    )
    try:
        yield from folds.split(np.zeros(len(rows)), rows.labels)
    except ValueError as error:  # a class has fewer rows than there are folds
        raise UserError(f"_kfold={hyperparameters.kfold} cannot part these rows: {error}") from None


def _matrices(plan: BoostingPlan, train: Rows, validation: Rows) -> list[tuple[xgboost.DMatrix, str]]:
    if not engine.histogram(plan.hyperparameters):
        return [
            (whole(train, plan.hyperparameters), "train"),
            (whole(validation, plan.hyperparameters), "validation"),
        ]
    matrix = stream(lambda: iter([train]), plan.hyperparameters)
    return [
        (matrix, "train"),
        (stream(lambda: iter([validation]), plan.hyperparameters, matrix), "validation"),
    ]


def _means(values: list[list[tuple[str, float]]]) -> list[tuple[str, float]]:
    return [(name, float(np.mean([dict(fold)[name] for fold in values]))) for name, _ in values[0]]


@dataclass
class Recorder:
    """What the models that have not seen a row say of it: once in each of the rounds.

    labels: (n,). classes: keep a class and its probability, not a number.
    """

    labels: np.ndarray
    rounds: int
    classes: bool
    _counts: np.ndarray = field(init=False)  # (n,) how often each row was predicted
    _answers: np.ndarray = field(init=False)  # (n, rounds) numbers, or classes
    _sure: np.ndarray = field(init=False)  # (n, rounds) probabilities of these
    _dimensions: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._counts = np.zeros(len(self.labels), np.intp)
        self._answers = np.zeros((len(self.labels), self.rounds))
        self._sure = np.zeros((len(self.labels), self.rounds))

    def record(self, rows: np.ndarray, predictions: np.ndarray) -> None:
        """Raises ValueError for a row predicted more often than there are rounds, and for predictions of
        another number of dimensions than before."""
        if self._dimensions not in (None, predictions.ndim):
            raise ValueError(f"expected predictions of {self._dimensions} dimensions, got {predictions.ndim}")
        self._dimensions = predictions.ndim
        turn = self._counts[rows]
        if (turn == self.rounds).any():
            raise ValueError(f"more than {self.rounds} predictions for the same row")
        if self.classes and predictions.ndim > 1:
            self._answers[rows, turn], self._sure[rows, turn] = (
                predictions.argmax(axis=1),
                predictions.max(axis=1),
            )
        elif self.classes:
            self._answers[rows, turn], self._sure[rows, turn] = predictions > 0.5, predictions
        else:
            self._answers[rows, turn] = predictions
        self._counts[rows] += 1

    def table(self) -> np.ndarray:
        """(n, 2) label and mean; of classes (n, 3) label, mean probability, and the class said most often.
        Raises ValueError where a row was predicted less often than there are rounds."""
        if not (self._counts == self.rounds).all():
            raise ValueError(f"some rows have fewer than {self.rounds} predictions")
        if not len(self.labels):
            return np.empty((0, 3 if self.classes else 2))
        if not self.classes:
            return np.column_stack([self.labels, self._answers.mean(axis=1)])
        answers = np.unique(self._answers)
        votes = (self._answers[:, :, None] == answers).sum(axis=1)  # (n, classes)
        return np.column_stack([self.labels, self._sure.mean(axis=1), answers[votes.argmax(axis=1)]])


def _save(table: np.ndarray, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    log.info("Storing predictions on validation set(s) in %s", folder / PREDICTIONS)
    np.savetxt(folder / PREDICTIONS, table, fmt="%f", delimiter=",")
