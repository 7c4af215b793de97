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
from optml.algorithms.xgboost.boosting import Plan, boost
from optml.algorithms.xgboost.callbacks import line
from optml.algorithms.xgboost.checkpoints import Checkpoints
from optml.algorithms.xgboost.matrix import Channel, Rows, joined, streamed, whole
from optml.algorithms.xgboost.model import Model
from optml.errors import UserError

log = logging.getLogger(__name__)

PREDICTIONS = "predictions.csv"


def cross_validate(plan: Plan, channels: dict[str, Channel], width: int) -> Model | None:
    """Train and validation rows merged, split num_cv_round times into kfold folds; on several hosts each
    splits its own rows, and a fold's model is trained on all of theirs.

    The models, in the order of folds, and predictions.csv. None: stopped before the first was done.
    """
    h, run = plan.h, plan.run
    assert h.kfold is not None
    rows = joined(block for channel in channels.values() for block in channel.blocks(width))
    classes = h.num_class is not None or h.objective.startswith("binary:")
    log.info("Run %d-round of %d-fold cross validation with %d rows", h.num_cv_round, h.kfold, len(rows))
    recorder = Recorder(rows.labels, h.num_cv_round, classes)
    members: list[Native] = []
    values: list[list[tuple[str, float]]] = []
    for number, (train, held) in enumerate(_splits(plan, rows, classes)):
        log.info("Train cross validation fold %d", number % h.kfold + 1)
        folder = run.checkpoints and run.checkpoints / f"model-{number}"
        evals = _matrices(plan, rows[train], rows[held])
        outcome = boost(plan, evals, Checkpoints(folder) if folder else None)
        if outcome.halted:
            return Model(members) if members and h.save_model_on_termination == "true" else None
        member = Native(outcome.booster, run.setting.device)
        members.append(member)
        values.append(outcome.values)
        recorder.record(held, member.predict(rows.features[held]))
        if len(members) % h.kfold == 0:
            log.info("The metrics of round %d cross validation", len(members) // h.kfold)
            run.report(line(h.num_round, _means(values[-h.kfold :]), plan.wanted))
    if h.num_cv_round > 1:
        log.info("The overall metrics of %d-round cross validation", h.num_cv_round)
        run.report(line(h.num_round, _means(values), plan.wanted))
    table = np.concatenate(run.setting.cluster.gather(recorder.table()))
    if run.setting.cluster.rank == 0:
        _save(table, run.output)
    return Model(members, feature_names=plan.names)


def _splits(plan: Plan, rows: Rows, classes: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold

    h = plan.h
    if rows.groups is not None:
        raise UserError(
            "_kfold parts rows at random, which the queries of a ranking do not survive: leave it out"
        )
    assert h.kfold is not None
    if not len(rows):  # this host got none of a sharded channel, and takes part without
        yield from [(np.empty(0, np.intp), np.empty(0, np.intp))] * (h.kfold * h.num_cv_round)
        return
    if len(rows) < h.kfold:
        raise UserError(
            f"_kfold={h.kfold} needs as many rows at least on each host, but there are {len(rows)}"
        )
    splitter = RepeatedStratifiedKFold if classes else RepeatedKFold
    folds = splitter(n_splits=h.kfold, n_repeats=h.num_cv_round, random_state=plan.run.setting.seed)
    try:
        yield from folds.split(np.zeros(len(rows)), rows.labels)
    except ValueError as error:  # a class has fewer rows than there are folds
        raise UserError(f"_kfold={h.kfold} cannot part these rows: {error}") from None


def _matrices(plan: Plan, train: Rows, held: Rows) -> list[tuple[xgboost.DMatrix, str]]:
    if not engine.histogram(plan.h):
        return [(whole(train, plan.h), "train"), (whole(held, plan.h), "validation")]
    matrix = streamed(lambda: iter([train]), plan.h)
    return [(matrix, "train"), (streamed(lambda: iter([held]), plan.h, matrix), "validation")]


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
    _seen: np.ndarray = field(init=False)  # (n,) how often each row was predicted
    _said: np.ndarray = field(init=False)  # (n, rounds) numbers, or classes
    _sure: np.ndarray = field(init=False)  # (n, rounds) probabilities of these
    _dimensions: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._seen = np.zeros(len(self.labels), np.intp)
        self._said = np.zeros((len(self.labels), self.rounds))
        self._sure = np.zeros((len(self.labels), self.rounds))

    def record(self, rows: np.ndarray, predictions: np.ndarray) -> None:
        """Raises ValueError for a row predicted more often than there are rounds, and for predictions of
        another number of dimensions than before."""
        if self._dimensions not in (None, predictions.ndim):
            raise ValueError(f"expected predictions of {self._dimensions} dimensions, got {predictions.ndim}")
        self._dimensions = predictions.ndim
        turn = self._seen[rows]
        if (turn == self.rounds).any():
            raise ValueError(f"more than {self.rounds} predictions for the same row")
        if self.classes and predictions.ndim > 1:
            self._said[rows, turn], self._sure[rows, turn] = (
                predictions.argmax(axis=1),
                predictions.max(axis=1),
            )
        elif self.classes:
            self._said[rows, turn], self._sure[rows, turn] = predictions > 0.5, predictions
        else:
            self._said[rows, turn] = predictions
        self._seen[rows] += 1

    def table(self) -> np.ndarray:
        """(n, 2) label and mean; of classes (n, 3) label, mean probability, and the class said most often.
        Raises ValueError where a row was predicted less often than there are rounds."""
        if not (self._seen == self.rounds).all():
            raise ValueError(f"some rows have fewer than {self.rounds} predictions")
        if not len(self.labels):
            return np.empty((0, 3 if self.classes else 2))
        if not self.classes:
            return np.column_stack([self.labels, self._said.mean(axis=1)])
        said = np.unique(self._said)
        votes = (self._said[:, :, None] == said).sum(axis=1)  # (n, classes)
        return np.column_stack([self.labels, self._sure.mean(axis=1), said[votes.argmax(axis=1)]])


def _save(table: np.ndarray, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    log.info("Storing predictions on validation set(s) in %s", folder / PREDICTIONS)
    np.savetxt(folder / PREDICTIONS, table, fmt="%f", delimiter=",")
