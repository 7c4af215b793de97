"""One boosting run: its rounds, its checkpoints, and what a job asks of every booster."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost
from xgboost.callback import TrainingCallback

from optml.algorithms.base import Run
from optml.algorithms.xgboost import engine, metrics
from optml.algorithms.xgboost.boosters import Native
from optml.algorithms.xgboost.callbacks import Draws, Halt, History, Lines, Patience, Save, latest
from optml.algorithms.xgboost.checkpoints import Checkpoints, content, restore
from optml.algorithms.xgboost.hosts import total
from optml.algorithms.xgboost.hyperparameters import Hyperparameters
from optml.algorithms.xgboost.model import Model
from optml.algorithms.xgboost.names import MAXIMIZED, base_name, ours
from optml.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BoostingPlan:
    """What every booster of a job is trained with."""

    hyperparameters: Hyperparameters
    parameters: dict[str, Any]
    metric: Callable[[np.ndarray, Any], list[tuple[str, float]]] | None
    driver: str | None  # the metric of early stopping
    tuned_metric: str | None  # the metric of a tuning job, without its channel
    run: Run
    names: tuple[str, ...] = ()  # of the features, where the data tell any

    @classmethod
    def of(cls, run: Run) -> BoostingPlan:
        hyperparameters: Hyperparameters = run.setting.hyperparameters
        tuned = run.setting.tuned
        names = engine.metrics(hyperparameters, tuned)
        own_names = [name for name in names if ours(name, hyperparameters.objective)]
        return cls(
            hyperparameters,
            engine.parameters(hyperparameters, names, _device(run), run.setting.seed),
            metrics.function(own_names, hyperparameters.objective, hyperparameters.num_class, total),
            engine.driver(hyperparameters, tuned),
            tuned.partition(":")[2] if tuned else None,
            run,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """A booster, the values of its last round, and whether it was stopped on the way."""

    booster: xgboost.Booster
    values: list[tuple[str, float]]
    halted: bool


def boost(
    plan: BoostingPlan,
    evals: list[tuple[xgboost.DMatrix, str]],
    checkpoints: Checkpoints | None,
    start: xgboost.Booster | None = None,
    *,
    last: bool = False,
) -> Outcome:
    """Boost on the first of the matrices for num_round rounds, less those of the newest checkpoint.

    start: a model to go on from where there is no checkpoint. last: publish the model after every round.
    """
    hyperparameters, run, names = plan.hyperparameters, plan.run, plan.names
    leader = run.setting.cluster.rank == 0
    first = 0
    checkpoint = _resume(run, checkpoints)
    if checkpoint is not None:
        start, first = checkpoint
    halt = Halt(run.stopped)
    callbacks: list[TrainingCallback] = [Lines(run.report, first, plan.tuned_metric)]
    if hyperparameters.early_stopping_rounds and len(evals) > 1:
        maximize = None if plan.driver is None else base_name(plan.driver) in MAXIMIZED
        trees = hyperparameters.booster != "gblinear"
        if not trees:
            log.warning("A linear model is not cut back to its best round: early stopping only stops")
        callbacks.append(Patience(hyperparameters.early_stopping_rounds, plan.driver, maximize, trees))
    if checkpoints is not None and engine.draws(hyperparameters):
        callbacks.append(Draws(run.setting.seed, first, engine.growers(hyperparameters)))
    if checkpoints is not None and leader:
        callbacks.append(Save(lambda number, booster: checkpoints.save(number, content(booster)), first))
    if last and leader:
        callbacks.append(
            Save(lambda _, booster: run.publish(Model([Native(booster)], feature_names=names)), first)
        )
    left = hyperparameters.num_round - first
    history: History = {}
    booster = start
    if left > 0:
        booster = xgboost.train(
            plan.parameters,
            evals[0][0],
            left,
            evals=evals,
            custom_metric=plan.metric,
            xgb_model=start,
            callbacks=[*callbacks, halt],
            evals_result=history,
            verbose_eval=False,
        )
    assert booster is not None
    return Outcome(booster, latest(history) or _scores(booster, evals, plan), halt.halted)


def _resume(run: Run, checkpoints: Checkpoints | None) -> tuple[xgboost.Booster, int] | None:
    """The newest undamaged checkpoint of the first process, on all of them, and the number of the next
    round."""
    cluster = run.setting.cluster
    newest = next(checkpoints.whole(), None) if checkpoints is not None and cluster.rank == 0 else None
    latest_round, model = newest or (-1, b"")
    number = int(cluster.broadcast(np.array(latest_round)))
    if number < 0:
        return None
    booster = restore(cluster.broadcast(np.frombuffer(model, np.uint8)).tobytes())
    log.info("Resuming from iteration %d", number + 1)
    return booster, number + 1


def _scores(
    booster: xgboost.Booster, evals: list[tuple[xgboost.DMatrix, str]], plan: BoostingPlan
) -> list[tuple[str, float]]:
    """The values of a model that was complete in its checkpoint: `[9]<TAB>train-rmse:1.5<TAB>...`"""
    booster.set_param(plan.parameters)
    metric: Any = plan.metric
    text = booster.eval_set(evals, plan.hyperparameters.num_round - 1, metric, output_margin=False)
    pairs = (item.rpartition(":") for item in text.split("\t")[1:])
    scores = [(name, float(value)) for name, _, value in pairs]
    return sorted(scores, key=lambda score: score[0].startswith("validation-"))


def _device(run: Run) -> str:
    """The device that the library can use. Raises UserError where it was asked for another."""
    device = run.setting.device
    if device == "cpu" or xgboost.build_info().get("USE_CUDA"):
        return device
    hyperparameters: Hyperparameters = run.setting.hyperparameters
    if (
        hyperparameters.device.startswith("cuda")
        or hyperparameters.tree_method == "gpu_hist"
        or hyperparameters.use_dask_gpu_training == "true"
    ):
        raise UserError("the installed XGBoost has no CUDA: use the image for GPUs")
    log.warning("The installed XGBoost has no CUDA: training on the CPU; use the image for GPUs")
    return "cpu"
