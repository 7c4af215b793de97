"""What happens between two rounds, beside boosting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from xgboost import Booster
from xgboost.callback import EarlyStopping, TrainingCallback

from optml.algorithms.xgboost.engine import bare
from optml.algorithms.xgboost.hosts import total

History = dict[str, dict[str, list[float]]]  # channel -> metric -> a value a round


def line(number: int, values: list[tuple[str, float]], tuned_metric: str | None = None) -> str:
    """A round as AWS prints it: `[0]<TAB>train-rmse:2.85015<TAB>validation-rmse:3.03182`.

    wanted: a metric of a tuning job, which gets a value under its bare name where the library's has a suffix.
    """
    pairs = list(values)
    if tuned_metric and not any(name == f"validation-{tuned_metric}" for name, _ in values):
        same = [value for name, value in values if bare(tuned_metric, name.removeprefix("validation-"))]
        pairs += [(f"validation-{tuned_metric}", value) for value in same[-1:]]
    return "\t".join([f"[{number}]", *(f"{name}:{value:.5f}" for name, value in pairs)])


def latest(history: History) -> list[tuple[str, float]]:
    """The newest values, all of the training data first."""
    return [
        (f"{data}-{metric}", values[-1])
        for data, metrics in history.items()
        for metric, values in metrics.items()
    ]


class Lines(TrainingCallback):
    """Prints each round; `first` is the number of the first, after a resume."""

    def __init__(self, report: Callable[[str], None], first: int, tuned_metric: str | None) -> None:
        self._report = report
        self._first = first
        self._tuned_metric = tuned_metric

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self._report(line(self._first + epoch, latest(evals_log), self._tuned_metric))
        return False


class Draws(TrainingCallback):
    """Makes what a round draws follow from the seed and the round's number alone, so that a resumed job draws
    what an undisturbed one does: the library's generator would go on in the one and begin anew in the other.

    grower: the parameters that say how trees are grown, and others that say another way. Told another way and
    back, the library makes its grower anew, and with it the generator that columns are drawn from.
    """

    def __init__(self, seed: int, first: int, grower: tuple[dict[str, Any], dict[str, Any]] | None) -> None:
        self._seed = seed % (1 << 32)
        self._first = first
        self._grower = grower

    def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        if self._grower is not None:
            own, other = self._grower
            model.set_param(other)
            model.num_boosted_rounds()  # parameters are looked at when something is asked
            model.set_param(own)
        seed = np.random.SeedSequence((self._seed, self._first + epoch)).generate_state(1)
        model.set_param({"seed": int(seed[0])})
        return False


class Patience(EarlyStopping):
    """The library's early stopping, which goes on from the best round that a checkpoint's model carries."""

    def __init__(self, rounds: int, metric: str | None, maximize: bool | None, save_best: bool) -> None:
        super().__init__(rounds=rounds, data_name="validation", maximize=maximize, save_best=save_best)
        self._metric = metric

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        names = list(evals_log["validation"])
        metric = self._metric
        self.metric_name = names[-1] if metric is None else next(name for name in names if bare(metric, name))
        best = model.attr("best_score")
        if best is not None and not self.stopping_history:
            self.best_scores = {"validation": {self.metric_name: [float(best)]}}
            self.stopping_history = {"validation": {self.metric_name: [float(best)]}}
            self.current_rounds = self.starting_round - 1 - int(model.attr("best_iteration"))
        stop: bool = super().after_iteration(model, epoch, evals_log)
        return stop


class Save(TrainingCallback):
    """Hands the model as it is after each round to whoever keeps it."""

    def __init__(self, keep: Callable[[int, Booster], None], first: int) -> None:
        self._keep = keep
        self._first = first

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self._keep(self._first + epoch, model)
        return False


class Halt(TrainingCallback):
    """Ends training after a round when any process was told to stop."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self.halted = False

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self.halted = bool(total(np.array([self._stopped()], np.int64))[0])
        return self.halted
