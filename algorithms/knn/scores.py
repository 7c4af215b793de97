"""How good the answers are that a model gives for rows with known labels."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np

from optml.algorithms.cluster import Cluster
from optml.algorithms.knn.model import Model
from optml.algorithms.metrics import Metric
from optml.errors import UserError

log = logging.getLogger(__name__)

BETA = "1.000"


class Scores:
    """Sums over the rows of one channel, for k neighbours and, from the same search, for fewer."""

    def __init__(self, model: Model, k: int) -> None:
        self._model = model
        self._classifier = model.settings.predictor_type == "classifier"
        self._fewer = [*(f for f in _ladder(k) if f < k), k]
        self._sums = np.zeros(len(self._fewer))  # right answers, or squared errors
        self._count = 0
        self._table = np.empty((0, 4))  # label, right answers, answers, rows with it

    def add(self, rows: np.ndarray, labels: np.ndarray) -> None:
        """Rows (n, d) float32 whose labels (n,) float32 are known."""
        near = self._model.neighbours(rows)
        for place, k in enumerate(self._fewer):
            answers = self._model.judge(near, k)
            if self._classifier:
                self._sums[place] += np.count_nonzero(answers == labels)
            else:
                self._sums[place] += np.square(answers - labels, dtype=np.float64).sum()
        self._count += len(labels)
        if self._classifier:
            self._table = _add([self._table, _table(answers, labels)])

    def metrics(self, channel: str, cluster: Cluster) -> Iterable[Metric]:
        """Over the rows of all hosts; a line of the log has them for fewer neighbours. Raises UserError where
        there were none."""
        sums = np.append(self._sums, self._count)
        cluster.all_sum(sums)
        if not sums[-1]:
            raise UserError(f"channel '{channel}' holds no row to score: each has a NaN (or nothing) in it")
        means = sums[:-1] / sums[-1]
        name = "accuracy" if self._classifier else "mse"
        values = ", ".join(f"k={k}: {value:.6g}" for k, value in zip(self._fewer, means, strict=True))
        if cluster.rank == 0:
            log.info("%s %s by the number of neighbours: %s", channel, name, values)
        value = float(means[-1])
        if not self._classifier:
            return [Metric(f"{channel}:mse", value)]
        _, right, answered, real = _add(cluster.gather(self._table)).T
        f1 = 2 * right / (answered + real)
        macro = Metric(f"{channel}:macro_f_beta", float(f1.mean()), token=BETA)
        return [Metric(f"{channel}:accuracy", value), macro]


def _ladder(k: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... up to k."""
    return [step * 10**power for power in range(len(str(k))) for step in (1, 2, 5)]


def _table(answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    right = answers == labels
    return _add(
        [
            np.stack([answers, right, np.ones(len(labels)), np.zeros(len(labels))], axis=1),
            np.stack([labels, *np.zeros((2, len(labels))), np.ones(len(labels))], axis=1),
        ]
    )


def _add(tables: list[np.ndarray]) -> np.ndarray:
    """Tables (., 4) as one with each label once."""
    table = np.concatenate(tables)
    labels, places = np.unique(table[:, 0], return_inverse=True)
    sums = [np.bincount(places, column, len(labels)) for column in table[:, 1:].T]
    return np.stack([labels, *sums], axis=1)
