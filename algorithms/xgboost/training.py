"""A job from its channels to a model: the library boosts, this prepares, watches and resumes."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xgboost
from xgboost.callback import TrainingCallback
from xgboost.core import XGBoostError

from algorithms.base import Run
from algorithms.errors import UserError
from algorithms.xgboost import agreement, boosters, engine, metrics
from algorithms.xgboost.boosters import Native
from algorithms.xgboost.callbacks import Draws, Halt, History, Lines, Patience, Save, latest
from algorithms.xgboost.checkpoints import CHECKSUM, Checkpoints, content, restored
from algorithms.xgboost.files import models
from algorithms.xgboost.hosts import joined as joined_hosts
from algorithms.xgboost.hosts import total
from algorithms.xgboost.hyperparameters import Hyperparameters
from algorithms.xgboost.matrix import Channel, joined, streamed, whole
from algorithms.xgboost.model import Model
from algorithms.xgboost.names import MAXIMIZED, base_name, ours

log = logging.getLogger(__name__)

LEVELS = (logging.ERROR, logging.INFO, logging.INFO, logging.DEBUG)  # of the log, by verbosity

# The library's own words for what only the user can mend.
USERS = (
    "label must", "label and prediction size not match", "multiclass", "base_score", "greater than 0",
    "non-negative", "nonnegative", "Parameter ", "Invalid Input", "Unknown ", "ataset only contains",
    "feature_names mismatch", "preds.size() == info.labels", "preds.Size() == info.labels", "supported",
    "n_features", "should be", "elevance deg", "doesn't support", "can only be used", "can not be used",
    "not support", "Out of range", "cannot be 0", "must be in",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """What every booster of a job is trained with."""

    h: Hyperparameters
    parameters: dict[str, Any]
    metric: Callable[[np.ndarray, Any], list[tuple[str, float]]] | None
    driver: str | None  # the metric of early stopping
    wanted: str | None  # the metric of a tuning job, without its channel
    run: Run
    names: tuple[str, ...] = ()  # of the features, where the data tell any

    @classmethod
    def of(cls, run: Run) -> Plan:
        h: Hyperparameters = run.setting.hyperparameters
        tuned = run.setting.tuned
        names = engine.metrics(h, tuned)
        computed = [name for name in names if ours(name, h.objective)]
        return cls(
            h,
            engine.parameters(h, names, _device(run), run.setting.seed),
            metrics.function(computed, h.objective, h.num_class, total),
            engine.driver(h, tuned),
            tuned.partition(":")[2] if tuned else None,
            run,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """A booster, the values of its last round, and whether it was stopped on the way."""

    booster: xgboost.Booster
    values: list[tuple[str, float]]
    halted: bool


def fit(run: Run) -> Model | None:
    """Train (`Algorithm.fit`). None: stopped, and save_model_on_termination is false."""
    h: Hyperparameters = run.setting.hyperparameters
    if {"verbosity", "silent"} & h.model_fields_set:
        logging.getLogger("algorithms").setLevel(LEVELS[0 if h.silent else h.verbosity])
    cluster = run.setting.cluster
    gpus = 0 if run.setting.device == "cpu" else cluster.processes
    log.info("Determined %d GPU(s) available on the instance.", gpus)
    log.info("Running XGBoost Sagemaker in algorithm mode")
    if h.early_stopping_rounds and "validation" not in run.data and not h.kfold:
        raise UserError(
            f"early_stopping_rounds={h.early_stopping_rounds} needs the channel 'validation', "
            "which was not given"
        )
    plan = Plan.of(run)
    channels = {name: Channel(name, table, h) for name, table in run.data.items()}
    agreement.check(run, channels)
    width = agreement.width(run, channels)
    if width is None:
        return None
    if cluster.size == 1:
        log.info("Single node training.")
    else:
        log.info("Distributed node training with %d processes", cluster.size)
    plan = replace(plan, names=agreement.names(run, h, width))
    log.info("Train matrix has %d rows and %d columns", channels["train"].rows, width)
    entries = channels["train"].entries
    if entries is not None and entries < channels["train"].rows * width:
        log.info(
            "What a row of the channel 'train' leaves out is a missing value, not 0: leave it out of "
            "requests too, in CSV by an empty cell (1,,3); a 0 there may get another answer"
        )
    if "validation" in channels:
        log.info("Validation matrix has %d rows", channels["validation"].rows)
    try:
        with joined_hosts(cluster):
            if h.kfold:
                from algorithms.xgboost.folds import cross_validate

                return cross_validate(plan, channels, width)
            return _one(plan, channels, width)
    except XGBoostError as error:
        raise explained(error) from error
    except InterruptedError:
        return None


def _one(plan: Plan, channels: dict[str, Channel], width: int) -> Model | None:
    """The usual job: one booster."""
    run, h = plan.run, plan.h
    start = _warm_start(plan)
    bins = engine.histogram(h) and start is None

    def matrix(name: str, ref: xgboost.DMatrix | None = None) -> xgboost.DMatrix:
        channel = channels[name]
        if bins:
            return streamed(lambda: channel.blocks(width), h, ref)
        return whole(joined(channel.blocks(width)), h)

    train = matrix("train")
    evals = [(train, "train")]
    if "validation" in channels:
        evals.append((matrix("validation", train), "validation"))
    checkpoints = Checkpoints(run.checkpoints) if run.checkpoints else None
    outcome = boost(plan, evals, checkpoints, start, last=h.save_model_on_termination == "true")
    if outcome.halted and h.save_model_on_termination == "false":
        log.info("Stopped; with save_model_on_termination=true there would be a model")
        return None
    _require_objective(plan, outcome.values)
    return Model([Native(outcome.booster, run.setting.device)], feature_names=plan.names)


def boost(
    plan: Plan,
    evals: list[tuple[xgboost.DMatrix, str]],
    checkpoints: Checkpoints | None,
    start: xgboost.Booster | None = None,
    *,
    last: bool = False,
) -> Outcome:
    """Boost on the first of the matrices for num_round rounds, less those of the newest checkpoint.

    start: a model to go on from where there is no checkpoint. last: publish the model after every round.
    """
    h, run, names = plan.h, plan.run, plan.names
    leader = run.setting.cluster.rank == 0
    first = 0
    resumed = _resume(run, checkpoints)
    if resumed is not None:
        start, first = resumed
    halt = Halt(run.stopped)
    callbacks: list[TrainingCallback] = [Lines(run.report, first, plan.wanted)]
    if h.early_stopping_rounds and len(evals) > 1:
        maximize = None if plan.driver is None else base_name(plan.driver) in MAXIMIZED
        trees = h.booster != "gblinear"
        if not trees:
            log.warning("A linear model is not cut back to its best round: early stopping only stops")
        callbacks.append(Patience(h.early_stopping_rounds, plan.driver, maximize, trees))
    if checkpoints is not None and engine.draws(h):
        callbacks.append(Draws(run.setting.seed, first, engine.growers(h)))
    if checkpoints is not None and leader:
        callbacks.append(Save(lambda number, booster: checkpoints.save(number, content(booster)), first))
    if last and leader:
        callbacks.append(
            Save(lambda _, booster: run.publish(Model([Native(booster)], feature_names=names)), first)
        )
    left = h.num_round - first
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
    newest = next(checkpoints.undamaged(), None) if checkpoints is not None and cluster.rank == 0 else None
    latest_round, model = newest or (-1, b"")
    number = int(cluster.broadcast(np.array(latest_round)))
    if number < 0:
        return None
    booster = restored(cluster.broadcast(np.frombuffer(model, np.uint8)).tobytes())
    log.info("Resuming from iteration %d", number + 1)
    return booster, number + 1


def _warm_start(plan: Plan) -> xgboost.Booster | None:
    """The model of the channel 'model'. Raises UserError where nothing can go on from it."""
    h = plan.h
    folder = plan.run.setting.warm_start
    if folder is None:
        if h.process_type == "update":
            raise UserError("process_type=update revises a model: give it in the channel 'model'")
        return None
    found = models(folder)
    if len(found) != 1:
        raise UserError(f"channel 'model' holds {len(found)} XGBoost models; training goes on from one")
    member = boosters.read(found[0])
    if not isinstance(member, Native):
        raise UserError(
            f"{found[0].name} in channel 'model' was written by an XGBoost before 3.0, from which none can "
            "go on; save it as JSON with the version that trained it"
        )
    names = boosters.feature_names(member.booster)
    if names and plan.names and names != plan.names:
        place, name, other = agreement.difference(names, plan.names)
        raise UserError(
            f"feature {place + 1} is '{name}' in the model of channel 'model', but '{other}' in channel "
            "'train': put the columns in the order of the earlier job"
        )
    member.booster.set_attr(best_iteration=None, best_score=None, **{CHECKSUM: None})
    member.booster.feature_names = None  # the library would want them of the matrices too
    return member.booster


def _scores(
    booster: xgboost.Booster, evals: list[tuple[xgboost.DMatrix, str]], plan: Plan
) -> list[tuple[str, float]]:
    """The values of a model that was complete in its checkpoint: `[9]<TAB>train-rmse:1.5<TAB>...`"""
    booster.set_param(plan.parameters)
    metric: Any = plan.metric
    text = booster.eval_set(evals, plan.h.num_round - 1, metric, output_margin=False)
    pairs = (item.rpartition(":") for item in text.split("\t")[1:])
    scores = [(name, float(value)) for name, _, value in pairs]
    return sorted(scores, key=lambda score: score[0].startswith("validation-"))


def _require_objective(plan: Plan, values: list[tuple[str, float]]) -> None:
    tuned = [value for name, value in values if plan.wanted and name.startswith(f"validation-{plan.wanted}")]
    if tuned and math.isnan(tuned[-1]):
        raise UserError(
            f"metric validation:{plan.wanted} is nan at the end of training: lower eta, or look for extreme "
            "values"
        )


def _device(run: Run) -> str:
    """The device that the library can use. Raises UserError where it was asked for another."""
    device = run.setting.device
    if device == "cpu" or xgboost.build_info().get("USE_CUDA"):
        return device
    h: Hyperparameters = run.setting.hyperparameters
    if h.device.startswith("cuda") or h.tree_method == "gpu_hist" or h.use_dask_gpu_training == "true":
        raise UserError("the installed XGBoost has no CUDA: use the image for GPUs")
    log.warning("The installed XGBoost has no CUDA: training on the CPU; use the image for GPUs")
    return "cpu"


def explained(error: XGBoostError) -> Exception:
    """The library's error as the user's, where it is one."""
    said = boosters.said(error)
    if any(phrase in said for phrase in USERS):
        return UserError(f"XGBoost refuses the data or hyperparameters: {said}")
    return RuntimeError(f"XGB train call failed with exception: {said}")
